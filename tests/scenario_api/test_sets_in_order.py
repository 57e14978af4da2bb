"""SequentialTaskSet and MarkovTaskSet."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from typing import Any

import pytest

from loadgen import MarkovTaskSet, SequentialTaskSet, StopUser, TaskSet, User, tag, task, transition, transitions
from loadgen.errors import ScenarioError
from loadgen.markov import (
    InvalidTransitionError,
    MarkovTaskTagError,
    NoMarkovTasksError,
    NonMarkovTaskTransitionError,
)

from .helpers import live, make_environment


class Logging(User):
    abstract = True
    limit = 7

    def on_start(self) -> None:
        self.log: list[str] = []

    def note(self, name: str) -> None:
        self.has_yielded = True
        self.log.append(name)
        if len(self.log) == self.limit:
            raise StopUser


def note(name: str) -> Any:
    return lambda holder: holder.user.note(name)


def run_set(task_set: type[TaskSet], limit: int = 7, **kwargs: Any) -> list[str]:
    visitor = type("Visitor", (Logging,), {"tasks": [task_set], "limit": limit})
    return live(visitor, make_environment(**kwargs)).log


def test_a_sequence_runs_in_order_of_declaration_and_begins_again() -> None:
    class Flow(SequentialTaskSet):
        @task
        def zebra(self) -> None:
            note("zebra")(self)

        @task(2)
        def ant(self) -> None:
            note("ant")(self)

        @task
        def bee(self) -> None:
            note("bee")(self)

    assert run_set(Flow) == ["zebra", "ant", "ant", "bee", "zebra", "ant", "ant"]


def test_listed_tasks_take_the_place_where_they_are_written() -> None:
    class Flow(SequentialTaskSet):
        @task
        def first(self) -> None:
            note("first")(self)

        tasks = [note("second"), note("third"), note("second")]

        @task
        def last(self) -> None:
            note("last")(self)

    assert run_set(Flow, 5) == ["first", "second", "third", "second", "last"]


def test_a_sequence_takes_a_dict_of_repetitions() -> None:
    flow = type("Flow", (SequentialTaskSet,), {"tasks": {note("a"): 2, note("b"): 1}})

    assert run_set(flow, 4) == ["a", "a", "b", "a"]


def test_nested_sets_keep_their_place_in_a_sequence() -> None:
    class Flow(SequentialTaskSet):
        @task
        def before(self) -> None:
            note("before")(self)

        @task
        class Middle(TaskSet):
            @task
            def inside(self) -> None:
                note("inside")(self)
                self.interrupt()

        @task
        def after(self) -> None:
            note("after")(self)

    assert run_set(Flow, 4) == ["before", "inside", "after", "before"]


def test_a_sequence_inherits_the_steps_of_its_base_first() -> None:
    class Base(SequentialTaskSet):
        tasks: Any = [note("base")]

    class Flow(Base):
        tasks = [note("own")]

    assert run_set(Flow, 3) == ["base", "own", "base"]


def test_each_user_begins_its_sequence_at_the_start() -> None:
    class Flow(SequentialTaskSet):
        tasks = [note("a"), note("b"), note("c")]

    assert [run_set(Flow, 2) for _ in range(2)] == [["a", "b"]] * 2


def test_tags_leave_gaps_in_a_sequence_but_keep_its_order() -> None:
    class Flow(SequentialTaskSet):
        @task
        def a(self) -> None:
            note("a")(self)

        @tag("slow")
        @task
        def b(self) -> None:
            note("b")(self)

        @task
        def c(self) -> None:
            note("c")(self)

    assert run_set(Flow, 4, exclude_tags=["slow"]) == ["a", "c", "a", "c"]


def test_a_fraction_is_no_number_of_repetitions() -> None:
    class Flow(SequentialTaskSet):
        tasks = {note("a"): 1.5}

    class Visitor(Logging):
        tasks = [Flow]

    environment = make_environment()
    errors: list[str] = []

    def stop(exception: BaseException, **_: Any) -> None:
        errors.append(str(exception))
        raise StopUser

    environment.events.user_error.add_listener(stop)
    live(Visitor, environment)

    assert "whole number" in errors[0]


def test_a_chain_begins_with_its_first_task_and_follows_its_transitions() -> None:
    class Visit(MarkovTaskSet):
        @transition("browse")
        def enter(self) -> None:
            note("enter")(self)

        @transitions({"leave": 1})
        def browse(self) -> None:
            note("browse")(self)

        @transitions(["enter"])
        def leave(self) -> None:
            note("leave")(self)

    assert run_set(Visit) == ["enter", "browse", "leave"] * 2 + ["enter"]


def test_a_chain_follows_its_weights() -> None:
    class Visit(MarkovTaskSet):
        @transitions(["a", ("b", 3)])
        def a(self) -> None:
            note("a")(self)

        @transition("a")
        def b(self) -> None:
            note("b")(self)

    log = run_set(Visit, 4000)
    after_a = Counter(after for before, after in pairwise(log) if before == "a")

    assert after_a["b"] / after_a.total() == pytest.approx(0.75, abs=0.04)


def test_stacked_transitions_add_up() -> None:
    @transition("a")
    @transition("b", 2)
    @transition("a", 0.5)
    def step(self: Any) -> None: ...

    assert step.loadgen_transitions == {"a": 1.5, "b": 2}  # type: ignore[attr-defined]


def test_a_chain_can_be_entered_again_from_its_start() -> None:
    class Visit(MarkovTaskSet):
        @transition("end")
        def begin(self) -> None:
            note("begin")(self)

        @transition("begin")
        def end(self) -> None:
            note("end")(self)
            self.interrupt()

    assert run_set(Visit, 4) == ["begin", "end", "begin", "end"]


def test_a_chain_may_extend_that_of_its_base() -> None:
    class Base(MarkovTaskSet):
        @transition("leave")
        def enter(self) -> None:
            note("enter")(self)

        @transition("enter")
        def leave(self) -> None:
            note("base leave")(self)

    class Visit(Base):
        @transition("enter")
        def leave(self) -> None:
            note("own leave")(self)

    assert run_set(Visit, 3) == ["enter", "own leave", "enter"]


def test_a_chain_without_tasks_is_refused() -> None:
    with pytest.raises(NoMarkovTasksError, match="Empty"):

        class Empty(MarkovTaskSet):
            pass


def test_an_abstract_chain_may_be_empty() -> None:
    class Base(MarkovTaskSet):
        abstract = True

    assert Base.abstract


def test_a_transition_to_a_name_that_is_not_there_is_refused() -> None:
    with pytest.raises(InvalidTransitionError, match="'nowhere'"):

        class Visit(MarkovTaskSet):
            @transition("nowhere")
            def enter(self) -> None: ...


def test_a_transition_to_a_plain_method_is_refused() -> None:
    with pytest.raises(NonMarkovTaskTransitionError, match="'helper'"):

        class Visit(MarkovTaskSet):
            @transition("helper")
            def enter(self) -> None: ...

            def helper(self) -> None: ...


def test_transitions_of_weight_zero_lead_nowhere() -> None:
    with pytest.raises(InvalidTransitionError, match="weigh 0"):

        class Visit(MarkovTaskSet):
            @transition("enter", 0)
            def enter(self) -> None: ...


def test_tags_in_a_chain_are_refused() -> None:
    with pytest.raises(MarkovTaskTagError, match=r"Visit\.enter"):

        class Visit(MarkovTaskSet):
            @tag("x")
            @transition("enter")
            def enter(self) -> None: ...


def test_errors_of_a_chain_are_scenario_errors() -> None:
    for one in (NoMarkovTasksError, InvalidTransitionError, NonMarkovTaskTransitionError, MarkovTaskTagError):
        assert issubclass(one, ScenarioError)


def test_a_task_that_cannot_be_reached_is_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    class Visit(MarkovTaskSet):
        @transition("enter")
        def enter(self) -> None: ...

        @transition("enter")
        def island(self) -> None: ...

    assert "Visit.island can never be reached" in caplog.text
