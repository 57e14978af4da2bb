"""The run file: one SQLite file that keeps a run, the commits of its ledger and what a new master must know.

What survives: every commit that returned survives the end of this process, however it ends. Runs
that listen for remote workers also survive a power loss, commit by commit: those workers live on,
and have forgotten what was acknowledged to them. In other runs the workers end with this machine;
there a power loss may cost the newest commits (never the file), and the disk is not made to wait
ten times a second while the target may be sharing it.

For one thread at a time. Every writing method either has done its work when it returns, or raises
StoreError (StoreFull for a full disk) and has done nothing: try again later.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Any

from loadgen.errors import LoadgenError, StoreError, StoreFull
from loadgen.master.ledger import Ledger
from loadgen.master.store import Commit, Name
from loadgen.master.store_file import (
    LOW_BYTES,
    RunLock,
    connect,
    create,
    damaged,
    explained,
    free_bytes,
    prepare_to_write,
)
from loadgen.master.store_records import MemberRecord, RunRecord
from loadgen.master.store_rows import Damaged, fold_journal, read_saved, write_commit
from loadgen.master.store_schema import MIGRATIONS, version_of

_COLUMNS = tuple(column.name for column in fields(RunRecord))


class SqliteStore:
    """Make one with `create` or `open`; give it back with `close`."""

    def __init__(self, path: Path, db: sqlite3.Connection, lock: RunLock | None) -> None:
        self.path = path
        self._db = db
        self._lock = lock
        self._numbers: dict[Name, int] = {}
        self._commits = 0

    @classmethod
    def create(cls, path: Path, record: RunRecord) -> SqliteStore:
        """A new run file, locked for this process. Raises RunFileError if there is one already, StoreError."""
        create(path)
        try:
            return cls._open_to_write(path, record)
        except StoreError:
            path.unlink(missing_ok=True)
            raise

    @classmethod
    def open(cls, path: Path, *, read_only: bool = False) -> SqliteStore:
        """A run file of this or an older version.

        To go on with the run: locked for this process, RunFileError while another one writes it.
        Read only: beside a writer too; each call then reads one moment of the run.
        """
        if not read_only:
            return cls._open_to_write(path)
        db = connect(path, read_only=True)
        if version_of(db) < len(MIGRATIONS):
            db.close()
            cls._open_to_write(path).close()  # which migrates it
            db = connect(path, read_only=True)
        return cls(path, db, None)

    @classmethod
    def _open_to_write(cls, path: Path, record: RunRecord | None = None) -> SqliteStore:
        connect(path, read_only=True).close()  # no lock beside a file that is none of ours
        lock = RunLock(path)
        try:
            db = connect(path, read_only=False)
        except BaseException:
            lock.release()
            raise
        store = cls(path, db, lock)
        try:
            prepare_to_write(db, path)
            if record is not None:
                store._write_run(record)
            store._choose_durability()
            store._take_stock()
        except BaseException:
            store.close()
            raise
        return store

    # -- the ledger

    def commit(self, batch: Commit) -> None:
        """Keep `batch`, all of it in one transaction."""
        if batch.number != self._commits + 1:
            raise ValueError(f"commit {batch.number} of another ledger: the file has {self._commits}")
        numbers = dict(self._numbers) if batch.new_names else self._numbers
        for name in batch.new_names:
            numbers[name] = len(numbers)
        try:
            with self._transaction():
                write_commit(self._db, batch, numbers)
        except StoreFull:
            self._make_room()
            raise
        self._numbers, self._commits = numbers, batch.number
        if free_bytes(self.path) < LOW_BYTES:
            self._make_room()

    def ledger(self) -> Ledger:
        """The ledger as it was after its last commit; in a file open to write it can go on from there."""
        with self._reading():
            self._db.execute("BEGIN")  # one moment, whatever is written meanwhile
            try:
                return Ledger.restore(read_saved(self._db))
            finally:
                self._db.execute("ROLLBACK")

    def _make_room(self) -> None:
        """Give back what the write-ahead log takes up: it holds the same pages many times.

        Done before the disk is full, because moving them into the file needs a little room too.
        """
        try:
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error:
            pass  # not even that fits; whoever frees space helps

    # -- facts about the run

    @property
    def record(self) -> RunRecord:
        with self._reading():
            row = self._db.execute(f"SELECT {', '.join(_COLUMNS)} FROM run").fetchone()
            if row is None:
                raise Damaged("it does not say which run it is of")
            values = dict(zip(_COLUMNS, row, strict=True))
            plan, settings = json.loads(values.pop("plan")), json.loads(values.pop("settings"))
            return RunRecord(**values, plan=plan, settings=settings)

    def save_run(self, **changes: Any) -> None:
        """Change fields of the record."""
        self._write_run(replace(self.record, **changes))
        if "listen" in changes:
            self._choose_durability()

    def raise_epoch(self) -> int:
        """One more master for this run: its number, 1 for the first."""
        epoch = self.record.epoch + 1
        self.save_run(epoch=epoch)
        return epoch

    def members(self) -> list[MemberRecord]:
        """In the order in which they joined."""
        with self._reading():
            rows = self._db.execute("SELECT * FROM members ORDER BY position").fetchall()
        return [
            MemberRecord(uid, worker, index, last_command, json.loads(share), state)
            for uid, worker, index, last_command, share, state in rows
        ]

    def save_members(self, rows: Iterable[MemberRecord]) -> None:
        """Add these, or replace what is known of the same uids."""
        values = [(row.uid, row.worker, row.index, row.last_command, json.dumps(row.share), row.state) for row in rows]
        with self._transaction():
            self._db.executemany("INSERT OR REPLACE INTO members VALUES (?, ?, ?, ?, ?, ?)", values)

    def blob(self, name: str) -> bytes | None:
        """What was saved under this name, None if nothing."""
        with self._reading():
            row = self._db.execute("SELECT data FROM blobs WHERE name = ?", (name,)).fetchone()
        return None if row is None else bytes(row[0])

    def save_blob(self, name: str, data: bytes) -> None:
        """Keep `data` under `name` (the scenario's bundle, the leases of rows)."""
        with self._transaction():
            self._db.execute("INSERT OR REPLACE INTO blobs VALUES (?, ?)", (name, data))

    def close(self) -> None:
        """Leave one plain file behind, that needs no other to be read. Repeating it does nothing; never raises."""
        if self._lock is not None:
            try:
                with self._transaction():
                    fold_journal(self._db)
                self._db.execute("PRAGMA journal_mode = DELETE")  # refused while somebody reads: then it stays WAL
            except (LoadgenError, sqlite3.Error):
                pass  # everything is in the file and its write-ahead log all the same
        self._db.close()
        if self._lock is not None:
            self._lock.release()
            self._lock = None

    # -- underneath

    def _choose_durability(self) -> None:
        """See the module."""
        synchronous = "FULL" if self.record.listen else "NORMAL"
        with explained(self.path):
            self._db.execute(f"PRAGMA synchronous = {synchronous}")

    def _take_stock(self) -> None:
        with self._transaction():
            fold_journal(self._db)
        with self._reading():
            names = self._db.execute("SELECT method, name, number FROM names")
            self._numbers = {(method, name): number for method, name, number in names}
            row = self._db.execute("SELECT commits FROM ledger").fetchone()
            self._commits = row[0] if row else 0

    def _write_run(self, record: RunRecord) -> None:
        values = asdict(record) | {"plan": json.dumps(record.plan), "settings": json.dumps(record.settings)}
        places = ", ".join("?" * len(_COLUMNS))
        with self._transaction():
            self._db.execute(
                f"INSERT OR REPLACE INTO run (id, {', '.join(_COLUMNS)}) VALUES (1, {places})",
                [values[column] for column in _COLUMNS],
            )

    @contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            with explained(self.path):
                yield
        except (Damaged, ValueError, KeyError, IndexError) as exc:
            raise damaged(self.path, str(exc)) from exc

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        """All of the block or nothing of it."""
        with explained(self.path):
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._db.execute("COMMIT")
            except BaseException as exc:
                if self._db.in_transaction:  # a full disk may have ended it already
                    self._db.execute("ROLLBACK")
                if isinstance(exc, Damaged):
                    raise damaged(self.path, str(exc)) from exc
                raise
