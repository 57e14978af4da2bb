"""How long a user waits between two tasks.

Each function here returns a function of the user (or TaskSet), to be put into a class as
`wait_time = between(1, 3)`; any method that returns seconds does as well.

`constant_pacing` and `constant_throughput` keep Locust's start rule on the monotonic clock: the
next task is due one period after the actual start of the last one; if that is past it starts at
once, and nothing is caught up later. How late a start was stands in `user.wait_us` during the
iteration and is recorded with each of its requests.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import TYPE_CHECKING, Any

from loadgen.identity import fraction

if TYPE_CHECKING:
    from loadgen.users import User

WaitFunction = Callable[[Any], float]
PACED_MARK = "loadgen_paced"


def between(min_wait: float, max_wait: float) -> WaitFunction:
    """Seconds drawn evenly from [min_wait, max_wait)."""
    low, high = _seconds(min_wait, "between"), _seconds(max_wait, "between")
    if high < low:
        raise ValueError(f"between({min_wait!r}, {max_wait!r}): the first number must not be above the second")
    span = high - low

    def wait_time(self: Any) -> float:
        return low + span * fraction(_user_of(self).draw())

    return wait_time


def constant(wait: float) -> WaitFunction:
    """Always `wait` seconds."""
    seconds = _seconds(wait, "constant")

    def wait_time(self: Any) -> float:
        return seconds

    return wait_time


def constant_pacing(period: float) -> WaitFunction:
    """Start a task every `period` seconds, or as soon as the last one is done if it took longer."""
    period_ns = round(_seconds(period, "constant_pacing") * 1e9)

    def wait_time(self: Any) -> float:
        user = _user_of(self)
        now_ns = user.environment.clock.now_ns()
        if user.started_ns is None:  # called by a scenario's own wait_time, for the first time
            user.started_ns = now_ns
        user.due_ns = due_ns = user.started_ns + period_ns
        return (due_ns - now_ns) / 1e9 if due_ns > now_ns else 0.0

    setattr(wait_time, PACED_MARK, True)
    return wait_time


def constant_throughput(tasks_per_second: float) -> WaitFunction:
    """Start `tasks_per_second` tasks a second per user, if the tasks are quick enough for it."""
    if not _seconds(tasks_per_second, "constant_throughput") > 0:
        raise ValueError(f"constant_throughput({tasks_per_second!r}): the rate must be above 0")
    return constant_pacing(1 / tasks_per_second)


def note_start(user: User) -> None:
    """Keep the time of this start of a paced user, and how late it is, in microseconds."""
    now_ns = user.environment.clock.now_ns()
    due_ns = user.due_ns
    user.started_ns = now_ns
    user.due_ns = None
    user.wait_us = (now_ns - due_ns) // 1_000 if due_ns is not None and now_ns > due_ns else 0


def _user_of(holder: Any) -> User:
    user: User = getattr(holder, "user", holder)
    return user


def _seconds(value: float, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name}({value!r}): a number is needed")
    if not isfinite(value) or value < 0:
        raise ValueError(f"{name}({value!r}): a number of 0 or more is needed")
    return float(value)
