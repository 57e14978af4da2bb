"""A sealed delta back into values, with every claim in it checked first.

`decode` either returns a delta that can be merged without another thought, or raises Malformed; it
changes nothing and its memory is bounded by the size of the body, whatever the bytes are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite
from typing import Any, cast

import msgpack
import numpy as np
import numpy.typing as npt

from loadgen.errors import Malformed
from loadgen.metrics.delta import MAX_BODY, ROW_FIELDS, Window
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import BUCKETS, Histogram
from loadgen.metrics.recorder import MAX_NAMES, LogLine
from loadgen.metrics.tally import KIND_SLOTS, KINDS

Ints = npt.NDArray[np.int64]

# Columns of a row
SERIES, KIND, COUNT, BYTES, SUM_US, MIN_US, MAX_US, N_BUCKETS, TOTAL_COUNT, TOTAL_SUM_US = range(ROW_FIELDS)

_MAX_LIST = MAX_NAMES + 1  # the longest list in a body has an entry per series
_MAX_TEXT = 20_000  # bytes; a traceback in a script of four-byte characters
_MAX_COUNT = 1 << 50  # in one bucket; keeps every sum inside 64 bits
_MAX_INT = (1 << 63) - 1
_COUNT_TYPES: dict[int, np.dtype[Any]] = {width: np.dtype(f"<u{width}") for width in (1, 2, 4, 8)}
_EMPTY: list[object] = []
_NO_ROWS: Ints = np.empty((0, ROW_FIELDS), dtype=np.int64)
_NO_KEYS: Ints = np.empty(0, dtype=np.int64)
_NO_BUCKETS: npt.NDArray[np.uint16] = np.empty(0, dtype=np.uint16)


@dataclass(frozen=True, slots=True)
class ErrorRow:
    """One group of failures in one delta. Times are master milliseconds since the run's start."""

    series: int
    category: str
    signature: str
    phase: str
    fault: str
    count: int
    first_ms: int
    last_ms: int
    first_sample: str
    latest_sample: str


@dataclass(frozen=True, slots=True)
class TaskErrorRow:
    """One group of exceptions that escaped from scenario code."""

    user_class: str
    origin: str  # exception type and frames: the identity of the group
    count: int
    first_ms: int
    last_ms: int
    message: str
    traceback: str


@dataclass(frozen=True, slots=True)
class Latencies:
    """Rows and the buckets they own. `keys` is series id * KIND_SLOTS + kind, rising strictly."""

    rows: Ints  # shape (n, ROW_FIELDS)
    keys: Ints
    indexes: npt.NDArray[np.uint16]
    counts: npt.NDArray[Any]  # unsigned, any width


@dataclass(frozen=True, slots=True)
class Delta:
    """One decoded delta."""

    window: Window
    final: bool
    names: list[tuple[int, str, str]]
    latencies: Latencies
    outcomes: list[tuple[int, dict[str, int]]]
    phases: list[tuple[int, dict[str, tuple[int, int, int]]]]  # phase -> (count, sum_us, max_us)
    books: tuple[int, ...]  # increments of IterationBooks.values()
    books_total: tuple[int, ...]
    users: dict[str, int]
    checks: dict[str, tuple[int, int]]  # name -> (passed, failed)
    counters: dict[str, float]
    errors: list[ErrorRow]
    task_errors: list[TaskErrorRow]
    logs: list[LogLine]
    logs_dropped: int
    warnings: list[str]
    connections_opened: int
    requests_on_reused: int
    health: Health


NO_LATENCIES = Latencies(_NO_ROWS, _NO_KEYS, _NO_BUCKETS, _NO_BUCKETS)


def decode(body: bytes) -> Delta:
    """The delta in `body`. Raises Malformed."""
    if len(body) > MAX_BODY:
        raise Malformed(f"a delta of {len(body)} bytes; the limit is {MAX_BODY}")
    try:
        fields = msgpack.unpackb(
            body,
            raw=False,
            strict_map_key=True,
            max_str_len=_MAX_TEXT,
            max_bin_len=MAX_BODY,
            max_array_len=_MAX_LIST,
            max_map_len=_MAX_LIST,
            max_ext_len=0,
        )
        return _delta(_map(fields))
    except (ValueError, TypeError, KeyError, RecursionError, msgpack.UnpackException) as exc:
        raise Malformed(f"not a delta: {exc!r}"[:300]) from exc


