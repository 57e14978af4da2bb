"""What one worker process measures, until it is sealed into a delta.

Pure: no greenlets, no sockets; the only clock is the one passed in, and only rare events read it.
One recorder lives as long as its process. Every method may be called from any greenlet of the
process: none of them switches, so each is atomic.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import isfinite

from loadgen.clock import Clock, SystemClock
from loadgen.metrics.errorbook import MAX_CATEGORY, OTHER, ErrorBook
from loadgen.metrics.failure import Failure
from loadgen.metrics.redact import redact
from loadgen.metrics.tally import LONGEST_US, Kind, Tally

MAX_NAMES = 1_000
MAX_NAME_LENGTH = 256
MAX_OUTCOMES = 50  # error categories per series and delta
MAX_PHASES = 16
MAX_CHECKS = 200
MAX_COUNTERS = 200
MAX_LOGS = 200  # records per delta
MAX_LOG_TEXT = 2_000
MAX_WARNINGS = 100
MAX_WARNING_TEXT = 500
OTHER_SERIES_ID = 0


@dataclass(slots=True)
class IterationBooks:
    """Iterations of this worker since its start; only ever raised, by whoever runs them.

    started = ok + failed + cancelled + in flight. `planned` and `dropped` belong to plans with
    arrivals; a plan with users leaves both at 0.
    """

    started: int = 0
    ok: int = 0
    failed: int = 0
    cancelled: int = 0
    planned: int = 0
    dropped: int = 0

    def values(self) -> tuple[int, int, int, int, int, int]:
        return (self.started, self.ok, self.failed, self.cancelled, self.planned, self.dropped)


@dataclass(frozen=True, slots=True)
class LogLine:
    """One log record of a worker, as it is sent."""

    level: int
    logger: str
    message: str
    wall_s: float


@dataclass(slots=True)
class Notes:
    """The rare things, kept until they are sealed."""

    checks: dict[str, list[int]] = field(default_factory=dict)  # name -> [passed, failed]
    counters: dict[str, float] = field(default_factory=dict)
    logs: list[LogLine] = field(default_factory=list)
    logs_dropped: int = 0
    errors: ErrorBook = field(default_factory=ErrorBook)


class Series:
    """The measurements of one (method, name). Valid for the life of its recorder."""

    __slots__ = ("_plain", "_recorder", "id", "method", "name", "outcomes", "phases", "tallies")

    def __init__(self, recorder: Recorder, series_id: int, method: str, name: str) -> None:
        self._recorder = recorder
        self.id = series_id
        self.method = method
        self.name = name
        self._plain = Tally()
        self.tallies: dict[Kind, Tally] = {Kind.OK: self._plain}  # other kinds when they first occur
        self.outcomes: dict[str, int] = {}  # failures by category since the last seal
        self.phases: dict[str, list[int]] = {}  # phase -> [count, sum_us, max_us] since the last seal

    def ok(self, service_us: int, size: int, wait_us: int = 0) -> None:
        """A successful request: send to last byte, body bytes, lateness of its iteration's start.

        The hot path, so Tally.add is written out here: about 300 ns (benchmarks/recorder.py).
        """
        if wait_us > 0:
            self._waited(Kind.OK_WAITED_SERVICE, Kind.OK_WAITED_RESPONSE, service_us, size, wait_us)
            return
        tally = self._plain
        if service_us < tally.min_us:
            if service_us < 0:
                service_us = 0
            tally.min_us = service_us
        if service_us > tally.max_us:
            if service_us > LONGEST_US:
                service_us = LONGEST_US
            tally.max_us = service_us
        tally.sum_us += service_us
        tally.bytes += size
        shift = service_us.bit_length() - 8
        index = service_us if shift <= 0 else (shift << 7) + (service_us >> shift)
        buckets = tally.buckets
        buckets[index] = buckets.get(index, 0) + 1

    def failed(self, service_us: int, size: int, wait_us: int, failure: Failure) -> None:
        """A request that was sent, or tried, and failed."""
        if wait_us > 0:
            self._waited(Kind.FAILED_WAITED_SERVICE, Kind.FAILED_WAITED_RESPONSE, service_us, size, wait_us)
        else:
            self._tally(Kind.FAILED).add(service_us, size)
        outcome = failure.category[:MAX_CATEGORY]
        if outcome not in self.outcomes and len(self.outcomes) >= MAX_OUTCOMES:
            outcome = OTHER
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1
        self._recorder.note_failure(self, failure)

    def cancelled(self, service_us: int = 0) -> None:
        """A request that was stopped in flight. It counts as sent, neither as success nor as failure."""
        self._tally(Kind.CANCELLED).add(service_us, 0)

    def phase(self, phase: str, us: int) -> None:
        """A part of a request that does not always happen: "dns", "connect", "tls", …"""
        row = self.phases.get(phase)
        if row is None:
            phase = phase[:MAX_CATEGORY]
            if len(self.phases) >= MAX_PHASES:
                phase = OTHER
            row = self.phases.setdefault(phase, [0, 0, 0])
        us = max(us, 0)
        row[0] += 1
        row[1] += us
        row[2] = max(row[2], us)

    def _tally(self, kind: Kind) -> Tally:
        tally = self.tallies.get(kind)
        if tally is None:
            tally = self.tallies[kind] = Tally()
            self.tallies = dict(sorted(self.tallies.items()))  # the order of rows in a delta
        return tally

    def _waited(self, service: Kind, response: Kind, service_us: int, size: int, wait_us: int) -> None:
        service_us = max(service_us, 0)
        self._tally(service).add(service_us, size)
        self._tally(response).add(service_us + wait_us, 0)


class Recorder:
    """Everything one worker measures. `loadgen.metrics.delta.seal` takes it out again."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = clock or SystemClock()
        self.books = IterationBooks()
        self.users: dict[str, int] = {}  # running users per class, kept by the swarm
        self.connections_opened = 0  # since the start, bumped by the engine
        self.requests_on_reused = 0
        self.generator_errors = 0  # failures whose fault is our own limits, since the start
        self.notes = Notes()
        self.warnings: dict[str, None] = {}  # not yet sent, in order
        self._warned: set[str] = set()
        self._by_name: dict[tuple[str, str], Series] = {}
        self.all_series: list[Series] = [Series(self, OTHER_SERIES_ID, "", OTHER)]  # index = id
        self.sealed = SealedTotals()

    def series(self, method: str, name: str) -> Series:
        """The series of (method, name), the same object each time.

        Names are cut to MAX_NAME_LENGTH characters. From the MAX_NAMES-th different one on, all
        new ones share "(other)", and the user is told once how to merge names.
        """
        series = self._by_name.get((method, name))
        return series if series is not None else self._new_series(method, name)

    def _new_series(self, method: str, name: str) -> Series:
        key = (method[:MAX_NAME_LENGTH], name[:MAX_NAME_LENGTH])
        series = self._by_name.get(key)
        if series is None:
            if len(self.all_series) > MAX_NAMES:
                self.warn(too_many_names(key[1]))
                return self.all_series[OTHER_SERIES_ID]
            series = Series(self, len(self.all_series), *key)
            self._by_name[key] = series
            self.all_series.append(series)
        return series

    def note_failure(self, series: Series, failure: Failure) -> None:
        """Put a failure into its error group (Series.failed calls this)."""
        if failure.fault == "generator":
            self.generator_errors += 1
        self.notes.errors.failure(series.id, failure, self.clock.now_ns())

    def check(self, name: str, passed: bool) -> None:
        """Count a check of the scenario as passed or failed."""
        checks = self.notes.checks
        row = checks.get(name)
        if row is None:
            key = name[:MAX_NAME_LENGTH]
            if len(checks) >= MAX_CHECKS and key not in checks:
                self.warn(f"LG403 {MAX_CHECKS} check names reached; new ones go to {OTHER}. Sample: {key}")
                key = OTHER
            row = checks.setdefault(key, [0, 0])
        row[0 if passed else 1] += 1

    def count(self, name: str, amount: float = 1) -> None:
        """Add to a counter of the scenario. An amount that is no finite number is refused with a warning."""
        if not isfinite(amount):
            self.warn(f"LG405 self.count was given {amount}, which no sum survives; it was left out. Sample: {name}")
            return
        counters = self.notes.counters
        key = name[:MAX_NAME_LENGTH]
        if key not in counters and len(counters) >= MAX_COUNTERS:
            self.warn(f"LG404 {MAX_COUNTERS} counter names reached; new ones go to {OTHER}. Sample: {key}")
            key = OTHER
        counters[key] = counters.get(key, 0) + amount

    def task_error(self, user_class: str, error: BaseException) -> None:
        """An exception that escaped from a task, on_start or on_stop."""
        self.notes.errors.task_error(user_class[:MAX_NAME_LENGTH], error, self.clock.now_ns())

    def log(self, level: int, logger: str, message: str, wall_s: float) -> None:
        """Send a log record to the master; above MAX_LOGS in one delta only the number goes."""
        notes = self.notes
        if len(notes.logs) >= MAX_LOGS:
            notes.logs_dropped += 1
            return
        text = redact(message[:MAX_LOG_TEXT])
        notes.logs.append(LogLine(level, logger[:MAX_NAME_LENGTH], text, wall_s))

    def warn(self, text: str) -> None:
        """Tell the user something once. The text begins with its code ("LG401 …")."""
        code = text.partition(" ")[0]
        identity = code if code.startswith("LG4") else text  # LG4xx carry a sample that differs each time
        if identity not in self._warned and len(self._warned) < MAX_WARNINGS:
            self._warned.add(identity)
            self.warnings[redact(text)[:MAX_WARNING_TEXT]] = None


class SealedTotals:
    """What the seals so far have sent, so that the next one sends increments."""

    __slots__ = ("announced", "books", "connections_opened", "generator_errors", "next_series", "requests_on_reused")

    def __init__(self) -> None:
        self.announced = 1  # series with a smaller id are known to the master; 0 is known by itself
        self.next_series = 0  # whose turn it is first when not everything fits into one delta
        self.books: tuple[int, ...] = IterationBooks().values()
        self.connections_opened = 0
        self.requests_on_reused = 0
        self.generator_errors = 0


def too_many_names(sample: str) -> str:
    """The warning LG401, which names the fix."""
    shown = sample if len(sample) <= 100 else sample[:99] + "…"
    return (
        f'LG401 {MAX_NAMES:,} endpoint names reached; new ones go to "{OTHER}". Sample: {shown}. '
        f'Add name="…" to the request, for example name="/item/[id]".'
    )
