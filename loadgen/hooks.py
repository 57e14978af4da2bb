"""Events: where a scenario hooks its own code into a run.

::

    @events.test_start.add_listener
    def prepare(environment, **kwargs): ...

Listeners are called with keyword arguments, in order of registration; take `**kwargs` too, so that
an argument added later does not break them. A listener that raises is reported once and counted,
and the run goes on, unless it raises StopUser, StopTest, InterruptTaskSet or RescheduleTask.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from time import monotonic_ns, time
from typing import TYPE_CHECKING, Any, TypeVar

from loadgen.flow import InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately, StopTest, StopUser
from loadgen.metrics.failure import Failure

if TYPE_CHECKING:
    from loadgen.metrics.recorder import Recorder

logger = logging.getLogger(__name__)
Listener = Callable[..., Any]
L = TypeVar("L", bound=Listener)
FLOW = (StopUser, StopTest, InterruptTaskSet, RescheduleTask, RescheduleTaskImmediately)


class EventHook:
    """One event. `listeners` is a list: its truth says whether anybody listens."""

    __slots__ = ("_reported", "errors", "listeners", "name")

    def __init__(self, name: str = "") -> None:
        self.name = name
        self.listeners: list[Listener] = []
        self.errors = 0  # how often a listener raised
        self._reported: set[Listener] = set()

    def add_listener(self, listener: L) -> L:
        """Call `listener` when the event fires. Works as a decorator too."""
        self.listeners.append(listener)
        return listener

    def remove_listener(self, listener: Listener) -> None:
        """Raises ValueError if it does not listen."""
        self.listeners.remove(listener)

    def fire(self, *, reverse: bool = False, **kwargs: Any) -> None:
        """Call every listener, the last registered first if `reverse`."""
        for listener in reversed(self.listeners) if reverse else list(self.listeners):
            try:
                listener(**kwargs)
            except FLOW:
                raise
            except Exception as exc:  # noqa: BLE001 - scenario code; counted and shown
                self._note(listener, exc)

    def _note(self, listener: Listener, error: Exception) -> None:
        self.errors += 1
        if listener not in self._reported:
            self._reported.add(listener)
            name = getattr(listener, "__qualname__", repr(listener))
            logger.error("listener %s of events.%s failed (reported once)", name, self.name, exc_info=error)

    def forget(self, modules: Collection[str]) -> None:
        """Drop the listeners that were defined in these modules."""
        self.listeners[:] = [one for one in self.listeners if getattr(one, "__module__", None) not in modules]
        self._reported.clear()

    @contextmanager
    def measure(
        self, request_type: str, name: str, response_length: int = 0, context: dict[str, Any] | None = None
    ) -> Iterator[dict[str, Any]]:
        """Time the block and fire this event with the result.

        Yields the arguments of the event, which the block may change. As in Locust an exception
        inside is recorded and does not go on; `User.measure` lets it.
        """
        meta: dict[str, Any] = {
            "request_type": request_type,
            "name": name,
            "response_length": response_length,
            "context": context or {},
            "response": None,
            "exception": None,
            "start_time": time(),
            "url": None,
        }
        began_ns = monotonic_ns()
        try:
            yield meta
        except FLOW:
            raise
        except Exception as exc:  # noqa: BLE001 - scenario code; it becomes the event's exception
            meta["exception"] = exc
        meta["response_time"] = (monotonic_ns() - began_ns) / 1e6
        self.fire(**meta)


class RequestHook(EventHook):
    """`events.request`: fires for each finished request, and records those a scenario fires itself.

    A scenario with its own client fires it by hand, as in Locust; that is one recorded request.
    The HTTP engine records for itself and fires `finished`, which has the same listeners.
    """

    __slots__ = ("finished", "recorder")

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.recorder: Recorder | None = None  # set by Environment
        self.finished = EventHook(name)
        self.finished.listeners = self.listeners

    def fire(self, *, reverse: bool = False, **kwargs: Any) -> None:
        """Record one request and tell the listeners. `response_time` is in milliseconds."""
        if self.recorder is not None:
            record(self.recorder, **kwargs)
        self.finished.fire(reverse=reverse, **kwargs)


def record(
    recorder: Recorder,
    *,
    request_type: str,
    name: str,
    response_time: float | None = 0,
    response_length: int | None = 0,
    exception: BaseException | str | None = None,
    **_: Any,
) -> None:
    """Put what a scenario fired as `events.request` into the recorder."""
    series = recorder.series(request_type, name)
    service_us = round((response_time or 0) * 1000)
    if exception is None:
        series.ok(service_us, response_length or 0)
    else:
        series.failed(service_us, response_length or 0, 0, failure_of(exception))


def failure_of(error: BaseException | str) -> Failure:
    """How an exception of a scenario's own client counts: errors of loadgen bring their category."""
    if isinstance(error, str):
        return Failure("exception", error)
    message = str(error)
    category = getattr(error, "category", None)
    if isinstance(category, str):
        fault, phase = getattr(error, "fault", "target"), getattr(error, "phase", "")
        return Failure(category, message or category, phase=str(phase), fault=str(fault))
    name = type(error).__name__
    return Failure("exception", f"{name}: {message}" if message else name)


