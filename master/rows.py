"""Who may use which rows of the shared data: each row is leased to one worker, once per lap.

Pure: no socket, no clock, no file. A source is known by the name, number of rows and `on_end` that the
workers themselves say; its contents stay with them. Rows are leased in the order of the file; those
that a worker gave back unused are leased again first.

Invariants, per source:

- a row is leased at most once per lap, whatever requests are lost, repeated or reordered;
- laps x rows + next = used + held + doubtful + returned (see _Source);
- a repeated request gets the same answer, an outdated one gets none.

To survive a restart of the master, `dump()` must be stored before the grants it contains are sent.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from loadgen.data_port import MAX_RANGES, Grant, OnEnd, RowRange, Wanted
from loadgen.errors import Malformed

MAX_SOURCES = 1_000  # a scenario has a handful; what a stranger invents must not fill the memory
NOTHING = Grant()


class Doubt(NamedTuple):
    """Rows that a lost worker had leased: it may have used them, nobody knows. Not leased again in that lap."""

    source: str
    worker: str
    ranges: tuple[RowRange, ...]

    @property
    def size(self) -> int:
        return sum(one.size for one in self.ranges)


@dataclass(frozen=True, slots=True)
class SourceReport:
    """The books of one source. `laps` counts how often it started over, the other figures are rows."""

    source: str
    rows: int
    on_end: OnEnd
    laps: int
    used: int  # workers said that users have them
    held: int  # leased to living workers, not known to be used
    free: int  # of this lap, not leased yet or given back
    doubts: tuple[Doubt, ...]


@dataclass(slots=True)
class _Taker:
    """One worker as a source knows it: its newest request with its answer, and the rows it holds in that order."""

    number: int = 0
    grant: Grant = NOTHING
    used: int = 0
    held: deque[RowRange] = field(default_factory=deque)

    @property
    def held_count(self) -> int:
        return sum(one.size for one in self.held)

    def settle(self, used: int) -> int:
        """Forget the rows that are known to be used now; how many. Raises Malformed if it never had so many."""
        newly = used - self.used
        if newly <= 0:
            return 0
        if newly > self.held_count:
            raise Malformed(f"rows: {used:,} used, but only {self.used + self.held_count:,} were granted")
        self.used = used
        left = newly
        while left:
            first, size = self.held.popleft()
            if size > left:
                self.held.appendleft(RowRange(first + left, size - left))
            left -= min(left, size)
        return newly


@dataclass(slots=True)
class _Source:
    """The rows of one source: those before `next` are leased in this lap, `returned` came back unused."""

    rows: int
    on_end: OnEnd
    next: int = 0
    laps: int = 0
    used: int = 0
    returned: deque[RowRange] = field(default_factory=deque)
    takers: dict[str, _Taker] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)

    @property
    def free(self) -> int:
        return self.rows - self.next + sum(one.size for one in self.returned)

    def grant(self, count: int, ahead: int) -> Grant:
        """Lease what is needed now, and of what is wished ahead only a part when little is left.

        Otherwise one worker would sit on the last rows while the users of another end for want of them.
        """
        end = None
        if not self.free:
            if self.on_end is not OnEnd.RECYCLE:
                return Grant(end=self.on_end)
            self.laps += 1
            self.next, end = 0, OnEnd.RECYCLE
        fair = -(-self.free // (2 * len(self.takers)))
        return Grant(tuple(self._lease(count + min(ahead, fair))), end)

    def _lease(self, count: int) -> list[RowRange]:
        ranges: list[RowRange] = []
        while count and self.returned and len(ranges) < MAX_RANGES - 1:
            first, size = self.returned.popleft()
            taken = min(count, size)
            if taken < size:
                self.returned.appendleft(RowRange(first + taken, size - taken))
            ranges.append(RowRange(first, taken))
            count -= taken
        taken = min(count, self.rows - self.next)
        if taken:
            ranges.append(RowRange(self.next, taken))
            self.next += taken
        return ranges


class RowLeases:
    """All data sources of a run. `worker` is the master's id of a worker process, "w1"."""

    def __init__(self) -> None:
        self._sources: dict[str, _Source] = {}
        self._gone: set[str] = set()

    def want(self, worker: str, wanted: Wanted) -> Grant | None:
        """The answer to a request: the same for a repeated one, None for an outdated one or a worker that is gone.

        Raises Malformed, changing nothing, if it claims to have used more than it was granted.
        """
        if worker in self._gone:
            return None
        source = self._sources.get(wanted.source)
        if source is None:
            if len(self._sources) >= MAX_SOURCES:
                return Grant(refused=f"there are {MAX_SOURCES:,} data sources already")
            source = self._sources[wanted.source] = _Source(wanted.rows, wanted.on_end)
        if (wanted.rows, wanted.on_end) != (source.rows, source.on_end):
            return Grant(refused=_difference(wanted, source))
        taker = source.takers.get(worker)
        if taker is None:
            taker = source.takers[worker] = _Taker()
        if wanted.number <= taker.number:
            return taker.grant if wanted.number == taker.number else None
        source.used += taker.settle(wanted.used)
        taker.number, taker.grant = wanted.number, source.grant(wanted.count, wanted.ahead)
        taker.held.extend(taker.grant.ranges)
        return taker.grant

    def lost(self, worker: str) -> tuple[Doubt, ...]:
        """The worker is gone and nobody knows what it did last: the rows it may have used. Empty if repeated."""
        found = []
        for name, source in self._sources.items():
            taker = source.takers.pop(worker, None)
            if taker is not None and taker.held:
                doubt = Doubt(name, worker, _joined(taker.held))
                source.doubts.append(doubt)
                found.append(doubt)
        self._gone.add(worker)
        return tuple(found)

    def left(self, worker: str, used: Mapping[str, int]) -> None:
        """The worker left in good order having used so many rows of each source; the others are free again.

        Raises Malformed, changing nothing of that source, for a number that cannot be.
        """
        for name, source in self._sources.items():
            taker = source.takers.get(worker)
            if taker is not None:
                source.used += taker.settle(used.get(name, 0))
                source.returned.extend(taker.held)
                del source.takers[worker]
        self._gone.add(worker)

    def report(self) -> tuple[SourceReport, ...]:
        """The books of every source that was used."""
        return tuple(
            SourceReport(
                source=name,
                rows=one.rows,
                on_end=one.on_end,
                laps=one.laps,
                used=one.used,
                held=sum(taker.held_count for taker in one.takers.values()),
                free=one.free,
                doubts=tuple(one.doubts),
            )
            for name, one in self._sources.items()
        )

    def dump(self) -> dict[str, Any]:
        """Everything, as plain data (maps with text keys, lists, texts, ints)."""
        return {"gone": sorted(self._gone), "sources": {name: _dumped(one) for name, one in self._sources.items()}}

    @classmethod
    def load(cls, data: Mapping[str, Any]) -> RowLeases:
        """What `dump` gave, alive again. Raises Malformed if it is something else."""
        leases = cls()
        try:
            leases._gone = set(data["gone"])
            leases._sources = {name: _loaded(name, one) for name, one in data["sources"].items()}
        except (AttributeError, KeyError, TypeError, ValueError) as exc:
            raise Malformed(f"stored row leases: {exc!r}") from exc
        return leases


