"""`catch_response=True`: the scenario decides inside a `with` block what is recorded.

==========================================  =====================================================
In the block …                              the request is recorded as
==========================================  =====================================================
success() or failure(reason), the last one  what they say
neither                                     its status and errors say (below 400 is a success)
a RequestError is raised (raise_for_status, failed with it; the error goes no further
CatchResponseError, …)
the virtual user is stopped                 cancelled, unless success() or failure() was called
the scenario steers (RescheduleTask, …)     as without it; the exception goes on
anything else is raised                     failed, category "exception"; the exception goes on
==========================================  =====================================================

A response that is dropped without a `with` block is recorded by its status.
"""

from __future__ import annotations

import traceback
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gevent import GreenletExit

from loadgen.errors import CatchResponseError, RequestError, UsageError
from loadgen.flow import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from loadgen.http.response import Response

if TYPE_CHECKING:
    from loadgen.http.measurement import Measurement

STEERING = (StopUser, StopTest, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)


class CaughtResponse(Response):
    """A response whose record waits for the end of the `with` block."""

    js: Any = None  # set by rest()
    _measurement: Measurement | None = None
    _entered = False
    _judged = False
    _reason: BaseException | None = None

    def defer(self, measurement: Measurement) -> None:
        """Let `measurement` be settled by this response."""
        self._measurement = measurement

    def success(self) -> None:
        """Record the request as a success, whatever its status."""
        self._judge(None)

    def failure(self, reason: object) -> None:
        """Record the request as failed; `reason` is a text or an exception."""
        self._judge(reason if isinstance(reason, BaseException) else CatchResponseError(str(reason)))

    def rename(self, name: str) -> None:
        """Record the request under another name."""
        if self._measurement is not None:
            self._measurement.rename(name)

    def _judge(self, reason: BaseException | None) -> None:
        if not self._entered:
            raise UsageError(
                "success() and failure() can be called inside a with block only",
                hints=("Write: with client.get(…, catch_response=True) as response:",),
            )
        self._judged = True
        self._reason = reason

    def __enter__(self) -> Self:
        self._entered = True
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> bool:
        swallow = isinstance(error, RequestError)
        if error is not None and not isinstance(error, STEERING) and not (self._judged and not swallow):
            self._judged = True
            self._reason = error
        self.close()
        self._settle()
        return swallow

    def __del__(self) -> None:
        self._settle()

    def _settle(self) -> None:
        measurement, self._measurement = self._measurement, None
        if measurement is None:
            return
        if not self._judged:
            measurement.settle(self)
        elif self._reason is None:
            measurement.settle_ok(self)
        elif isinstance(self._reason, GreenletExit):
            measurement.settle_cancelled()
        else:
            measurement.settle_failed(self._reason, self)


def scenario_failure(error: BaseException) -> CatchResponseError:
    """What rest() records for an exception in its block: what it says, and the scenario's line."""
    text = str(error)
    if not isinstance(error, AssertionError):
        text = f"{type(error).__name__}: {text}"
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if "/loadgen/http/" not in frame.filename and "/contextlib" not in frame.filename]
    where = own[0] if own else None
    place = f" at {where.filename.rpartition('/')[2]}:{where.lineno}" if where else ""
    return CatchResponseError((text or "assertion failed") + place)
