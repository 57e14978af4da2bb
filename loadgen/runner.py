"""`environment.runner`: what a scenario may ask of the run and tell it.

There is one Runner for every kind of process. What it can do there comes from a RunnerBackend: the
worker's, the master's, or that of `run_single_user`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from loadgen.environment import Environment
    from loadgen.stats import RequestStats

MessageListener = Callable[..., Any]  # called with environment= and msg= (type, data, node_id)


class RunnerBackend(Protocol):
    """What a process must be able to do for its scenario. No method blocks."""

    def quit(self) -> None:
        """Ask for the whole run to stop gracefully."""
        ...

    def user_count(self) -> int: ...
    def target_user_count(self) -> int: ...
    def target_user_classes_count(self) -> Mapping[str, int]: ...
    def state(self) -> str: ...
    def worker_count(self) -> int: ...
    def worker_index(self) -> int: ...
    def send_message(self, type_: str, data: Any, client_id: str | None) -> None: ...
    def register_message(self, type_: str, listener: MessageListener) -> None: ...


class Runner:
    """The run as a scenario sees it."""

    def __init__(self, environment: Environment, backend: RunnerBackend) -> None:
        self.environment = environment
        self._backend = backend

    def quit(self) -> None:
        """Stop the whole run gracefully. Returns at once."""
        self._backend.quit()

    def stop(self) -> None:
        """The same as quit()."""
        self._backend.quit()

    @property
    def stats(self) -> RequestStats:
        return self.environment.stats

    @property
    def user_count(self) -> int:
        """Users running: of this process on a worker, of all on the master."""
        return self._backend.user_count()

    @property
    def target_user_count(self) -> int:
        """Users wanted by the plan at this moment."""
        return self._backend.target_user_count()

    @property
    def target_user_classes_count(self) -> Mapping[str, int]:
        """The same by class name."""
        return self._backend.target_user_classes_count()

    @property
    def state(self) -> str:
        """ "ready", "spawning", "running", "stopping" or "stopped"."""
        return self._backend.state()

    @property
    def worker_count(self) -> int:
        return self._backend.worker_count()

    @property
    def worker_index(self) -> int:
        """0, 1, … on workers; -1 on the master and before a worker has joined."""
        return self._backend.worker_index()

    def send_message(self, type: str, data: Any = None, client_id: str | None = None) -> None:
        """Send `data` (plain data) to the master, or from the master to one worker or all of them."""
        self._backend.send_message(type, data, client_id)

    def register_message(self, type: str, listener: MessageListener, concurrent: bool = False) -> None:
        """Call `listener(environment=…, msg=…)` for each message of this type.

        Every listener runs in a greenlet of its own, so `concurrent` (kept for Locust scenarios)
        makes no difference.
        """
        self._backend.register_message(type, listener)
