"""Wait functions, the start rule of paced users, and how late their starts are."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadgen.iterating
from loadgen import (
    RescheduleTaskImmediately,
    StopUser,
    TaskSet,
    User,
    between,
    constant,
    constant_pacing,
    constant_throughput,
    task,
)
from loadgen.clock import FakeClock
from loadgen.identity import CHOICE_BITS, UserIdentity, cut_points, following, fraction, state_for

from .helpers import live, make_environment


class Idle(User):
    @task
    def nothing(self) -> None: ...


def test_between_draws_evenly_and_the_same_for_the_same_user() -> None:
    class Visitor(Idle):
        wait_time = between(2, 4)

    waits = [Visitor(make_environment()).wait_time() for _ in range(2)]
    user = Visitor(make_environment())
    many = [user.wait_time() for _ in range(1000)]

    assert waits[0] == waits[1] == many[0]
    assert all(2 <= one < 4 for one in many)
    assert sum(many) / 1000 == pytest.approx(3, abs=0.1)


def test_constant_is_constant() -> None:
    class Visitor(Idle):
        wait_time = constant(1.5)

    assert Visitor(make_environment()).wait_time() == 1.5


def test_wait_time_may_be_a_method_a_function_or_a_callable_object() -> None:
    class Three:
        def __call__(self) -> float:
            return 3

    class ByMethod(Idle):
        def wait_time(self) -> float:
            return 1

    class ByFunction(Idle):
        wait_time = lambda self: 2  # noqa: E731

    class ByObject(Idle):
        wait_time = Three()

    assert [cls(make_environment()).wait_time() for cls in (ByMethod, ByFunction, ByObject)] == [1, 2, 3]


@pytest.mark.parametrize(
    "make",
    [
        lambda: between(3, 1),
        lambda: between(-1, 1),
        lambda: constant(float("nan")),
        lambda: constant_pacing(float("inf")),
        lambda: constant_throughput(0),
        lambda: constant_throughput(-2),
    ],
)
def test_impossible_waits_are_refused_where_they_are_written(make: Any) -> None:
    with pytest.raises(ValueError, match=r"\("):
        make()


@pytest.mark.parametrize("value", ["1", None, True])
def test_waits_that_are_no_numbers_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="number"):
        constant(value)


class Paced:
    """Runs a user on a fake clock: tasks take what `busy` says, sleeps are exact, plus `overshoot`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, overshoot_s: float = 0.0) -> None:
        self.clock = FakeClock(now_ns=5_000_000_000)
        self.starts: list[float] = []
        self.lateness_us: list[int] = []

        def sleep(seconds: float) -> None:
            if seconds:
                self.clock.advance(seconds + overshoot_s)

        monkeypatch.setattr(loadgen.iterating, "sleep", sleep)

    def run(self, wait_time: Any, busy: list[float], holder: str = "user") -> None:
        paced = self

        def work(self: Any) -> None:
            user = self.own_user()
            paced.starts.append((paced.clock.now_ns() - 5_000_000_000) / 1e9)
            paced.lateness_us.append(user.wait_us)
            if len(paced.starts) > len(busy):
                raise StopUser
            paced.clock.advance(busy[len(paced.starts) - 1])

        visit = type("Visit", (TaskSet,), {"tasks": [work], **({"wait_time": wait_time} if holder == "set" else {})})
        tasks = [work] if holder == "user" else [visit]
        visitor = type("Visitor", (User,), {"tasks": tasks, **({"wait_time": wait_time} if holder != "set" else {})})
        live(visitor, make_environment(clock=self.clock))


@pytest.mark.parametrize("holder", ["user", "set", "user of a set"])
def test_constant_pacing_starts_on_time_when_tasks_are_quick(monkeypatch: pytest.MonkeyPatch, holder: str) -> None:
    paced = Paced(monkeypatch)
    paced.run(constant_pacing(1), [0.2, 0.9, 0.0, 0.5], holder)

    assert paced.starts == pytest.approx([0, 1, 2, 3, 4])
    assert paced.lateness_us == [0, 0, 0, 0, 0]


def test_a_late_start_is_at_once_its_lateness_is_known_and_nothing_is_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    paced = Paced(monkeypatch)
    paced.run(constant_pacing(1), [1.5, 0.1, 0.1])

    assert paced.starts == pytest.approx([0, 1.5, 2.5, 3.5])
    assert paced.lateness_us == [0, 500_000, 0, 0]


def test_a_start_that_was_not_due_is_not_late(monkeypatch: pytest.MonkeyPatch) -> None:
    paced = Paced(monkeypatch)
    late_us: list[int] = []

    class Visitor(User):
        wait_time = constant_pacing(1)

        @task
        def work(self) -> None:
            late_us.append(self.wait_us)
            paced.clock.advance(1.5)
            if len(late_us) == 4:
                raise StopUser
            if len(late_us) == 2:
                raise RescheduleTaskImmediately

    live(Visitor, make_environment(clock=paced.clock))

    assert late_us == [0, 500_000, 0, 500_000]


def test_a_late_timer_counts_as_lateness(monkeypatch: pytest.MonkeyPatch) -> None:
    paced = Paced(monkeypatch, overshoot_s=0.003)
    paced.run(constant_pacing(1), [0.5, 0.5])

    assert paced.starts == pytest.approx([0, 1.003, 2.006])
    assert paced.lateness_us == [0, 3000, 3000]


def test_constant_throughput_is_pacing_by_the_inverse(monkeypatch: pytest.MonkeyPatch) -> None:
    paced = Paced(monkeypatch)
    paced.run(constant_throughput(4), [0.1, 0.1, 0.1])

    assert paced.starts == pytest.approx([0, 0.25, 0.5, 0.75])


def test_pacing_inside_a_wait_time_of_the_scenario_works_from_its_first_call(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pace = constant_pacing(1)
    paced = Paced(monkeypatch)
    paced.run(lambda self: pace(self), [0.25, 0.25, 0.25])

    assert paced.starts == pytest.approx([0, 1.25, 2.25, 3.25])


def test_a_user_without_pacing_is_never_late_and_keeps_no_times() -> None:
    class Visitor(User):
        @task
        def end(self) -> None:
            raise StopUser

    user = live(Visitor)

    assert user.wait_us == 0
    assert "started_ns" not in vars(user)


@given(st.lists(st.floats(0.001, 100), min_size=2, max_size=8))
def test_cut_points_give_each_weight_its_share(weights: list[float]) -> None:
    size = 1 << CHOICE_BITS
    edges = [0, *cut_points(weights), size]

    assert edges == sorted(edges)
    for index, weight in enumerate(weights):
        assert (edges[index + 1] - edges[index]) / size == pytest.approx(weight / sum(weights), abs=1e-9)


def test_cut_points_need_a_positive_weight() -> None:
    with pytest.raises(ValueError, match="positive"):
        cut_points([0, 0])


@given(st.integers(0, 2**64), st.text(max_size=20), st.integers(0, 10**6))
def test_states_stay_in_64_bits_and_fractions_below_one(seed: int, name: str, ordinal: int) -> None:
    state = state_for(seed, UserIdentity(name, ordinal))

    for _ in range(10):
        assert 0 <= state < 2**64
        assert 0 <= fraction(state) < 1
        state = following(state)


def test_neighbouring_users_make_unrelated_choices() -> None:
    firsts = [fraction(following(state_for(1, UserIdentity("Visitor", n)))) for n in range(4000)]
    quarters = [sum(1 for one in firsts if q / 4 <= one < (q + 1) / 4) for q in range(4)]

    assert all(abs(count - 1000) < 150 for count in quarters)
