from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.cli.screen import RunInfo
from loadgen.cli.terminal.history import History
from loadgen.cli.terminal.panel import MOST_LINES, health, panel
from loadgen.cli.terminal.screens import bare
from loadgen.cli.terminal.style import PLAIN, Style
from loadgen.cli.terminal.text import width
from loadgen.metrics.snapshot import RunState, Snapshot, WorkerStatus
from tests.support.golden import assert_golden
from tests.support.snapshots import ERRORS, SATURATED, TASK_ERRORS, WORKERS, ramp, running

INFO = RunInfo("2026-11-20-1403-7f3a", "checkout-api", 2, "https://shop.test", 600.0)


def seen() -> History:
    history = History()
    for snapshot in ramp():
        history.add(snapshot)
    return history


@pytest.mark.parametrize("columns", [60, 80, 100, 120, 140])
def test_a_running_shop_in_every_width(columns: int) -> None:
    lines = panel(INFO, replace(running(), errors=ERRORS), seen(), columns, PLAIN)

    assert_golden(f"panel-{columns}", lines)
    assert len(lines) <= MOST_LINES


def test_a_saturated_worker_stands_out() -> None:
    lines = panel(INFO, replace(running(), workers=(*WORKERS, SATURATED)), seen(), 80, PLAIN)

    assert_golden("panel-saturated", lines)


def test_before_the_first_user() -> None:
    waiting = Snapshot(state=RunState.WAITING, target_users=500, planned_s=600.0)

    assert_golden("panel-waiting", panel(INFO, waiting, History(), 80, PLAIN))


def test_colours_change_no_text() -> None:
    snapshot = replace(running(), errors=ERRORS, workers=(*WORKERS, SATURATED))
    plain = panel(INFO, snapshot, seen(), 100, PLAIN)
    painted = panel(INFO, snapshot, seen(), 100, Style(color=True))

    assert [bare(line) for line in painted] == plain


@given(st.text(max_size=300), st.integers(60, 140), st.booleans())
def test_no_name_makes_a_line_too_wide_or_two(name: str, columns: int, ascii_only: bool) -> None:
    style = Style(ascii=ascii_only)
    evil = replace(running().endpoints[0], name=name)
    snapshot = replace(
        running(),
        endpoints=(evil, *running().endpoints),
        errors=(replace(ERRORS[0], name=name, signature=name),),
        workers=(replace(WORKERS[0], reason=name),),
    )
    lines = panel(replace(INFO, scenario_name=name), snapshot, seen(), columns, style)

    assert len(lines) <= MOST_LINES
    assert all(width(line) <= columns for line in lines)
    assert all(len(line.splitlines()) <= 1 for line in lines)


def test_an_exception_of_the_scenario_is_shown_when_nothing_else_is_wrong() -> None:
    lines = panel(INFO, replace(running(), task_errors=TASK_ERRORS), seen(), 80, PLAIN)

    assert "KeyError" in lines[-1]


@pytest.mark.parametrize(
    ("worker", "expected"),
    [
        (WorkerStatus("w1", "running", cpu_percent=69.0, lag_ms_p99=9.0), "ok"),
        (WorkerStatus("w1", "running", cpu_percent=71.0), "busy"),
        (WorkerStatus("w1", "running", lag_ms_p99=12.0), "busy"),
        (WorkerStatus("w1", "running", cpu_percent=95.0), "saturated"),
        (WorkerStatus("w1", "running", lag_ms_p99=60.0), "saturated"),
        (WorkerStatus("w1", "lost"), "lost"),
    ],
)
def test_the_health_of_a_worker_comes_from_cpu_and_lag(worker: WorkerStatus, expected: str) -> None:
    assert health(worker) == expected
