"""A terminal in memory: enough of one to see what a person would see."""

from __future__ import annotations

import io
import re

_TOKEN = re.compile(r"\x1b\[(\d*)([A-Za-z])|(.)", re.DOTALL)


class FakeTerminal(io.StringIO):
    """Understands new lines, carriage returns, cursor up, erase below and colours (ignored). Wraps long lines."""

    def __init__(self, columns: int = 80) -> None:
        super().__init__()
        self.columns = columns
        self.written = 0
        self._rows: list[list[str]] = [[]]
        self._row = self._column = 0

    def isatty(self) -> bool:
        return True

    def write(self, text: str) -> int:
        self.written += len(text)
        for number, command, char in _TOKEN.findall(text):
            if command:
                self._obey(command, int(number or 1))
            else:
                self._put(char)
        return len(text)

    def _obey(self, command: str, number: int) -> None:
        if command == "A":
            self._row = max(0, self._row - number)
        elif command == "J":
            del self._rows[self._row + 1 :]
            del self._rows[self._row][self._column :]
        elif command != "m":
            raise AssertionError(f"an escape sequence this terminal does not know: {command}")

    def _put(self, char: str) -> None:
        if char == "\r":
            self._column = 0
            return
        if char == "\n" or self._column >= self.columns:
            self._row, self._column = self._row + 1, 0
            if self._row == len(self._rows):
                self._rows.append([])
            if char == "\n":
                return
        row = self._rows[self._row]
        row.extend(" " * (self._column - len(row) + 1))
        row[self._column] = char
        self._column += 1

    @property
    def lines(self) -> list[str]:
        """Everything on the screen and in the scroll-back, without trailing blanks."""
        shown = ["".join(row).rstrip() for row in self._rows]
        while shown and not shown[-1]:
            shown.pop()
        return shown
