"""Unique rows in workers: nobody gets another's row, one asks ahead, and what happens at the end."""

from __future__ import annotations

import random

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadgen.data_ending
import loadgen.data_feed
from loadgen import StopUser, User, data, task
from loadgen.data import DataSource
from loadgen.data_port import Grant, OnEnd, Place, RowRange, Wanted, attach, port_of
from loadgen.environment import Environment
from loadgen.errors import Malformed, ScenarioError
from loadgen.master.rows import RowLeases
from tests.scenario_api.helpers import is_closed, make_environment, spawn, turns

from .users import Port, make_user, take, worker_environment

LIMIT_S = 20


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for rows looks again at once."""
    monkeypatch.setattr(loadgen.data_ending, "LOOK_AGAIN_S", 0.001)
    monkeypatch.setattr(loadgen.data_feed, "LOOK_AGAIN_S", 0.001)


def unique(rows: int, on_end: str = "stop") -> DataSource:
    return data.rows(range(rows), strategy="unique", on_end=on_end)


class Taker(User):
    """Takes a row in each task."""

    abstract = True
    source: DataSource

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.rows: list[int] = []

    @task
    def take(self) -> None:
        self.rows.append(self.source.next(self))


def taker_of(source: DataSource) -> type[Taker]:
    return type("Member", (Taker,), {"source": source})


@given(st.integers(1, 300), st.integers(1, 4), st.integers(1, 6), st.integers(0))
def test_every_row_is_used_exactly_once_by_all_users_of_all_workers(
    rows: int, workers: int, users: int, seed: int
) -> None:
    source, leases, chance = unique(rows), RowLeases(), random.Random(seed)
    members: list[Taker] = []
    for worker in range(workers):
        environment = make_environment()
        attach(environment, Port(leases, f"w{worker}", Place(worker, workers), chance))
        members += [taker_of(source)(environment) for _ in range(users)]

    with gevent.Timeout(LIMIT_S):
        gevent.joinall([spawn(member) for member in members], raise_error=True)

    assert sorted(row for member in members for row in member.rows) == list(range(rows))
    assert all(is_closed(member.environment.recorder) for member in members)


@given(st.integers(1, 40), st.integers(1, 4))
def test_one_row_a_user_needs_no_more_rows_than_users(users: int, workers: int) -> None:
    source, leases = unique(users), RowLeases()
    environments = [worker_environment(worker, workers, leases) for worker in range(workers)]
    got: list[int] = []
    takers = [
        gevent.spawn(lambda user: got.append(source.next(user)), make_user(environments[number % workers], number))
        for number in range(users)
    ]
    with gevent.Timeout(LIMIT_S):
        gevent.joinall(takers, raise_error=True)

    assert sorted(got) == list(range(users))


def test_a_user_that_comes_back_makes_its_worker_ask_ahead() -> None:
    source, environment = unique(10_000), worker_environment(0, 1)
    user = make_user(environment)
    rows = take(source, user, 5_000)
    port = port_of(environment)

    assert isinstance(port, Port)
    asked = port.asked
    assert rows == list(range(5_000))
    assert asked[0].ahead == 0
    assert len(asked) < 200
    assert asked[-1].used > 4_000


def test_when_rows_end_users_end_and_the_reason_is_said_once() -> None:
    source, environment = unique(3), make_environment()
    members = [taker_of(source)(environment) for _ in range(2)]
    gevent.joinall([spawn(member) for member in members])

    assert sorted(row for member in members for row in member.rows) == [0, 1, 2]
    assert environment.recorder.books.failed == 0
    assert list(environment.recorder.warnings) == [
        'LG711 data.rows: its 3 rows were used up; users that want another end (on_end="stop")'
    ]


def test_starting_over_is_counted_and_said_once() -> None:
    source, environment = unique(3, "recycle"), make_environment()
    rows = take(source, make_user(environment), 8)

    assert rows == [0, 1, 2, 0, 1, 2, 0, 1]
    assert environment.recorder.notes.counters == {"data.rows: times started over": 2}
    assert [text[:5] for text in environment.recorder.warnings] == ["LG712"]


@pytest.mark.usefixtures("impatient")
def test_who_waits_gets_the_rows_that_another_worker_gives_back() -> None:
    source, leases = unique(4, "wait"), RowLeases()
    first, second = (worker_environment(worker, 2, leases) for worker in range(2))
    gone = make_user(first)
    take(source, gone, 2)
    waiting = [gevent.spawn(source.next, make_user(second, ordinal)) for ordinal in range(4)]
    turns(20)
    assert not all(one.ready() for one in waiting)
    leases.left("w1", data.rows_used(first))

    with gevent.Timeout(LIMIT_S):
        gevent.wait(waiting, count=2)
    gevent.killall(waiting)
    assert sorted(one.value for one in waiting if isinstance(one.value, int)) == [2, 3]


def test_users_that_wait_do_not_flood_the_master() -> None:
    source, environment = unique(1, "wait"), worker_environment(0, 1)
    waiting = [gevent.spawn(source.next, make_user(environment, ordinal)) for ordinal in range(20)]
    turns(500)
    gevent.killall(waiting)
    port = port_of(environment)

    assert isinstance(port, Port)
    assert len(port.asked) <= 3


@pytest.mark.parametrize("strategy", ["unique", "shard"])
def test_who_waits_for_rows_ends_at_once_when_the_run_stops(strategy: str) -> None:
    source, environment = data.rows([1], strategy=strategy, on_end="wait"), make_environment()
    member = taker_of(source)(environment)
    greenlet = spawn(member)
    with gevent.Timeout(LIMIT_S):
        while not member.waiting or not environment.recorder.warnings:
            gevent.sleep(0)
        member.request_stop()
        greenlet.join()

    assert member.rows == [1]
    assert (environment.recorder.books.ok, environment.recorder.books.cancelled) == (1, 1)
    assert [text[:5] for text in environment.recorder.warnings] == ["LG713"]


def test_a_user_that_is_ended_takes_no_row_along() -> None:
    source, environment = unique(2), worker_environment(0, 1)
    ended = gevent.spawn(source.next, make_user(environment, 1))
    gevent.sleep(0)
    ended.kill()

    assert sorted(take(source, make_user(environment, 2), 2)) == [0, 1]


class FailingPort:
    """Gives bad answers until it is told to give good ones."""

    def __init__(self, *answers: Grant | Exception) -> None:
        self.answers = list(answers)

    def want(self, wanted: Wanted) -> Grant:
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def place(self) -> Place:
        return Place(0, 1)


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (Malformed("garbage"), Malformed, "garbage"),
        (Grant(refused="it has 3 rows here"), ScenarioError, "no rows of data.rows: it has 3 rows here"),
        (Grant((RowRange(2, 1),)), ScenarioError, "data.rows has no row 3"),
    ],
)
def test_what_went_wrong_is_raised_in_all_who_wait_and_the_next_may_succeed(
    answer: Grant | Exception, kind: type[Exception], message: str
) -> None:
    source, environment = unique(2), make_environment()
    attach(environment, FailingPort(answer, Grant((RowRange(1, 1),))))
    waiting = [gevent.spawn(fault_of, source, make_user(environment, ordinal)) for ordinal in range(2)]
    gevent.joinall(waiting)

    for one in waiting:
        assert isinstance(one.value, kind)
        assert message in str(one.value)
    assert source.next(make_user(environment, 3)) == 1


def fault_of(source: DataSource, user: User) -> Exception | None:
    try:
        source.next(user)
    except Exception as exc:  # noqa: BLE001 - whatever it is, the test looks at it
        return exc
    return None


def test_used_rows_are_told_by_source() -> None:
    source, other, environment = unique(5), unique(5), make_environment()
    take(source, make_user(environment), 3)
    assert data.rows_used(environment)[source.key] == 3
    assert other.key not in data.rows_used(environment)


def test_stopping_users_are_given_no_more_rows_at_the_end() -> None:
    source, environment = data.rows([1], strategy="shard", on_end="wait"), make_environment()
    user = make_user(environment)
    take(source, user, 1)
    user.stopping = True

    with pytest.raises(StopUser):
        source.next(user)


def test_on_end_is_the_masters_word() -> None:
    assert {one.value for one in OnEnd} == {"stop", "recycle", "wait"}
