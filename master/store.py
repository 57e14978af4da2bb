"""Where the ledger's commits go before anything is acknowledged to a worker, and where they come from again.

The rule of the seam: `Store.commit` returns only when the batch would survive what the store
promises to survive. If it raises, nothing of the batch was kept, nothing is acknowledged, and the
same data comes again, with whatever was applied meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from loadgen.master.spans import SpanRows, merge
from loadgen.master.store_records import MemberRecord
from loadgen.master.totals import Slot

Name = tuple[str, str]  # method, name
ErrorKey = tuple[str, str, str, str, str, str]  # method, name, category, signature, phase, fault
Moment = tuple[int, str, str]  # ms since the run's start, and what was seen then
GroupState = tuple[int, Moment, Moment]  # count, first, latest
PhaseState = tuple[int, int, int]  # count, sum_us, max_us


class SessionState(NamedTuple):
    """What the ledger knows of one worker, as plain data.

    The first twelve fields always say how things stand. The others say it in full when a session is
    saved whole, and only what is new in the journal: adding the one to the other is
    `Session.absorb`.
    """

    last_seq: int
    end_ms: int
    final: bool
    books: tuple[int, ...]
    users: dict[str, int]
    health: tuple[float, int, int, int] | None  # of the newest window: cpu %, rss, throttled_us, generator errors
    cpu_percent_max: float
    saturated_ms: int
    generator_errors: int
    throttled_us: int
    connections_opened: int
    requests_on_reused: int
    lag: Sequence[dict[int, int]]  # histograms to be added, bucket -> count; the last is that of the newest window
    audit_keys: bytes  # <i8, series * KIND_SLOTS + kind
    audit: bytes  # <i8, count and sum_us stated by the worker, for each key
    names: Sequence[tuple[int, int]]  # series id of the worker -> number of the name


@dataclass(frozen=True, slots=True)
class Journal:
    """Changes of many sessions. The audits of all stand together: one array is cheaper than thousands."""

    states: Sequence[tuple[str, SessionState]] = ()  # worker and changes, without the audit
    audit_rows: Sequence[int] = ()  # how many keys of the audit belong to each
    audit_keys: bytes = b""
    audit: bytes = b""

    def entries(self) -> Iterator[tuple[str, SessionState]]:
        """Worker and changes, complete."""
        first = 0
        for (worker, state), rows in zip(self.states, self.audit_rows, strict=True):
            last = first + rows
            keys, audit = self.audit_keys[8 * first : 8 * last], self.audit[16 * first : 16 * last]
            yield worker, state._replace(audit_keys=keys, audit=audit)
            first = last


@dataclass(frozen=True, slots=True)
class Notes:
    """What is counted beside latencies: each entry as it stands now, only those that changed."""

    outcomes: Mapping[Name, Mapping[str, int]] = field(default_factory=dict)
    phases: Mapping[Name, Mapping[str, PhaseState]] = field(default_factory=dict)
    errors: Mapping[ErrorKey, GroupState] = field(default_factory=dict)
    task_errors: Mapping[tuple[str, str], GroupState] = field(default_factory=dict)
    checks: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    counters: Mapping[str, float] = field(default_factory=dict)
    new_warnings: Sequence[str] = ()
    logs_dropped: int = 0


@dataclass(frozen=True, slots=True)
class Commit:
    """What was applied since the last commit, and up to which delta of each worker.

    All of it belongs into one transaction: the parts are only true together. `new_names` and
    `new_slots` continue the numbering of all earlier commits; spans name slots by number.

    A session is either saved whole (`sessions`) or its changes are journaled (`journal`): a large
    cluster could not save 10,000 of them whole ten times a second. Journals numbered below
    `journal_from` are not needed any more.
    """

    number: int  # 1, 2, 3, …
    workers: dict[str, int]  # worker -> number of its last applied delta, to be acknowledged
    new_names: tuple[Name, ...]
    new_slots: tuple[Slot, ...]
    spans: tuple[SpanRows, ...]
    sessions: tuple[tuple[str, SessionState], ...]
    journal: Journal
    journal_from: int
    notes: Notes


@dataclass(frozen=True, slots=True)
class Saved:
    """All commits together: enough to make the ledger again. See Ledger.restore."""

    number: int = 0  # of the last commit
    names: Sequence[Name] = ()
    slots: Sequence[Slot] = ()
    spans: Iterable[SpanRows] = ()  # each pair of seconds once; may be read only once
    sessions: Mapping[str, Sequence[SessionState]] = field(default_factory=dict)  # to be absorbed in this order
    notes: Notes = Notes()


class Store(Protocol):
    """A place that keeps commits."""

    def commit(self, batch: Commit) -> None: ...
    def save_members(self, rows: Iterable[MemberRecord]) -> None:
        """Keep who takes part; a worker is welcomed only after that."""

    def save_blob(self, name: str, data: bytes) -> None:
        """Keep `data` under `name`, in place of what was there."""


class MemoryStore:
    """Keeps which deltas were committed, for as long as the process lives, and nothing that grows with the run."""

    def __init__(self) -> None:
        self.last_seq: dict[str, int] = {}
        self.slots: list[Slot] = []

    def commit(self, batch: Commit) -> None:
        self.slots.extend(batch.new_slots)
        self.last_seq.update(batch.workers)

    def save_members(self, rows: Iterable[MemberRecord]) -> None:
        """Nobody will ask: what is in memory ends with the master."""

    def save_blob(self, name: str, data: bytes) -> None:
        """As above."""


class ReplayStore(MemoryStore):
    """Keeps whole commits, so that a ledger can be restored: for simulations of a master's restart."""

    def __init__(self) -> None:
        super().__init__()
        self.commits: list[Commit] = []

    def commit(self, batch: Commit) -> None:
        super().commit(batch)
        self.commits.append(batch)

    def load(self) -> Saved:
        """Everything committed so far."""
        spans: dict[tuple[int, int], list[SpanRows]] = {}
        sessions: dict[str, list[SessionState]] = {}
        for batch in self.commits:
            for span in batch.spans:
                spans.setdefault((span.first_s, span.last_s), []).append(span)
            sessions.update({worker: [state] for worker, state in batch.sessions})
            for worker, state in batch.journal.entries():
                sessions.setdefault(worker, []).append(state)
        return Saved(
            number=len(self.commits),
            names=[name for batch in self.commits for name in batch.new_names],
            slots=tuple(self.slots),
            spans=[merge(parts) for parts in spans.values()],
            sessions=sessions,
            notes=_all_of([batch.notes for batch in self.commits]),
        )


def _all_of(notes: Sequence[Notes]) -> Notes:
    def newest(section: str) -> dict[Any, Any]:
        return {key: value for each in notes for key, value in getattr(each, section).items()}

    return Notes(
        outcomes=newest("outcomes"),
        phases=newest("phases"),
        errors=newest("errors"),
        task_errors=newest("task_errors"),
        checks=newest("checks"),
        counters=newest("counters"),
        new_warnings=[text for each in notes for text in each.new_warnings],
        logs_dropped=notes[-1].logs_dropped if notes else 0,
    )
