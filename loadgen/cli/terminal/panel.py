"""The live panel: at most 12 lines, made anew from each snapshot. Pure: no terminal is touched here."""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest

from loadgen.cli.screen import RunInfo
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.history import History, Moment, column, sparkline
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.cli.terminal.text import pad, shorten, width
from loadgen.metrics.snapshot import EndpointTotals, RunState, Snapshot, WorkerStatus
from loadgen.units import format_duration

MOST_LINES = 12
NARROWEST, WIDEST = 60, 140
_NARROW = 70  # below, curves are worth more than the remarks beside them
_ENDPOINTS = 3
_LABEL = 11
_FIGURE = 18

# When a worker is called busy or saturated: CPU of one core in %, hub lag p99 in ms.
BUSY_CPU, SATURATED_CPU = 70.0, 90.0
BUSY_LAG_MS, SATURATED_LAG_MS = 10.0, 50.0
WORKING_STATES = frozenset({"ready", "running", "joined", "stopping", "draining", "done", "finished", "left", "final"})


def panel(info: RunInfo, snapshot: Snapshot, history: History, columns: int, style: Style) -> list[str]:
    """The lines to show now, each at most min(columns, 140) wide."""
    columns = max(20, min(columns, WIDEST))
    lines = [
        _head(info, snapshot, columns, style),
        *_curves(snapshot, history, columns, style),
        *_endpoints(snapshot, columns, style),
        _generator(snapshot, columns, style),
        _last_error(snapshot, columns, style),
    ]
    return [style.glyphs(line) for line in lines if line][:MOST_LINES]


