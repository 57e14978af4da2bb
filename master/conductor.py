"""One run from start to end, on the hub: starts workers, lets `Run` decide, passes its commands on.

A run on this machine is a cluster of one: the same service, the same messages and the same worker
process as on many machines.
"""

from __future__ import annotations

import hashlib
import os
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from loadgen.bundle import Bundle
from loadgen.children import Child, Children
from loadgen.clock import Clock
from loadgen.errors import LoadgenError, ScenarioError, StoreError
from loadgen.limits import calm_gc
from loadgen.master.cluster import (
    ROWS_BLOB,
    Cluster,
    ClusterEvent,
    CustomMessage,
    MemberChanged,
    MemberFailed,
    StopAsked,
    StoreTrouble,
)
from loadgen.master.ledger import Ledger, LogRecord
from loadgen.master.members import MemberState
from loadgen.master.rows import RowLeases
from loadgen.master.run import WORKER_TIMEOUT_S, Assign, Command, LoseUnsettled, Quit, Run, Stop
from loadgen.master.service import Service, set_switch_interval
from loadgen.master.snapshots import RunIdentity, compose
from loadgen.master.store import MemoryStore
from loadgen.master.store_records import RunRecord
from loadgen.master.store_sqlite import SqliteStore
from loadgen.master.supplies import Supplies
from loadgen.metrics.snapshot import RunState, Snapshot
from loadgen.plan import UserPlan
from loadgen.settings import WorkerSettings
from loadgen.wire.keys import derive_keys, new_secret
from loadgen.wire.messages import UID_BYTES, decode_map

LOOPBACK = "127.0.0.1"
_TURN_S = 0.1
_TAIL_LINES = 30

StartInline = Callable[[str, bytes, bytes], None]  # (endpoint, secret, uid): run a worker in this process


