"""What was recorded is counted, each once, whatever the network does (seeds are printed by pytest)."""

import pytest

from loadgen.master.members import MemberState
from loadgen.plan import ClassCount, UserPlan
from loadgen.worker.states import AgentState
from tests.core.simulation import Faults, Simulation

PLAN = UserPlan((ClassCount("U", 6),), 100.0, None)


def wild() -> Faults:
    return Faults(drop=0.2, repeat=0.2, delay=0.3)


def run_until(simulation: Simulation, state: MemberState, limit_s: int = 120) -> None:
    for _ in range(limit_s):
        if len(simulation.master.members) == len(simulation.workers) and simulation.states() == {state}:
            return
        simulation.run(1)
    raise AssertionError(f"not {state} after {limit_s} s: {simulation.states()}")


def started(seed: int, workers: int, faults: Faults, lease_s: float | None = None) -> Simulation:
    simulation = Simulation(seed, workers, faults, lease_s)
    run_until(simulation, MemberState.READY)
    simulation.assign(PLAN)
    return simulation


def finish(simulation: Simulation) -> None:
    simulation.master.stop(1.0, simulation.clock.now_ns())
    run_until(simulation, MemberState.FINAL)


@pytest.mark.parametrize("seed", range(25))
@pytest.mark.parametrize("faults", [Faults, wild])
def test_every_recorded_request_is_counted_exactly_once(seed: int, faults: type[Faults]) -> None:
    simulation = started(seed, 3, faults())
    simulation.run(8)
    finish(simulation)
    view = simulation.master.ledger.view(detailed=True)

    assert simulation.recorded > 0
    assert view.totals.requests == simulation.recorded
    assert view.totals.failures == sum(worker.failed for worker in simulation.workers)
    assert view.totals.service.histogram.count == view.totals.requests - view.totals.failures
    assert view.warnings == ()


def test_a_long_silence_of_the_master_loses_nothing_and_takes_no_more_memory() -> None:
    simulation = started(7, 2, Faults())
    simulation.run(3)
    simulation.network.faults.drop = 1.0
    simulation.run(60)
    in_flight = [len(worker.agent._outbox.unacknowledged()) for worker in simulation.workers]
    simulation.network.faults.drop = 0.0
    finish(simulation)

    assert in_flight == [4, 4]
    assert simulation.master.ledger.view(detailed=False).totals.requests == simulation.recorded


def test_a_quit_ends_every_worker() -> None:
    simulation = started(3, 3, wild())
    simulation.run(5)
    finish(simulation)
    simulation.master.quit(simulation.clock.now_ns())
    simulation.network.faults.drop = 0.0
    simulation.run(10)

    assert {worker.agent.state for worker in simulation.workers} == {AgentState.DONE}


def test_noise_changes_nothing_but_a_counter() -> None:
    simulation = started(1, 2, Faults())
    simulation.run(2)
    before = simulation.master.ledger.view(detailed=False)
    cluster, now_ns = simulation.master, simulation.clock.now_ns()

    for frames in ([], [b"x"], [b"GET / HTTP/1.1", b""], [b"\xc1" * 100, b"\xc1"], [b"a"] * 9):
        cluster.on_frames(b"stranger", frames, now_ns)

    assert cluster.rejected["malformed"] == 5
    assert cluster.ledger.view(detailed=False) == before


def test_users_of_a_worker_that_certainly_died_run_elsewhere_within_two_seconds() -> None:
    simulation = started(5, 3, Faults(), lease_s=60)
    simulation.run(5)
    dead = simulation.workers[0]
    simulation.kill_worker(dead, noticed=True)
    simulation.run(2)

    assert simulation.running == PLAN.users
    lost = simulation.master.members[dead.uid]
    assert (lost.state, lost.reason) == (MemberState.LOST, "killed")
    assert 0 < simulation.master.ledger.report(lost.id).requests <= dead.recorded


def test_users_of_a_worker_that_only_fell_silent_run_elsewhere_after_its_lease() -> None:
    simulation = started(5, 3, Faults(), lease_s=3)
    simulation.run(5)
    silent = simulation.workers[0]
    simulation.network.faults.cut = {silent.uid}
    simulation.run(2.5)
    assert simulation.master.members[silent.uid].state is MemberState.RUNNING
    simulation.run(1)
    assert silent.users == {}
    simulation.run(4)

    assert simulation.running == PLAN.users


def test_a_partition_that_heals_leaves_no_gap_in_the_books() -> None:
    simulation = started(11, 3, Faults(), lease_s=3)
    simulation.run(5)
    far = simulation.workers[0]
    simulation.network.faults.cut = {far.uid, b"master"}
    simulation.run(20)
    simulation.network.faults.cut = set()
    simulation.run(10)
    assert simulation.running == PLAN.users
    assert far.users != {}
    finish(simulation)

    assert simulation.master.ledger.view(detailed=False).totals.requests == simulation.recorded


def test_a_late_worker_is_given_its_share_without_ever_exceeding_the_plan() -> None:
    simulation = started(2, 2, Faults())
    simulation.run(3)
    late = simulation.add_worker()
    simulation.run(4)

    assert len(late.users) == PLAN.users / 3
    assert simulation.running == PLAN.users


def test_a_worker_that_drains_delivers_everything_and_its_users_move() -> None:
    simulation = started(4, 3, Faults(), lease_s=60)
    simulation.run(3)
    leaving = simulation.workers[0]
    leaving.agent.drain()
    simulation.run(12)

    assert leaving.agent.state is AgentState.DONE
    assert simulation.master.ledger.report("w1").requests == leaving.recorded
    assert simulation.running == PLAN.users


@pytest.mark.parametrize("seed", range(10))
def test_a_restarted_master_counts_everything_once(seed: int) -> None:
    simulation = started(seed, 3, Faults(), lease_s=30)
    simulation.run(4 + seed / 7)
    simulation.kill_master()
    simulation.run(5)
    assert simulation.running == PLAN.users
    simulation.restart_master()
    simulation.run(5)
    assert simulation.running == PLAN.users
    finish(simulation)

    assert simulation.master.ledger.view(detailed=False).totals.requests == simulation.recorded
    assert simulation.master.ledger.view(detailed=False).warnings == ()


def test_a_master_that_never_comes_back_ends_the_load_with_the_lease_and_loses_nothing() -> None:
    simulation = started(6, 2, Faults(), lease_s=3)
    simulation.run(4)
    simulation.kill_master()
    simulation.run(4)
    assert simulation.running == 0
    simulation.run(1_000)

    assert {worker.agent.state for worker in simulation.workers} == {AgentState.DONE}
    assert all(worker.agent.gave_up and worker.kept for worker in simulation.workers)
