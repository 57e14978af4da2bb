"""A master and its workers in virtual time, joined by a network that drops, repeats and delays frames."""

from __future__ import annotations

import heapq
import random
from dataclasses import dataclass, field
from typing import Any

from loadgen.clock import FakeClock
from loadgen.errors import Malformed
from loadgen.master.cluster import Cluster
from loadgen.master.ledger import Ledger
from loadgen.master.store import Commit
from loadgen.metrics.delta import Window, is_drained, seal
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.recorder import Recorder
from loadgen.settings import WorkerSettings
from loadgen.wire.messages import FROM_MASTER, Header, decode_header, encode_header
from loadgen.worker.agent import Agent, AgentState, Assignment

SETTINGS = WorkerSettings("s.py", "0" * 64, ("U",), None, (), (), 1, "INFO", 1.0, 30.0, {})
RUN_ID = b"r" * 16
STEP_S = 0.05


@dataclass
class Faults:
    """What the network does to a frame, each with this probability."""

    drop: float = 0.0
    repeat: float = 0.0
    delay: float = 0.0
    delay_s: float = 2.0


class CheckedStore:
    """Remembers what was committed, so that an acknowledgement of anything else is noticed."""

    def __init__(self) -> None:
        self.last_seq: dict[str, int] = {}

    def commit(self, batch: Commit) -> None:
        self.last_seq.update(batch.workers)


@dataclass
class SimulatedWorker:
    """An agent and users that are nothing but a rate of recorded requests."""

    uid: bytes
    clock: FakeClock
    network: Network
    random: random.Random
    recorded: int = 0
    failed: int = 0
    agent: Agent = field(init=False)
    recorder: Recorder = field(init=False)
    running: bool = False

    def __post_init__(self) -> None:
        self.agent = Agent(self.uid, self.clock, self)
        self.recorder = Recorder(self.clock)
        self.agent.hello()

    def work(self) -> None:
        for _ in range(self.random.randrange(5) if self.running else 0):
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

    # the agent's Host

    def send(self, header: Header, body: bytes) -> None:
        self.network.carry(("master", self.uid), (encode_header(header), body))

    def load(self, settings: WorkerSettings, index: int) -> None:
        self.agent.loaded([["U", 1.0, 0]])

    def start(self, assignment: Assignment, offset_ns: int) -> None:
        self.running = True

    def stop(self, timeout_s: float) -> None:
        self.running = False
        self.agent.users_gone()

    def seal(self, window: Window, final: bool) -> tuple[bytes, bool]:
        body = seal(self.recorder, window, Health(), final)
        return body, is_drained(self.recorder)

    def users(self) -> int:
        return int(self.running)

    def custom(self, kind: str, data: object) -> None:
        pass


class Network:
    """Frames under way, delivered in the order of their arrival times."""

    def __init__(self, clock: FakeClock, faults: Faults, rng: random.Random) -> None:
        self.faults = faults
        self._clock = clock
        self._rng = rng
        self._under_way: list[tuple[int, int, Any, tuple[bytes, bytes]]] = []
        self._count = 0

    def carry(self, to: Any, frames: tuple[bytes, bytes]) -> None:
        if self._rng.random() < self.faults.drop:
            return
        for _ in range(2 if self._rng.random() < self.faults.repeat else 1):
            late = self._rng.random() * self.faults.delay_s if self._rng.random() < self.faults.delay else 0.001
            self._count += 1
            heapq.heappush(self._under_way, (self._clock.now_ns() + int(late * 1e9), self._count, to, frames))

    def arrived(self) -> list[tuple[Any, tuple[bytes, bytes]]]:
        arrived = []
        while self._under_way and self._under_way[0][0] <= self._clock.now_ns():
            arrived.append(heapq.heappop(self._under_way)[2:])
        return arrived


class Simulation:
    """`run` lets virtual time pass; the laws are for the tests to check."""

    def __init__(self, seed: int, workers: int, faults: Faults) -> None:
        self.clock = FakeClock(now_ns=10**9)
        self.random = random.Random(seed)
        self.network = Network(self.clock, faults, self.random)
        self.store = CheckedStore()
        self.cluster = Cluster(RUN_ID, SETTINGS.to_wire(), Ledger(), self.store)
        self.workers = [
            SimulatedWorker(bytes([i]) * 16, self.clock, self.network, random.Random(seed * 100 + i))
            for i in range(workers)
        ]

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds / STEP_S)):
            self.step()

    def step(self) -> None:
        self.clock.advance(STEP_S)
        now_ns = self.clock.now_ns()
        for to, frames in self.network.arrived():
            if isinstance(to, tuple):
                self.cluster.on_frames(to[1], list(frames), now_ns)
            else:
                next(w for w in self.workers if w.uid == to).receive(frames)
        for worker in self.workers:
            if worker.agent.state is not AgentState.DONE:
                worker.work()
                worker.agent.on_tick()
        self.cluster.on_tick(now_ns)
        for peer, header, body in self.cluster.outgoing:
            ack = decode_header(header, FROM_MASTER).ack
            member = self.cluster.members.get(peer)
            if member is not None and ack > self.store.last_seq.get(member.id, 0):
                raise AssertionError("acknowledged before it was committed")
            self.network.carry(peer, (header, body))
        self.cluster.outgoing.clear()

    @property
    def recorded(self) -> int:
        return sum(worker.recorded for worker in self.workers)
