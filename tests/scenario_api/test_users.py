"""The life of one user: on_start, tasks, waits, on_stop, and every way it ends."""

from __future__ import annotations

from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.pool import Group

from loadgen import HttpUser, StopTest, StopUser, TaskSet, User, between, constant, task
from loadgen.environment import Environment
from loadgen.errors import ConfigError
from loadgen.users import UserIdentity, UserState

from .helpers import Backend, is_closed, live, make_environment, spawn, turns

LONG_S = 3600.0


def errors_of(environment: Environment) -> list[str]:
    """What user_error tells from now on."""
    errors: list[str] = []
    environment.events.user_error.add_listener(lambda exception, **_: errors.append(str(exception)))
    return errors


def state_of(user: User) -> UserState:
    return user.state


class Sleeper(User):
    """Waits for ever after its first task, and logs its life."""

    abstract = True
    wait_time = constant(LONG_S)

    def __init__(self, environment: Environment) -> None:
        super().__init__(environment)
        self.log: list[str] = []

    def on_start(self) -> None:
        self.log.append("start")

    def on_stop(self) -> None:
        self.log.append("stop")


def test_a_user_starts_works_and_stops() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None:
            self.log.append("look")
            raise StopUser

    assert live(Visitor).log == ["start", "look", "stop"]


def test_an_error_in_on_start_ends_the_user_without_on_stop() -> None:
    class Visitor(Sleeper):
        def on_start(self) -> None:
            super().on_start()
            raise ValueError("no login")

        @task
        def never(self) -> None:
            self.log.append("never")

    environment = make_environment()
    errors = errors_of(environment)

    assert live(Visitor, environment).log == ["start"]
    assert errors == ["no login"]
    assert environment.recorder.books.started == 0


def test_stop_user_in_on_start_ends_the_user_with_on_stop() -> None:
    class Visitor(Sleeper):
        def on_start(self) -> None:
            super().on_start()
            raise StopUser

    assert live(Visitor).log == ["start", "stop"]


@pytest.mark.parametrize("place", ["on_start", "task", "nested", "wait_time", "on_stop"])
def test_stop_test_asks_the_runner_to_quit_once(place: str) -> None:
    class Nested(TaskSet):
        @task
        def end(self) -> None:
            raise StopTest if place == "nested" else StopUser

    class Visitor(Sleeper):
        tasks = [Nested] if place == "nested" else []

        def on_start(self) -> None:
            super().on_start()
            if place == "on_start":
                raise StopTest

        @task
        def work(self) -> None:
            if place == "task":
                raise StopTest
            if place == "on_stop":
                raise StopUser

        def wait_time(self) -> float:
            if place == "wait_time":
                raise StopTest
            return 0

        def on_stop(self) -> None:
            super().on_stop()
            if place == "on_stop":
                raise StopTest

    backend = Backend()
    user = live(Visitor, make_environment(backend=backend))

    assert backend.quits == 1
    assert user.log[-1] == "stop"


def test_an_error_in_a_task_is_recorded_and_the_user_waits_and_goes_on() -> None:
    waits: list[int] = []

    class Visitor(User):
        ran = 0

        def wait_time(self) -> float:
            waits.append(self.ran)
            return 0

        @task
        def fragile(self) -> None:
            self.ran += 1
            if self.ran == 3:
                raise StopUser
            raise ValueError(f"broken {self.ran}")

    environment = make_environment()
    errors = errors_of(environment)
    live(Visitor, environment)

    assert errors == ["broken 1", "broken 2"]
    assert waits == [1, 2]
    assert (environment.recorder.books.failed, environment.recorder.books.ok) == (2, 1)


def test_a_failed_request_fails_the_iteration_once() -> None:
    class Visitor(User):
        ran = 0

        @task
        def work(self) -> None:
            self.ran += 1
            self.iteration_failed = self.ran == 1
            if self.ran == 2:
                raise StopUser

    environment = make_environment()
    live(Visitor, environment)

    assert (environment.recorder.books.failed, environment.recorder.books.ok) == (1, 1)


def test_uncaught_exceptions_leave_run_when_the_environment_says_so() -> None:
    class Visitor(Sleeper):
        @task
        def fragile(self) -> None:
            raise ValueError("for the debugger")

    environment = make_environment(catch_exceptions=False)
    user = Visitor(environment)
    with pytest.raises(ValueError, match="for the debugger"):
        user.run()

    assert user.log == ["start", "stop"]
    assert is_closed(environment.recorder)


