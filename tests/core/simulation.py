"""A master and its workers in virtual time, joined by a network that drops, repeats, delays and cuts.

Everything follows from one seed. After each step the laws are checked: no user runs twice, the load is never
above the plan, nothing is acknowledged before it was committed. A broken law raises AssertionError.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from loadgen.clock import FakeClock
from loadgen.errors import Malformed
from loadgen.master.cluster import Cluster
from loadgen.master.ledger import Ledger
from loadgen.master.members import MemberState
from loadgen.master.store import ReplayStore
from loadgen.master.store_records import MemberRecord
from loadgen.metrics.delta import Window, is_drained, seal
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.recorder import Recorder
from loadgen.plan import UserKey, UserPlan, users_of
from loadgen.settings import WorkerSettings
from loadgen.wire.messages import FROM_MASTER, Header, MessageType, decode_header, encode_header
from loadgen.worker.agent import Agent, Assignment
from loadgen.worker.states import AgentState

SETTINGS = WorkerSettings("s.py", "0" * 64, ("U",), None, (), (), 1, "INFO", 1.0, 30.0, {})
RUN_ID = b"r" * 16
STEP_S = 0.1
MASTER = b"master"


@dataclass
class Faults:
    """What the network does to a frame, each with this probability; `cut` names the ends nothing reaches."""

    drop: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    delay_s: float = 2.0
    cut: set[bytes] = field(default_factory=set)  # uids, or MASTER: nothing arrives there …
    hold: bool = False  # … before the cut is mended, when all of it arrives at once (as TCP does)


class Network:
    """Frames under way, delivered in the order of their arrival times."""

    def __init__(self, clock: FakeClock, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self._clock = clock
        self._rng = rng
        self._under_way: list[tuple[int, int, bytes, bytes, tuple[bytes, bytes]]] = []
        self._newest: dict[tuple[bytes, bytes], int] = {}  # a connection keeps the order of its frames
        self._count = 0

    def carry(self, sender: bytes, to: bytes, frames: tuple[bytes, bytes]) -> None:
        if (to in self.faults.cut and not self.faults.hold) or self._rng.random() < self.faults.drop:
            return
        for _ in range(2 if self._rng.random() < self.faults.repeat else 1):
            late = self._rng.random() * self.faults.delay_s if self._rng.random() < self.faults.delay else 0.001
            self._count += 1
            arrival_ns = max(self._clock.now_ns() + int(late * 1e9), self._newest.get((sender, to), 0))
            self._newest[sender, to] = arrival_ns
            heapq.heappush(self._under_way, (arrival_ns, self._count, sender, to, frames))

    def arrived(self) -> list[tuple[bytes, bytes, tuple[bytes, bytes]]]:
        """(sender, receiver, frames) of everything that is due."""
        arrived: list[tuple[int, int, bytes, bytes, tuple[bytes, bytes]]] = []
        held: list[tuple[int, int, bytes, bytes, tuple[bytes, bytes]]] = []
        while self._under_way and self._under_way[0][0] <= self._clock.now_ns():
            frame = heapq.heappop(self._under_way)
            (held if frame[3] in self.faults.cut else arrived).append(frame)
        for frame in held if self.faults.hold else ():
            heapq.heappush(self._under_way, frame)
        return [frame[2:] for frame in arrived]

    def forget(self, end: bytes) -> None:
        """The process at this end is gone, and with it every connection it had."""
        self._under_way = [frame for frame in self._under_way if end not in (frame[2], frame[3])]
        heapq.heapify(self._under_way)


class SimulatedStore(ReplayStore):
    """Keeps every commit and who the workers are: what a master that starts again finds."""

    def __init__(self) -> None:
        super().__init__()
        self.members: list[tuple[bytes, str, int]] = []

    def save_members(self, rows: Iterable[MemberRecord]) -> None:
        self.members += [(row.uid, row.worker, row.index) for row in rows]


@dataclass
class SimulatedWorker:
    """An agent, and users that are nothing but a rate of recorded requests."""

    uid: bytes
    clock: FakeClock
    network: Network
    random: random.Random
    recorded: int = 0
    failed: int = 0
    kept: int = 0  # deltas saved because the master never acknowledged them
    alive: bool = True
    frozen: bool = False  # stopped by a signal: it neither works nor hears
    agent: Agent = field(init=False)
    recorder: Recorder = field(init=False)
    wanted: set[UserKey] = field(default_factory=set)
    users: dict[UserKey, int | None] = field(default_factory=dict)  # who runs, and when it will have ended
    stopping: bool = False

    def __post_init__(self) -> None:
        self.agent = Agent(self.uid, self.clock, self)
        self.recorder = Recorder(self.clock)
        self.agent.hello()

    @property
    def is_working(self) -> bool:
        return self.alive and not self.frozen and self.agent.state is not AgentState.DONE

    def step(self) -> None:
        self.agent.on_tick()  # first: a process that was frozen looks at its lease before it does anything else
        self.users = {user: end for user, end in self.users.items() if end is None or end > self.clock.now_ns()}
        if not self.stopping:
            self.users.update((user, None) for user in self.wanted if user not in self.users)
        elif not self.users:
            self.agent.users_gone()
        for _ in range(self.random.randrange(4) if self.users else 0):
            self._request()

    def _request(self) -> None:
        self.recorded += 1
        series = self.recorder.series("GET", f"/{self.random.randrange(3)}")
        if self.random.random() < 0.1:
            self.failed += 1
            series.failed(100, 1, 0, Failure("reset", "connection reset"))
        else:
            series.ok(self.random.randrange(10**6), 10)

    def receive(self, frames: tuple[bytes, bytes]) -> None:
        try:
            self.agent.on_message(decode_header(frames[0], FROM_MASTER), frames[1])
        except Malformed as exc:
            raise AssertionError(f"the master sent nonsense: {exc}") from exc

    def _end(self, users: set[UserKey], within_s: float) -> None:
        for user in users & self.users.keys():
            self.users[user] = self.clock.now_ns() + int(self.random.random() * within_s * 1e9)

    # the agent's Host

    def send(self, header: Header, body: bytes) -> None:
        self.network.carry(self.uid, MASTER, (encode_header(header), body))

    def load(self, settings: WorkerSettings, index: int) -> None:
        self.agent.loaded([["U", 1.0, 0]])

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        self.wanted = users_of(assignment.shares)
        self._end(self.users.keys() - self.wanted, within_s=0.5)

    def stop(self, timeout_s: float) -> None:
        self.stopping = True
        self._end(set(self.users), timeout_s)

    def suspend(self) -> None:
        self.wanted = set()
        self.users = {}

    def seal(self, window: Window, final: bool) -> tuple[bytes, bool]:
        body = seal(self.recorder, window, Health(), final)
        return body, is_drained(self.recorder)

    def surplus(self) -> int:
        return len(self.users.keys() - self.wanted)

    def running(self) -> set[UserKey]:
        return set(self.users)

    def user_count(self) -> int:
        return len(self.users)

    def custom(self, kind: str, data: object) -> None:
        pass

    def answered(self, kind: MessageType, body: dict[str, Any]) -> None:
        pass

    def keep(self, run_id: bytes, deltas: list[tuple[int, bytes]]) -> None:
        self.kept += len(deltas)


class Simulation:
    """`run` lets virtual time pass and checks the laws; faults are for the tests to bring about."""

    def __init__(self, seed: int, workers: int, faults: Faults, lease_s: float | None = None) -> None:
        self.clock = FakeClock(now_ns=10**9)
        self.random = random.Random(seed)
        self.network = Network(self.clock, faults, self.random)
        self.store = SimulatedStore()
        self.lease_s = lease_s
        self._epoch = 1
        self.plan: UserPlan | None = None
        self.start_ns = 0
        self.workers: list[SimulatedWorker] = []
        self.cluster: Cluster | None = self._new_cluster(Ledger(), epoch=1)
        for _ in range(workers):
            self.add_worker()

    def _new_cluster(self, ledger: Ledger, epoch: int) -> Cluster:
        return Cluster(RUN_ID, SETTINGS.to_wire(), ledger, self.store, self.lease_s, epoch)

    @property
    def master(self) -> Cluster:
        if self.cluster is None:
            raise AssertionError("there is no master now")
        return self.cluster

    def add_worker(self) -> SimulatedWorker:
        number = len(self.workers)
        rng = random.Random(self.random.random())
        worker = SimulatedWorker(bytes([number]) * 16, self.clock, self.network, rng)
        self.workers.append(worker)
        return worker

    def assign(self, plan: UserPlan) -> None:
        self.plan, self.start_ns = plan, self.clock.now_ns()
        self.master.assign(plan, self.start_ns, self.start_ns)

    def kill_worker(self, worker: SimulatedWorker, noticed: bool) -> None:
        """kill -9; `noticed` if a parent saw the process end."""
        worker.alive = False
        self.network.forget(worker.uid)
        if noticed and self.cluster is not None:
            self.cluster.lose(worker.uid, "killed")

    def kill_master(self) -> None:
        self.cluster = None
        self.network.forget(MASTER)

    def restart_master(self) -> None:
        """A new master on the same file: it knows what was committed, and who the workers were."""
        self._epoch += 1
        self.cluster = self._new_cluster(Ledger.restore(self.store.load()), self._epoch)
        if self.plan is not None:
            self.cluster.resume(self.plan, self.start_ns, self.store.members, self.clock.now_ns())
        for worker in self.workers:
            if worker.is_working:
                worker.agent.reconnected()

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.step()

    def step(self) -> None:
        self.clock.advance(STEP_S)
        by_uid = {worker.uid: worker for worker in self.workers}
        for sender, to, frames in self.network.arrived():
            if to == MASTER:
                if self.cluster is not None:
                    self.cluster.on_frames(sender, list(frames), self.clock.now_ns())
            elif by_uid[to].is_working:
                by_uid[to].receive(frames)
        for worker in self.workers:
            if worker.is_working:
                worker.step()
        if self.cluster is not None:
            self._step_master(self.cluster)
        self.check_laws()

    def _step_master(self, cluster: Cluster) -> None:
        self._check_acknowledgements(cluster)  # what answered a frame was said before this step's commit
        cluster.on_tick(self.clock.now_ns())
        self._check_acknowledgements(cluster)
        for peer, header, body in cluster.outgoing:
            self.network.carry(MASTER, peer, (header, body))
        cluster.outgoing.clear()

    def _check_acknowledgements(self, cluster: Cluster) -> None:
        """Nothing is acknowledged that a master which dies now would have forgotten."""
        for peer, header, _ in cluster.outgoing:
            ack = decode_header(header, FROM_MASTER).ack
            member = cluster.members.get(peer)
            if member is not None and ack > self.store.last_seq.get(member.id, 0):
                raise AssertionError("acknowledged before it was committed")

    def check_laws(self) -> None:
        """The offered load is at most the plan, and no user runs on two workers."""
        running = [user for worker in self.workers if worker.is_working for user in worker.users]
        if len(running) != len(set(running)):
            raise AssertionError(f"a user runs twice: {sorted(running)}")
        if self.plan is not None and len(running) > self.plan.users:
            raise AssertionError(f"{len(running)} users run, the plan has {self.plan.users}")

    @property
    def recorded(self) -> int:
        return sum(worker.recorded for worker in self.workers)

    @property
    def running(self) -> int:
        return sum(len(worker.users) for worker in self.workers if worker.is_working)

    def states(self) -> set[MemberState]:
        return {member.state for member in self.master.members.values()}
