from __future__ import annotations

import pytest

from loadgen.worker.states import AgentEvent, AgentState, transition
from loadgen.worker.supervisor import pause_after


def test_a_slot_that_keeps_failing_is_tried_less_and_less_often() -> None:
    assert [pause_after(failures) for failures in range(1, 8)] == [1, 2, 4, 8, 16, 30, 30]
    assert pause_after(10_000) == 30


HOLDS_MEASUREMENTS = (AgentState.RUNNING, AgentState.STOPPING, AgentState.FLUSHING)


@pytest.mark.parametrize("state", set(AgentState) - {AgentState.DONE})
def test_a_rejected_worker_makes_room_for_a_fresh_one_unless_it_holds_measurements(state: AgentState) -> None:
    expected = None if state in HOLDS_MEASUREMENTS else AgentState.DONE

    assert transition(state, AgentEvent.REJECTED) is expected
