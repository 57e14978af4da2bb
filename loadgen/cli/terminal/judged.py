"""The thresholds of a run and why the failed ones failed. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.cli.screen import RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.cli.terminal.text import shorten, wrap
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
    notes = [f"   {outcome.expr}: {outcome.note}" for outcome in result.thresholds if outcome.ok and outcome.note]
    return table(rows, columns, indent="") + [style.dim(shorten(style.foreign(note), columns)) for note in notes]


def _row(outcome: ThresholdResult, style: Style) -> Row:
    paint = None if outcome.ok else style.bad
    return [
        Cell(f" {'✓' if outcome.ok else '✗'} {style.foreign(outcome.metric)}", paint),
        Cell(outcome.actual_text, paint),
        outcome.limit_text,
        outcome.margin_text,
        figures.count(outcome.samples) if outcome.samples else figures.NOTHING,
    ]


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
    for text in filter(None, (outcome.note, _worst(outcome, snapshot))):
        lines += [f"  {line}" for line in wrap(style.foreign(text), columns - 2)]
    return lines


def _worst(outcome: ThresholdResult, snapshot: Snapshot) -> str:
    """The endpoint that contributes most, where the threshold is about all of them and there are several."""
    if len(snapshot.endpoints) < 2 or " of " in outcome.metric or outcome.actual is None:
        return ""
    if outcome.metric.startswith("p") and outcome.metric[1:2].isdigit():
        q = float(outcome.metric[1:]) / 100
        slowest = max(snapshot.endpoints, key=lambda endpoint: endpoint.response.percentile_us(q) or 0.0)
        return f"slowest  {_name(slowest)}  {figures.latency(slowest.response.percentile_us(q))}"
    if outcome.metric.startswith("errors"):
        worst = max(snapshot.endpoints, key=lambda endpoint: endpoint.failures)
        part = figures.percent(figures.share(worst.failures, snapshot.totals.failures))
        return f"most failures  {_name(worst)}  {worst.failures:,}, {part} of all"
    return ""


def _name(endpoint: EndpointTotals) -> str:
    return figures.endpoint_name(endpoint)
