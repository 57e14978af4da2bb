"""The virtual users of one worker: starts each at its time, ends them gracefully, knows when none is left.

::

    state      event          next       what happens
    IDLE       start          SPAWNING   users start on schedule
    SPAWNING   all started    HOLDING
    HOLDING    last one gone  HOLDING    every user ended by itself: `on_idle`, once; more may be assigned
    any        stop, time up  STOPPING   waiting users end now, busy ones after their task or at the timeout
    STOPPING   stop           STOPPING   with the shorter timeout
    STOPPING   last one gone  GONE       `on_gone`, once

Invariant: `recorder.users` holds what lives, per class; `on_gone` is called exactly once per start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import gevent
from gevent.event import Event

from loadgen.clock import Clock
from loadgen.environment import Environment
from loadgen.identity import UserIdentity
from loadgen.metrics.recorder import Recorder
from loadgen.plan import schedule
from loadgen.users import User
from loadgen.worker.agent import Assignment

KILL_GRACE_S = 5.0  # a user that survives this long after being ended is reported, not waited for
_POLL_S = 0.05
_BATCH = 50  # users started between two turns of the hub


class SwarmState(Enum):
    IDLE = "ready"
    SPAWNING = "spawning"
    HOLDING = "running"
    STOPPING = "stopping"
    GONE = "stopped"


class Swarm:
    """Runs the users of one assignment."""

    def __init__(
        self,
        environment: Environment,
        recorder: Recorder,
        classes: Mapping[str, type[User]],
        clock: Clock,
        stop_timeout_s: float,
        on_begin: Callable[[], None],
        on_gone: Callable[[], None],
        on_idle: Callable[[], None],
    ) -> None:
        self.state = SwarmState.IDLE
        self._environment = environment
        self._recorder = recorder
        self._classes = classes
        self._clock = clock
        self._stop_timeout_s = stop_timeout_s
        self._on_begin = on_begin  # the run's time 0 has come
        self._on_gone = on_gone
        self._on_idle = on_idle
        self._users: set[User] = set()
        self._stop_requested = Event()
        self._force_at_ns: int | None = None
        self._supervisor: gevent.Greenlet[..., None] | None = None
        self._stopper: gevent.Greenlet[..., None] | None = None

    @property
    def user_count(self) -> int:
        return len(self._users)

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        """Start the users of `assignment`; `offset_ns` is the master's clock minus ours."""
        self.state = SwarmState.SPAWNING
        start_ns = assignment.start_ns - offset_ns
        self._supervisor = gevent.spawn(self._run, assignment, start_ns)

    def stop(self, timeout_s: float) -> None:
        """End all users: gracefully, and by force after `timeout_s`. May be repeated with less time."""
        force_at_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        if self._force_at_ns is None or force_at_ns < self._force_at_ns:
            self._force_at_ns = force_at_ns
        if self.state is not SwarmState.GONE:
            self.state = SwarmState.STOPPING
        self._stop_requested.set()
        if self._stopper is None:
            self._stopper = gevent.spawn(self._end_users)

    # -- starting

    def _run(self, assignment: Assignment, start_ns: int) -> None:
        rows = schedule(assignment.plan, assignment.shares)
        self._environment.events.test_start.fire(environment=self._environment)
        self._pause_until(start_ns)
        self._on_begin()
        self._spawn_all(assignment, rows, start_ns)
        if not self._stop_requested.is_set():
            self.state = SwarmState.HOLDING
            self._environment.events.spawning_complete.fire(user_count=self.user_count)
        self._hold(assignment, start_ns)

    def _spawn_all(self, assignment: Assignment, rows: list[tuple[float, int, int]], start_ns: int) -> None:
        names = [item.name for item in assignment.plan.classes]
        for number, (start_s, class_index, ordinal) in enumerate(rows, 1):
            if not self._pause_until(start_ns + int(start_s * 1e9)) and number % _BATCH == 0:
                gevent.sleep(0)  # let the started users connect before there are more of them
            if self._stop_requested.is_set():
                return
            self._spawn(self._classes[names[class_index]], ordinal)

    def _pause_until(self, due_ns: int) -> bool:
        """Sleep until then, or until a stop; whether there was any time to sleep."""
        wait_s = (due_ns - self._clock.now_ns()) / 1e9
        if wait_s > 0:
            self._stop_requested.wait(wait_s)
        return wait_s > 0

    def _spawn(self, user_class: type[User], ordinal: int) -> None:
        name = user_class.__name__
        try:
            user = user_class(self._environment)
        except Exception as exc:  # noqa: BLE001 - the scenario's own constructor
            self._recorder.task_error(name, exc)
            return
        user.identity = UserIdentity(name, ordinal, 0)
        self._users.add(user)
        self._recorder.users[name] = self._recorder.users.get(name, 0) + 1
        user.greenlet = gevent.spawn(self._live, user)

    def _live(self, user: User) -> None:
        try:
            user.run()
        finally:
            self._users.discard(user)
            self._recorder.users[type(user).__name__] -= 1

    def _hold(self, assignment: Assignment, start_ns: int) -> None:
        """Wait until somebody stops us or the plan's time is up; then until no user is left."""
        duration_s = assignment.plan.duration_s
        end_ns = None if duration_s is None else start_ns + int(duration_s * 1e9)
        idle_told = False
        while not self._stop_requested.is_set():
            left_s = _POLL_S if end_ns is None else min(_POLL_S, (end_ns - self._clock.now_ns()) / 1e9)
            if left_s <= 0:
                self.stop(self._stop_timeout_s)
            elif not self._users and not idle_told:
                idle_told = True
                self._on_idle()
            else:
                self._stop_requested.wait(left_s)
        if self._stopper is not None:
            self._stopper.join()
        self.state = SwarmState.GONE
        self._environment.events.test_stop.fire(environment=self._environment)
        self._on_gone()

    # -- stopping

    def _end_users(self) -> None:
        self._environment.events.test_stopping.fire(environment=self._environment)
        for user in list(self._users):
            user.request_stop()
        self._wait_until_gone(lambda: self._force_at_ns or 0)
        self._kill()
        grace_ns = self._clock.now_ns() + int(KILL_GRACE_S * 1e9)
        self._wait_until_gone(lambda: grace_ns)
        if self._users:
            self._recorder.warn(f"{len(self._users)} users did not end within {KILL_GRACE_S:.0f} s of being told to")

    def _wait_until_gone(self, deadline_ns: Callable[[], int]) -> None:
        pause_s = 0.001
        while self._users and self._clock.now_ns() < deadline_ns():
            gevent.sleep(pause_s)
            pause_s = min(pause_s * 2, 0.05)

    def _kill(self) -> None:
        for user in list(self._users):
            if user.greenlet is not None:
                user.greenlet.kill(block=False)


def class_rows(classes: Sequence[type[User]]) -> list[list[object]]:
    """What the master needs to know of each class: (name, weight, fixed_count)."""
    return [[cls.__name__, float(cls.weight), int(cls.fixed_count)] for cls in classes]
