"""Progress where lines cannot be redrawn: few lines, each complete in itself. Pure.

A line each 10 s in the first minute, then each 30 s: 8 hours are about 970 lines, 0.1 MB.
"""

from __future__ import annotations

from loadgen.cli.terminal import figures
from loadgen.cli.terminal.panel import trouble, workers_line
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.text import shorten
from loadgen.metrics.snapshot import Snapshot
from loadgen.units import format_duration

HEADER_EVERY = 20
_SHORT_S, _LONG_S, _FIRST_S = 10.0, 30.0, 60.0
_NOTE_COLUMNS = 60
_FORMAT = "{:>7}  {:>7}  {:>6}  {:>9}  {:>8}  {:>7}  {:>7}  {:>7}  {:<8}  {}"


def next_line_s(elapsed_s: float, every_s: float | None = None) -> float:
    """When the next line is due after `elapsed_s`: at whole multiples of `every_s`, or in the usual rhythm."""
    step = every_s or (_SHORT_S if elapsed_s < _FIRST_S else _LONG_S)
    return (elapsed_s // step + 1) * step


def header() -> str:
    """The names of the columns of `line`."""
    return _FORMAT.format(
        "elapsed", "left", "users", "req/s", "fail", "p50", "p95", "p99", "workers", "note"
    ).rstrip()  # fmt: skip


def line(snapshot: Snapshot, style: Style) -> str:
    """One line of figures of the last few seconds; the note names the worst worker."""
    window, planned = snapshot.window, snapshot.planned_s
    failing = figures.share(round(window.failures_per_s * 1000), round(window.rps * 1000))
    text = _FORMAT.format(
        format_duration(snapshot.elapsed_s),
        format_duration(max(0.0, planned - snapshot.elapsed_s)) if planned else figures.NOTHING,
        figures.count(snapshot.users),
        figures.rate(window.rps),
        figures.percent(failing),
        figures.latency(window.p50_us),
        figures.latency(window.p95_us),
        figures.latency(window.p99_us),
        workers_line(snapshot),
        shorten(style.foreign(trouble(snapshot)), _NOTE_COLUMNS),
    )
    return style.glyphs(text.rstrip())