def _delta(fields: dict[str, Any]) -> Delta:
    get = fields.get
    books = _ints(fields["books"], 12)
    connections = _ints(fields["connections"], 2)
    return Delta(
        window=_window(fields["window"]),
        final=_flag(get("final", False)),
        names=[_name(item) for item in _list(get("names", _EMPTY))],
        latencies=_latencies(fields) if "rows" in fields else NO_LATENCIES,
        outcomes=[(_series(i), _counts(counts)) for i, counts in _pairs(get("outcomes", _EMPTY))],
        phases=[(_series(i), _triples(rows)) for i, rows in _pairs(get("phases", _EMPTY))],
        books=books[:6],
        books_total=books[6:],
        users=_counts(get("users", {})),
        checks={_text(name): _two(row) for name, row in _map(get("checks", {})).items()},
        counters={_text(name): _float(value) for name, value in _map(get("counters", {})).items()},
        errors=[_error(item) for item in _list(get("errors", _EMPTY))],
        task_errors=[_task_error(item) for item in _list(get("task_errors", _EMPTY))],
        logs=[_log(item) for item in _list(get("logs", _EMPTY))],
        logs_dropped=_int(get("logs_dropped", 0)),
        warnings=[_text(item) for item in _list(get("warnings", _EMPTY))],
        connections_opened=connections[0],
        requests_on_reused=connections[1],
        health=_health(fields["health"]),
    )


# Latencies: a delta of 20 names has 2,000 buckets, so every check is one pass in numpy.


def _latencies(fields: dict[str, Any]) -> Latencies:
    rows = _rows(_blob(fields["rows"]))
    indexes = np.frombuffer(_blob(fields["indexes"]), dtype="<u2")
    counts = _bucket_counts(_blob(fields["counts"]), len(indexes))
    keys = rows[:, SERIES] * KIND_SLOTS + rows[:, KIND]
    _require(_all(keys[1:] > keys[:-1]), "rows do not rise or repeat")
    _check_buckets(rows, indexes, counts)
    return Latencies(rows, keys, indexes, counts)


def _rows(blob: bytes) -> Ints:
    rows = np.frombuffer(blob, dtype="<i8").reshape(-1, ROW_FIELDS)
    _require(len(rows) > 0, "no rows")
    highest = rows.view("<u8").max(axis=0).tolist()
    _require(max(highest) <= _MAX_INT, "a negative number in a row")  # it is a huge one without a sign
    _require(highest[SERIES] <= MAX_NAMES and highest[KIND] < KINDS, "a row of no known series or kind")
    _require(highest[N_BUCKETS] <= BUCKETS, "a row with too many buckets")
    _require(_all(rows[:, N_BUCKETS]), "a row without samples")
    _require(_all(rows[:, MIN_US] <= rows[:, MAX_US]), "a minimum above its maximum")
    return rows


