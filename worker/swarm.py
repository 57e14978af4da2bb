"""The virtual users of one worker: starts each at its time, ends them gracefully, knows when none is left.

::

    state      event          next       what happens
    IDLE       start          SPAWNING   users start on schedule
    SPAWNING   all started    HOLDING
    HOLDING    start          SPAWNING   another assignment: users that are new start, those that are not in it end
    HOLDING    last one gone  HOLDING    every user ended by itself: `on_idle`, once; more may be assigned
    any        suspend        HOLDING    every user ends now; a later assignment may bring others
    any        stop, time up  STOPPING   waiting users end now, busy ones after their task or at the timeout
    STOPPING   stop           STOPPING   with the shorter timeout
    STOPPING   last one gone  GONE       `on_gone`, once

Invariant: `recorder.users` holds what lives, per class; `on_gone` is called exactly once per swarm.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import Enum

import gevent
from gevent.event import Event

from loadgen.clock import Clock
from loadgen.environment import Environment
from loadgen.identity import UserIdentity
from loadgen.metrics.recorder import Recorder
from loadgen.plan import UserKey, schedule
from loadgen.users import User
from loadgen.worker.agent import Assignment

KILL_GRACE_S = 5.0  # a user that survives this long after being ended is reported, not waited for
_POLL_S = 0.05
_BATCH = 50  # users started between two turns of the hub

Who = tuple[str, int]  # class name, ordinal


class SwarmState(Enum):
    IDLE = "ready"
    SPAWNING = "spawning"
    HOLDING = "running"
    STOPPING = "stopping"
    GONE = "stopped"


class Swarm:
    """Runs the users of the assignments it is given, one after the other."""

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
        self._users: set[User] = set()  # all that live
        self._by_key: dict[Who, User] = {}  # the newest incarnation of each
        self._class_indexes: dict[str, int] = {}
        self._wanted: set[Who] = set()
        self._pending: deque[tuple[int, Who, int]] = deque()  # (due on our clock, who, incarnation)
        self._start_ns = 0
        self._end_ns: int | None = None
        self._wakeup = Event()
        self._stopping = False
        self._suspended = False
        self._idle_told = False
        self._force_at_ns: int | None = None
        self._supervisor: gevent.Greenlet[..., None] | None = None
        self._stopper: gevent.Greenlet[..., None] | None = None

    @property
    def user_count(self) -> int:
        return len(self._users)

    def surplus(self) -> int:
        """How many live that the newest assignment does not want: released, but not yet at the end of their task."""
        return sum((user.identity.class_name, user.identity.ordinal) not in self._wanted for user in self._users)

    def running(self) -> set[UserKey]:
        """Who lives now, by (class index, ordinal) of the newest plan."""
        return {(self._class_indexes[user.identity.class_name], user.identity.ordinal) for user in self._users}

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        """Run exactly the users of `assignment`; `offset_ns` is the master's clock minus ours."""
        plan = assignment.plan
        self._class_indexes = {item.name: index for index, item in enumerate(plan.classes)}
        self._start_ns = assignment.start_ns - offset_ns
        self._end_ns = None if plan.duration_s is None else self._start_ns + int(plan.duration_s * 1e9)
        rows = [
            (self._start_ns + int(start_s * 1e9), (plan.classes[class_index].name, ordinal))
            for start_s, class_index, ordinal in schedule(plan, assignment.shares)
        ]
        self._release(self._wanted.difference(key for _, key in rows))
        self._enlist([row for row in rows if row[1] not in self._wanted], assignment)
        self._wanted = {key for _, key in rows}
        self._suspended = self._idle_told = False
        if self.state in (SwarmState.IDLE, SwarmState.HOLDING):
            self.state = SwarmState.SPAWNING
        self._wakeup.set()
        if self._supervisor is None:
            self._supervisor = gevent.spawn(self._run)

    def suspend(self) -> None:
        """End every user now, but stay ready for another assignment."""
        self._suspended = True
        self._pending.clear()
        self._wanted.clear()
        self._kill()

    def stop(self, timeout_s: float) -> None:
        """End all users: gracefully, and by force after `timeout_s`. May be repeated with less time."""
        force_at_ns = self._clock.now_ns() + int(timeout_s * 1e9)
        if self._force_at_ns is None or force_at_ns < self._force_at_ns:
            self._force_at_ns = force_at_ns
        if self.state is not SwarmState.GONE:
            self.state = SwarmState.STOPPING
        self._stopping = True
        self._wakeup.set()
        if self._stopper is None:
            self._stopper = gevent.spawn(self._end_users)

    # -- starting

    def _enlist(self, rows: list[tuple[int, Who]], assignment: Assignment) -> None:
        """Users of the first wave start on the plan's schedule, later ones no faster than their rate."""
        now_ns = self._clock.now_ns()
        gap_ns = 1e9 / assignment.rate_per_s if assignment.wave and assignment.rate_per_s > 0 else 0.0
        merged = [*self._pending]
        for place, (due_ns, key) in enumerate(rows):
            earliest_ns = now_ns + int(place * gap_ns) if assignment.wave else due_ns
            merged.append((max(due_ns, earliest_ns), key, assignment.wave))
        self._pending = deque(sorted(merged))

    def _release(self, keys: Iterable[Who]) -> None:
        for key in keys:
            user = self._by_key.get(key)
            if user is not None:
                user.request_stop()

    def _run(self) -> None:
        self._environment.events.test_start.fire(environment=self._environment)
        self._pause_until(self._start_ns)
        self._on_begin()
        while not self._stopping:
            self._wakeup.clear()
            self._spawn_due()
            self._look_around()
            if not self._stopping:
                self._wakeup.wait(self._time_to_next_s())
        if self._stopper is not None:
            self._stopper.join()
        self.state = SwarmState.GONE
        self._environment.events.test_stop.fire(environment=self._environment)
        self._on_gone()

    def _spawn_due(self) -> None:
        started = 0
        while self._pending and self._pending[0][0] <= self._clock.now_ns() and not self._stopping:
            _, key, incarnation = self._pending.popleft()
            if key in self._wanted:
                self._spawn(key, incarnation)
                started += 1
                if started % _BATCH == 0:
                    gevent.sleep(0)  # let the started users connect before there are more of them

    def _look_around(self) -> None:
        """Is the ramp over, the plan, or every user?"""
        if self._end_ns is not None and self._clock.now_ns() >= self._end_ns:
            self.stop(self._stop_timeout_s)
        elif not self._pending and not self._stopping:
            if self.state is SwarmState.SPAWNING:
                self.state = SwarmState.HOLDING
                self._environment.events.spawning_complete.fire(user_count=self.user_count)
            if not self._users and not self._idle_told and not self._suspended:
                self._idle_told = True
                self._on_idle()

    def _time_to_next_s(self) -> float:
        """Until the next start or the plan's end, at most _POLL_S."""
        dues = [due for due in (self._pending[0][0] if self._pending else None, self._end_ns) if due is not None]
        left_s = (min(dues) - self._clock.now_ns()) / 1e9 if dues else _POLL_S
        return max(0.0, min(left_s, _POLL_S))

    def _pause_until(self, due_ns: int) -> None:
        """Sleep until then, or until a stop."""
        while not self._stopping and (wait_s := (due_ns - self._clock.now_ns()) / 1e9) > 0:
            self._wakeup.clear()
            self._wakeup.wait(wait_s)

    def _spawn(self, key: Who, incarnation: int) -> None:
        name, ordinal = key
        user_class = self._classes[name]
        try:
            user = user_class(self._environment)
        except Exception as exc:  # noqa: BLE001 - the scenario's own constructor
            self._recorder.task_error(name, exc)
            return
        user.identity = UserIdentity(name, ordinal, incarnation)
        before = self._by_key.get(key)
        self._by_key[key] = user
        self._users.add(user)
        self._recorder.users[name] = self._recorder.users.get(name, 0) + 1
        user.greenlet = gevent.spawn(self._live, user, key, before)

    def _live(self, user: User, key: Who, before: User | None) -> None:
        try:
            if before is not None and before.greenlet is not None:
                before.greenlet.join()  # an earlier incarnation still finishes its task
            user.run()
        finally:
            self._users.discard(user)
            if self._by_key.get(key) is user:
                del self._by_key[key]
            self._recorder.users[key[0]] -= 1

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