class Events:
    """Every event of a run, by the names Locust gave them.

    With "master" or "workers" is said where an event fires; the others fire in each process.
    """

    def __init__(self) -> None:
        self.request = RequestHook("request")
        """workers, each finished request: request_type, name, response_time (ms), response_length,
        response, context, exception, start_time (s since 1970), url"""
        self.user_error = EventHook("user_error")
        """workers, an exception left a task, on_start or on_stop: user_instance, exception, tb"""
        self.report_to_master = EventHook("report_to_master")
        """workers, before a report is sent: client_id, data (a dict to add to)"""
        self.worker_report = EventHook("worker_report")
        """master, a worker's report arrived: client_id, data"""
        self.worker_connect = EventHook("worker_connect")
        """master, a worker joined: client_id"""
        self.spawning_complete = EventHook("spawning_complete")
        """all users run: user_count"""
        self.quitting = EventHook("quitting")
        """the process is about to end; fired in reverse order of registration: environment"""
        self.quit = EventHook("quit")
        """the last of all: exit_code"""
        self.init = EventHook("init")
        """environment, runner and web_ui exist: environment, runner, web_ui"""
        self.init_command_line_parser = EventHook("init_command_line_parser")
        """before options are read: parser (see loadgen.arguments)"""
        self.test_start = EventHook("test_start")
        """a run begins, before its users: environment"""
        self.test_stopping = EventHook("test_stopping")
        """the run was asked to stop: environment"""
        self.test_stop = EventHook("test_stop")
        """all users have ended: environment"""
        self.reset_stats = EventHook("reset_stats")
        """the statistics were set to zero"""
        self.cpu_warning = EventHook("cpu_warning")
        """this process uses too much CPU to be exact: environment, cpu_usage (percent)"""
        self.heartbeat_sent = EventHook("heartbeat_sent")
        """master: client_id, timestamp"""
        self.heartbeat_received = EventHook("heartbeat_received")
        """workers: client_id, timestamp"""
        self.usage_monitor = EventHook("usage_monitor")
        """now and then: environment, cpu_usage (percent), memory_usage (bytes)"""

    def all(self) -> list[EventHook]:
        """Every event of this object, those a scenario added as attributes too."""
        return [hook for hook in vars(self).values() if isinstance(hook, EventHook)]

    def forget(self, modules: Collection[str]) -> None:
        """Drop the listeners defined in these modules, before they are imported again."""
        for hook in self.all():
            hook.forget(modules)


events = Events()
"""The events of this process: `from loadgen import events`."""
