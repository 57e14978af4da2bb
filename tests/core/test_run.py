from collections.abc import Sequence

import pytest

from loadgen.errors import ScenarioError, WorkersMissing
from loadgen.master.cluster_view import MemberView
from loadgen.master.members import MemberEvent, MemberState, transition
from loadgen.master.run import WORKER_TIMEOUT_S, Assign, LoseUnsettled, Quit, Run, Stop
from loadgen.metrics.snapshot import RunState, WorkerStatus
from loadgen.plan import ClassCount, UserPlan

S = 1_000_000_000
SETTLED = {MemberState.FINAL, MemberState.LOST, MemberState.FAILED, MemberState.LEFT}


def plan(users: int = 10, duration_s: float | None = 5.0) -> UserPlan:
    return UserPlan((ClassCount("U", users),), 10.0, duration_s)


def members(*states: MemberState, idle: bool = False, held: int = 5) -> Sequence[MemberView]:
    return [
        MemberView(bytes([i]), state, state in SETTLED, idle, held, 0, (), {}, WorkerStatus(f"w{i}", state.value))
        for i, state in enumerate(states)
    ]


def started_run(**changes: float | None) -> tuple[Run, int]:
    run = Run(plan(**changes), 2, 3.0, 0)  # type: ignore[arg-type]
    run.step(members(MemberState.READY, MemberState.READY), 1 * S)
    return run, run.start_ns


READY, RUNNING, STOPPING = MemberState.READY, MemberState.RUNNING, MemberState.STOPPING
FINAL, LOST, JOINED = MemberState.FINAL, MemberState.LOST, MemberState.JOINED


def test_users_start_only_when_every_expected_worker_is_ready() -> None:
    run = Run(plan(), 2, 3.0, 0)

    assert run.step(members(READY, JOINED), 1 * S) == []
    assert run.state is RunState.WAITING
    (command,) = run.step(members(READY, READY), 2 * S)
    assert isinstance(command, Assign)
    assert command.start_ns > 2 * S
    assert run.step(members(READY, READY), 2 * S) == []


def test_a_run_ramps_holds_stops_and_finishes() -> None:
    run, start = started_run()
    states = [run.state]

    assert run.step(members(RUNNING, RUNNING), start + 1 * S) == []
    states.append(run.state)
    assert run.step(members(RUNNING, RUNNING), start + 5 * S) == [Stop(3.0)]
    assert run.step(members(STOPPING, FINAL), start + 6 * S) == []
    assert run.step(members(FINAL, FINAL), start + 6 * S) == [Quit()]
    assert [*states, run.state] == [RunState.RAMPING, RunState.RUNNING, RunState.FINISHED]
    assert not run.interrupted


def test_an_interrupt_stops_gracefully_and_the_second_one_now() -> None:
    run, start = started_run()
    run.ask_to_stop(interrupted=True)

    assert run.step(members(RUNNING, RUNNING), start + 1 * S) == [Stop(3.0)]
    assert run.step(members(STOPPING, STOPPING), start + 1 * S) == []
    run.ask_to_stop(interrupted=True)
    assert run.step(members(STOPPING, STOPPING), start + 2 * S) == [Stop(0.0)]
    assert run.interrupted


def test_a_run_whose_users_have_all_ended_ends_before_its_time() -> None:
    run, start = started_run(duration_s=None)

    assert run.step(members(RUNNING, RUNNING), start + 9 * S) == []
    assert run.step(members(RUNNING, RUNNING, idle=True), start + 9 * S) == [Stop(3.0)]


def test_users_that_nobody_runs_at_the_moment_do_not_count_as_ended() -> None:
    run, start = started_run(duration_s=None)

    assert run.step(members(RUNNING, LOST, idle=True, held=0), start + 9 * S) == []


def test_a_run_without_any_worker_left_finishes() -> None:
    run, start = started_run()

    assert run.step(members(LOST, LOST), start + 1 * S) == [Stop(3.0), Quit()]
    assert run.state is RunState.FINISHED


def test_a_worker_that_never_delivers_is_lost_after_the_stop_timeout() -> None:
    run, start = started_run()
    run.step(members(RUNNING, RUNNING), start + 5 * S)

    commands = run.step(members(FINAL, STOPPING), start + 60 * S)

    assert [type(command) for command in commands] == [LoseUnsettled]
    assert run.step(members(FINAL, LOST), start + 60 * S) == [Quit()]


def test_a_resumed_run_waits_for_the_first_sign_of_its_workers() -> None:
    run = Run(plan(duration_s=None), 2, 3.0, 0)
    run.resume(1 * S)
    run.ask_to_stop(interrupted=True)

    assert run.step((), 2 * S) == [Stop(3.0)]
    assert run.step((), 3 * S) == []
    assert run.state is RunState.STOPPING
    assert run.step(members(FINAL, FINAL), 4 * S) == [Quit()]


def test_a_failed_import_ends_the_run_before_it_began() -> None:
    run = Run(plan(), 2, 3.0, 0)
    run.step(members(JOINED, JOINED), 1 * S)
    run.abort(ScenarioError("no"))
    run.abort(ScenarioError("later"))

    assert run.step(members(JOINED, MemberState.FAILED), 2 * S) == [Quit()]
    assert str(run.error) == "no"


def test_workers_that_do_not_come_are_an_error_that_counts_them() -> None:
    run = Run(plan(), 2, 3.0, 0)
    run.step(members(READY), 1 * S)

    assert run.step(members(READY), int((WORKER_TIMEOUT_S + 1) * S)) == [Quit()]
    assert isinstance(run.error, WorkersMissing)
    assert "1 of 2 workers" in run.error.message


@pytest.mark.parametrize("state", list(MemberState))
def test_a_lost_or_settled_worker_stays_settled(state: MemberState) -> None:
    following = transition(state, MemberEvent.LOST)

    assert following is (None if state in SETTLED else MemberState.LOST)
