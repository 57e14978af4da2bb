"""What `environment.runner` can do in a worker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from loadgen.mailbox import Mailbox
from loadgen.runner import MessageListener
from loadgen.worker.agent import Agent

if TYPE_CHECKING:
    from loadgen.worker.swarm import Swarm


class WorkerBackend:
    """The runner's view of this worker; the swarm is there once the scenario is loaded."""

    def __init__(self, agent: Agent) -> None:
        self.swarm: Swarm | None = None
        self.index = -1
        self.targets: dict[str, int] = {}
        self.mailbox = Mailbox()
        self._agent = agent

    def quit(self) -> None:
        self._agent.ask_to_stop()

    def user_count(self) -> int:
        return self.swarm.user_count if self.swarm is not None else 0

    def target_user_count(self) -> int:
        return sum(self.targets.values())

    def target_user_classes_count(self) -> Mapping[str, int]:
        return self.targets

    def state(self) -> str:
        return self.swarm.state.value if self.swarm is not None else "ready"

    def worker_count(self) -> int:
        """Only the master knows of the others."""
        return 1

    def worker_index(self) -> int:
        return self.index

    def send_message(self, type_: str, data: Any, client_id: str | None) -> None:
        self._agent.send_custom(type_, data)

    def register_message(self, type_: str, listener: MessageListener) -> None:
        self.mailbox.register(type_, listener)
