"""Exactly once: deltas of all workers merged into one view of the run, and acknowledged after the store has them.

For each worker deltas are numbered 1, 2, 3, …

    seq == last + 1   checked, applied                    APPLIED
    seq <= last       ignored, acknowledged again         DUPLICATE
    seq >  last + 1   ignored, to be sent again in order  GAP

`apply` only checks and queues the latencies (they are added up in batches, which is ten times
cheaper); every reading method adds up first. Pure: no sockets, no clock, no logging.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import Enum

from loadgen.master.groups import Checks, Counters, Errors, TaskErrors
from loadgen.master.session import Session, WorkerReport
from loadgen.master.spans import Part, SpanRows, merge, pack
from loadgen.master.store import Commit, Store
from loadgen.master.totals import Totals
from loadgen.master.view import LedgerView, Names, live_window, see_endpoints
from loadgen.metrics.decoding import Delta
from loadgen.metrics.delta import Window, decode
from loadgen.metrics.snapshot import Accounting

__all__ = ["Applied", "Ledger", "LedgerView", "LogRecord", "WorkerReport"]

HOT_S = 60  # seconds kept in packed form for live views
MAX_QUEUED_BUCKETS = 500_000  # then they are added up at once, commit or not: about 6 MB
MAX_WARNINGS = 200
MAX_LOGS = 10_000  # records waiting for `logs`

Span = tuple[int, int]  # first and last second


class Applied(Enum):
    """What became of a delta."""

    APPLIED = "applied"
    DUPLICATE = "duplicate"
    GAP = "gap"


@dataclass(frozen=True, slots=True)
class LogRecord:
    """One log record of a worker."""

    worker: str
    level: int
    logger: str
    message: str
    wall_s: float


class Ledger:
    """The books of one run."""

    def __init__(self) -> None:
        self._sessions: dict[str, Session] = {}
        self._totals = Totals()
        self._names = Names()
        self._queue: defaultdict[Span, list[Part]] = defaultdict(list)
        self._queued_buckets = 0
        self._hot: dict[Span, SpanRows] = {}
        self._newest_s = -1
        self._uncommitted: dict[Span, SpanRows] = {}
        self._committed_slots = 0
        self._to_ack: dict[str, int] = {}
        self._errors = Errors()
        self._task_errors = TaskErrors()
        self._checks = Checks()
        self._counters = Counters()
        self._warnings: dict[str, None] = {}
        self._logs: list[LogRecord] = []
        self._logs_dropped = 0

    def join(self, worker: str) -> None:
        """Expect deltas of this worker, from number 1 on. Joining again changes nothing."""
        self._sessions.setdefault(worker, Session(worker))

    def apply(self, worker: str, seq: int, body: bytes) -> Applied:
        """Take one delta in; see the module. Raises Malformed, having changed nothing.

        KeyError for a worker that never joined: whoever calls checks the session first.
        """
        session = self._sessions[worker]
        if seq <= session.last_seq:
            self._to_ack[worker] = session.last_seq
            return Applied.DUPLICATE
        if seq != session.last_seq + 1:
            return Applied.GAP
        delta = decode(body)
        session.check(delta)
        # From here on nothing can fail: a delta is applied whole or not at all.
        self._apply_names(session, delta)
        self._apply_latencies(session, seq, delta)
        self._apply_state(session, seq, delta)
        self._apply_notes(session, delta)
        session.last_seq = self._to_ack[worker] = seq
        return Applied.APPLIED

    def commit(self, store: Store) -> dict[str, int]:
        """Hand everything new to the store; then {worker: number of its last delta}, to be acknowledged.

        Only workers with something to acknowledge appear. If the store raises, all of it stays for
        the next try.
        """
        self._add_up()
        acks = dict(self._to_ack)
        slots = self._totals.slots
        batch = Commit(acks, tuple(slots[self._committed_slots :]), tuple(self._uncommitted.values()))
        store.commit(batch)
        self._committed_slots = len(slots)
        self._uncommitted.clear()
        self._to_ack.clear()
        return acks

    def report(self, worker: str) -> WorkerReport:
        """What the applied deltas say of this worker."""
        return self._sessions[worker].report()

    def view(self, *, detailed: bool) -> LedgerView:
        """Everything the applied deltas add up to. Without `detailed`, endpoints have no histograms."""
        self._add_up()
        totals, endpoints = see_endpoints(self._totals, self._names, detailed=detailed)
        return LedgerView(
            totals=totals,
            endpoints=endpoints,
            window=live_window(self._hot.values(), self._watermark_s(), self._totals),
            users_by_class=self._users_by_class(),
            errors=self._errors.view(),
            task_errors=self._task_errors.view(),
            checks=self._checks.view(),
            counters=self._counters.view(),
            accounting=self.accounting(),
            warnings=tuple(self._warnings),
            detailed=detailed,
        )

    def accounting(self) -> Accounting:
        """The iteration books of all workers. A plan with users plans nothing ahead: planned = started."""
        books = [session.books for session in self._sessions.values()]
        started, ok, failed, cancelled, planned, dropped = map(sum, zip(*books, strict=True)) if books else [0] * 6
        in_flight = started - ok - failed - cancelled
        return Accounting(planned or started + dropped, started, dropped, ok, failed, cancelled, in_flight)

    def logs(self) -> list[LogRecord]:
        """Log records that came since the last call."""
        taken, self._logs = self._logs, []
        return taken

    @property
    def logs_dropped(self) -> int:
        """Log records that found no room, here or on a worker, over the whole run."""
        return self._logs_dropped

    # Applying

    def _apply_names(self, session: Session, delta: Delta) -> None:
        for number, method, name in delta.names:
            key, warning = self._names.admit(method, name)
            session.names[number] = key
            if warning:
                self._warn(warning)

    def _apply_latencies(self, session: Session, seq: int, delta: Delta) -> None:
        latencies = delta.latencies
        if not len(latencies.rows):
            return
        slots = session.slots_of(latencies.keys, self._totals)
        self._check_sum(session, seq, session.audit_rows(latencies.rows, latencies.keys))
        self._queue[_span(delta.window)].append(Part(slots, latencies))
        self._queued_buckets += len(latencies.indexes)
        if self._queued_buckets > MAX_QUEUED_BUCKETS:
            self._add_up()

    def _apply_state(self, session: Session, seq: int, delta: Delta) -> None:
        self._check_sum(session, seq, session.audit_books(delta.books, delta.books_total))
        session.users = delta.users
        session.final = session.final or delta.final
        session.end_ms = max(session.end_ms, delta.window.end_ms)
        session.connections_opened += delta.connections_opened
        session.requests_on_reused += delta.requests_on_reused
        session.take_health(delta)

    def _apply_notes(self, session: Session, delta: Delta) -> None:
        for number, outcomes in delta.outcomes:
            self._names.add_outcomes(session.names[number], outcomes)
        for number, phases in delta.phases:
            self._names.add_phases(session.names[number], phases)
        for row in delta.errors:
            self._errors.add(*session.names[row.series], row)
        for task_error in delta.task_errors:
            self._task_errors.add(task_error)
        for name, (passed, failed) in delta.checks.items():
            self._checks.add(name, passed, failed)
        for name, amount in delta.counters.items():
            self._counters.add(name, amount)
        for text in delta.warnings:
            self._warn(text)
        self._logs_dropped += delta.logs_dropped
        for line in delta.logs:
            if len(self._logs) < MAX_LOGS:
                self._logs.append(LogRecord(session.worker, line.level, line.logger, line.message, line.wall_s))
            else:
                self._logs_dropped += 1

    def _check_sum(self, session: Session, seq: int, difference: str) -> None:
        if difference:
            self._warn(f"LG601 delta {seq} of worker {session.worker} does not add up: {difference}")

    def _warn(self, text: str) -> None:
        if len(self._warnings) < MAX_WARNINGS:
            self._warnings[text] = None

    # Adding up

    def _add_up(self) -> None:
        """Move the queue into the totals, the hot seconds and the next commit."""
        for span, parts in self._queue.items():
            rows = pack(*span, parts)
            self._totals.add(rows)
            _put(self._uncommitted, span, rows)
            _put(self._hot, span, rows)
            self._newest_s = max(self._newest_s, span[1])
        self._queue.clear()
        self._queued_buckets = 0
        for span in [span for span in self._hot if span[1] <= self._newest_s - HOT_S]:
            del self._hot[span]

    def _watermark_s(self) -> int:
        """Seconds since the run's start that are complete, as far as reporting workers go.

        The slowest counts, unless it is more than three seconds behind: then views go on without it.
        """
        ends = [session.end_ms for session in self._sessions.values() if session.last_seq]
        newest_ms = max(ends, default=0)
        return min((end for end in ends if end >= newest_ms - 3_000), default=0) // 1000

    def _users_by_class(self) -> dict[str, int]:
        users: defaultdict[str, int] = defaultdict(int)
        for session in self._sessions.values():
            for name, n in session.users.items():
                users[name] += n
        return dict(sorted(users.items()))


def _span(window: Window) -> Span:
    first_s = window.start_ms // 1000
    return first_s, max(first_s, (window.end_ms - 1) // 1000)


def _put(spans: dict[Span, SpanRows], span: Span, rows: SpanRows) -> None:
    found = spans.get(span)
    spans[span] = rows if found is None else merge([found, rows])
