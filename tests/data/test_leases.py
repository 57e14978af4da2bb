"""Who may use which rows: the laws of RowLeases, whatever is lost, repeated, reordered, or dies."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.data_port import Grant, OnEnd, RowRange, Wanted
from loadgen.errors import Malformed
from loadgen.master.rows import Doubt, RowLeases, SourceReport

WORKERS = ("w1", "w2", "w3")
FILE = "shop:users.csv#1"


def wanted(number: int, count: int = 1, ahead: int = 0, used: int = 0, **other: object) -> Wanted:
    first = Wanted(FILE, 10, OnEnd.STOP, number, count, ahead, used)
    return replace(first, **other)  # type: ignore[arg-type]


def granted(leases: RowLeases, worker: str, request: Wanted) -> Grant:
    grant = leases.want(worker, request)
    assert grant is not None
    return grant


def numbers(grant: Grant) -> list[int]:
    return [row for first, size in grant.ranges for row in range(first, first + size)]


def report(leases: RowLeases) -> SourceReport:
    (only,) = leases.report()
    return only


# -- laws


@dataclass
class Worker:
    """An honest worker: one request at a time, repeated until an answer arrives; rows are used in order."""

    number: int = 0
    pending: Wanted | None = None
    got: list[int] = field(default_factory=list)
    used: int = 0
    gone: bool = False


@dataclass
class World:
    """A master and workers on a network that loses, repeats and reorders; `step` does one thing."""

    rows: int
    on_end: OnEnd
    leases: RowLeases = field(default_factory=RowLeases)
    workers: dict[str, Worker] = field(default_factory=lambda: {name: Worker() for name in WORKERS})
    sent: list[tuple[str, Wanted]] = field(default_factory=list)
    first_answers: dict[tuple[str, int], Grant] = field(default_factory=dict)
    doubts: list[Doubt] = field(default_factory=list)
    given_back: Counter[int] = field(default_factory=Counter)
    restarts: int = 0

    def step(self, action: str, name: str, count: int, ahead: int) -> None:
        worker = self.workers[name]
        if action == "restart":  # of the master
            stored = msgpack.unpackb(msgpack.packb(self.leases.dump()))
            self.leases = RowLeases.load(stored)
        elif action == "old" and self.sent:
            self.deliver(*self.sent[count % len(self.sent)])  # the network repeats something, maybe very old
        elif worker.gone:
            return
        elif action == "use":
            worker.used = min(len(worker.got), worker.used + count)
        elif action == "lost":
            worker.gone = True
            self.doubts += self.leases.lost(name)
            assert not self.leases.lost(name)
        elif action == "left" and worker.pending is None:
            worker.gone = True
            self.leases.left(name, {FILE: worker.used})
            self.given_back.update(worker.got[worker.used :])
        elif action in ("ask", "unheard"):
            self.ask(name, worker, count, ahead, heard=action == "ask")

    def ask(self, name: str, worker: Worker, count: int, ahead: int, heard: bool) -> None:
        if worker.pending is None:
            worker.number += 1
            worker.pending = Wanted(FILE, self.rows, self.on_end, worker.number, count, ahead, worker.used)
            self.sent.append((name, worker.pending))
        grant = self.deliver(name, worker.pending)
        assert grant is not None
        if heard:
            worker.pending = None
            worker.got += numbers(grant)

    def deliver(self, name: str, request: Wanted) -> Grant | None:
        grant = self.leases.want(name, request)
        if grant is not None:
            assert self.first_answers.setdefault((name, request.number), grant) == grant
        return grant

    @property
    def leased(self) -> Counter[int]:
        """How often each row was leased without being given back."""
        counts = Counter(row for grant in self.first_answers.values() for row in numbers(grant))
        counts.subtract(self.given_back)
        return counts


ACTIONS = st.sampled_from(["ask", "ask", "ask", "unheard", "old", "use", "use", "lost", "left", "restart"])
STEPS = st.lists(st.tuples(ACTIONS, st.sampled_from(WORKERS), st.integers(1, 5), st.integers(0, 9)), max_size=60)


def world_after(rows: int, on_end: OnEnd, steps: list[tuple[str, str, int, int]]) -> World:
    world = World(rows, on_end)
    for step in steps:
        world.step(*step)
    return world


@given(st.integers(1, 40), st.sampled_from([OnEnd.STOP, OnEnd.WAIT]), STEPS)
def test_no_row_is_ever_leased_to_two(rows: int, on_end: OnEnd, steps: list[tuple[str, str, int, int]]) -> None:
    world = world_after(rows, on_end, steps)

    assert all(count in (0, 1) for count in world.leased.values())
    assert set(world.leased) <= set(range(rows))


@given(st.integers(1, 40), st.sampled_from(OnEnd), STEPS)
def test_every_row_is_free_or_held_or_used_or_reported(
    rows: int, on_end: OnEnd, steps: list[tuple[str, str, int, int]]
) -> None:
    world = world_after(rows, on_end, steps)

    for books in world.leases.report():
        doubtful = sum(doubt.size for doubt in books.doubts)
        assert books.laps * rows + rows - books.free == books.used + books.held + doubtful
        assert list(books.doubts) == world.doubts
        assert books.used <= sum(worker.used for worker in world.workers.values())


@given(st.integers(1, 40), STEPS)
def test_starting_over_counts_laps_and_leases_each_row_once_in_each(
    rows: int, steps: list[tuple[str, str, int, int]]
) -> None:
    world = world_after(rows, OnEnd.RECYCLE, steps)
    begun = sum(grant.end is OnEnd.RECYCLE for grant in world.first_answers.values())

    for books in world.leases.report():
        assert books.laps == begun
        assert all(0 <= count <= begun + 1 for count in world.leased.values())
        if not any(world.given_back.values()):
            assert all(begun <= world.leased[row] for row in range(rows))


@given(st.integers(1, 60), st.lists(st.tuples(st.sampled_from(WORKERS), st.integers(1, 5), st.integers(0, 9))))
def test_rows_are_refused_only_when_every_one_is_leased(rows: int, asks: list[tuple[str, int, int]]) -> None:
    world = World(rows, OnEnd.STOP)
    for name, count, ahead in [*asks, *[("w1", 1, 0)] * (rows + 1)]:
        world.step("ask", name, count, ahead)

    assert world.first_answers["w1", world.workers["w1"].number] == Grant(end=OnEnd.STOP)
    assert world.leased == Counter(range(rows))


@given(st.integers(1, 40), st.sampled_from(OnEnd), STEPS)
def test_what_is_stored_comes_back_the_same(rows: int, on_end: OnEnd, steps: list[tuple[str, str, int, int]]) -> None:
    leases = world_after(rows, on_end, steps).leases
    again = RowLeases.load(msgpack.unpackb(msgpack.packb(leases.dump())))

    assert again.dump() == leases.dump()
    assert again.report() == leases.report()


# -- single cases


def test_rows_are_leased_in_the_order_of_the_file() -> None:
    leases = RowLeases()

    assert numbers(granted(leases, "w1", wanted(1, 3))) == [0, 1, 2]
    assert numbers(granted(leases, "w2", wanted(1, 2))) == [3, 4]


def test_a_worker_that_asks_ahead_gets_less_the_less_there_is() -> None:
    leases = RowLeases()
    granted(leases, "w2", wanted(1))
    sizes = [len(numbers(granted(leases, "w1", wanted(number, 0, 100)))) for number in range(1, 6)]

    assert sizes == [3, 2, 1, 1, 1]


def test_what_is_needed_now_is_granted_in_full() -> None:
    assert len(numbers(granted(RowLeases(), "w1", wanted(1, 10)))) == 10


def test_a_repeated_request_gets_the_same_rows_and_an_outdated_one_none() -> None:
    leases = RowLeases()
    first = granted(leases, "w1", wanted(1, 2))

    assert leases.want("w1", wanted(1, 2)) == first
    granted(leases, "w1", wanted(2, 2))
    assert leases.want("w1", wanted(1, 2)) is None
    assert report(leases).held == 4


@pytest.mark.parametrize("on_end", [OnEnd.STOP, OnEnd.WAIT])
def test_at_the_end_the_answer_is_what_the_scenario_chose(on_end: OnEnd) -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1, 10, on_end=on_end))

    assert leases.want("w1", wanted(2, on_end=on_end)) == Grant(end=on_end)


def test_the_rows_of_a_lost_worker_that_it_may_have_used_are_named() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1, 2))
    granted(leases, "w2", wanted(1, 2))
    granted(leases, "w1", wanted(2, 3, used=1))

    assert leases.lost("w1") == (Doubt(FILE, "w1", (RowRange(1, 1), RowRange(4, 3))),)
    assert (report(leases).used, report(leases).held, report(leases).free) == (1, 2, 3)


def test_the_rows_of_a_lost_worker_are_not_leased_again() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1, 9))
    leases.lost("w1")

    assert numbers(granted(leases, "w2", wanted(1, 5))) == [9]
    assert leases.want("w2", wanted(2)) == Grant(end=OnEnd.STOP)


def test_starting_over_leases_the_rows_of_a_lost_worker_too() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1, 10, on_end=OnEnd.RECYCLE))
    leases.lost("w1")
    again = granted(leases, "w2", wanted(1, 10, on_end=OnEnd.RECYCLE))

    assert (numbers(again), again.end) == (list(range(10)), OnEnd.RECYCLE)
    assert report(leases).laps == 1


def test_rows_given_back_unused_go_to_those_who_wait() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1, 10, on_end=OnEnd.WAIT))
    assert leases.want("w2", wanted(1, on_end=OnEnd.WAIT)) == Grant(end=OnEnd.WAIT)
    leases.left("w1", {FILE: 7})

    assert numbers(granted(leases, "w2", wanted(2, 2, on_end=OnEnd.WAIT))) == [7, 8]


def test_a_worker_that_is_gone_gets_nothing_more() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1))
    granted(leases, "w2", wanted(1))
    leases.lost("w1")
    leases.left("w2", {})

    assert leases.want("w1", wanted(1)) is None
    assert leases.want("w2", wanted(2)) is None


def test_a_worker_with_another_file_is_refused_and_told_why() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1))
    refused = granted(leases, "w2", wanted(1, rows=11))

    assert refused.refused == "it has 11 rows here, 10 on the worker that asked first"
    assert not refused.ranges


def test_more_used_than_granted_is_malformed_and_changes_nothing() -> None:
    leases = RowLeases()
    granted(leases, "w1", wanted(1, 2))
    before = leases.dump()

    with pytest.raises(Malformed, match="3 used, but only 2"):
        leases.want("w1", wanted(2, 1, used=3))
    assert leases.dump() == before


def test_a_stranger_cannot_fill_the_memory_with_sources() -> None:
    leases = RowLeases()
    answers = [granted(leases, "w1", wanted(1, source=f"s{number}")) for number in range(1_001)]

    assert answers[-1].refused
    assert not any(answer.refused for answer in answers[:-1])


@pytest.mark.parametrize("stored", [{}, {"gone": [], "sources": 3}, {"gone": [], "sources": {"a": {"rows": 1}}}])
def test_something_else_cannot_be_loaded(stored: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        RowLeases.load(stored)
