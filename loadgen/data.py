"""Test data that users share: `from loadgen import data`.

::

    accounts = data.csv("accounts.csv", strategy="unique")

    class Member(HttpUser):
        def on_start(self):
            self.account = accounts.next(self)      # no other user of the whole run has this row

Declare a source once, where the file is imported. The path is relative to the file it is written in.
`strategy` says who gets which row: "random", "circular", "unique" or "shard"; `on_end` what happens
when unique or sharded rows are used up: "stop", "recycle" or "wait".
"""

from __future__ import annotations

import sys
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from loadgen.data_files import CsvFile, GivenRows, JsonFile
from loadgen.data_source import DataSource as DataSource
from loadgen.data_source import choice, current, declaration
from loadgen.errors import ScenarioError

if TYPE_CHECKING:
    from loadgen.environment import Environment

DEFAULT_STRATEGY = "random"


def csv(
    path: str | Path,
    strategy: str = DEFAULT_STRATEGY,
    on_end: str | None = None,
    *,
    delimiter: str = ",",
    encoding: str = "utf-8-sig",
    columns: Sequence[str] | None = None,
) -> DataSource:
    """The rows of a CSV file; each becomes a dict of column to text.

    The first line names the columns unless `columns` does. Raises ScenarioError (LG701 … LG704).
    """
    where = declaration(sys._getframe(1), f'data.csv("{path}")')
    if len(delimiter) != 1:
        raise ScenarioError(f"delimiter={delimiter!r} is not one character", code="LG703")
    names = tuple(columns) if columns is not None else None
    reader = CsvFile(where.folder / Path(path).expanduser(), delimiter, encoding, names)
    reader.check()
    return DataSource(reader, reader.path.name, where, *choice(strategy, on_end))


def json(path: str | Path, strategy: str = DEFAULT_STRATEGY, on_end: str | None = None) -> DataSource:
    """The values of a JSON array, or of a file with one value a line (*.jsonl, *.ndjson).

    Raises ScenarioError (LG701 … LG704).
    """
    where = declaration(sys._getframe(1), f'data.json("{path}")')
    reader = JsonFile(where.folder / Path(path).expanduser())
    reader.check()
    return DataSource(reader, reader.path.name, where, *choice(strategy, on_end))


def rows(values: Iterable[Any], strategy: str = DEFAULT_STRATEGY, on_end: str | None = None) -> DataSource:
    """Any values as rows. They must be the same, in the same order, on every worker.

    Raises ScenarioError (LG702 … LG704).
    """
    where = declaration(sys._getframe(1), "data.rows(…)")
    given = list(values)
    if not given:
        raise ScenarioError("data.rows(…) was given no rows", code="LG702")
    return DataSource(GivenRows(given), "data.rows", where, *choice(strategy, on_end))


def declared_files(modules: Collection[str] | None = None) -> tuple[Path, ...]:
    """The files of the sources that the scenario declares as it is imported now, each once.

    With `modules` only those declared by modules of these names.
    """
    return tuple(dict.fromkeys(source.path for source in current(modules) if source.path is not None))


def load_declared(modules: Collection[str] | None = None) -> None:
    """Read every declared source now, before users start. Raises ScenarioError (LG701, LG702)."""
    for source in current(modules):
        _ = source.table


def rows_used(environment: Environment) -> dict[str, int]:
    """By key of the source: how many unique rows the users of this environment took."""
    used = {source.key: source.used_in(environment) for source in current()}
    return {key: count for key, count in used.items() if count}
