"""Each task of each user class once, in this process, with the real HTTP client: what `check` sends.

The tasks of a class share one user, in the order of the file, so that a login in `on_start` or an
earlier task counts for the later ones.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import gevent

from loadgen.debugging import SingleUser
from loadgen.environment import Environment
from loadgen.flow import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from loadgen.identity import UserIdentity
from loadgen.runner import Runner
from loadgen.tasks import TaskSet
from loadgen.users import User

TASK_TIMEOUT_S = 60.0
_FLOW = (InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopUser, StopTest)


@dataclass(frozen=True, slots=True)
class Shot:
    """One request that a task made. `error` is "" when it succeeded."""

    method: str
    name: str
    status: int | None
    duration_ms: float
    error: str


@dataclass(slots=True)
class TaskRun:
    """One task that was run once, by its path (`Shopper.Checkout.pay`)."""

    path: str
    shots: list[Shot] = field(default_factory=list)
    error: BaseException | None = None  # what the scenario's own code raised

    @property
    def ok(self) -> bool:
        return self.error is None and not self.failed_shots

    @property
    def failed_shots(self) -> list[Shot]:
        return [shot for shot in self.shots if shot.error]


def dry_run(environment: Environment, classes: tuple[type[User], ...]) -> Iterator[TaskRun]:
    """Run every task once and yield each when it is done; on_start and on_stop only if there is something to tell.

    A missing host or a constructor that fails raises.
    """
    for user_class in classes:
        user = user_class(environment)
        user.identity = UserIdentity(user_class.__name__, 0)
        environment.runner = Runner(environment, SingleUser(user_class.__name__))
        yield from _holder(environment, user, user_class.__name__, ())


def _holder(environment: Environment, holder: User | TaskSet, path: str, around: tuple[type, ...]) -> Iterator[TaskRun]:
    started = _once(environment, f"{path}.on_start", holder.on_start)
    if started.shots or started.error:
        yield started
    if started.error:
        return
    for task in dict.fromkeys(environment.table_of(holder).tasks):
        name = f"{path}.{getattr(task, '__name__', repr(task))}"
        if not isinstance(task, type):
            yield _once(environment, name, lambda task=task: task(holder))  # type: ignore[misc]
        elif task not in around:  # a set may stand inside itself
            yield from _holder(environment, task(holder), name, (*around, task))
    stopped = _once(environment, f"{path}.on_stop", holder.on_stop)
    if stopped.shots or stopped.error:
        yield stopped


def _once(environment: Environment, path: str, function: Callable[[], Any]) -> TaskRun:
    run = TaskRun(path)
    with _listening(environment, run.shots):
        try:
            with gevent.Timeout(TASK_TIMEOUT_S, TimeoutError(f"still running after {TASK_TIMEOUT_S:.0f} s")):
                function()
        except _FLOW:
            pass
        except Exception as exc:  # noqa: BLE001 -- the scenario's own code; shown to the user
            run.error = exc
    return run


@contextmanager
def _listening(environment: Environment, shots: list[Shot]) -> Iterator[None]:
    def note(
        request_type: str,
        name: str,
        response_time: float | None = 0,
        response: Any = None,
        exception: BaseException | str | None = None,
        **_: Any,
    ) -> None:
        status = getattr(response, "status_code", None) or None
        error = "" if exception is None else str(exception) or type(exception).__name__
        shots.append(Shot(request_type, name, status, response_time or 0.0, error))

    environment.events.request.add_listener(note)
    try:
        yield
    finally:
        environment.events.request.remove_listener(note)


def place_of(error: BaseException, file: str) -> str:
    """`:31` where in `file` the error came from, "" if it did not."""
    lines = []
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == file:
            lines.append(trace.tb_lineno)
        trace = trace.tb_next
    return f":{lines[-1]}" if lines else ""


def show_traceback(error: BaseException) -> None:
    """The whole traceback on stderr, for `-v`."""
    import traceback

    traceback.print_exception(error, file=sys.stderr)
