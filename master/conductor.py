"""One run from start to end, on the hub: starts workers, lets `Run` decide, passes its commands on.

A run on this machine is a cluster of one: the same service, the same messages and the same worker
process as on many machines.
"""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from loadgen.clock import Clock
from loadgen.errors import LoadgenError, ScenarioError
from loadgen.master.cluster import Cluster, ClusterEvent, CustomMessage, MemberChanged, MemberFailed, StopAsked
from loadgen.master.ledger import Ledger, LogRecord
from loadgen.master.local import LocalWorker, LocalWorkers
from loadgen.master.members import MemberState
from loadgen.master.run import Assign, Command, LoseUnsettled, Quit, Run, Stop
from loadgen.master.service import Service, set_switch_interval
from loadgen.master.snapshots import RunIdentity, compose
from loadgen.master.store import MemoryStore
from loadgen.metrics.snapshot import RunState, Snapshot
from loadgen.plan import UserPlan
from loadgen.settings import WorkerSettings
from loadgen.wire.keys import derive_keys, new_secret
from loadgen.wire.messages import UID_BYTES

LOOPBACK = "127.0.0.1"
_TURN_S = 0.1
_TAIL_LINES = 30

StartInline = Callable[[str, bytes], None]  # (endpoint, secret): run a worker in this process


@dataclass(frozen=True, slots=True)
class Job:
    """What one run is: the plan, who runs it, and what workers are told."""

    run_id: str
    plan: UserPlan
    settings: WorkerSettings
    workers: int
    stop_timeout_s: float


class Observer(Protocol):
    """Who is told how the run goes."""

    def update(self, snapshot: Snapshot) -> None: ...
    def note(self, text: str) -> None: ...
    def log(self, line: str) -> None: ...
    def record(self, record: LogRecord) -> None: ...
    def custom(self, worker: str, kind: str, data: object) -> None: ...


class InternalError(LoadgenError):
    """A bug of ours; the message is a traceback."""


class Conductor:
    """Run one job. `stop` may be called from any greenlet of the hub while `run` is under way."""

    def __init__(self, job: Job, observer: Observer, clock: Clock, start_inline: StartInline | None = None) -> None:
        self.snapshot = Snapshot(run_id=job.run_id)
        self.error: LoadgenError | None = None
        self._job = job
        self._observer = observer
        self._clock = clock
        self._start_inline = start_inline
        self._run = Run(job.plan, job.workers, job.stop_timeout_s, clock.now_ns())
        self._identity = RunIdentity(job.run_id, clock.wall_s())
        self._secret = new_secret()
        self._service = Service(derive_keys(self._secret), clock)
        self._children = LocalWorkers(self._child_ended, self._child_said)
        self._tails: dict[bytes, deque[str]] = {}
        self._shown: Any = None

    @property
    def state(self) -> RunState:
        return self._run.state

    @property
    def interrupted(self) -> bool:
        return self._run.interrupted

    def stop(self, *, interrupted: bool) -> None:
        """Stop gracefully; called a second time, stop now."""
        self._run.ask_to_stop(interrupted=interrupted)
        self._service.news.set()

    def send_custom(self, kind: str, data: object, worker: str | None = None) -> None:
        """Send a message of the scenario to one worker, or to all."""
        self._service.tell(lambda cluster, now_ns: cluster.send_custom(kind, data, worker, now_ns))

    def run(self) -> Snapshot:
        """Run the job to its end and return the final, detailed snapshot."""
        set_switch_interval()
        port = self._service.listen(LOOPBACK, 0)
        endpoint = f"{LOOPBACK}:{port}"
        try:
            if self._start_inline is None:
                self._children.spawn(self._job.workers, endpoint, self._secret)
            self._service.start(self._new_cluster())
            if self._start_inline is not None:
                self._start_inline(endpoint, self._secret)
            self._loop()
            self._conclude()
        finally:
            self._children.close()
            self._service.close()
        self.error = self._run.error
        return self.snapshot

    def _new_cluster(self) -> Cluster:
        run_id = hashlib.blake2b(self._job.run_id.encode(), digest_size=UID_BYTES).digest()
        return Cluster(run_id, self._job.settings.to_wire(), Ledger(), MemoryStore())

    def _loop(self) -> None:
        while self._run.state is not RunState.FINISHED:
            self._service.news.wait(_TURN_S)
            self._service.news.clear()
            self._check_thread()
            for event in self._service.take_events():
                self._on_event(event)
            self._pass_logs()
            view = self._service.view
            for command in self._run.step(view.members if view else (), self._clock.now_ns()):
                self._carry_out(command)
            if view is not None and view is not self._shown:
                self._shown = view
                self.snapshot = compose(self._identity, self._run, view, detailed=False)
                self._observer.update(self.snapshot)

    def _conclude(self) -> None:
        view = self._service.final_view()
        self._check_thread()
        self._pass_logs()
        if view is not None:
            self.snapshot = compose(self._identity, self._run, view, detailed=True)
            self._observer.update(self.snapshot)

    def _check_thread(self) -> None:
        if self._service.crashed:
            raise InternalError(f"the master's data thread died:\n{self._service.crashed}")

    def _pass_logs(self) -> None:
        for record in self._service.take_logs():
            self._observer.record(record)

    def _carry_out(self, command: Command) -> None:
        match command:
            case Assign(plan, start_ns):
                self._identity = RunIdentity(
                    self._job.run_id, self._clock.wall_s() + (start_ns - self._clock.now_ns()) / 1e9
                )
                self._service.tell(lambda cluster, now_ns: cluster.assign(plan, start_ns, now_ns))
            case Stop(timeout_s):
                self._observer.note("stopping" if timeout_s else "stopping now")
                self._service.tell(lambda cluster, now_ns: cluster.stop(timeout_s, now_ns))
            case LoseUnsettled(reason):
                self._service.tell(lambda cluster, _now_ns: cluster.lose_unsettled(reason))
            case Quit():
                self._service.tell(lambda cluster, now_ns: cluster.quit(now_ns))

    # -- what happens to workers

    def _on_event(self, event: ClusterEvent) -> None:
        match event:
            case MemberFailed(worker, code, text, traceback):
                hints = (traceback,) if traceback else ()
                self._run.abort(ScenarioError(f"worker {worker}: {text}", code=code, hints=hints))
            case MemberChanged(worker, MemberState.LOST, reason):
                self._observer.note(f"worker {worker} was lost: {reason}; its users are gone")
            case StopAsked(worker):
                self._observer.note(f"the scenario asked for the end of the run ({worker})")
                self._run.ask_to_stop(interrupted=False)
            case CustomMessage(worker, kind, data):
                self._observer.custom(worker, kind, data)

    def _child_said(self, child: LocalWorker, line: str) -> None:
        self._tails.setdefault(child.uid, deque(maxlen=_TAIL_LINES)).append(line)
        self._observer.log(line)

    def _child_ended(self, child: LocalWorker) -> None:
        uid, text = child.uid, child.exit_text
        self._service.tell(lambda cluster, _now_ns: cluster.lose(uid, text))
        if self._run.state in (RunState.CREATED, RunState.WAITING):
            tail = tuple(self._tails.get(uid, ()))
            self._run.abort(LoadgenError(f"a worker process (pid {child.pid}) {text} before the run began", hints=tail))
            self._service.news.set()
