"""Measuring anything, not only HTTP: `self.measure("db", "reserve")`.

As a context manager or as a decorator; each block, or each call, is one recorded request:

- left normally: ok; left by an exception: failed, and the exception goes on;
- `fail("…")` inside: failed without an exception;
- stopped in the middle: cancelled.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from time import time
from types import TracebackType
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from gevent import GreenletExit

from loadgen.errors import CatchResponseError
from loadgen.hooks import FLOW, failure_of
from loadgen.metrics.failure import Failure

if TYPE_CHECKING:
    from loadgen.users import User

P = ParamSpec("P")
R = TypeVar("R")


class Measurement:
    """One measured block. `size` (bytes, default 0) and `name` may be set inside it."""

    __slots__ = ("_began_ns", "_failure", "_user", "_wall_s", "method", "name", "size")

    def __init__(self, user: User, method: str, name: str) -> None:
        self._user = user
        self.method = method
        self.name = name
        self.size = 0
        self._failure: BaseException | None = None
        self._began_ns = 0
        self._wall_s = 0.0

    def fail(self, reason: str | BaseException) -> None:
        """This block counts as failed, whatever happens in the rest of it. The last reason counts."""
        self._failure = CatchResponseError(reason) if isinstance(reason, str) else reason

    def __call__(self, function: Callable[P, R]) -> Callable[P, R]:
        """`function`, measured each time it is called."""

        @wraps(function)
        def measured(*args: P.args, **kwargs: P.kwargs) -> R:
            with Measurement(self._user, self.method, self.name):
                return function(*args, **kwargs)

        return measured

    def __enter__(self) -> Measurement:
        self._failure = None
        if self._user.environment.events.request.listeners:
            self._wall_s = time()
        self._began_ns = self._user.environment.clock.now_ns()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        user = self._user
        service_us = (user.environment.clock.now_ns() - self._began_ns) // 1_000
        series = user.environment.recorder.series(self.method, self.name)
        if isinstance(error, GreenletExit):
            series.cancelled(service_us)
            return
        reason = self._failure if error is None or isinstance(error, FLOW) else error
        if reason is None:
            series.ok(service_us, self.size, user.wait_us)
        else:
            user.iteration_failed = True
            series.failed(service_us, self.size, user.wait_us, _failure(reason))
        self._tell(service_us, reason)

    def _tell(self, service_us: int, error: BaseException | None) -> None:
        request = self._user.environment.events.request
        if request.listeners:
            context: dict[str, Any] = self._user.context()
            request.finished.fire(
                request_type=self.method,
                name=self.name,
                response_time=service_us / 1000,
                response_length=self.size,
                response=None,
                context=context,
                exception=error,
                start_time=self._wall_s,
                url=None,
            )


def _failure(error: BaseException) -> Failure:
    return Failure("check", str(error)) if isinstance(error, CatchResponseError) else failure_of(error)
