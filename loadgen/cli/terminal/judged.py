"""The thresholds of a run and why the failed ones failed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.cli.screen import RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.cli.terminal.text import shorten
from loadgen.metrics.snapshot import EndpointTotals, Snapshot

if TYPE_CHECKING:
    from loadgen.master.thresholds import ThresholdResult

_MOST_DETAILS = 5


def thresholds_section(result: RunResult, columns: int, style: Style) -> list[str]:
    """One row per threshold with the actual value beside its limit."""
    if not result.thresholds:
        return []
    names = ("actual", "limit", "margin", "samples")
    rows: list[Row] = [[Cell("Thresholds", style.bold), *(Cell(name, style.dim) for name in names)]]
    rows += [_row(outcome, style) for outcome in result.thresholds]
    return table(rows, columns, indent="")


def _row(outcome: ThresholdResult, style: Style) -> Row:
    paint = None if outcome.ok else style.bad
    return [
        Cell(f" {'✓' if outcome.ok else '✗'} {style.foreign(_subject(outcome))}", paint),
        Cell(outcome.actual_text, paint),
        outcome.limit_text,
        outcome.margin_text,
        figures.count(outcome.samples) if outcome.samples else figures.NOTHING,
    ]


def _subject(outcome: ThresholdResult) -> str:
    return outcome.metric


def failure_details(result: RunResult, columns: int, style: Style) -> list[str]:
    """For each failed threshold: what was written where, what came out, and the endpoint to look at first."""
    failed = [outcome for outcome in result.thresholds if not outcome.ok]
    lines = [line for outcome in failed[:_MOST_DETAILS] for line in _detail(outcome, result.snapshot, columns, style)]
    more = len(failed) - _MOST_DETAILS
    return lines + ([f"   +{more:,} more"] if more > 0 else [])


def _detail(outcome: ThresholdResult, snapshot: Snapshot, columns: int, style: Style) -> list[str]:
    origin = style.foreign(str(outcome.origin))
    head = shorten(f"✗ {style.foreign(outcome.expr)}   {origin}", columns)
    over = f" over {figures.plural(outcome.samples, 'request')}" if outcome.samples else ""
    lines = [style.bad(head), f"  actual {outcome.actual_text}{over}"]
    worst = _worst(outcome, snapshot)
    return lines + ([shorten(f"  {style.foreign(worst)}", columns)] if worst else [])


def _worst(outcome: ThresholdResult, snapshot: Snapshot) -> str:
    """The endpoint that contributes most, where the threshold is about all of them and there are several."""
    if len(snapshot.endpoints) < 2 or " of " in outcome.expr:
        return ""
    if outcome.metric.startswith("p") and outcome.metric[1:2].isdigit():
        q = float(outcome.metric[1:].split()[0]) / 100
        slowest = max(snapshot.endpoints, key=lambda endpoint: endpoint.service.percentile_us(q) or 0.0)
        return f"slowest  {_name(slowest)}  {figures.latency(slowest.service.percentile_us(q))}"
    if outcome.metric.startswith("errors"):
        worst = max(snapshot.endpoints, key=lambda endpoint: endpoint.failures)
        part = figures.percent(figures.share(worst.failures, snapshot.totals.failures))
        return f"most failures  {_name(worst)}  {worst.failures:,}, {part} of all"
    return ""


def _name(endpoint: EndpointTotals) -> str:
    return figures.endpoint_name(endpoint)
