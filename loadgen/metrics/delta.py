"""A delta: everything one worker measured in one window, sealed into bytes once and for all.

The body is one msgpack map; a section that is empty is left out. Latencies travel as three blobs:

    rows     <i8, ten per (series, kind), ordered by them: series id, kind, count, bytes, sum_us,
             min_us, max_us, number of buckets, then count and sum_us since the worker's start (the
             audit: the master checks that the deltas it applied add up to them)
    indexes  <u2, the buckets of all rows one after the other, rising within a row
    counts   unsigned, of the smallest width that fits, one per index

Names are sent once per session, in the delta that first uses them, so deltas must be applied in
order. Unknown keys are ignored by the reader; a key never changes its meaning.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import msgpack

from loadgen.metrics.errorbook import Group
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import LAST_BUCKET, pack_counts, pack_indexes
from loadgen.metrics.recorder import MAX_NAME_LENGTH, LogLine, Recorder, Series
from loadgen.metrics.tally import Kind, Tally

if TYPE_CHECKING:
    from loadgen.metrics.decoding import Delta

MAX_BODY = 1 << 20  # bytes; a usual body has 1 to 10 KB
ROW_FIELDS = 10

# Room in bytes for each section; together they fit MAX_BODY with every cap of the recorder in use.
# Nothing is dropped for its size: what finds no room waits in the recorder for the next delta.
ROOM_LATENCIES = 350_000
ROOM_NAMES = 150_000
ROOM_OUTCOMES = 50_000
ROOM_PHASES = 30_000
ROOM_ERRORS = 120_000
ROOM_TASK_ERRORS = 60_000
ROOM_LOGS = 80_000
ROOM_CHECKS = 30_000
ROOM_COUNTERS = 30_000
ROOM_USERS = 40_000
ROOM_WARNINGS = 20_000
_BUCKET_COST = 6  # a 2-byte index and a count of at most 4 bytes
_ROW_COST = 8 * ROW_FIELDS
_NUMBER_COST = 9

K = TypeVar("K")
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Window:
    """What a delta covers: [start_ms, end_ms) in master time since the run's start.

    One second usually; several when the worker had to wait for acks.
    """

    start_ms: int
    end_ms: int


def seal(recorder: Recorder, window: Window, health: Health, final: bool) -> bytes:
    """Take everything out of the recorder and return it as one body of at most MAX_BODY bytes.

    With very many names a part may stay behind for the next delta (`is_drained` tells); a body
    says that it is final only if nothing stays, so the last seal is repeated until it does.
    """
    now_ns = recorder.clock.now_ns()
    body: dict[str, Any] = {
        "window": (window.start_ms, window.end_ms),
        "names": _seal_names(recorder),
        "users": _take({name[:MAX_NAME_LENGTH]: n for name, n in recorder.users.items() if n}, ROOM_USERS, _pair_cost),
        "books": _seal_books(recorder),
        "connections": _seal_connections(recorder),
        "health": _seal_health(recorder, health),
        "warnings": list(_take(recorder.warnings, ROOM_WARNINGS, _pair_cost)),
    }
    ready = recorder.all_series[: recorder.sealed.announced]
    body |= _seal_latencies(recorder, ready)
    body |= _seal_by_series(ready)
    body |= _seal_notes(recorder, window, now_ns)
    body["final"] = final and is_drained(recorder)
    return _encode({key: value for key, value in body.items() if value not in (None, [], {}, 0)})


def decode(body: bytes) -> Delta:
    """The delta in `body`. Raises Malformed for anything else, in bounded memory. Needs numpy."""
    from loadgen.metrics.decoding import decode as decode_body  # workers seal, and never load numpy

    return decode_body(body)


def is_drained(recorder: Recorder) -> bool:
    """True if the last seal left nothing behind for want of room."""
    notes = recorder.notes
    waiting = (
        recorder.warnings,
        notes.checks,
        notes.counters,
        notes.logs,
        notes.errors.groups,
        notes.errors.task_groups,
    )
    return not any(waiting) and not any(
        series.outcomes or series.phases or any(tally.buckets for tally in series.tallies.values())
        for series in recorder.all_series
    )


def _encode(body: dict[str, Any]) -> bytes:
    encoded: bytes = msgpack.packb(body, use_bin_type=True, unicode_errors="replace")
    return encoded


def _take(source: dict[K, V], room: int, cost: Callable[[K, V], int]) -> dict[K, V]:
    """Move entries out of `source`, oldest first, while they fit; at least one, so that all get through."""
    taken: dict[K, V] = {}
    for key, value in source.items():
        room -= cost(key, value)
        if room < 0 and taken:
            break
        taken[key] = value
    if len(taken) == len(source):
        source.clear()
    else:
        for key in taken:
            del source[key]
    return taken


def _text_cost(text: str) -> int:
    return 5 + (len(text) if text.isascii() else 4 * len(text))


def _pair_cost(name: str, _value: object) -> int:
    return _text_cost(name) + 2 * _NUMBER_COST


def _seal_names(recorder: Recorder) -> list[tuple[int, str, str]]:
    """The names to introduce. Series whose name has no room wait, with all that belongs to them."""
    new = recorder.all_series[recorder.sealed.announced :]
    chosen = _take(dict.fromkeys(new), ROOM_NAMES, _name_cost)
    recorder.sealed.announced += len(chosen)
    return [(series.id, series.method, series.name) for series in chosen]


def _name_cost(series: Series, _value: object) -> int:
    return _text_cost(series.method) + _text_cost(series.name) + _NUMBER_COST


def _seal_latencies(recorder: Recorder, ready: list[Series]) -> dict[str, bytes]:
    rows: list[int] = []
    indexes: list[int] = []
    counts: list[int] = []
    for series in _that_fit(recorder, ready):
        for kind, tally in series.tallies.items():
            if tally.buckets:
                _seal_row(rows, indexes, counts, series, kind, tally)
    if not rows:
        return {}
    return {"rows": _pack_rows(rows), "indexes": pack_indexes(indexes), "counts": pack_counts(counts)}


def _that_fit(recorder: Recorder, ready: list[Series]) -> list[Series]:
    """Series whose latencies fit into one body, by rising id; if not all do, each gets its turn."""
    room = ROOM_LATENCIES
    first = recorder.sealed.next_series if recorder.sealed.next_series < len(ready) else 0
    chosen: list[Series] = []
    for series in ready[first:] + ready[:first]:
        room -= sum(_ROW_COST + _BUCKET_COST * len(tally.buckets) for tally in series.tallies.values())
        if room < 0 and chosen:
            recorder.sealed.next_series = series.id
            break
        chosen.append(series)
    return sorted(chosen, key=lambda series: series.id) if first else chosen


def _seal_row(rows: list[int], indexes: list[int], counts: list[int], series: Series, kind: Kind, tally: Tally) -> None:
    buckets = tally.buckets
    keys = sorted(buckets)
    if keys[-1] > LAST_BUCKET:  # above one hour; the hot path does not look
        keys = _fold_overflow(keys, buckets)
    values = [buckets[key] for key in keys]
    count = sum(values)
    tally.sealed_count += count
    tally.sealed_sum_us += tally.sum_us
    rows += (
        series.id,
        kind,
        count,
        tally.bytes,
        tally.sum_us,
        tally.min_us,
        tally.max_us,
        len(keys),
        tally.sealed_count,
        tally.sealed_sum_us,
    )
    indexes += keys
    counts += values
    tally.reset()


def _fold_overflow(keys: list[int], buckets: dict[int, int]) -> list[int]:
    for key in keys:
        if key > LAST_BUCKET:
            buckets[LAST_BUCKET] = buckets.get(LAST_BUCKET, 0) + buckets.pop(key)
    return sorted(buckets)


def _pack_rows(rows: list[int]) -> bytes:
    values = array("q", rows)
    if values.itemsize != 8 or array("H", [1]).tobytes() != b"\x01\x00":
        return b"".join(value.to_bytes(8, "little", signed=True) for value in rows)
    return values.tobytes()


def _seal_by_series(ready: list[Series]) -> dict[str, Any]:
    outcomes: dict[int, dict[str, int]] = {}
    phases: dict[int, dict[str, list[int]]] = {}
    outcome_room, phase_room = ROOM_OUTCOMES, ROOM_PHASES
    for series in ready:
        if series.outcomes and outcome_room > 0:
            outcomes[series.id] = _take(series.outcomes, outcome_room, _pair_cost)
            outcome_room -= sum(map(_text_cost, outcomes[series.id])) + 3 * _NUMBER_COST * len(outcomes[series.id])
        if series.phases and phase_room > 0:
            phases[series.id] = _take(series.phases, phase_room, _phase_cost)
            phase_room -= sum(map(_text_cost, phases[series.id])) + 4 * _NUMBER_COST * len(phases[series.id])
    return {"outcomes": list(outcomes.items()), "phases": list(phases.items())}


def _phase_cost(phase: str, _row: object) -> int:
    return _text_cost(phase) + 4 * _NUMBER_COST


def _seal_notes(recorder: Recorder, window: Window, now_ns: int) -> dict[str, Any]:
    notes = recorder.notes
    waiting = notes.errors.groups
    known = {key: group for key, group in waiting.items() if key[0] < recorder.sealed.announced}
    errors = _take(known, ROOM_ERRORS, _group_cost)
    for key in errors:
        del waiting[key]
    task_errors = _take(notes.errors.task_groups, ROOM_TASK_ERRORS, _group_cost)
    lines = _take(dict(enumerate(notes.logs)), ROOM_LOGS, _line_cost)
    del notes.logs[: len(lines)]
    dropped, notes.logs_dropped = notes.logs_dropped, 0

    def described(key: tuple[Any, ...], group: Group, second_text: str) -> tuple[Any, ...]:
        first_ms = _in_window(window, now_ns, group.first_ns)
        last_ms = _in_window(window, now_ns, group.last_ns)
        return (*key, group.count, first_ms, last_ms, group.first_sample, second_text)

    return {
        "checks": _take(notes.checks, ROOM_CHECKS, _pair_cost),
        "counters": _take(notes.counters, ROOM_COUNTERS, _pair_cost),
        "errors": [described(key, group, group.latest_sample) for key, group in errors.items()],
        "task_errors": [described(key, group, group.detail) for key, group in task_errors.items()],
        "logs": [(line.level, line.logger, line.message, line.wall_s) for line in lines.values()],
        "logs_dropped": dropped,
    }


def _group_cost(key: tuple[Any, ...], group: Group) -> int:
    texts = [part for part in key if isinstance(part, str)]
    texts += [group.first_sample, group.latest_sample, group.detail]
    return sum(map(_text_cost, texts)) + 5 * _NUMBER_COST


def _line_cost(_number: int, line: LogLine) -> int:
    return _text_cost(line.logger) + _text_cost(line.message) + 2 * _NUMBER_COST


def _in_window(window: Window, now_ns: int, then_ns: int) -> int:
    """Master time of a moment of this worker's clock, given that the window is being sealed now."""
    return min(max(window.end_ms - (now_ns - then_ns) // 1_000_000, window.start_ms), window.end_ms)


def _seal_books(recorder: Recorder) -> list[int]:
    """Six increments, then the six totals for the audit."""
    total = recorder.books.values()
    increments = [now - before for now, before in zip(total, recorder.sealed.books, strict=True)]
    recorder.sealed.books = total
    return [*increments, *total]


def _seal_connections(recorder: Recorder) -> list[int]:
    sealed = recorder.sealed
    increments = [
        recorder.connections_opened - sealed.connections_opened,
        recorder.requests_on_reused - sealed.requests_on_reused,
    ]
    sealed.connections_opened = recorder.connections_opened
    sealed.requests_on_reused = recorder.requests_on_reused
    return increments


def _seal_health(recorder: Recorder, health: Health) -> tuple[float, int, int, int, bytes, bytes]:
    """The recorder counts generator errors of requests itself; a sampler may have seen the same ones."""
    errors = recorder.generator_errors - recorder.sealed.generator_errors
    recorder.sealed.generator_errors = recorder.generator_errors
    return (
        float(health.cpu_percent),
        int(health.rss_bytes),
        int(health.throttled_us),
        max(errors, health.generator_errors),
        *health.lag.to_blobs(),
    )
