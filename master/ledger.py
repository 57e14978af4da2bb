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
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum

from loadgen.master.folding import PER_COMMIT, Folding
from loadgen.master.notebook import Notebook
from loadgen.master.session import Session, WorkerReport, journal
from loadgen.master.spans import Part, SpanRows, merge, pack
from loadgen.master.store import Commit, Saved, Store
from loadgen.master.totals import Totals
from loadgen.master.view import LedgerView, live_window, see_endpoints
from loadgen.metrics.decoding import Delta
from loadgen.metrics.delta import Window, decode
from loadgen.metrics.snapshot import Accounting

__all__ = ["Applied", "Ledger", "LedgerView", "LogRecord", "WorkerReport"]

HOT_S = 60  # seconds kept in packed form for live views
MAX_QUEUED_BUCKETS = 500_000  # then they are added up at once, commit or not: about 6 MB
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

    def __init__(self, whole_sessions_per_commit: int = PER_COMMIT) -> None:
        self._sessions: dict[str, Session] = {}
        self._joined: list[str] = []  # since the last commit
        self._totals = Totals()
        self._notes = Notebook()
        self._queue: defaultdict[Span, list[Part]] = defaultdict(list)
        self._queued_buckets = 0
        self._hot: dict[Span, SpanRows] = {}
        self._newest_s = -1
        self._uncommitted: dict[Span, SpanRows] = {}
        self._committed_slots = 0
        self._commits = 0
        self._folding = Folding(whole_sessions_per_commit)
        self._to_ack: dict[str, int] = {}
        self._logs: list[LogRecord] = []

    @classmethod
    def restore(cls, saved: Saved, whole_sessions_per_commit: int = PER_COMMIT) -> Ledger:
        """The ledger as it was after its last commit: same views, same reports, same next delta of each worker.

        Only `logs` is empty: log records are handed on, not kept.
        """
        ledger = cls(whole_sessions_per_commit)
        ledger._commits = saved.number
        ledger._notes.restore(saved.names, saved.notes)
        for slot in saved.slots:
            ledger._totals.slot(slot.method, slot.name, slot.kind)
        ledger._committed_slots = len(saved.slots)
        for worker, states in saved.sessions.items():
            session = ledger._sessions[worker] = Session(worker)
            session.absorb(states, saved.names)
        ledger._restore_spans(saved.spans)
        return ledger

    def join(self, worker: str) -> None:
        """Expect deltas of this worker, from number 1 on. Joining again changes nothing."""
        if worker not in self._sessions:
            self._sessions[worker] = Session(worker)
            self._joined.append(worker)

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
        self._notes.apply(session.names, delta)
        self._apply_logs(session, delta)
        session.last_seq = self._to_ack[worker] = seq
        return Applied.APPLIED

    def commit(self, store: Store) -> dict[str, int]:
        """Hand everything new to the store; then {worker: number of its last delta}, to be acknowledged.

        Only workers with something to acknowledge appear. If the store raises, all of it stays for
        the next try.
        """
        self._add_up()
        batch = self._collect()
        store.commit(batch)
        self._settle(batch)
        return batch.workers

    def report(self, worker: str) -> WorkerReport:
        """What the applied deltas say of this worker."""
        return self._sessions[worker].report()

    def view(self, *, detailed: bool) -> LedgerView:
        """Everything the applied deltas add up to. Without `detailed`, endpoints have no histograms."""
        self._add_up()
        notes = self._notes
        totals, endpoints = see_endpoints(self._totals, notes.names, detailed=detailed)
        return LedgerView(
            totals=totals,
            endpoints=endpoints,
            window=live_window([span for _, span in sorted(self._hot.items())], self._watermark_s(), self._totals),
            users_by_class=self._users_by_class(),
            errors=notes.errors.view(),
            task_errors=notes.task_errors.view(),
            checks=notes.checks.view(),
            counters=notes.counters.view(),
            accounting=self.accounting(),
            warnings=tuple(notes.warnings),
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
        return self._notes.logs_dropped

    # Applying

    def _apply_names(self, session: Session, delta: Delta) -> None:
        for number, method, name in delta.names:
            key, warning = self._notes.names.admit(method, name)
            session.introduce(number, key)
            if warning:
                self._notes.warn(warning)

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

    def _apply_logs(self, session: Session, delta: Delta) -> None:
        for line in delta.logs:
            if len(self._logs) < MAX_LOGS:
                self._logs.append(LogRecord(session.worker, line.level, line.logger, line.message, line.wall_s))
            else:
                self._notes.logs_dropped += 1

    def _check_sum(self, session: Session, seq: int, difference: str) -> None:
        if difference:
            self._notes.warn(f"LG601 delta {seq} of worker {session.worker} does not add up: {difference}")

    # Committing

    def _collect(self) -> Commit:
        """Everything new, added up before. Changes nothing: the store may refuse it."""
        number, numbers = self._commits + 1, self._notes.names.numbers
        sessions = self._sessions
        whole, journaled = self._folding.choose(self._changed_workers())
        return Commit(
            number=number,
            workers=dict(self._to_ack),
            new_names=self._notes.new_names(),
            new_slots=tuple(self._totals.slots[self._committed_slots :]),
            spans=tuple(self._uncommitted.values()),
            sessions=tuple([(worker, sessions[worker].whole(numbers)) for worker in whole]),
            journal=journal([sessions[worker] for worker in journaled], numbers),
            journal_from=self._folding.journal_from(number, whole),
            notes=self._notes.changes(),
        )

    def _settle(self, batch: Commit) -> None:
        """The store has `batch`."""
        whole, journaled = ([worker for worker, _ in saved] for saved in (batch.sessions, batch.journal.states))
        self._folding.settle(batch.number, whole, journaled)
        for worker in (*whole, *journaled):
            self._sessions[worker].settle()
        self._notes.settle()
        self._commits = batch.number
        self._committed_slots += len(batch.new_slots)
        self._uncommitted.clear()
        self._to_ack.clear()
        self._joined.clear()

    def _changed_workers(self) -> list[str]:
        """Those with a delta since the last commit (a repeated one changes nothing), and those who joined."""
        sessions = self._sessions
        reported = [worker for worker in self._to_ack if sessions[worker].saved_seq != sessions[worker].last_seq]
        return reported + [worker for worker in self._joined if not sessions[worker].last_seq]

    def _restore_spans(self, spans: Iterable[SpanRows]) -> None:
        for span in spans:
            self._totals.add(span)
            self._newest_s = max(self._newest_s, span.last_s)
            if span.last_s > self._newest_s - HOT_S:
                self._hot[span.first_s, span.last_s] = span
        self._forget_cold()

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
        self._forget_cold()

    def _forget_cold(self) -> None:
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
