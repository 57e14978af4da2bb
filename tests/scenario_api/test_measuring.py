"""self.measure, self.check, self.count: any protocol in the same books."""

from __future__ import annotations

from typing import Any

import gevent
import pytest

from loadgen import StopUser, TaskSet, User, task
from loadgen.clock import FakeClock
from loadgen.environment import Environment
from loadgen.errors import CatchResponseError
from loadgen.metrics.tally import Kind

from .helpers import live, make_environment, spawn, turns


class Visitor(User):
    @task
    def nothing(self) -> None: ...


class Bench:
    """A user on a fake clock, and a look at what it recorded."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.environment: Environment = make_environment(clock=self.clock)
        self.user = Visitor(self.environment)

    def tally(self, method: str, name: str, kind: Kind) -> tuple[int, int]:
        """(how many, sum in µs)."""
        tally = self.environment.recorder.series(method, name).tallies.get(kind)
        return (0, 0) if tally is None else (sum(tally.buckets.values()), tally.sum_us)


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_a_measured_block_is_one_request_with_its_time_and_size(bench: Bench) -> None:
    with bench.user.measure("db", "reserve") as block:
        bench.clock.advance(0.012)
        block.size = 34

    assert bench.tally("db", "reserve", Kind.OK) == (1, 12_000)
    assert bench.environment.recorder.series("db", "reserve").tallies[Kind.OK].bytes == 34


def test_an_exception_is_a_failed_request_and_goes_on(bench: Bench) -> None:
    @bench.user.measure("db", "reserve")
    def reserve() -> None:
        bench.clock.advance(0.001)
        raise ValueError("sold out")

    with pytest.raises(ValueError, match="sold out"):
        reserve()

    assert bench.tally("db", "reserve", Kind.FAILED) == (1, 1_000)
    assert bench.environment.recorder.series("db", "reserve").outcomes == {"exception": 1}
    assert bench.user.iteration_failed


def test_fail_makes_the_block_a_failure_without_an_exception(bench: Bench) -> None:
    with bench.user.measure("db", "reserve") as block:
        block.fail("no row")

    assert bench.environment.recorder.series("db", "reserve").outcomes == {"check": 1}
    assert bench.user.iteration_failed


def test_an_error_of_a_check_counts_as_check(bench: Bench) -> None:
    with pytest.raises(CatchResponseError), bench.user.measure("db", "reserve"):
        raise CatchResponseError("wrong row")

    assert bench.environment.recorder.series("db", "reserve").outcomes == {"check": 1}


def test_flow_exceptions_are_no_failure(bench: Bench) -> None:
    with pytest.raises(StopUser), bench.user.measure("db", "last"):
        raise StopUser

    assert bench.tally("db", "last", Kind.OK) == (1, 0)
    assert not bench.user.iteration_failed


def test_the_lateness_of_the_iteration_is_part_of_the_response_time(bench: Bench) -> None:
    bench.user.wait_us = 500
    with bench.user.measure("db", "late"):
        bench.clock.advance(0.001)

    assert bench.tally("db", "late", Kind.OK_WAITED_SERVICE) == (1, 1_000)
    assert bench.tally("db", "late", Kind.OK_WAITED_RESPONSE) == (1, 1_500)


def test_a_measured_function_records_each_call_also_nested(bench: Bench) -> None:
    @bench.user.measure("code", "countdown")
    def countdown(n: int) -> int:
        """Counts down."""
        bench.clock.advance(0.001)
        return n if n == 0 else countdown(n - 1)

    assert countdown(2) == 0
    assert countdown.__doc__ == "Counts down."
    assert bench.tally("code", "countdown", Kind.OK) == (3, 1_000 + 2_000 + 3_000)


def test_a_block_that_is_stopped_in_the_middle_is_cancelled() -> None:
    class Stuck(User):
        @task
        def work(self) -> None:
            with self.measure("db", "slow"):
                gevent.sleep(3600)

    environment = make_environment()
    greenlet = spawn(Stuck(environment))
    turns()
    greenlet.kill()

    assert set(environment.recorder.series("db", "slow").tallies) == {Kind.OK, Kind.CANCELLED}
    assert not environment.recorder.series("db", "slow").outcomes


def test_listeners_hear_of_measured_blocks(bench: Bench) -> None:
    heard: list[dict[str, Any]] = []
    bench.environment.events.request.add_listener(lambda **kw: heard.append(kw))
    with bench.user.measure("db", "reserve"):
        bench.clock.advance(0.002)

    assert len(heard) == 1
    assert (heard[0]["request_type"], heard[0]["name"], heard[0]["response_time"]) == ("db", "reserve", 2.0)
    assert heard[0]["exception"] is None
    assert bench.tally("db", "reserve", Kind.OK) == (1, 2_000)


def test_the_context_of_a_user_is_part_of_the_event() -> None:
    class Tenant(Visitor):
        def context(self) -> dict[str, Any]:
            return {"tenant": "blue"}

    environment = make_environment()
    heard: list[Any] = []
    environment.events.request.add_listener(lambda context, **_: heard.append(context))
    with Tenant(environment).measure("db", "x"):
        pass

    assert heard == [{"tenant": "blue"}]


def test_checks_are_counted_returned_and_fail_nothing(bench: Bench) -> None:
    assert bench.user.check("has id", "id" in {"id": 1})
    assert not bench.user.check("has id", None)

    assert bench.environment.recorder.notes.checks == {"has id": [1, 1]}
    assert not bench.user.iteration_failed


def test_counters_add_up(bench: Bench) -> None:
    bench.user.count("sold")
    bench.user.count("sold", 2.5)

    assert bench.environment.recorder.notes.counters == {"sold": 3.5}


def test_a_task_set_measures_checks_and_counts_for_its_user() -> None:
    class Visit(TaskSet):
        @task
        def work(self) -> None:
            with self.measure("db", "x"):
                pass
            self.check("fine", True)
            self.count("seen")
            assert self.rng is self.user.rng
            assert self.environment is self.user.environment
            raise StopUser

    class InASet(User):
        tasks = [Visit]

    environment = make_environment()
    live(InASet, environment)

    assert environment.recorder.books.ok == 1
    assert environment.recorder.notes.checks == {"fine": [1, 0]}
    assert environment.recorder.notes.counters == {"seen": 1}