def test_a_leaked_gevent_timeout_is_an_error_of_the_task() -> None:
    class Visitor(User):
        ran = 0

        @task
        def slow(self) -> None:
            self.ran += 1
            if self.ran == 2:
                raise StopUser
            raise gevent.Timeout(1)

    environment = make_environment()
    errors = errors_of(environment)
    live(Visitor, environment)

    assert errors == ["1 second"]
    assert environment.recorder.books.failed == 1


def test_an_error_in_wait_time_ends_the_user() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None:
            self.log.append("look")

        def wait_time(self) -> float:
            raise KeyError("pace")

    environment = make_environment()
    errors = errors_of(environment)

    assert live(Visitor, environment).log == ["start", "look", "stop"]
    assert errors == ["'pace'"]


def test_a_wait_time_that_returns_nothing_ends_the_user_with_an_error() -> None:
    class Visitor(User):
        @task
        def look(self) -> None: ...

        def wait_time(self) -> Any:
            return None

    environment = make_environment()
    errors = errors_of(environment)
    live(Visitor, environment)

    assert len(errors) == 1


def test_an_error_in_on_stop_is_recorded() -> None:
    class Visitor(Sleeper):
        @task
        def end(self) -> None:
            raise StopUser

        def on_stop(self) -> None:
            super().on_stop()
            raise ValueError("no logout")

    environment = make_environment()
    errors = errors_of(environment)

    assert live(Visitor, environment).log == ["start", "stop"]
    assert errors == ["no logout"]


def test_flow_exceptions_of_a_user_error_listener_end_the_user() -> None:
    class Visitor(Sleeper):
        @task
        def fragile(self) -> None:
            raise ValueError

    environment = make_environment()

    def stop(**_: Any) -> None:
        raise StopUser

    environment.events.user_error.add_listener(stop)

    assert live(Visitor, environment).log == ["start", "stop"]
    assert is_closed(environment.recorder)


def test_a_stop_request_ends_a_waiting_user_now() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None: ...

    environment = make_environment()
    user = Visitor(environment)
    greenlet = spawn(user)
    turns()
    assert state_of(user) is UserState.WAITING

    user.request_stop()
    assert state_of(user) is UserState.STOPPING
    greenlet.join()

    assert user.log == ["start", "stop"]
    assert environment.recorder.books.ok == 1


def test_a_stop_request_lets_a_task_finish() -> None:
    go_on = Event()

    class Visitor(Sleeper):
        @task
        def look(self) -> None:
            go_on.wait()
            self.log.append("looked")

    environment = make_environment()
    user = Visitor(environment)
    greenlet = spawn(user)
    turns()
    assert user.state is UserState.RUNNING

    user.request_stop()
    turns()
    assert not greenlet.dead
    go_on.set()
    greenlet.join()

    assert user.log == ["start", "looked", "stop"]
    assert environment.recorder.books.ok == 1


def test_a_stop_request_does_not_cut_a_wait_inside_a_task() -> None:
    class Visitor(Sleeper):
        wait_time = constant(0.001)

        @task
        def look(self) -> None:
            self.request_stop()
            self.wait()
            self.log.append("waited")

    user = Visitor(make_environment())
    spawn(user).join()

    assert user.log == ["start", "waited", "stop"]


def test_stop_requests_that_come_twice_run_on_stop_once_and_whole() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None: ...

        def on_stop(self) -> None:
            self.log.append("stopping")
            turns()
            self.log.append("stopped")

    user = Visitor(make_environment())
    greenlet = spawn(user)
    turns()
    user.request_stop()
    user.request_stop()
    turns(1)
    user.request_stop()
    greenlet.join()

    assert user.log == ["start", "stopping", "stopped"]


def test_a_stop_request_that_meets_the_end_of_the_wait_does_not_hurt_on_stop() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None: ...

        def wait_time(self) -> float:
            return 1e-9

        def on_stop(self) -> None:
            turns()
            self.log.append("stopped")

    environment = make_environment()
    for count in range(20):
        user = Visitor(environment)
        greenlet = spawn(user)
        turns(count)
        user.request_stop()
        greenlet.join()
        assert user.log == (["start", "stopped"] if count else [])
    books = environment.recorder.books

    assert is_closed(environment.recorder)
    assert books.cancelled == 0


def test_a_user_asked_to_stop_before_it_began_does_nothing() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None: ...

    user = Visitor(make_environment())
    user.request_stop()
    user.run()

    assert user.log == []