@dataclass(frozen=True, slots=True)
class Job:
    """What one run is: the plan, who runs it, and what workers are told.

    `workers` are processes of this machine, `remote_workers` are waited for at `listen`.
    """

    run_id: str
    plan: UserPlan
    settings: WorkerSettings
    workers: int
    stop_timeout_s: float
    listen: tuple[str, int] | None = None
    secret: bytes | None = None  # None: one for this run alone
    remote_workers: int = 0
    min_workers: int | None = None
    worker_timeout_s: float = WORKER_TIMEOUT_S
    lease_s: float | None = None
    bundle: Bundle | None = None
    run_file: Path | None = None  # None: the run is kept in memory only
    scenario_name: str = ""
    command: str = ""
    resume: SqliteStore | None = None  # the file of the run to go on with, opened by us


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
        self._run = Run(
            job.plan,
            job.workers + job.remote_workers,
            job.stop_timeout_s,
            clock.now_ns(),
            job.min_workers,
            job.worker_timeout_s,
        )
        self._identity = RunIdentity(job.run_id, clock.wall_s())
        self._secret = job.secret or new_secret()
        self._service = Service(derive_keys(self._secret), clock)
        self._children = Children(self._child_ended, self._child_said)
        self._tails: dict[bytes, deque[str]] = {}
        self._shown: Any = None
        self._file: SqliteStore | None = None

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
        calm_gc()
        host, port = self._job.listen or (LOOPBACK, 0)
        port = self._service.listen(host, port)
        if self._job.listen is not None:
            self._observer.note(f"listening on {host}:{port} for {self._job.remote_workers} workers")
        endpoint = f"{_reachable(host)}:{port}"
        uid = os.urandom(UID_BYTES)
        try:
            if self._start_inline is None:
                self._children.spawn(self._job.workers, ("worker", "--master", endpoint), self._secret)
            at_home = {child.uid for child in self._children.children} | {uid}
            self._service.start(self._new_cluster(at_home, f"{host}:{port}"))
            if self._start_inline is not None:
                self._start_inline(endpoint, self._secret, uid)
            self._loop()
            self._conclude()
        finally:
            self._children.close()
            self._service.close()
            if self._file is not None:
                self._file.close()
        self.error = self._run.error
        return self.snapshot

    def _new_cluster(self, at_home: set[bytes], address: str) -> Cluster:
        job = self._job
        run_id = hashlib.blake2b(job.run_id.encode(), digest_size=UID_BYTES).digest()
        supplies = Supplies(job.bundle, at_home)
        settings = job.settings.to_wire()
        if job.resume is not None:
            return self._resumed_cluster(job.resume, run_id, settings, supplies)
        if job.run_file is None:
            return Cluster(run_id, settings, Ledger(), MemoryStore(), job.lease_s, supplies=supplies)
        try:
            self._file = new_run_file(job.run_file, job, address if job.listen is not None else "")
        except StoreError as exc:
            if job.listen is not None:
                raise  # workers that outlive us rely on the file
            self._observer.note(f"{exc.message}; this run is kept in memory only")
            return Cluster(run_id, settings, Ledger(), MemoryStore(), job.lease_s, supplies=supplies)
        return Cluster(run_id, settings, Ledger(), self._file, job.lease_s, supplies=supplies)

    def _resumed_cluster(
        self, store: SqliteStore, run_id: bytes, settings: dict[str, Any], supplies: Supplies
    ) -> Cluster:
        """The cluster of an earlier master, as its file tells; its workers will say hello."""
        self._file = store
        leases = store.blob(ROWS_BLOB)
        if leases is not None:
            supplies.rows = RowLeases.load(decode_map(leases))
        cluster = Cluster(
            run_id, settings, store.ledger(), store, self._job.lease_s, store.raise_epoch(), supplies=supplies
        )
        started_at_s = store.record.started_at_s
        now_ns = self._clock.now_ns()
        known = [(member.uid, member.worker, member.index) for member in store.members()]
        if started_at_s:
            start_ns = now_ns - int((self._clock.wall_s() - started_at_s) * 1e9)
            self._identity = RunIdentity(self._job.run_id, started_at_s)
            self._run.resume(start_ns)
            cluster.resume(self._job.plan, start_ns, known, now_ns)
        return cluster

    def _loop(self) -> None:
        while self._run.state is not RunState.FINISHED:
            self._service.news.wait(_TURN_S)
            self._service.news.clear()
            self._check_thread()
            for event in self._service.take_events():
                self._on_event(event)
            self._pass_logs()
            view = self._service.view
            if view is not None:
                for command in self._run.step(view.members, self._clock.now_ns()):
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
                self._note_in_file(state="running", started_at_s=self._identity.started_at_s)
            case Stop(timeout_s):
                self._observer.note("stopping" if timeout_s else "stopping now")
                self._service.tell(lambda cluster, now_ns: cluster.stop(timeout_s, now_ns))
            case LoseUnsettled(reason):
                self._service.tell(lambda cluster, _now_ns: cluster.lose_unsettled(reason))
            case Quit():
                self._note_in_file(state="finished")
                self._service.tell(lambda cluster, now_ns: cluster.quit(now_ns))

    def _note_in_file(self, **changes: Any) -> None:
        """Change the run's record, in the thread that owns the file by now."""
        store = self._file
        if store is not None:
            self._service.tell(lambda cluster, _now_ns: cluster.try_to_store(lambda: store.save_run(**changes)))

    # -- what happens to workers

    def _on_event(self, event: ClusterEvent) -> None:
        match event:
            case MemberFailed(worker, code, text, traceback):
                hints = (traceback,) if traceback else ()
                self._run.abort(ScenarioError(f"worker {worker}: {text}", code=code, hints=hints))
            case MemberChanged(worker, MemberState.LOST, reason):
                self._observer.note(f"worker {worker} was lost: {reason}; others take over its users")
            case MemberChanged(worker, MemberState.LEFT, _) if self._run.state is not RunState.FINISHED:
                self._observer.note(f"worker {worker} has left; others take over its users")
            case StoreTrouble(text):
                self._observer.note(f"{text}: measurements wait with the workers until it can be written")
            case StopAsked(worker):
                self._observer.note(f"the scenario asked for the end of the run ({worker})")
                self._run.ask_to_stop(interrupted=False)
            case CustomMessage(worker, kind, data):
                self._observer.custom(worker, kind, data)

    def _child_said(self, child: Child, line: str) -> None:
        self._tails.setdefault(child.uid, deque(maxlen=_TAIL_LINES)).append(line)
        self._observer.log(line)

    def _child_ended(self, child: Child) -> None:
        uid, text = child.uid, child.exit_text
        self._service.tell(lambda cluster, _now_ns: cluster.lose(uid, text))
        if self._run.state in (RunState.CREATED, RunState.WAITING):
            tail = tuple(self._tails.get(uid, ()))
            self._run.abort(LoadgenError(f"a worker process (pid {child.pid}) {text} before the run began", hints=tail))
            self._service.news.set()


def _reachable(host: str) -> str:
    """The address by which our own children reach us."""
    if host in ("0.0.0.0", "", "*"):
        return LOOPBACK
    if host in ("::", "[::]"):
        return "[::1]"
    return f"[{host}]" if ":" in host and not host.startswith("[") else host


def new_run_file(path: Path, job: Job, address: str) -> SqliteStore:
    """The file of a run that begins. Raises RunFileError, StoreError."""
    settings = job.settings.to_wire()
    record = RunRecord(
        run_id=job.run_id,
        scenario_name=job.scenario_name,
        scenario_path=job.settings.scenario_path,
        scenario_sha256=job.settings.scenario_sha256,
        plan=job.plan.to_wire(),
        settings=settings,
        listen=address,
        epoch=1,
        state="waiting",
        command=job.command,
    )
    store = SqliteStore.create(path, record)
    if job.bundle is not None:
        store.save_blob("bundle", job.bundle.data)
    return store
