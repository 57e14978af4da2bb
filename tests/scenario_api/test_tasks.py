"""Choosing and running tasks: weights, forms of `tasks`, inheritance, nesting, tags."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest

from loadgen import (
    RescheduleTask,
    RescheduleTaskImmediately,
    StopUser,
    TaskSet,
    User,
    constant,
    tag,
    task,
)
from loadgen.environment import Environment
from loadgen.errors import LoadgenError
from loadgen.tasks import filter_by_tags

from .helpers import is_closed, live, make_environment


class Counting(User):
    """A user that ends after `limit` iterations and counts which tasks ran."""

    abstract = True
    limit = 2000

    def on_start(self) -> None:
        self.ran: Counter[str] = Counter()

    def note(self, name: str) -> None:
        self.has_yielded = True  # spare the hub: thousands of iterations
        self.ran[name] += 1
        if self.ran.total() >= self.limit:
            raise StopUser


def note(name: str) -> Any:
    def run(holder: Any) -> None:
        holder.own_user().note(name)

    run.__name__ = name
    return run


def shares(user: Counting) -> dict[str, float]:
    return {name: count / user.ran.total() for name, count in user.ran.items()}


def test_tasks_are_chosen_by_weight() -> None:
    class Shopper(Counting):
        @task(3)
        def browse(self) -> None:
            self.note("browse")

        @task
        def buy(self) -> None:
            self.note("buy")

    assert shares(live(Shopper)) == pytest.approx({"browse": 0.75, "buy": 0.25}, abs=0.04)


@pytest.mark.parametrize(
    "tasks",
    [
        {note("a"): 3, note("b"): 1},
        [(note("a"), 3), (note("b"), 1)],
        [(note("a"), 1.5), (note("b"), 0.5)],
        {note("a"): 0.75, note("b"): 0.25, note("never"): 0},
    ],
    ids=["dict", "pairs", "fractions", "zero"],
)
def test_tasks_take_every_form(tasks: Any) -> None:
    shopper = type("Shopper", (Counting,), {"tasks": tasks})

    assert shares(live(shopper)) == pytest.approx({"a": 0.75, "b": 0.25}, abs=0.04)


def test_a_list_may_repeat_a_task_to_give_it_weight() -> None:
    a, b = note("a"), note("b")
    shopper = type("Shopper", (Counting,), {"tasks": [a, a, a, b]})

    assert shares(live(shopper)) == pytest.approx({"a": 0.75, "b": 0.25}, abs=0.04)


def test_whole_weights_expand_the_list_that_scenarios_see() -> None:
    class Shopper(User):
        @task(2)
        def a(self) -> None: ...

        @task
        def b(self) -> None: ...

    assert Shopper.tasks == [Shopper.a, Shopper.a, Shopper.b]


def test_tasks_are_inherited_additively() -> None:
    class Base(Counting):
        abstract = True
        tasks: Any = [note("listed")]

        @task
        def based(self) -> None:
            self.note("based")

    class Mixin:
        @task
        def mixed(self: Any) -> None:
            self.note("mixed")

    class Shopper(Base, Mixin):
        tasks = {note("own"): 1}

        @task
        def decorated(self) -> None:
            self.note("decorated")

    assert set(live(Shopper).ran) == {"listed", "based", "mixed", "own", "decorated"}
    assert len(Base.tasks) == 2


def test_tasks_set_on_the_instance_win() -> None:
    class Shopper(Counting):
        limit = 10
        tasks = [note("of the class")]

        def on_start(self) -> None:
            super().on_start()
            self.tasks = [note("of the user")]

    assert set(live(Shopper).ran) == {"of the user"}


def test_tasks_replaced_while_users_run_are_seen() -> None:
    class Shopper(Counting):
        limit = 10

        @task
        def first(self) -> None:
            type(self).tasks = {note("second"): 1}
            self.note("first")

    assert live(Shopper).ran == {"first": 1, "second": 9}


def test_the_same_seed_and_identity_give_the_same_choices() -> None:
    def order(seed: int) -> list[str]:
        seen: list[str] = []

        class Shopper(User):
            tasks = [lambda user: seen.append("a"), lambda user: seen.append("b")]

            def wait_time(self) -> float:
                self.has_yielded = True
                if len(seen) == 64:
                    raise StopUser
                return 0

        live(Shopper, make_environment(seed=seed))
        return seen

    assert order(1) == order(1)
    assert order(1) != order(2)


@pytest.mark.parametrize("weight", [-1, float("nan"), float("inf"), True, "3"])
def test_a_weight_must_be_a_finite_number_of_zero_or_more(weight: Any) -> None:
    with pytest.raises((TypeError, ValueError), match="weight"):
        task(weight)


def test_a_task_must_not_be_called_run() -> None:
    with pytest.raises(LoadgenError, match="run"):

        @task
        def run(self: Any) -> None: ...


def test_decorating_on_start_warns(caplog: pytest.LogCaptureFixture) -> None:
    @task
    def on_start(self: Any) -> None: ...

    assert "on_start" in caplog.text


def test_a_user_without_tasks_ends_with_an_error_that_says_so() -> None:
    class Idle(User):
        pass

    environment = make_environment()
    errors: list[str] = []
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    live(Idle, environment)

    assert errors == ["Idle has no tasks: decorate methods with @task, or set `tasks`"]


def test_a_nested_set_runs_until_it_interrupts_and_its_leaves_are_the_iterations() -> None:
    log: list[str] = []

    class Visitor(User):
        @task
        class Cart(TaskSet):
            def on_start(self) -> None:
                log.append("enter")
                assert self.parent is self.user

            def on_stop(self) -> None:
                log.append("leave")

            @task
            def add(self) -> None:
                log.append("add")
                if len(log) > 8:
                    raise StopUser
                if log.count("add") % 2 == 0:
                    self.interrupt()

    environment = make_environment()
    live(Visitor, environment)

    assert log == ["enter", "add", "add", "leave"] * 2 + ["enter", "add", "leave"]
    assert environment.recorder.books.started == environment.recorder.books.ok == 5


@pytest.mark.parametrize(("reschedule", "waits"), [(True, 0), (False, 1)])
def test_interrupt_decides_whether_the_parent_waits(reschedule: bool, waits: int) -> None:
    waited: list[int] = []

    class Visitor(User):
        entered = 0

        def wait_time(self) -> float:
            waited.append(self.entered)
            return 0

        @task
        class Once(TaskSet):
            def on_start(self) -> None:
                user: Any = self.user
                user.entered += 1
                if user.entered == 2:
                    raise StopUser

            @task
            def leave(self) -> None:
                self.interrupt(reschedule)

    live(Visitor)

    assert len(waited) == waits


def test_an_interrupt_in_on_start_leaves_without_on_stop() -> None:
    log: list[str] = []

    class Visitor(User):
        @task
        class Closed(TaskSet):
            def on_start(self) -> None:
                log.append("start")
                if len(log) == 3:
                    raise StopUser
                self.interrupt()

            def on_stop(self) -> None:
                log.append("stop")

            @task
            def never(self) -> None:
                log.append("never")

    live(Visitor)

    assert log == ["start", "start", "start", "stop"]


def test_deeply_nested_sets_find_their_user_and_leave_in_order() -> None:
    log: list[str] = []

    class Inner(TaskSet):
        @task
        def end(self) -> None:
            assert isinstance(self.parent, Outer)
            assert isinstance(self.user, Visitor)
            raise StopUser

        def on_stop(self) -> None:
            log.append("inner")

    class Outer(TaskSet):
        tasks = [Inner]

        def on_stop(self) -> None:
            log.append("outer")

    class Visitor(User):
        tasks = [Outer]

        def on_stop(self) -> None:
            log.append("user")

    live(Visitor)

    assert log == ["inner", "outer", "user"]


def test_interrupt_in_a_task_of_the_user_itself_is_an_error_that_explains() -> None:
    class Visitor(User):
        ran = 0

        @task
        def lost(self) -> None:
            self.ran += 1
            if self.ran == 2:
                raise StopUser
            TaskSet.interrupt(self)  # type: ignore[arg-type]

    environment = make_environment()
    errors: list[str] = []
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    live(Visitor, environment)

    assert len(errors) == 1
    assert "no TaskSet to leave" in errors[0]
    assert environment.recorder.books.failed == 1


@pytest.mark.parametrize(("flow", "waits"), [(RescheduleTask, 2), (RescheduleTaskImmediately, 0)])
def test_rescheduling_ends_the_iteration_and_waits_or_not(flow: type[Exception], waits: int) -> None:
    waited: list[int] = []

    class Visitor(User):
        ran = 0

        def wait_time(self) -> float:
            waited.append(1)
            return 0

        @task
        def again(self) -> None:
            self.ran += 1
            if self.ran == 3:
                raise StopUser
            raise flow

    environment = make_environment()
    live(Visitor, environment)

    assert len(waited) == waits
    assert environment.recorder.books.ok == 3


def test_scheduled_tasks_run_first_and_in_order() -> None:
    log: list[str] = []

    class Visit(TaskSet):
        def on_start(self) -> None:
            self.schedule_task(note("second"))
            self.schedule_task(note("third"))
            self.schedule_task(note("first"), first=True)

        @task
        def rest(self) -> None:
            log.append("rest")
            raise StopUser

    class Visitor(User):
        tasks = [Visit]

        def note(self, name: str) -> None:
            log.append(name)

    live(Visitor)

    assert log == ["first", "second", "third", "rest"]


def test_get_next_task_may_be_overridden_and_may_ask_its_base() -> None:
    class Visit(TaskSet):
        asked = 0

        def get_next_task(self) -> Any:
            self.asked += 1
            return note("own") if self.asked % 2 else super().get_next_task()

        @task
        def chosen(self) -> None:
            self.own_user().note("chosen")  # type: ignore[attr-defined]

    class Visitor(Counting):
        limit = 10
        tasks = [Visit]

    assert live(Visitor).ran == {"own": 5, "chosen": 5}


def test_execute_task_may_be_overridden_and_nested_sets_are_no_iterations() -> None:
    log: list[str] = []

    class Inner(TaskSet):
        @task
        def leaf(self) -> None:
            log.append("leaf")
            self.interrupt()

    class Outer(TaskSet):
        tasks = [Inner]

        def execute_task(self, task: Any) -> None:
            log.append(f"before {task.__name__}")
            if len(log) > 4:
                raise StopUser
            super().execute_task(task)

    class Visitor(User):
        tasks = [Outer]

    environment = make_environment()
    live(Visitor, environment)

    assert log == ["before Inner", "leaf"] * 2 + ["before Inner"]
    assert environment.recorder.books.started == 2


def test_execute_next_task_runs_one_task_now() -> None:
    log: list[str] = []

    class Visit(TaskSet):
        @task
        def a(self) -> None:
            log.append("a")

    class Visitor(User):
        tasks = [Visit]

    visit = Visit(Visitor(make_environment()))
    visit.schedule_task(lambda holder: log.append("scheduled"))
    visit.execute_next_task()
    visit.execute_next_task()

    assert log == ["scheduled", "a"]


def test_a_task_set_without_tasks_is_an_error_of_the_user() -> None:
    class Empty(TaskSet):
        pass

    class Visitor(User):
        tasks = [Empty]

    environment = make_environment()
    errors: list[str] = []
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    live(Visitor, environment)

    assert errors == ["Empty has no tasks: decorate methods with @task, or set `tasks`"]


# -- tags


@tag("set")
class Checkout(TaskSet):
    @task
    def pay(self) -> None:
        self.own_user().note("pay")  # type: ignore[attr-defined]
        self.interrupt()

    @tag("slow")
    @task
    def invoice(self) -> None:
        self.own_user().note("invoice")  # type: ignore[attr-defined]
        self.interrupt()


class Tagged(Counting):
    limit = 200
    tasks = [Checkout]

    @task
    def plain(self) -> None:
        self.note("plain")

    @tag("fast", "read")
    @task
    def browse(self) -> None:
        self.note("browse")

    @tag("slow")
    @tag("read")
    @task
    def search(self) -> None:
        self.note("search")


@pytest.mark.parametrize(
    ("include", "exclude", "left"),
    [
        ([], [], {"plain", "browse", "search", "pay", "invoice"}),
        (["read"], [], {"browse", "search"}),
        (["slow"], [], {"search", "invoice"}),
        (["set"], [], {"pay", "invoice"}),
        (["set", "fast"], [], {"pay", "invoice", "browse"}),
        ([], ["slow"], {"plain", "browse", "pay"}),
        ([], ["set"], {"plain", "browse", "search"}),
        (["read"], ["slow"], {"browse"}),
        (["set"], ["slow"], {"pay"}),
        (["nothing"], [], set()),
    ],
)
def test_tags_include_then_exclude(include: list[str], exclude: list[str], left: set[str]) -> None:
    environment: Environment = make_environment(tags=include, exclude_tags=exclude)
    user = live(Tagged, environment)

    assert set(user.ran) == left
    assert bool(filter_by_tags(Tagged, include, exclude)) == bool(left)
    assert is_closed(environment.recorder)


def test_filtering_changes_no_class() -> None:
    before = list(Tagged.tasks), list(Checkout.tasks)
    live(Tagged, make_environment(tags=["read"]))

    assert (Tagged.tasks, Checkout.tasks) == before


@pytest.mark.parametrize("arguments", [(), (len,), (1,)])
def test_tag_needs_names(arguments: Any) -> None:
    with pytest.raises(ValueError, match="tag"):
        tag(*arguments)


def test_wait_time_of_a_set_wins_over_that_of_the_user() -> None:
    waited: list[str] = []

    class Visit(TaskSet):
        def wait_time(self) -> float:
            waited.append("set")
            if len(waited) == 2:
                raise StopUser
            return 0

        @task
        def look(self) -> None: ...

    class Visitor(User):
        tasks = [Visit]
        wait_time = constant(60)

    live(Visitor)

    assert waited == ["set", "set"]


def test_a_set_uses_the_wait_time_of_its_user() -> None:
    class Visit(TaskSet):
        @task
        def look(self) -> None: ...

    class Visitor(User):
        tasks = [Visit]
        wait_time = constant(7)

    assert Visit(Visitor(make_environment())).wait_time() == 7
