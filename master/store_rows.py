"""A commit as rows of a run file, and all rows of a run file as what the ledger is restored from.

Every row of a measurement ends with a CRC-32 of its other values: SQLite itself does not notice a
bit that flips on the disk, and a wrong number must not look like a right one.
"""

from __future__ import annotations

import sqlite3
import zlib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgpack
import numpy as np

from loadgen.master.session import Session
from loadgen.master.spans import SlotRow, SpanRows, from_slot_rows, merge, to_slot_rows
from loadgen.master.store import Commit, ErrorKey, GroupState, Journal, Name, Notes, PhaseState, Saved, SessionState
from loadgen.master.totals import Slot
from loadgen.metrics.tally import COUNTED_KINDS, KIND_SLOTS, Kind

Row = tuple[Any, ...]
_MAX_INT = (1 << 63) - 1


class Damaged(Exception):
    """A row is not what was written. Says which."""


# Writing


def write_commit(db: sqlite3.Connection, batch: Commit, numbers: dict[Name, int]) -> None:
    """Inside a transaction of the caller. `numbers` of the names, those of this batch included."""
    known = len(numbers) - len(batch.new_names)
    _put(db, "names", [(known + place, *name) for place, name in enumerate(batch.new_names)])
    if batch.new_slots:
        [first] = db.execute("SELECT count(*) FROM slots").fetchone()
        rows = [
            (first + place, numbers[slot.method, slot.name], slot.kind.name.lower())
            for place, slot in enumerate(batch.new_slots)
        ]
        _put(db, "slots", rows)
    for span in batch.spans:
        _write_span(db, span)
    _put(db, "workers", [worker_row(worker, state, batch.number) for worker, state in batch.sessions])
    if batch.journal.states:
        new = batch.journal
        _put(db, "journal", [(batch.number, pack((new.states, new.audit_rows, new.audit_keys, new.audit)))])
    db.execute("DELETE FROM journal WHERE number < ?", (batch.journal_from,))
    _write_notes(db, batch.notes, numbers)
    _put(db, "ledger", [(1, batch.number, batch.notes.logs_dropped)])


def _write_span(db: sqlite3.Connection, span: SpanRows) -> None:
    """A span comes in parts, as its workers report: what is there already is added to."""
    wanted = set(span.slots.tolist())
    found = [row for row in _span_rows(db, span.first_s, span.last_s) if row.slot in wanted]
    if found:
        span = merge([from_slot_rows(span.first_s, span.last_s, found), span])
    _put(
        db,
        "seconds (first_s, last_s, slot, count, bytes, sum_us, min_us, max_us, indexes, counts, crc)",
        [(span.first_s, span.last_s, *row) for row in to_slot_rows(span)],
        "ON CONFLICT (first_s, last_s, slot) DO UPDATE SET (count, bytes, sum_us, min_us, max_us, indexes, counts, crc)"
        " = (excluded.count, excluded.bytes, excluded.sum_us, excluded.min_us, excluded.max_us,"
        " excluded.indexes, excluded.counts, excluded.crc)",
    )


def _write_notes(db: sqlite3.Connection, notes: Notes, numbers: dict[Name, int]) -> None:
    _put(
        db,
        "outcomes",
        [(numbers[name], outcome, n) for name, own in notes.outcomes.items() for outcome, n in own.items()],
    )
    _put(
        db, "phases", [(numbers[name], phase, *row) for name, own in notes.phases.items() for phase, row in own.items()]
    )
    _put(
        db,
        "errors",
        [
            (numbers[method, name], *key, count, *first[:2], *latest[:2])
            for (method, name, *key), (count, first, latest) in notes.errors.items()
        ],
    )
    _put(
        db,
        "task_errors",
        [(*key, count, *first, latest[0]) for key, (count, first, latest) in notes.task_errors.items()],
    )
    _put(db, "checks", [(name, *row) for name, row in notes.checks.items()])
    _put(db, "counters", list(notes.counters.items()))
    if notes.new_warnings:
        [first] = db.execute("SELECT count(*) FROM warnings").fetchone()
        _put(db, "warnings", [(first + place, text) for place, text in enumerate(notes.new_warnings)])


def worker_row(worker: str, state: SessionState, number: int) -> Row:
    """A session saved whole by commit `number`: columns to query, and a blob to go on from."""
    kinds = np.frombuffer(state.audit_keys, dtype=np.int64) % KIND_SLOTS
    counts = np.frombuffer(state.audit, dtype=np.int64)[::2]
    return (
        worker,
        state.last_seq,
        state.end_ms,
        int(state.final),
        int(counts[np.isin(kinds, _COUNTED)].sum()),
        state.cpu_percent_max,
        state.saturated_ms,
        state.generator_errors,
        state.throttled_us,
        number,
        pack(state),
    )


_COUNTED = np.array(sorted(COUNTED_KINDS))


def _put(db: sqlite3.Connection, table: str, rows: Sequence[Row], on_conflict: str = "") -> None:
    """Insert rows, each completed with its CRC. Without `on_conflict` a row with the same key is replaced."""
    if not rows:
        return
    places = ", ".join("?" * (len(rows[0]) + 1))
    verb = "INSERT" if on_conflict else "INSERT OR REPLACE"
    db.executemany(f"{verb} INTO {table} VALUES ({places}) {on_conflict}", [_sealed(row) for row in rows])


def _sealed(row: Row) -> Row:
    """The row with its CRC, and every number within what SQLite holds."""
    if any(type(value) is int and value > _MAX_INT for value in row):
        row = tuple(_fitting(list(row)))
    return (*row, _crc(row))


def _crc(row: Sequence[Any]) -> int:
    return zlib.crc32(msgpack.packb(row))