def test_a_stop_request_ends_a_wait_that_the_scenario_overrides() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None: ...

        def wait(self) -> None:
            gevent.sleep(LONG_S)

    user = Visitor(make_environment())
    greenlet = spawn(user)
    turns()
    user.request_stop()
    greenlet.join()

    assert user.log == ["start", "stop"]


def test_a_kill_in_a_task_cancels_the_iteration_and_runs_every_on_stop_once() -> None:
    log: list[str] = []

    class Visit(TaskSet):
        def on_stop(self) -> None:
            log.append("set")

        @task
        def stuck(self) -> None:
            log.append("task")
            gevent.sleep(LONG_S)

    class Visitor(User):
        tasks = [Visit]

        def on_stop(self) -> None:
            log.append("user")

    environment = make_environment()
    user = Visitor(environment)
    greenlet = spawn(user)
    turns()
    greenlet.kill()

    assert log == ["task", "set", "user"]
    assert greenlet.exception is None
    assert (environment.recorder.books.cancelled, environment.recorder.books.ok) == (1, 0)


def test_a_failed_request_of_a_cancelled_iteration_is_not_carried_on() -> None:
    class Visitor(User):
        @task
        def stuck(self) -> None:
            self.iteration_failed = True
            gevent.sleep(LONG_S)

    environment = make_environment()
    user = Visitor(environment)
    greenlet = spawn(user)
    turns()
    greenlet.kill()

    assert not user.iteration_failed
    assert environment.recorder.books.cancelled == 1


def test_a_user_that_never_waits_lets_others_run() -> None:
    class Busy(User):
        ran = 0

        @task
        def work(self) -> None:
            self.ran += 1

    user = Busy(make_environment())
    greenlet = spawn(user)
    turns(10)
    ran = user.ran
    greenlet.kill()

    assert 5 <= ran <= 12  # one iteration per turn of the hub


def test_sets_that_only_interrupt_still_let_others_run() -> None:
    class Visitor(User):
        @task
        class Restless(TaskSet):
            @task
            def leave(self) -> None:
                self.interrupt()

    greenlet = spawn(Visitor(make_environment()))
    turns(10)
    greenlet.kill()

    assert greenlet.dead


def test_start_and_stop_are_those_of_locust() -> None:
    class Visitor(Sleeper):
        @task
        def look(self) -> None: ...

    group = Group()
    waiting, forced = Visitor(make_environment()), Visitor(make_environment())
    for user in (waiting, forced):
        user.start(group)
    turns()

    assert waiting.stop()
    assert forced.stop(force=True)
    group.join()
    assert waiting.log == forced.log == ["start", "stop"]


def test_rng_follows_from_seed_and_identity() -> None:
    class Visitor(User):
        @task
        def look(self) -> None: ...

    def draws(seed: int, ordinal: int) -> list[float]:
        user = Visitor(make_environment(seed=seed))
        user.identity = UserIdentity("Visitor", ordinal, 0)
        return [user.rng.random() for _ in range(3)]

    assert draws(1, 7) == draws(1, 7)
    assert len({tuple(draws(seed, ordinal)) for seed in (1, 2) for ordinal in (0, 1)}) == 4


def test_a_user_that_touches_nothing_owns_no_random_generator() -> None:
    class Visitor(User):
        wait_time = between(0, 1)

        @task
        def look(self) -> None: ...

    user = Visitor(make_environment())
    user.wait_time()

    assert set(vars(user)) == {"environment", "choice"}


def test_abstract_is_not_inherited() -> None:
    class Base(User):
        abstract = True

    class Shopper(Base):
        pass

    assert Base.abstract
    assert not Shopper.abstract


def test_the_host_of_the_run_wins_over_that_of_the_class() -> None:
    class Visitor(User):
        host = "http://class"

    assert Visitor(make_environment(host="http://run")).host == "http://run"
    assert Visitor(make_environment()).host == "http://class"
    assert Visitor.host == "http://class"


def test_an_http_user_without_host_says_what_to_do() -> None:
    class Shopper(HttpUser):
        @task
        def look(self) -> None: ...

    with pytest.raises(ConfigError, match="Shopper has no host") as caught:
        Shopper(make_environment())
    assert caught.value.code == "LG106"
    assert "--host" in caught.value.render()


def test_a_class_tells_a_picker_what_it_is() -> None:
    class Shopper(User):
        weight = 2.5
        host = "http://shop"

        @task(3)
        def look(self) -> None: ...

    assert Shopper.json() == {"host": "http://shop", "weight": 2.5, "fixed_count": 0, "tasks": ["look"]}
    assert Shopper.fullname().endswith("Shopper")
