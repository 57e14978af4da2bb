"""How rounds become figures, ratios and promises."""

from __future__ import annotations

import pytest

from benchmarks.results import Bound, Row, table


def row(*bounds: Bound, **rounds: list[float]) -> Row:
    return Row("GET", "µs", bounds, dict(rounds))


def test_a_figure_is_the_median_of_its_rounds() -> None:
    assert row(loadgen=[9.0, 10.0, 50.0]).figure("loadgen") == 10.0


def test_a_ratio_is_taken_within_a_round_so_that_a_slow_minute_hits_both() -> None:
    assert row(loadgen=[10.0, 100.0, 12.0], wrk=[5.0, 50.0, 6.0]).ratio("wrk") == 2.0


def test_a_tool_that_was_not_asked_has_no_figure_and_no_ratio() -> None:
    measured = row(loadgen=[1.0])

    assert measured.figure("wrk") is None
    assert measured.ratio("wrk") is None
    assert measured.holds(Bound(2.0, "wrk")) is None


@pytest.mark.parametrize(
    ("bound", "holds"),
    [
        (Bound(14), True),
        (Bound(9), False),
        (Bound(9, at_least=True), True),
        (Bound(2.0, "wrk"), True),
        (Bound(1.9, "wrk"), False),
        (Bound(5, "Locust", at_least=True), True),
        (Bound(5.1, "Locust", at_least=True), False),
    ],
    ids=str,
)
def test_a_promise_is_about_the_figure_or_about_a_ratio(bound: Bound, holds: bool) -> None:
    assert row(loadgen=[10.0], wrk=[5.0], Locust=[50.0]).holds(bound) is holds


def test_the_table_shows_figures_ratios_and_whether_promises_hold() -> None:
    shown = table([row(Bound(2.0, "wrk"), loadgen=[10.0], wrk=[4.0]), Row("spawn", "1/s", (), {"loadgen": [12_345.0]})])

    assert "4 (2.50×)" in shown
    assert "✗ ≤ 2 × wrk" in shown
    assert "12,345" in shown
