"""`run_single_user`: one user in this very process, for a debugger's breakpoints.

::

    if __name__ == "__main__":
        run_single_user(Shopper)
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TextIO

from loadgen.environment import Environment
from loadgen.hooks import events
from loadgen.runner import MessageListener, Runner

if TYPE_CHECKING:
    from loadgen.users import User


class SingleUser:
    """The runner's backend of one user that nobody else knows of."""

    def __init__(self, class_name: str) -> None:
        self._class_name = class_name
        self.user: User | None = None

    def quit(self) -> None:
        if self.user is not None:
            self.user.request_stop()

    def user_count(self) -> int:
        return 1

    def target_user_count(self) -> int:
        return 1

    def target_user_classes_count(self) -> Mapping[str, int]:
        return {self._class_name: 1}

    def state(self) -> str:
        return "running"

    def worker_count(self) -> int:
        return 1

    def worker_index(self) -> int:
        return 0

    def send_message(self, type_: str, data: Any, client_id: str | None) -> None:
        """Nobody is there to hear it."""

    def register_message(self, type_: str, listener: MessageListener) -> None:
        """Nobody is there to send one."""


def run_single_user(
    user_class: type[User],
    include_length: bool = False,
    include_time: bool = False,
    include_context: bool = False,
    include_payload: bool = False,
    loglevel: str | None = "WARNING",
) -> None:
    """Run one user until it ends (or Ctrl-C), printing a line per request.

    Exceptions of tasks are not caught, so that a debugger stops where they are raised. Needs no
    master and no worker, and patches nothing. `loglevel` None leaves logging as it is.
    """
    if loglevel is not None:
        logging.basicConfig(level=loglevel.upper())
    environment = Environment(user_classes=[user_class], host=user_class.host, catch_exceptions=False)
    backend = SingleUser(user_class.__name__)
    environment.runner = Runner(environment, backend)
    printer = RequestPrinter(sys.stdout, include_length, include_time, include_context, include_payload)
    events.request.add_listener(printer)
    try:
        printer.head()
        events.init.fire(environment=environment, runner=environment.runner, web_ui=None)
        events.test_start.fire(environment=environment)
        backend.user = user_class(environment)
        backend.user.run()
    except KeyboardInterrupt:
        pass
    finally:
        events.request.remove_listener(printer)
        events.test_stop.fire(environment=environment)


class RequestPrinter:
    """A listener of events.request that prints each as a line."""

    def __init__(self, out: TextIO, length: bool, time: bool, context: bool, payload: bool) -> None:
        self._out = out
        self._length = length
        self._time = time
        self._context = context
        self._payload = payload

    def head(self) -> None:
        """Print the titles of the columns."""
        columns = ["type".ljust(8), "name".ljust(50), "ms".rjust(9)]
        columns += ["bytes".rjust(9)] if self._length else []
        print(*columns, "error", file=self._out)

    def __call__(
        self,
        *,
        request_type: str,
        name: str,
        response_time: float | None,
        response_length: int | None = 0,
        response: Any = None,
        context: Any = None,
        exception: BaseException | str | None = None,
        start_time: float | None = None,
        **_: Any,
    ) -> None:
        cells = [request_type.ljust(8), name.ljust(50), f"{response_time or 0:9.2f}"]
        cells += [f"{response_length or 0:9d}"] if self._length else []
        cells.append("" if exception is None else repr(exception))
        cells += [f"start={start_time}"] if self._time else []
        cells += [f"context={context}"] if self._context else []
        cells += [f"response={getattr(response, 'text', response)!r}"] if self._payload else []
        print(*cells, file=self._out)
