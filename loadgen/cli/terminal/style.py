"""Colours and glyphs: one Style decides how every line looks.

Colour only ever repeats what a word or a glyph already says. In ASCII mode each glyph has a
one-to-one replacement, so tables keep their columns.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from loadgen.cli.terminal.text import clean

ColorChoice = Literal["auto", "always", "never"]

_ASCII = str.maketrans(
    {
        "…": "~", "·": "-", "×": "x", "✓": "+", "✗": "X", "△": "!", "●": "*", "→": ">", "–": "-", "±": "~",
        "━": "=", "─": "-", "└": "`", "├": "|", "│": "|", "≥": ">", "≤": "<",
        "▁": "_", "▂": ".", "▃": ":", "▄": "-", "▅": "=", "▆": "+", "▇": "*", "█": "#",
    }
)  # fmt: skip


def wants_color(choice: ColorChoice, env: Mapping[str, str], is_tty: bool) -> bool:
    """Whether to write colours: the flag, then NO_COLOR, FORCE_COLOR, TERM=dumb, TTY_COMPATIBLE, then the stream."""
    if choice != "auto":
        return choice == "always"
    if env.get("NO_COLOR"):
        return False
    if env.get("FORCE_COLOR", "0") not in ("", "0", "false"):
        return True
    if env.get("TERM") == "dumb":
        return False
    if env.get("TTY_COMPATIBLE") in ("0", "1"):
        return env["TTY_COMPATIBLE"] == "1"
    return is_tty


def wants_panel(env: Mapping[str, str], is_tty: bool) -> bool:
    """Whether lines can be redrawn in place: a real terminal that is not dumb, and no CI."""
    if env.get("TERM") in ("dumb", "") or env.get("TTY_COMPATIBLE") == "0":
        return False
    return is_tty and env.get("CI", "") in ("", "0", "false")


@dataclass(frozen=True, slots=True)
class Style:
    """Colours (or none) and glyphs (or ASCII)."""

    color: bool = False
    ascii: bool = False

    def good(self, text: str) -> str:
        return self._paint("32", text)

    def bad(self, text: str) -> str:
        return self._paint("1;31", text)

    def warn(self, text: str) -> str:
        return self._paint("33", text)

    def dim(self, text: str) -> str:
        return self._paint("2", text)

    def bold(self, text: str) -> str:
        return self._paint("1", text)

    def accent(self, text: str) -> str:
        return self._paint("36", text)

    def foreign(self, text: str) -> str:
        """Text from outside made harmless; in ASCII mode other letters become escapes."""
        shown = clean(text)
        return self.glyphs(shown).encode("ascii", "backslashreplace").decode("ascii") if self.ascii else shown

    def glyphs(self, line: str) -> str:
        """The line with our glyphs as this terminal can show them. Same width."""
        return line.translate(_ASCII) if self.ascii else line

    def _paint(self, codes: str, text: str) -> str:
        return f"\x1b[{codes}m{text}\x1b[0m" if self.color and text else text


PLAIN = Style()
