"""Reading test data: a file becomes a table of rows, or an error that says which line of it is wrong.

::

    LG701  no such file, or it cannot be read
    LG702  the file holds no rows that could be used
"""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loadgen.errors import ScenarioError
from loadgen.importing import shown
from loadgen.nearness import nearest

JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Table:
    """The rows of a source. `columns` are those of a CSV file, whose rows stay tuples until they are used."""

    rows: Sequence[Any]
    columns: tuple[str, ...] | None = None

    def row(self, index: int) -> Any:
        """Row `index`. A map is the caller's own to change; other values are shared by all users."""
        row = self.rows[index]
        if self.columns is not None:
            return dict(zip(self.columns, row, strict=False))  # of one length: looked at when it was read
        return dict(row) if type(row) is dict else row


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV file (RFC 4180, UTF-8 unless told otherwise). Its first line names the columns, or `columns` does."""

    path: Path
    delimiter: str = ","
    encoding: str = "utf-8-sig"  # a byte order mark, as Excel writes it, is no part of the first name
    columns: tuple[str, ...] | None = None

    def check(self) -> None:
        """Read no further than the first row. Raises ScenarioError for what is wrong up to there."""
        next(self._rows(self._records()), None)

    def read(self) -> Table:
        """All rows. Raises ScenarioError."""
        records = self._records()
        columns = self._columns(records)
        rows = list(self._rows(records, columns))
        if not rows:
            raise unusable(self.path, 0, "it has no rows, only the names of the columns")
        return Table(rows, columns)

    def _rows(
        self, records: Iterator[tuple[int, list[str]]], columns: tuple[str, ...] | None = None
    ) -> Iterator[tuple[str, ...]]:
        names = columns or self._columns(records)
        for line, fields in records:
            if len(fields) != len(names):
                raise unusable(self.path, line, f"{len(fields)} fields where there are {len(names)} columns")
            yield tuple(fields)

    def _columns(self, records: Iterator[tuple[int, list[str]]]) -> tuple[str, ...]:
        if self.columns is not None:
            return self.columns
        line, fields = next(records, (0, None))
        if fields is None:
            raise unusable(self.path, 0, "it is empty")
        names = tuple(name.strip() for name in fields)
        for number, name in enumerate(names, 1):
            if not name:
                raise unusable(self.path, line, f"column {number} has no name")
            if name in names[: number - 1]:
                raise unusable(self.path, line, f'two columns are called "{name}"')
        return names

    def _records(self) -> Iterator[tuple[int, list[str]]]:
        """(line, fields) of each record that is not an empty line."""
        reader: Any = None
        try:
            with self.path.open(newline="", encoding=self.encoding) as file:
                reader = csv.reader(file, delimiter=self.delimiter, strict=True)
                for fields in reader:
                    if fields:
                        yield reader.line_num, fields
        except csv.Error as exc:
            raise unusable(self.path, reader.line_num, str(exc)) from exc
        except UnicodeDecodeError as exc:
            raise undecodable(self.path, exc) from exc
        except OSError as exc:
            raise unreadable(self.path, exc) from exc


@dataclass(frozen=True, slots=True)
class JsonFile:
    """A file with one JSON array, or with one JSON value a line (*.jsonl, *.ndjson). Each value is a row."""

    path: Path

    def check(self) -> None:
        """Is there such a file? Raises ScenarioError."""
        try:
            self.path.open("rb").close()
        except OSError as exc:
            raise unreadable(self.path, exc) from exc

    def read(self) -> Table:
        """All rows. Raises ScenarioError."""
        try:
            text = self.path.read_text(encoding="utf-8-sig")
        except UnicodeDecodeError as exc:
            raise undecodable(self.path, exc) from exc
        except OSError as exc:
            raise unreadable(self.path, exc) from exc
        rows = self._lines(text) if self.path.suffix in JSON_LINES else self._array(text)
        if not rows:
            raise unusable(self.path, 0, "it has no rows")
        return Table(rows)

    def _array(self, text: str) -> list[Any]:
        try:
            rows = json.loads(text)
        except ValueError as exc:
            raise unusable(self.path, getattr(exc, "lineno", 0), f"it is no JSON ({exc})") from exc
        if not isinstance(rows, list):
            raise unusable(self.path, 1, "it holds no JSON array", "One value a line? Call the file *.jsonl.")
        return rows

    def _lines(self, text: str) -> list[Any]:
        rows = []
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                try:
                    rows.append(json.loads(line))
                except ValueError as exc:
                    raise unusable(self.path, number, f"this line is no JSON ({exc})") from exc
        return rows


@dataclass(frozen=True, slots=True)
class GivenRows:
    """Rows that the scenario made itself."""

    rows: Sequence[Any]

    def check(self) -> None:
        """Nothing is left to be checked."""

    def read(self) -> Table:
        return Table(self.rows)


def unreadable(path: Path, exc: OSError) -> ScenarioError:
    """LG701, with the file that may be meant."""
    if not isinstance(exc, FileNotFoundError):
        return ScenarioError(f"cannot read {shown(path)}: {exc.strerror}", code="LG701")
    try:
        names = sorted(one.name for one in path.parent.iterdir())
    except OSError:
        names = []
    near = nearest(path.name, names)
    hint = f"Did you mean  {near}  ?" if near else "A path is relative to the file it is written in."
    return ScenarioError(f"there is no file {shown(path)}", code="LG701", hints=(hint,))


def undecodable(path: Path, exc: UnicodeDecodeError) -> ScenarioError:
    """LG702 for bytes that are no text in the encoding."""
    hint = 'For a file of Excel on Windows:  data.csv("…", encoding="cp1252")'
    hints = (hint,) if path.suffix.lower() == ".csv" else ()
    return unusable(path, 0, f"it is no text in {exc.encoding}", *hints)


def unusable(path: Path, line: int, why: str, *hints: str) -> ScenarioError:
    """LG702 with file and line."""
    where = f"{shown(path)}:{line}" if line else shown(path)
    return ScenarioError(f"{where} cannot be used as test data: {why}", code="LG702", hints=hints)
