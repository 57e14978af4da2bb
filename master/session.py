"""What the ledger keeps of one worker: its names, its audit counters, its newest health."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from operator import add

import numpy as np
import numpy.typing as npt

from loadgen.errors import Malformed
from loadgen.master.store import Journal, Name, SessionState
from loadgen.master.totals import Totals
from loadgen.metrics.decoding import COUNT, SERIES, SUM_US, TOTAL_COUNT, TOTAL_SUM_US, Delta
from loadgen.metrics.errorbook import OTHER
from loadgen.metrics.health import Health
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.tally import COUNTED_KINDS, KIND_SLOTS, Kind

Ints = npt.NDArray[np.int64]
_UNKNOWN = -1
_SHORTEST_CPU_WINDOW_MS = 500  # a busy last 20 ms before the end says nothing
_COUNTED = sorted(COUNTED_KINDS)
_BOTH = slice(COUNT, SUM_US + 1, SUM_US - COUNT)  # the columns count and sum_us
_BOTH_TOTALS = slice(TOTAL_COUNT, TOTAL_SUM_US + 1)


@dataclass(frozen=True, slots=True)
class WorkerReport:
    """One worker, as its deltas so far describe it."""

    worker: str
    last_seq: int = 0  # of the newest applied delta
    end_ms: int = 0  # how far its measurements reach, master time since the run's start
    final: bool = False  # nothing more will come
    users: int = 0
    users_by_class: dict[str, int] = field(default_factory=dict)
    requests: int = 0
    iterations_in_flight: int = 0
    connections_opened: int = 0
    requests_on_reused: int = 0
    cpu_percent: float = 0.0  # of one core, newest window
    cpu_percent_max: float = 0.0  # highest of all windows of half a second or more
    rss_bytes: int = 0
    lag_ms_p99: float = 0.0  # hub lag over the whole run
    lag_ms_max: float = 0.0
    saturated_s: float = 0.0  # windows with CPU or hub lag at the limit
    generator_errors: int = 0
    throttled_us: int = 0
    health: Health | None = None  # of the newest window; None before the first delta


class Session:
    """The state of one worker's stream of deltas. Not shared, not pure: the ledger changes it."""

    def __init__(self, worker: str) -> None:
        self.worker = worker
        self.last_seq = 0
        self.names: dict[int, tuple[str, str]] = {0: ("", OTHER)}  # as merged by the ledger
        self.slots: Ints = np.full(KIND_SLOTS, _UNKNOWN, dtype=np.int64)  # by key: series id * KIND_SLOTS + kind
        self.sealed: Ints = np.zeros((KIND_SLOTS, 2), dtype=np.int64)  # count and sum_us applied so far, by key
        self.books: tuple[int, ...] = (0,) * 6
        self.users: dict[str, int] = {}
        self.final = False
        self.end_ms = 0
        self.health: Health | None = None
        self.cpu_percent_max = 0.0
        self.lag = Histogram()
        self.saturated_ms = 0
        self.generator_errors = 0
        self.throttled_us = 0
        self.connections_opened = 0
        self.requests_on_reused = 0
        self.saved_seq = _UNKNOWN  # what the store has; below 0: not even that this worker joined
        self._new_names: list[int] = []  # since then, as are these:
        self._new_lag: list[dict[int, int]] = []
        self.new_audit: list[tuple[Ints, Ints]] = []  # keys, and what was stated for them

    def introduce(self, number: int, name: Name) -> None:
        """The worker calls this name by this number from now on."""
        self.names[number] = name
        self._new_names.append(number)

    def check(self, delta: Delta) -> None:
        """Raise Malformed if the delta names a series this worker never introduced, or one twice."""
        known: Set[int] = self.names.keys()
        if delta.names:
            new = {number for number, _method, _name in delta.names}
            if len(new) != len(delta.names) or not new.isdisjoint(known):
                raise Malformed(f"{self.worker} introduced a series twice")
            known = known | new
        used = {number for number, _ in delta.outcomes} | {number for number, _ in delta.phases}
        used.update(row.series for row in delta.errors)
        if not self._has_slots(delta.latencies.keys):  # who has a slot was introduced
            used.update(delta.latencies.rows[:, SERIES].tolist())
        if not used <= known:
            raise Malformed(f"{self.worker} used a series it never introduced")

    def _has_slots(self, keys: Ints) -> bool:
        return not len(keys) or (keys[-1] < len(self.slots) and self.slots[keys].min() != _UNKNOWN)

    def slots_of(self, keys: Ints, totals: Totals) -> Ints:
        """The ledger's slots of these rising keys, made where they are new."""
        if keys[-1] >= len(self.slots):
            self._grow(int(keys[-1]) + 1)
        slots = self.slots[keys]
        if slots.min() == _UNKNOWN:
            for key in keys[slots == _UNKNOWN].tolist():
                series, kind = divmod(key, KIND_SLOTS)
                self.slots[key] = totals.slot(*self.names[series], Kind(kind))
            slots = self.slots[keys]
        return slots

    def audit_rows(self, rows: Ints, keys: Ints) -> str:
        """Whether what was applied adds up to what the worker says it recorded; "" if so.

        After a difference the worker's totals are taken as the new base, so each fault shows once.
        """
        expected = self.sealed[keys] + rows[:, _BOTH]
        stated = rows[:, _BOTH_TOTALS]
        self.sealed[keys] = stated
        self.new_audit.append((keys, stated))
        wrong = expected != stated
        if not np.count_nonzero(wrong):
            return ""
        row = int(wrong.any(axis=1).argmax())
        method, name = self.names[int(rows[row, SERIES])]
        have, want = expected[row].tolist(), stated[row].tolist()
        return f"{method} {name}: {have[0]} samples of {have[1]} µs arrived, {want[0]} of {want[1]} µs were recorded"

    def audit_books(self, increments: tuple[int, ...], stated: tuple[int, ...]) -> str:
        """The same for iterations; "" if they add up."""
        expected = tuple(map(add, self.books, increments))
        self.books = stated
        return "" if expected == stated else f"iterations {list(expected)} arrived, {list(stated)} were recorded"

    def take_health(self, delta: Delta) -> None:
        health = delta.health
        self.health = health
        span_ms = delta.window.end_ms - delta.window.start_ms
        if span_ms >= _SHORTEST_CPU_WINDOW_MS:
            self.cpu_percent_max = max(self.cpu_percent_max, health.cpu_percent)
        if health.saturated:
            self.saturated_ms += span_ms
        self.lag.merge(health.lag)
        self._new_lag.append(health.lag.counts)
        self.generator_errors += health.generator_errors
        self.throttled_us += health.throttled_us

    def report(self) -> WorkerReport:
        health = self.health
        started, ok, failed, cancelled = self.books[:4]
        return WorkerReport(
            worker=self.worker,
            last_seq=self.last_seq,
            end_ms=self.end_ms,
            final=self.final,
            users=sum(self.users.values()),
            users_by_class=dict(self.users),
            requests=int(self.sealed[:, 0].reshape(-1, KIND_SLOTS)[:, _COUNTED].sum()),
            iterations_in_flight=started - ok - failed - cancelled,
            connections_opened=self.connections_opened,
            requests_on_reused=self.requests_on_reused,
            cpu_percent=health.cpu_percent if health else 0.0,
            cpu_percent_max=self.cpu_percent_max,
            rss_bytes=health.rss_bytes if health else 0,
            lag_ms_p99=_lag_ms(self.lag, 0.99),
            lag_ms_max=_lag_ms(self.lag, 1.0),
            saturated_s=self.saturated_ms / 1000,
            generator_errors=self.generator_errors,
            throttled_us=self.throttled_us,
            health=health,
        )

    # Saving

    def changes(self, numbers: Mapping[Name, int]) -> SessionState:
        """What is new since the store has it, but for the audit; `numbers` of the ledger's names."""
        names = [(number, numbers[self.names[number]]) for number in self._new_names] if self._new_names else ()
        return self._state(tuple(self._new_lag), b"", b"", names)

    def whole(self, numbers: Mapping[Name, int]) -> SessionState:
        """Everything."""
        keys = np.flatnonzero(self.sealed.any(axis=1))
        newest = self.health.lag.counts if self.health else {}
        older = {bucket: left for bucket, n in self.lag.counts.items() if (left := n - newest.get(bucket, 0))}
        return self._state(
            (older, newest),
            keys.tobytes(),
            self.sealed[keys].tobytes(),
            [(number, numbers[name]) for number, name in self.names.items()],
        )

    def settle(self) -> None:
        """What `changes` or `whole` said is in the store."""
        self.saved_seq = self.last_seq
        self._new_names.clear()
        self._new_lag.clear()
        self.new_audit.clear()

    def absorb(self, states: Sequence[SessionState], names: Sequence[Name]) -> None:
        """Take back what was saved: first a whole state, then the changes journaled since, in order."""
        newest = states[-1]
        self.last_seq, self.end_ms, self.final = newest.last_seq, newest.end_ms, newest.final
        self.books, self.users = tuple(newest.books), newest.users
        self.cpu_percent_max, self.saturated_ms = newest.cpu_percent_max, newest.saturated_ms
        self.generator_errors, self.throttled_us = newest.generator_errors, newest.throttled_us
        self.connections_opened, self.requests_on_reused = newest.connections_opened, newest.requests_on_reused
        if newest.health is not None:
            cpu_percent, rss_bytes, throttled_us, errors = newest.health
            lag = Histogram(newest.lag[-1].items())
            self.health = Health(cpu_percent, rss_bytes, throttled_us, lag, errors)
        lags: Counter[int] = Counter()
        for state in states:
            for counts in state.lag:
                lags.update(counts)
            for number, name_number in state.names:
                self.names[number] = names[name_number]
        self.lag = Histogram(lags.items())
        self._absorb_audit(b"".join([state.audit_keys for state in states]), b"".join([s.audit for s in states]))
        self.saved_seq = self.last_seq

    def _absorb_audit(self, packed_keys: bytes, packed: bytes) -> None:
        keys = np.frombuffer(packed_keys, dtype=np.int64)
        if not len(keys):
            return
        if int(keys.max()) >= len(self.slots):
            self._grow(int(keys.max()) + 1)
        distinct, last = np.unique(keys[::-1], return_index=True)  # of a key stated several times the last counts
        self.sealed[distinct] = np.frombuffer(packed, dtype=np.int64).reshape(-1, 2)[::-1][last]

    def _state(
        self,
        lag: Sequence[dict[int, int]],
        audit_keys: bytes,
        audit: bytes,
        names: Sequence[tuple[int, int]],
    ) -> SessionState:
        health = self.health
        return SessionState(
            self.last_seq,
            self.end_ms,
            self.final,
            self.books,
            self.users,
            (health.cpu_percent, health.rss_bytes, health.throttled_us, health.generator_errors) if health else None,
            self.cpu_percent_max,
            self.saturated_ms,
            self.generator_errors,
            self.throttled_us,
            self.connections_opened,
            self.requests_on_reused,
            lag,
            audit_keys,
            audit,
            names,
        )

    def _grow(self, needed: int) -> None:
        size = len(self.slots)
        while size < needed:
            size *= 2
        slots: Ints = np.full(size, _UNKNOWN, dtype=np.int64)
        slots[: len(self.slots)] = self.slots
        sealed: Ints = np.zeros((size, 2), dtype=np.int64)
        sealed[: len(self.sealed)] = self.sealed
        self.slots, self.sealed = slots, sealed


def journal(sessions: Sequence[Session], numbers: Mapping[Name, int]) -> Journal:
    """What is new in these sessions since the store has them."""
    audits = [audit for session in sessions for audit in session.new_audit]
    if audits:
        keys, stated = (np.concatenate(parts).tobytes() for parts in zip(*audits, strict=True))
    else:
        keys = stated = b""
    return Journal(
        states=[(session.worker, session.changes(numbers)) for session in sessions],
        audit_rows=[sum([len(keys) for keys, _ in session.new_audit]) for session in sessions],
        audit_keys=keys,
        audit=stated,
    )


def _lag_ms(lag: Histogram, q: float) -> float:
    """A percentile of the hub lag in ms, 0.0 without samples. The exact maximum is not sent, so 1.0 is a bucket too."""
    us = lag.percentile(min(q, 1.0), 0, lag.highest_us())
    return (us or 0.0) / 1000
