"""What `environment.runner` can do in the master's process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from loadgen.mailbox import Mailbox
from loadgen.master.conductor import Conductor
from loadgen.metrics.snapshot import RunState, Snapshot
from loadgen.plan import UserPlan
from loadgen.runner import MessageListener

_LOCUST_STATES = {
    RunState.CREATED: "ready",
    RunState.WAITING: "ready",
    RunState.RAMPING: "spawning",
    RunState.RUNNING: "running",
    RunState.STOPPING: "stopping",
    RunState.FINISHED: "stopped",
}


class MasterBackend:
    """The runner's view of the whole run; `conductor` is set once there is one."""

    def __init__(self, plan: UserPlan, workers: int) -> None:
        self.conductor: Conductor | None = None
        self.mailbox = Mailbox()
        self._plan = plan
        self._workers = workers

    def snapshot(self) -> Snapshot:
        return self.conductor.snapshot if self.conductor is not None else Snapshot()

    def quit(self) -> None:
        if self.conductor is not None:
            self.conductor.stop(interrupted=False)

    def user_count(self) -> int:
        return self.snapshot().users

    def target_user_count(self) -> int:
        return self._plan.users

    def target_user_classes_count(self) -> Mapping[str, int]:
        return {item.name: item.count for item in self._plan.classes}

    def state(self) -> str:
        return _LOCUST_STATES[self.conductor.state] if self.conductor is not None else "ready"

    def worker_count(self) -> int:
        return len(self.snapshot().workers) or self._workers

    def worker_index(self) -> int:
        return -1

    def send_message(self, type_: str, data: Any, client_id: str | None) -> None:
        if self.conductor is not None:
            self.conductor.send_custom(type_, data, client_id)

    def register_message(self, type_: str, listener: MessageListener) -> None:
        self.mailbox.register(type_, listener)
