"""A run of the simulated cluster under everything that can go wrong, from one seed.

    python -m tests.core.nemesis --seeds 10000 [--first 0]

prints how many runs a second of CPU that was, and for a broken law the seed, which replays it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time

from loadgen.master.members import MemberState
from loadgen.plan import ClassCount, UserPlan
from loadgen.worker.states import AgentState
from tests.core.simulation import MASTER, Faults, SimulatedWorker, Simulation

PLAN = UserPlan((ClassCount("A", 5), ClassCount("B", 4)), 50.0, None)
LEASE_S = 3.0
CHAOS_S = 20.0
SETTLED = {MemberState.FINAL, MemberState.LEFT, MemberState.LOST}


class Nemesis:
    """Brings about one misfortune after the other, and undoes what can be undone."""

    def __init__(self, simulation: Simulation, seed: int) -> None:
        self.simulation = simulation
        self.random = random.Random(seed ^ 0x5EED)
        self.killed: list[SimulatedWorker] = []

    def strike(self) -> None:
        """One random misfortune, or its end."""
        misfortunes = [self.cut, self.cut, self.freeze, self.kill, self.drain, self.master, self.wild]
        self.random.choice([*misfortunes, self.mend, self.thaw, self.join])()

    def cut(self) -> None:
        ends = [worker.uid for worker in self.simulation.workers] + [MASTER]
        self.simulation.network.faults.cut = set(self.random.sample(ends, self.random.randint(1, len(ends))))
        self.simulation.network.faults.hold = self.random.random() < 0.5

    def mend(self) -> None:
        self.simulation.network.faults.cut = set()

    def wild(self) -> None:
        faults = self.simulation.network.faults
        faults.drop, faults.repeat, faults.delay = self.random.choice([(0, 0, 0), (0.2, 0.2, 0.3), (0, 0.1, 0.5)])

    def freeze(self) -> None:
        self.random.choice(self.simulation.workers).frozen = True

    def thaw(self) -> None:
        for worker in self.simulation.workers:
            worker.frozen = False

    def kill(self) -> None:
        worker = self.random.choice(self.simulation.workers)
        if worker.is_working and len(self.killed) < 2:
            self.killed.append(worker)
            self.simulation.kill_worker(worker, noticed=self.random.random() < 0.5)

    def join(self) -> None:
        if len(self.simulation.workers) < 6:
            self.simulation.add_worker()

    def drain(self) -> None:
        worker = self.random.choice(self.simulation.workers)
        if worker.is_working and self.random.random() < 0.5:
            worker.agent.drain()

    def master(self) -> None:
        if self.simulation.cluster is None:
            self.simulation.restart_master()
        else:
            self.simulation.kill_master()

    def relent(self) -> None:
        """Undo everything but death."""
        self.mend()
        self.thaw()
        self.simulation.network.faults = Faults()
        if self.simulation.cluster is None:
            self.simulation.restart_master()


def run_seed(seed: int) -> Simulation:
    """One run. Raises AssertionError when a law is broken."""
    simulation = Simulation(seed, workers=3, faults=Faults(), lease_s=LEASE_S)
    nemesis = Nemesis(simulation, seed)
    simulation.run(1)
    simulation.assign(PLAN)
    while simulation.clock.now_ns() < simulation.start_ns + CHAOS_S * 1e9:
        nemesis.strike()
        simulation.run(nemesis.random.choice([0.1, 0.5, 1.5, 4.0]))
    nemesis.relent()
    simulation.run(2 * LEASE_S + 8)
    check_load(simulation)
    finish(simulation)
    check_books(simulation, nemesis.killed)
    return simulation


def check_load(simulation: Simulation) -> None:
    """With all well again, and somebody left to run them, every user runs."""
    able = [worker for worker in simulation.workers if worker.is_working and not worker.agent._draining]
    if able and simulation.running != PLAN.users:
        raise AssertionError(f"{simulation.running} of {PLAN.users} users run on {len(able)} workers after all is well")


def finish(simulation: Simulation) -> None:
    """The run ends, with every worker settled."""
    simulation.master.stop(1.0, simulation.clock.now_ns())
    for _ in range(60):
        simulation.run(0.5)
        if simulation.states() <= SETTLED:
            simulation.run(1)  # let the last acknowledgements arrive
            return
    raise AssertionError(f"the run does not end: {simulation.states()}")


def check_books(simulation: Simulation, killed: list[SimulatedWorker]) -> None:
    """Everything recorded is counted once; of a killed worker at most what it could not deliver is missing."""
    ledger = simulation.master.ledger
    for worker in simulation.workers:
        member = simulation.master.members.get(worker.uid)
        counted = ledger.report(member.id).requests if member else 0
        exact = worker not in killed
        if counted > worker.recorded or (exact and counted != worker.recorded):
            raise AssertionError(f"worker {worker.uid[0]} recorded {worker.recorded}, counted were {counted}")
        if exact and worker.agent.state is not AgentState.DONE and not worker.agent.everything_acknowledged:
            raise AssertionError(f"worker {worker.uid[0]} ended as {worker.agent.state} with something unsent")
    if ledger.view(detailed=False).warnings:
        raise AssertionError(f"the audit found: {ledger.view(detailed=False).warnings}")


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--seeds", type=int, default=1_000)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    began_s = time.process_time()
    for seed in range(options.first, options.first + options.seeds):
        try:
            run_seed(seed)
        except AssertionError as exc:
            print(f"seed {seed}: {exc}\nreplay: python -m tests.core.nemesis --seeds 1 --first {seed}")
            return 1
    used_s = time.process_time() - began_s
    print(f"{options.seeds} seeds without a broken law, {options.seeds / used_s:.0f} runs per second of CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
