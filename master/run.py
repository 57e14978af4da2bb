"""The life of one run, decided from what the cluster shows. Pure: a view and the time in, commands out.

::

    state     when                                          next       command
    CREATED   workers are being started                     WAITING
    WAITING   every expected worker is ready                RAMPING    Assign
              the time for that is over, enough are ready   RAMPING    Assign
              asked to stop, one failed, or too few came    FINISHED   Quit      (nothing was measured)
    RAMPING   the last user is due                          RUNNING
    RAMPING,  the duration is over, somebody asked to       STOPPING   Stop(timeout)
    RUNNING   stop, or every user has ended by itself
              no worker is left                             FINISHED   Quit
    STOPPING  asked again                                   STOPPING   Stop(0)
              every worker delivered its final results,     FINISHED   Quit
              or is lost, or the time for that is over

It is level-triggered: `step` may be called at any time and any number of times; each command is given once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.errors import LoadgenError, WorkersMissing
from loadgen.master.cluster_view import MemberView
from loadgen.master.members import MemberState
from loadgen.metrics.snapshot import RunState
from loadgen.plan import UserPlan

START_LEAD_S = 0.2  # the run's time 0 lies this far ahead, so that every worker has its assignment by then
WORKER_TIMEOUT_S = 60.0
FLUSH_TIMEOUT_S = 20.0  # beyond the stop timeout: for ending users by force, and for the last deltas


@dataclass(frozen=True, slots=True)
class Assign:
    plan: UserPlan
    start_ns: int


@dataclass(frozen=True, slots=True)
class Stop:
    timeout_s: float


@dataclass(frozen=True, slots=True)
class LoseUnsettled:
    reason: str


@dataclass(frozen=True, slots=True)
class Quit:
    pass


Command = Assign | Stop | LoseUnsettled | Quit


class Run:
    """Where the run is. `step` moves it on; `ask_to_stop` and `abort` are what people and failures do."""

    def __init__(
        self,
        plan: UserPlan,
        expected_workers: int,
        stop_timeout_s: float,
        now_ns: int,
        min_workers: int | None = None,
        worker_timeout_s: float = WORKER_TIMEOUT_S,
    ) -> None:
        self.state = RunState.CREATED
        self.plan = plan
        self.start_ns = 0  # the run's time 0
        self.error: LoadgenError | None = None  # why it was aborted
        self.interrupted = False  # a person stopped it before its plan was over
        self._expected = expected_workers
        self._least = expected_workers if min_workers is None else min_workers
        self._worker_timeout_s = worker_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._created_ns = now_ns
        self._stop_asked = 0  # how often: 1 = gracefully, 2 = now
        self._stop_told = 0
        self._deadline_ns = 0

    def resume(self, start_ns: int) -> None:
        """Go on with a run that an earlier master started; `start_ns` is its time 0 on our clock."""
        self.start_ns = start_ns
        self.state = RunState.RAMPING

    def ask_to_stop(self, *, interrupted: bool) -> None:
        """Stop gracefully; asked a second time, stop now."""
        self._stop_asked = min(2, self._stop_asked + 1)
        if self.state is not RunState.FINISHED:
            self.interrupted = self.interrupted or interrupted

    def abort(self, error: LoadgenError) -> None:
        """The run makes no sense any more: end everything now and remember the first reason."""
        self.error = self.error or error
        self._stop_asked = 2

    def elapsed_s(self, now_ns: int) -> float:
        """Seconds since the first user was due; 0.0 before that."""
        return max(0.0, (now_ns - self.start_ns) / 1e9) if self.start_ns else 0.0

    def step(self, members: Sequence[MemberView], now_ns: int) -> list[Command]:
        """What is to be done now, given the workers as they are now."""
        commands: list[Command] = []
        if self.state is RunState.CREATED:
            self.state = RunState.WAITING
        if self.state is RunState.WAITING:
            commands += self._wait(members, now_ns)
        if self.state in (RunState.RAMPING, RunState.RUNNING):
            commands += self._watch(members, now_ns)
        if self.state is RunState.STOPPING:
            commands += self._finish(members, now_ns)
        return commands

    def _wait(self, members: Sequence[MemberView], now_ns: int) -> list[Command]:
        if self._stop_asked:
            self.state = RunState.FINISHED
            return [Quit()]
        ready = [member for member in members if member.state is MemberState.READY]
        is_late = now_ns - self._created_ns > self._worker_timeout_s * 1e9
        if len(ready) >= self._expected or (is_late and len(ready) >= self._least):
            self.start_ns = now_ns + int(START_LEAD_S * 1e9)
            self.state = RunState.RAMPING
            return [Assign(self.plan, self.start_ns)]
        if is_late:
            text = f"{len(ready)} of {self._expected} workers were ready after {self._worker_timeout_s:.0f} s"
            hint = f"start anyway with fewer: --min-workers {len(ready)}" if ready else "do they reach this address?"
            self.abort(WorkersMissing(f"{text}; run not started", code="LG301", hints=(hint,)))
            self.state = RunState.FINISHED
            return [Quit()]
        return []

    def _watch(self, members: Sequence[MemberView], now_ns: int) -> list[Command]:
        elapsed_s = self.elapsed_s(now_ns)
        if self.state is RunState.RAMPING and elapsed_s >= self.plan.ramp_s:
            self.state = RunState.RUNNING
        over = self.plan.duration_s is not None and elapsed_s >= self.plan.duration_s
        if over or self._stop_asked or self._is_idle(members):
            return self._begin_stop(now_ns)
        return []

    def _is_idle(self, members: Sequence[MemberView]) -> bool:
        """Whether every user of the plan has ended by itself, or no worker is left to run any.

        A user that nobody runs at the moment, because its worker was lost, has not ended.
        """
        alive = [member for member in members if not member.settled]
        if not members:
            return False  # a resumed run that nobody has been seen of yet
        everyone_placed = sum(member.held for member in alive) >= self.plan.users
        return all(member.idle for member in alive) and (everyone_placed or not alive)

    def _begin_stop(self, now_ns: int) -> list[Command]:
        self.state = RunState.STOPPING
        self._stop_asked = max(1, self._stop_asked)
        return self._tell_stop(now_ns)

    def _tell_stop(self, now_ns: int) -> list[Command]:
        self._stop_told = self._stop_asked
        timeout_s = self._stop_timeout_s if self._stop_asked == 1 else 0.0
        self._deadline_ns = now_ns + int((timeout_s + FLUSH_TIMEOUT_S) * 1e9)
        return [Stop(timeout_s)]

    def _finish(self, members: Sequence[MemberView], now_ns: int) -> list[Command]:
        if members and all(member.settled for member in members):
            self.state = RunState.FINISHED
            return [Quit()]
        if now_ns >= self._deadline_ns:
            return [LoseUnsettled("it did not deliver its final results in time")]
        if self._stop_asked > self._stop_told:
            return self._tell_stop(now_ns)
        return []
