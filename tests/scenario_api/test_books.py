"""The law of the books: whatever a scenario does and whenever it is stopped, they close."""

from __future__ import annotations

from collections import Counter
from typing import Any

import gevent
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from loadgen import (
    InterruptTaskSet,
    RescheduleTask,
    RescheduleTaskImmediately,
    StopTest,
    StopUser,
    TaskSet,
    User,
    task,
)

from .helpers import Backend, is_closed, make_environment, spawn, turns

ACTIONS = (
    "nothing",
    "yield",
    "sleep",
    "wait",
    "fail",
    "error",
    "reschedule",
    "again",
    "stop",
    "end",
    "leave",
    "timeout",
)
WAITS = (0.0, 0.0, 1e-6, 1e-4)


def act(holder: Any, action: str) -> None:
    user = holder.own_user()
    if action == "yield":
        gevent.sleep(0)
        user.has_yielded = True
    elif action == "sleep":
        gevent.sleep(1e-5)
    elif action == "wait":
        holder.wait()
    elif action == "fail":
        user.iteration_failed = True
    elif action == "error":
        raise ValueError("from the scenario")
    elif action == "reschedule":
        raise RescheduleTask
    elif action == "again":
        raise RescheduleTaskImmediately
    elif action == "stop":
        raise StopUser
    elif action == "end":
        raise StopTest
    elif action == "leave":
        raise InterruptTaskSet(reschedule=user.rng.random() < 0.5)
    elif action == "timeout":
        raise gevent.Timeout(0)


class Script:
    """What the users of one example do, drawn step by step, and what was entered and left."""

    def __init__(self, tasks: list[str], hooks: list[str]) -> None:
        self.tasks = tasks
        self.hooks = hooks
        self.steps = 0
        self.entered: Counter[object] = Counter()
        self.left: Counter[object] = Counter()

    def next_of(self, actions: list[str]) -> str:
        self.steps += 1
        return actions[self.steps % len(actions)]

    def task(self, holder: Any) -> None:
        act(holder, self.next_of(self.tasks))

    def enter(self, holder: Any) -> None:
        self.entered[holder] += 1
        act(holder, self.next_of(self.hooks))

    def leave(self, holder: Any) -> None:
        self.left[holder] += 1
        act(holder, self.next_of(self.hooks))


def user_class(script: Script, wait_s: float) -> type[User]:
    class Scripted(TaskSet):
        def on_start(self) -> None:
            script.enter(self)

        def on_stop(self) -> None:
            script.leave(self)

        @task(2)
        def work(self) -> None:
            script.task(self)

    class Inner(Scripted):
        pass

    class Outer(Scripted):
        tasks = {Inner: 1}

    class Visitor(User):
        tasks = {Outer: 1}

        def wait_time(self) -> float:
            return wait_s

        def on_start(self) -> None:
            script.enter(self)

        def on_stop(self) -> None:
            script.leave(self)

        @task
        def work(self) -> None:
            script.task(self)

    return Visitor


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    tasks=st.lists(st.sampled_from(ACTIONS), min_size=1, max_size=8),
    hooks=st.lists(st.sampled_from(("nothing", "yield", "sleep")), min_size=1, max_size=3),
    wait_s=st.sampled_from(WAITS),
    stops=st.lists(st.tuples(st.integers(0, 6), st.sampled_from(("request", "kill", "force"))), min_size=0, max_size=4),
    seed=st.integers(0, 2**32),
)
def test_the_books_close_and_every_set_is_left_once_however_users_end(
    tasks: list[str], hooks: list[str], wait_s: float, stops: list[tuple[int, str]], seed: int
) -> None:
    script = Script(tasks, hooks)
    backend = Backend()
    environment = make_environment(seed=seed, backend=backend)
    cls = user_class(script, wait_s)
    users = [cls(environment) for _ in range(3)]
    greenlets = [spawn(user) for user in users]
    for count, how in stops:
        turns(count)
        for user, greenlet in zip(users, greenlets, strict=True):
            if how == "request":
                user.request_stop()
            elif how == "force":
                user.stop(force=True)
            else:
                greenlet.kill(block=False)
    turns()
    gevent.killall(greenlets)

    assert all(greenlet.dead and greenlet.exception is None for greenlet in greenlets)
    assert is_closed(environment.recorder)
    assert script.left == script.entered
    assert set(script.left.values()) <= {1}
