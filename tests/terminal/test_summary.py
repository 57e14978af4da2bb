from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.cli.screen import RunInfo, RunResult
from loadgen.cli.terminal.history import History
from loadgen.cli.terminal.screens import bare
from loadgen.cli.terminal.style import PLAIN, Style
from loadgen.cli.terminal.summary import summary
from loadgen.cli.terminal.text import width
from loadgen.demo.lesson import lesson
from loadgen.master.outcome import ExitCode, exit_code
from loadgen.master.thresholds import evaluate, parse
from loadgen.master.verdict import judge
from loadgen.metrics.snapshot import (
    Accounting,
    EndpointTotals,
    ErrorGroup,
    RunState,
    Snapshot,
    TaskError,
    WorkerStatus,
)
from tests.support.golden import assert_golden
from tests.support.snapshots import SATURATED, WORKERS, endpoint, finished, latency, ramp, total

INFO = RunInfo("2026-11-20-1403-7f3a", "checkout-api", 2, "https://shop.test", 600.0)
LIMITS = ("errors < 1%", "p95 < 300ms", "p95 of 'GET /item/[id]' < 100ms", "rate > 1900/s")


def result_of(snapshot: Snapshot, *limits: str, interrupted: bool = False) -> RunResult:
    outcomes = evaluate([parse(text, f"loadtest.py:{14 + line}") for line, text in enumerate(limits)], snapshot)
    verdict = judge(snapshot)
    return RunResult(snapshot, outcomes, verdict, exit_code(snapshot, outcomes, verdict, interrupted=interrupted))


def course() -> History:
    history = History()
    for snapshot in ramp():
        history.add(snapshot)
    return history


def shown(result: RunResult, columns: int = 80, history: History | None = None, style: Style = PLAIN) -> list[str]:
    return summary(INFO, result, history or History(), columns, style, "0.1.0")


def healthy() -> Snapshot:
    """Nothing went wrong, and every iteration is in the books."""
    shop = (endpoint("GET", "/", 20_000, 22_000), endpoint("GET", "/item/[id]", 61_000, 31_000, seed=2))
    books = Accounting(81_000, 81_000, 0, 81_000, 0, 0, 0)
    return replace(
        finished(),
        endpoints=shop,
        totals=total(shop),
        errors=(),
        task_errors=(),
        checks=(),
        counters={},
        accounting=books,
        elapsed_s=60.0,
    )


@pytest.mark.parametrize("columns", [80, 100, 120])
def test_a_run_with_everything_in_it(columns: int) -> None:
    troubled = replace(finished(), workers=(*WORKERS, SATURATED))
    lines = shown(result_of(troubled, *LIMITS), columns, course())

    assert_golden(f"summary-{columns}", lines)


def test_a_healthy_run_is_short() -> None:
    assert_golden("summary-healthy", shown(result_of(healthy(), "errors < 1%", "p95 < 300ms"), 80, course()))


def test_ascii_all_through() -> None:
    lines = shown(result_of(finished(), *LIMITS), 80, course(), Style(ascii=True))

    assert_golden("summary-ascii", lines)
    assert all(line.isascii() for line in lines)


def test_a_target_that_was_never_reached() -> None:
    refused = EndpointTotals("GET", "/", requests=5_000, failures=5_000, failed_service=latency(5_000, 300))
    group = ErrorGroup("GET", "/", "connect_refused", "connection refused", 5_000, 0.0, 10.0, "connection refused", "")
    snapshot = replace(
        healthy(),
        endpoints=(refused,),
        totals=replace(refused, method="", name="TOTAL"),
        errors=(group,),
        accounting=Accounting(5_000, 5_000, 0, 0, 5_000, 0, 0),
    )

    assert_golden("summary-unreachable", shown(result_of(snapshot, "errors < 1%", "p95 < 300ms")))


def test_nothing_was_measured() -> None:
    nothing = Snapshot(state=RunState.FINISHED, elapsed_s=1.5, complete=True, workers=WORKERS[:1])
    result = result_of(nothing, "errors < 1%")

    assert result.exit_code is ExitCode.NOTHING_MEASURED
    assert_golden("summary-nothing", shown(result))


def test_an_interrupted_incomplete_run_says_so_first() -> None:
    lost = replace(WORKERS[1], state="lost", reason="killed by signal 9")
    snapshot = replace(
        healthy(), workers=(WORKERS[0], lost), complete=False, incomplete_reasons=("w2 is missing since 00:41",)
    )
    lines = shown(result_of(snapshot, "errors < 1%", interrupted=True))

    assert_golden("summary-interrupted", lines)


def test_few_samples_are_marked() -> None:
    few = (endpoint("GET", "/", 57, 22_000),)
    lines = shown(result_of(replace(healthy(), endpoints=few, totals=total(few)), "p95 < 300ms"))

    assert any("*" in line and line.startswith(" GET") for line in lines)
    assert any("too few samples" in line for line in lines)


def test_lateness_has_a_row_of_its_own() -> None:
    late = replace(healthy().totals, response=latency(81_000, 90_000))
    lines = shown(result_of(replace(healthy(), totals=late), "errors < 1%"))

    assert any(line.startswith(" TOTAL with wait") for line in lines)
    assert any("from the intended start" in line for line in lines)


def test_books_that_do_not_close_are_named() -> None:
    wrong = replace(healthy(), accounting=Accounting(10, 10, 0, 8, 1, 0, 0))

    assert any("do not close" in line for line in shown(result_of(wrong, "errors < 1%")))


def test_many_workers_show_the_worst_ones() -> None:
    workers = (*(WorkerStatus(f"w{n}", "finished", requests=100) for n in range(1, 200)), replace(SATURATED, id="w200"))
    lines = shown(result_of(replace(healthy(), workers=workers), "errors < 1%"))
    rows = [line for line in lines if line.startswith(" w") and not line.startswith(" worker")]

    assert len(rows) == 8
    assert rows[0].startswith(" w200")
    assert any("+192 more" in line for line in lines)


def test_colours_change_no_text() -> None:
    result = result_of(finished(), *LIMITS)

    assert [bare(line) for line in shown(result, style=Style(color=True))] == shown(result)


@settings(max_examples=50)
@given(st.text(max_size=200), st.sampled_from([60, 80, 97, 140]))
def test_no_name_or_message_breaks_the_columns(text: str, columns: int) -> None:
    base = finished()
    snapshot = replace(
        base,
        endpoints=(replace(base.endpoints[0], name=text), *base.endpoints),
        errors=(replace(base.errors[0], name=text, first_sample=text, category="http_5xx"),),
        task_errors=(TaskError(text, text, text, 3, 0.0, 1.0),),
        checks=(replace(base.checks[0], name=text),),
        counters={text: 1.0},
        workers=(replace(WORKERS[0], reason=text),),
        warnings=(text,),
        incomplete_reasons=(text,),
        complete=False,
    )
    lines = shown(result_of(snapshot, "errors < 1%"), columns, course())

    assert all(width(line) <= columns for line in lines)
    assert all(len(line.splitlines()) <= 1 for line in lines)


def test_the_lesson_of_the_demo_names_the_knee_and_the_burst() -> None:
    lines = lesson(result_of(finished(), "errors < 10%"), course())

    assert_golden("lesson", lines)
    assert len(lines) == 5