def _head(info: RunInfo, snapshot: Snapshot, columns: int, style: Style) -> str:
    name = shorten(style.foreign(info.scenario_name), max(12, columns // 3))
    state = snapshot.state.value
    elapsed, planned = snapshot.elapsed_s, snapshot.planned_s
    clock = format_duration(elapsed) + (f" of {format_duration(planned)}" if planned else "")
    room = columns - width(name) - len(state) - len(clock) - 8
    bar = _bar(elapsed / planned, room, style) if planned and room >= 8 else ""
    return f" {style.bold(name)}  {_state(snapshot.state, style)}  {clock}  {bar}".rstrip()


def _state(state: RunState, style: Style) -> str:
    if state is RunState.RUNNING:
        return style.good(state.value)
    return style.warn(state.value) if state is RunState.STOPPING else style.accent(state.value)


def _bar(ratio: float, columns: int, style: Style) -> str:
    done = round(min(1.0, max(0.0, ratio)) * columns)
    return style.accent("━" * done) + style.dim("─" * (columns - done))


def _curves(snapshot: Snapshot, history: History, columns: int, style: Style) -> list[str]:
    """One line each for users, throughput, failures and p95: figure, curve, remark."""
    window, totals = snapshot.window, snapshot.totals
    failing = figures.share(round(window.failures_per_s * 1000), round(window.rps * 1000))
    users = f"{figures.count(snapshot.users)} of {figures.count(snapshot.target_users)}"
    spread = f"p50 {figures.latency(window.p50_us)}  p99 {figures.latency(window.p99_us)}"
    rows: list[tuple[str, str, Callable[[Moment], float | None], str, Callable[[str], str]]] = [
        ("users", users, lambda m: m.users, "", style.dim),
        ("req/s", figures.rate(window.rps), lambda m: m.rps, f"{figures.count(totals.requests)} sent", style.accent),
        (
            "failing", figures.percent(failing), lambda m: m.failing,
            f"{figures.count(totals.failures)} failed", style.bad,
        ),
        ("p95", figures.latency(window.p95_us), lambda m: m.p95_us, spread, style.warn),
    ]  # fmt: skip
    remarks = max(width(row[3]) for row in rows) if columns >= _NARROW else 0
    room = min(60, columns - _LABEL - _FIGURE - 4 - remarks)
    return [
        _curve(
            label,
            figure,
            sparkline(column(history.moments, value), room),
            remark if remarks else "",
            room,
            paint,
            style,
        )
        for label, figure, value, remark, paint in rows
    ]


def _curve(
    label: str, figure: str, bars: str, remark: str, room: int, paint: Callable[[str], str], style: Style
) -> str:
    shown = paint(bars) + " " * max(0, room - len(bars))
    return f" {pad(label, _LABEL - 2)}{style.bold(pad(figure, _FIGURE, right=True))}  {shown}  {remark}".rstrip()


def _endpoints(snapshot: Snapshot, columns: int, style: Style) -> list[str]:
    """The busiest endpoints with their rate now, and how many more there are."""
    busiest = nsmallest(_ENDPOINTS, snapshot.endpoints, key=lambda e: (-_now(e, snapshot), -e.requests, e.name))
    if not busiest:
        return []
    method = max(len(endpoint.method) for endpoint in busiest)
    rows: list[Row] = [[Cell("endpoint", style.dim), *(Cell(text, style.dim) for text in ("sent", "req/s", "failed"))]]
    rows += [_endpoint(endpoint, snapshot, method, style) for endpoint in busiest]
    more = len(snapshot.endpoints) - len(busiest)
    rest = [style.dim(f" +{more:,} more")] if more > 0 else []
    return table(rows, columns) + rest


def _endpoint(endpoint: EndpointTotals, snapshot: Snapshot, method: int, style: Style) -> Row:
    failed = endpoint.fail_ratio
    return [
        style.foreign(figures.endpoint_name(endpoint, method)),
        figures.count(endpoint.requests),
        figures.rate(_now(endpoint, snapshot)),
        Cell(figures.percent(failed), style.bad if failed else None),
    ]


def _now(endpoint: EndpointTotals, snapshot: Snapshot) -> float:
    return snapshot.window.by_name.get((endpoint.method, endpoint.name), 0.0)


def is_lost(worker: WorkerStatus) -> bool:
    """Whether this worker ended or vanished without finishing its part."""
    return bool(worker.reason) or worker.state in ("lost", "failed", "crashed")


def health(worker: WorkerStatus) -> str:
    """`ok`, `busy`, `saturated` or `lost`, from CPU and hub lag."""
    if is_lost(worker):
        return "lost"
    if worker.cpu_percent >= SATURATED_CPU or worker.lag_ms_p99 >= SATURATED_LAG_MS:
        return "saturated"
    return "busy" if worker.cpu_percent >= BUSY_CPU or worker.lag_ms_p99 >= BUSY_LAG_MS else "ok"


def workers_line(snapshot: Snapshot) -> str:
    """`3 ok 1 saturated`: how many workers are in which health."""
    states = [health(worker) for worker in snapshot.workers]
    counted = [f"{states.count(name)} {name}" for name in ("ok", "busy", "saturated", "lost") if name in states]
    return " ".join(counted) or "none yet"


def trouble(snapshot: Snapshot) -> str:
    """The worst worker in words, or "" when all are ok."""
    for kind in ("lost", "saturated", "busy"):
        for worker in snapshot.workers:
            if health(worker) == kind:
                why = worker.reason or f"cpu {worker.cpu_percent:.0f} %, lag {worker.lag_ms_p99:.0f} ms"
                return f"{worker.id} {kind} ({why})"
    return ""


def _generator(snapshot: Snapshot, columns: int, style: Style) -> str:
    if not snapshot.workers:
        return f" {pad('workers', _LABEL)}{style.dim('waiting for workers')}"
    cpu = max(worker.cpu_percent for worker in snapshot.workers)
    lag = max(worker.lag_ms_p99 for worker in snapshot.workers)
    wrong = trouble(snapshot)
    figures_text = f"cpu {cpu:.0f} % at most   lag {lag:.1f} ms"
    text = f"{workers_line(snapshot)}   {style.foreign(wrong) or figures_text}"
    text = shorten(text, columns - _LABEL - 3)
    mark = "✓" if not wrong else ("△" if "busy" in wrong else "✗")
    paint = style.good if mark == "✓" else (style.warn if mark == "△" else style.bad)
    return f" {pad('workers', _LABEL)}{paint(mark)} {text}"


def _last_error(snapshot: Snapshot, columns: int, style: Style) -> str:
    if snapshot.task_errors and not snapshot.errors:
        worst = max(snapshot.task_errors, key=lambda error: error.count)
        text = f"{figures.count(worst.count)} × {worst.user_class}: {worst.message}"
    elif snapshot.errors:
        group = max(snapshot.errors, key=lambda error: error.last_s)
        text = f"{figures.count(group.count)} × {group.method} {group.name}  {group.signature}"
    else:
        return ""
    return f" {pad('last error', _LABEL)}{style.bad(shorten(style.foreign(text), columns - _LABEL - 2))}"