def _difference(wanted: Wanted, source: _Source) -> str:
    if wanted.rows != source.rows:
        return f"it has {wanted.rows:,} rows here, {source.rows:,} on the worker that asked first"
    return f"its on_end is {wanted.on_end} here, {source.on_end} on the worker that asked first"


def _joined(ranges: deque[RowRange]) -> tuple[RowRange, ...]:
    """The same rows in as few ranges as there can be, in order."""
    joined: list[RowRange] = []
    for one in sorted(ranges):
        if joined and joined[-1].first + joined[-1].size == one.first:
            joined[-1] = RowRange(joined[-1].first, joined[-1].size + one.size)
        else:
            joined.append(one)
    return tuple(joined)


def _dumped(source: _Source) -> dict[str, Any]:
    return {
        "rows": source.rows,
        "on_end": source.on_end.value,
        "next": source.next,
        "laps": source.laps,
        "used": source.used,
        "returned": _pairs(source.returned),
        "doubts": [[doubt.worker, _pairs(doubt.ranges)] for doubt in source.doubts],
        "takers": {
            worker: [one.number, one.grant.to_wire(), one.used, _pairs(one.held)]
            for worker, one in source.takers.items()
        },
    }


def _loaded(name: str, data: Mapping[str, Any]) -> _Source:
    return _Source(
        rows=data["rows"],
        on_end=OnEnd(data["on_end"]),
        next=data["next"],
        laps=data["laps"],
        used=data["used"],
        returned=deque(_ranges(data["returned"])),
        doubts=[Doubt(name, worker, _ranges(pairs)) for worker, pairs in data["doubts"]],
        takers={
            worker: _Taker(number, Grant.from_wire(grant), used, deque(_ranges(held)))
            for worker, (number, grant, used, held) in data["takers"].items()
        },
    )


def _pairs(ranges: deque[RowRange] | tuple[RowRange, ...]) -> list[list[int]]:
    return [list(one) for one in ranges]


def _ranges(pairs: list[list[int]]) -> tuple[RowRange, ...]:
    return tuple(RowRange(first, size) for first, size in pairs)
