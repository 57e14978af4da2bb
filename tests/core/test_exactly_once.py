"""What was recorded is counted, each once, whatever the network does (seeds are printed by pytest)."""

import pytest

from loadgen.master.members import MemberState
from loadgen.plan import ClassCount, UserPlan
from loadgen.worker.agent import AgentState
from tests.core.simulation import Faults, Simulation

PLAN = UserPlan((ClassCount("U", 6),), 100.0, None)
WILD = Faults(drop=0.2, repeat=0.2, delay=0.3)


def states(simulation: Simulation) -> set[MemberState]:
    return {member.state for member in simulation.cluster.members.values()}


def run_until(simulation: Simulation, state: MemberState, limit_s: int = 120) -> None:
    for _ in range(limit_s):
        if len(simulation.cluster.members) == len(simulation.workers) and states(simulation) == {state}:
            return
        simulation.run(1)
    raise AssertionError(f"not {state} after {limit_s} s: {states(simulation)}")


def whole_run(seed: int, faults: Faults, seconds: float = 8) -> Simulation:
    simulation = Simulation(seed, workers=3, faults=faults)
    run_until(simulation, MemberState.READY)
    simulation.cluster.assign(PLAN, simulation.clock.now_ns(), simulation.clock.now_ns())
    simulation.run(seconds)
    simulation.cluster.stop(1.0, simulation.clock.now_ns())
    run_until(simulation, MemberState.FINAL)
    return simulation


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("faults", [pytest.param(Faults(), id="calm"), pytest.param(WILD, id="wild")])
def test_every_recorded_request_is_counted_exactly_once(seed: int, faults: Faults) -> None:
    simulation = whole_run(seed, faults)
    view = simulation.cluster.ledger.view(detailed=True)

    assert simulation.recorded > 0
    assert view.totals.requests == simulation.recorded
    assert view.totals.failures == sum(worker.failed for worker in simulation.workers)
    assert view.totals.service.histogram.count == view.totals.requests - view.totals.failures
    assert view.warnings == ()


def test_a_long_silence_of_the_master_loses_nothing_and_takes_no_more_memory() -> None:
    simulation = Simulation(7, workers=2, faults=Faults())
    run_until(simulation, MemberState.READY)
    simulation.cluster.assign(PLAN, simulation.clock.now_ns(), simulation.clock.now_ns())
    simulation.run(3)
    simulation.network.faults.drop = 1.0
    simulation.run(60)
    in_flight = [len(worker.agent._outbox.unacknowledged()) for worker in simulation.workers]
    simulation.network.faults.drop = 0.0
    simulation.cluster.stop(1.0, simulation.clock.now_ns())
    run_until(simulation, MemberState.FINAL)

    assert in_flight == [4, 4]
    assert simulation.cluster.ledger.view(detailed=False).totals.requests == simulation.recorded


def test_a_quit_ends_every_worker() -> None:
    simulation = whole_run(3, WILD)
    simulation.cluster.quit(simulation.clock.now_ns())
    simulation.network.faults.drop = 0.0
    simulation.run(10)

    assert {worker.agent.state for worker in simulation.workers} == {AgentState.DONE}


def test_a_stranger_and_noise_change_nothing_but_a_counter() -> None:
    simulation = whole_run(1, Faults(), seconds=2)
    before = simulation.cluster.ledger.view(detailed=False)
    cluster, now_ns = simulation.cluster, simulation.clock.now_ns()
    header = next(iter(simulation.workers)).agent

    for frames in ([], [b"x"], [b"GET / HTTP/1.1", b""], [b"\xc1" * 100, b"\xc1"], [b"a"] * 9):
        cluster.on_frames(b"stranger", frames, now_ns)

    assert header.state is AgentState.FLUSHING
    assert cluster.rejected["malformed"] == 5
    assert cluster.ledger.view(detailed=False) == before


def test_the_certain_loss_of_a_worker_keeps_what_it_had_delivered() -> None:
    simulation = Simulation(5, workers=2, faults=Faults())
    run_until(simulation, MemberState.READY)
    simulation.cluster.assign(PLAN, simulation.clock.now_ns(), simulation.clock.now_ns())
    simulation.run(5)
    dead = simulation.workers.pop(0)
    simulation.cluster.lose(dead.uid, "killed by signal 9 (SIGKILL)")
    simulation.cluster.stop(1.0, simulation.clock.now_ns())
    simulation.run(5)

    lost = simulation.cluster.members[dead.uid]
    assert (lost.state, lost.reason) == (MemberState.LOST, "killed by signal 9 (SIGKILL)")
    counted = simulation.cluster.ledger.report(lost.id).requests
    assert 0 < counted <= dead.recorded
    assert simulation.cluster.ledger.view(detailed=False).totals.requests == counted + simulation.recorded