def pack(value: Any) -> bytes:
    """As msgpack."""
    try:
        packed: bytes = msgpack.packb(value)
    except OverflowError:
        packed = msgpack.packb(_fitting(value))
    return packed


def _fitting(value: Any) -> Any:
    """No honest worker counts beyond 63 bits; one that claims to must not stop the run."""
    if isinstance(value, int):
        return min(value, _MAX_INT)
    if isinstance(value, dict):
        return {key: _fitting(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_fitting(item) for item in value]
    return value


# Reading


def read_saved(db: sqlite3.Connection) -> Saved:
    """Everything in the file. Raises Damaged; for the seconds, while they are being read."""
    names = [(method, name) for _, method, name in _rows(db, "names", "number")]
    slots = [Slot(*names[name], Kind[kind.upper()]) for _, name, kind in _rows(db, "slots", "number")]
    ledger = list(_rows(db, "ledger", "id"))
    _, number, logs_dropped = ledger[0] if ledger else (1, 0, 0)
    return Saved(
        number=number,
        names=names,
        slots=slots,
        spans=_read_spans(db),
        sessions=_read_sessions(db),
        notes=_read_notes(db, names, logs_dropped),
    )


def _read_spans(db: sqlite3.Connection) -> Iterator[SpanRows]:
    for first_s, last_s in db.execute("SELECT DISTINCT first_s, last_s FROM seconds ORDER BY first_s, last_s"):
        yield from_slot_rows(first_s, last_s, list(_span_rows(db, first_s, last_s)))


def _span_rows(db: sqlite3.Connection, first_s: int, last_s: int) -> Iterator[SlotRow]:
    found = db.execute(
        "SELECT first_s, last_s, slot, count, bytes, sum_us, min_us, max_us, indexes, counts, crc FROM seconds"
        " WHERE first_s = ? AND last_s = ? ORDER BY slot",
        (first_s, last_s),
    )
    return (SlotRow(*row[2:]) for row in _opened(found, "seconds"))


def _read_sessions(db: sqlite3.Connection) -> dict[str, list[SessionState]]:
    sessions: dict[str, list[SessionState]] = {}
    saved_by: dict[str, int] = {}
    for worker, *_, number, state in _rows(db, "workers", "rowid"):
        sessions[worker] = [_state(state)]
        saved_by[worker] = number
    for number, packed in _rows(db, "journal", "number"):
        for worker, state in _journal(packed).entries():
            if number > saved_by.get(worker, 0):
                sessions.setdefault(worker, []).append(state)
    return sessions


def _journal(packed: bytes) -> Journal:
    states, *audit = msgpack.unpackb(packed, strict_map_key=False)
    return Journal([(worker, SessionState(*values)) for worker, values in states], *audit)


def _state(packed: bytes) -> SessionState:
    return SessionState(*msgpack.unpackb(packed, strict_map_key=False))


def _read_notes(db: sqlite3.Connection, names: Sequence[Name], logs_dropped: int) -> Notes:
    outcomes: dict[Name, dict[str, int]] = {}
    for name, outcome, n in _rows(db, "outcomes", "name, outcome"):
        outcomes.setdefault(names[name], {})[outcome] = n
    phases: dict[Name, dict[str, PhaseState]] = {}
    for name, phase, *row in _rows(db, "phases", "name, phase"):
        phases.setdefault(names[name], {})[phase] = (row[0], row[1], row[2])
    errors: dict[ErrorKey, GroupState] = {}
    for name, category, signature, phase, fault, count, first_ms, first, last_ms, latest in _rows(
        db, "errors", "rowid"
    ):
        key = (*names[name], category, signature, phase, fault)
        errors[key] = (count, (first_ms, first, ""), (last_ms, latest, ""))
    task_errors: dict[tuple[str, str], GroupState] = {}
    for user_class, origin, count, first_ms, message, trace, last_ms in _rows(db, "task_errors", "rowid"):
        task_errors[user_class, origin] = (count, (first_ms, message, trace), (last_ms, "", ""))
    return Notes(
        outcomes=outcomes,
        phases=phases,
        errors=errors,
        task_errors=task_errors,
        checks={name: (passed, failed) for name, passed, failed in _rows(db, "checks", "name")},
        counters=dict(_rows(db, "counters", "name")),
        new_warnings=[text for _, text in _rows(db, "warnings", "number")],
        logs_dropped=logs_dropped,
    )


def fold_journal(db: sqlite3.Connection) -> None:
    """Save every session of the journal whole and empty it, inside a transaction of the caller. Raises Damaged."""
    journaled = {worker for _, packed in _rows(db, "journal", "number") for worker, _ in _journal(packed).states}
    if not journaled:
        return
    names = [(method, name) for _, method, name in _rows(db, "names", "number")]
    numbers = {name: number for number, name in enumerate(names)}
    [commits] = db.execute("SELECT commits FROM ledger").fetchone()
    rows = []
    for worker, states in _read_sessions(db).items():
        if worker in journaled:
            session = Session(worker)
            session.absorb(states, names)
            rows.append(worker_row(worker, session.whole(numbers), commits))
    _put(db, "workers", rows)
    db.execute("DELETE FROM journal")


def _rows(db: sqlite3.Connection, table: str, order: str) -> Iterator[Row]:
    return _opened(db.execute(f"SELECT * FROM {table} ORDER BY {order}"), table)


def _opened(rows: Iterable[Row], table: str) -> Iterator[Row]:
    """Rows without their CRC. Raises Damaged where it does not fit."""
    for *values, crc in rows:
        if _crc(values) != crc:
            raise Damaged(f'table "{table}", row {values[:3]!r:.100}: its checksum is wrong')
        yield tuple(values)
