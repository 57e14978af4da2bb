"""The verdict on ourselves, and the workers it rests on. Pure."""

from __future__ import annotations

from collections.abc import Callable

from loadgen.cli.screen import RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.panel import BUSY_CPU, is_lost
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import LABEL_COLUMNS, Cell, Row, labelled, table
from loadgen.cli.terminal.text import wrap
from loadgen.metrics.snapshot import WorkerStatus

_MOST = 8
_NARROW = 78


def generator_section(result: RunResult, columns: int, style: Style) -> list[str]:
    """VALID, SUSPECT or INVALID with every reason; then the workers, lost and busy ones first."""
    level = result.verdict.level.value
    paint: Callable[[str], str] = {"VALID": style.good, "SUSPECT": style.warn}.get(level, style.bad)
    lines = labelled("Generator", level, columns, style, paint)
    for reason in result.verdict.reasons:
        lines += [" " * LABEL_COLUMNS + text for text in wrap(style.foreign(reason), columns - LABEL_COLUMNS)]
    workers = sorted(result.snapshot.workers, key=_badness)
    if not workers:
        return lines
    rows = [_head(columns, style), *(_row(worker, columns, style) for worker in workers[:_MOST])]
    last = len(rows[0]) - 1
    more = len(workers) - _MOST
    return lines + table(rows, columns, flexible=last, left=(0, 1, last)) + ([f" +{more:,} more"] if more > 0 else [])


def _badness(worker: WorkerStatus) -> tuple[bool, float, str]:
    busy = worker.cpu_percent_max if worker.cpu_percent_max >= BUSY_CPU else 0.0
    return (not is_lost(worker), -busy, worker.id[:1] + worker.id[1:].rjust(8))  # w2 before w10


def _head(columns: int, style: Style) -> Row:
    lags = ("lag p99", "lag max") if columns >= _NARROW else ("lag p99",)
    return [Cell(name, style.dim) for name in ("worker", "state", "requests", "cpu max", *lags, "")]


def _row(worker: WorkerStatus, columns: int, style: Style) -> Row:
    lost = style.bad if is_lost(worker) else None
    own = f"{worker.generator_errors:,} own errors" if worker.generator_errors else ""
    throttled = f"throttled {worker.throttled_s:.1f} s" if worker.throttled_s >= 0.05 else ""
    lags = [f"{worker.lag_ms_p99:.1f} ms", f"{worker.lag_ms_max:.1f} ms"]
    return [
        style.foreign(worker.id),
        Cell(style.foreign(worker.state), lost),
        figures.count(worker.requests),
        f"{worker.cpu_percent_max:.0f} %",
        *(lags if columns >= _NARROW else lags[:1]),
        Cell(style.foreign("; ".join(filter(None, (worker.reason, own, throttled)))), lost),
    ]