def _bucket_counts(blob: bytes, n: int) -> npt.NDArray[Any]:
    _require(n > 0 and len(blob) % n == 0 and len(blob) // n in _COUNT_TYPES, "counts do not fit the indexes")
    counts: npt.NDArray[Any] = np.frombuffer(blob, dtype=_COUNT_TYPES[len(blob) // n])
    _require(_all(counts), "an empty bucket")
    _require(counts.itemsize < 8 or int(counts.max()) <= _MAX_COUNT, "a bucket count out of range")
    return counts


def _check_buckets(rows: Ints, indexes: npt.NDArray[np.uint16], counts: npt.NDArray[Any]) -> None:
    """Indexes in range and rising within each row, and counts that add up to the row's."""
    ends = rows[:, N_BUCKETS].cumsum()
    _require(int(ends[-1]) == len(indexes), "rows do not own all the buckets")
    _require(int(indexes.max()) < BUCKETS, "a bucket index out of range")
    rising = indexes[1:] > indexes[:-1]
    rising[ends[:-1] - 1] = True  # from one row to the next it may fall
    _require(_all(rising), "bucket indexes do not rise")
    sums = np.add.reduceat(counts, ends - rows[:, N_BUCKETS], dtype=np.int64)
    _require(_all(sums == rows[:, COUNT]), "buckets do not add up to the row's count")


def _all(values: npt.NDArray[Any]) -> bool:
    """Whether every value is true or not zero. A third of the time of `.all()` on arrays this small."""
    return int(np.count_nonzero(values)) == len(values)


def _require(condition: bool, otherwise: str) -> None:
    if not condition:
        raise ValueError(otherwise)


# Sections


def _window(value: object) -> Window:
    start_ms, end_ms = _ints(value, 2)
    _require(start_ms <= end_ms, "a window that ends before it starts")
    return Window(start_ms, end_ms)


def _name(value: object) -> tuple[int, str, str]:
    number, method, name = _sized(value, 3)
    return _series(number), _text(method), _text(name)


def _error(value: object) -> ErrorRow:
    series, category, signature, phase, fault, count, first_ms, last_ms, first, latest = _sized(value, 10)
    return ErrorRow(
        _series(series),
        _text(category),
        _text(signature),
        _text(phase),
        _text(fault),
        _int(count),
        _int(first_ms),
        _int(last_ms),
        _text(first),
        _text(latest),
    )


def _task_error(value: object) -> TaskErrorRow:
    user_class, origin, count, first_ms, last_ms, message, traceback = _sized(value, 7)
    return TaskErrorRow(
        _text(user_class),
        _text(origin),
        _int(count),
        _int(first_ms),
        _int(last_ms),
        _text(message),
        _text(traceback),
    )


def _log(value: object) -> LogLine:
    level, logger, message, wall_s = _sized(value, 4)
    return LogLine(_int(level), _text(logger), _text(message), _float(wall_s))


def _health(value: object) -> Health:
    cpu_percent, rss_bytes, throttled_us, errors, indexes, counts = _sized(value, 6)
    lag = Histogram.from_blobs(_blob(indexes), _blob(counts))
    return Health(_float(cpu_percent), _int(rss_bytes), _int(throttled_us), lag, _int(errors))


# Single values. `type(...) is` and not isinstance: True is no number here.


def _int(value: object) -> int:
    if type(value) is not int or not 0 <= value <= _MAX_INT:
        raise ValueError(f"{value!r:.40} is no whole number in range")
    return value


def _float(value: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(f"{value!r:.40} is no number")
    number = float(cast(float, value))
    _require(isfinite(number), "a number that is not finite")
    return number


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError("no truth value")
    return value


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{type(value).__name__} where text belongs")
    return value


def _blob(value: object) -> bytes:
    if not isinstance(value, bytes):
        raise ValueError(f"{type(value).__name__} where bytes belong")
    return value


def _series(value: object) -> int:
    number = _int(value)
    _require(number <= MAX_NAMES, "a series id out of range")
    return number


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise ValueError(f"{type(value).__name__} where a list belongs")
    return value


def _map(value: object) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{type(value).__name__} where a map belongs")
    return value


def _sized(value: object, n: int) -> list[Any]:
    if type(value) is not list or len(value) != n:  # written out: eight of these a delta
        raise ValueError(f"{type(value).__name__} where a list of {n} belongs")
    return value


def _ints(value: object, n: int) -> tuple[int, ...]:
    items = _sized(value, n)
    for item in items:  # as _int, written out: every delta comes through here a dozen times
        if type(item) is not int or not 0 <= item <= _MAX_INT:
            raise ValueError(f"{item!r:.40} is no whole number in range")
    return tuple(items)


def _two(value: object) -> tuple[int, int]:
    passed, failed = _ints(value, 2)
    return passed, failed


def _pairs(value: object) -> list[tuple[Any, Any]]:
    return [cast("tuple[Any, Any]", tuple(_sized(item, 2))) for item in _list(value)]


def _counts(value: object) -> dict[str, int]:
    return {_text(name): _int(n) for name, n in _map(value).items()}


def _triples(value: object) -> dict[str, tuple[int, int, int]]:
    return {_text(name): cast("tuple[int, int, int]", _ints(row, 3)) for name, row in _map(value).items()}
