"""The end of a run on a terminal: verdict first, then thresholds, endpoints, failures, books, generator. Pure."""

from __future__ import annotations

from collections.abc import Callable

from loadgen.cli.exits import EXIT_CODES
from loadgen.cli.screen import RunInfo, RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.endpoints import endpoints_section
from loadgen.cli.terminal.failures import errors_section, task_errors_section
from loadgen.cli.terminal.history import History
from loadgen.cli.terminal.judged import failure_details, thresholds_section
from loadgen.cli.terminal.panel import NARROWEST, WIDEST, is_lost
from loadgen.cli.terminal.reading import headline, reading
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.cli.terminal.text import pad, shorten, wrap
from loadgen.metrics.snapshot import WorkerStatus
from loadgen.units import format_bytes

_WORDS = {0: "PASS", 1: "FAIL", 2: "STOPPED", 5: "EMPTY", 6: "INVALID"}
_LABEL = 12
_MOST_WORKERS = 8
_MOST_ROWS = 10


def summary(
    info: RunInfo, result: RunResult, history: History, columns: int, style: Style, version: str = ""
) -> list[str]:
    """All lines of the summary, at most min(columns, 140) wide, sections separated by empty lines."""
    columns = max(NARROWEST, min(columns, WIDEST))
    sections = [
        [_title(info, result, columns, style, version)],
        _verdict_lines(result, columns, style),
        thresholds_section(result, columns, style),
        failure_details(result, columns, style),
        endpoints_section(result.snapshot, columns, style),
        _checks(result, columns, style),
        _counters(result, columns, style),
        errors_section(result.snapshot, columns, style),
        task_errors_section(result.snapshot, columns, style),
        _books(result, columns, style),
        _generator(result, columns, style),
        _warnings(result, columns, style),
        _reading(result, history, columns, style),
        [_exit(result, style)],
    ]
    lines = [line for section in sections if section for line in (*section, "")][:-1]
    return [style.glyphs(line) for line in lines]


def _title(info: RunInfo, result: RunResult, columns: int, style: Style, version: str) -> str:
    parts = [
        f"loadgen {version}".strip(),
        shorten(style.foreign(info.scenario_name), 40),
        format_long(result.snapshot.elapsed_s),
        figures.plural(len(result.snapshot.workers) or info.workers, "worker"),
        f"run {style.foreign(info.run_id)}",
    ]
    return style.bold(shorten(" · ".join(parts), columns))


def format_long(seconds: float) -> str:
    """`12.4s`, `10m00s`, `1h02m03s`."""
    if seconds < 60:
        return f"{seconds:.1f}s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}h{minutes:02d}m{rest:02d}s" if hours else f"{minutes}m{rest:02d}s"


def _verdict_lines(result: RunResult, columns: int, style: Style) -> list[str]:
    """The outcome in one line; one more for each thing that puts the result at risk."""
    code = int(result.exit_code)
    word = _WORDS.get(code, "ERROR")
    paint = style.good if code == 0 else (style.warn if code in (2, 5) else style.bad)
    lines = [f"{paint(word)}  {_outcome(result)}"]
    snapshot = result.snapshot
    if snapshot.state.value == "finished" and not snapshot.complete:
        why = style.foreign("; ".join(snapshot.incomplete_reasons)) or "not everything arrived"
        lines.append(style.warn(shorten(f"△ incomplete: {why}", columns)))
    if _level(result) != "VALID":
        first, more = headline(result.verdict.reasons[0]), len(result.verdict.reasons) - 1
        why = style.foreign(first) + (f" (+{more} more below)" if more else "")
        lines.append(style.warn(shorten(f"△ generator {_level(result)}: {why}", columns)))
    return lines


def _outcome(result: RunResult) -> str:
    code = int(result.exit_code)
    if code in (2, 5, 6):
        return {2: "interrupted: the figures hold until then", 5: "nothing was measured", 6: EXIT_CODES[6]}[code]
    total = len(result.thresholds)
    failed = sum(not outcome.ok for outcome in result.thresholds)
    if failed:
        return f"{failed} of {figures.plural(total, 'threshold')} failed"
    return {1: "the threshold holds", 2: "both thresholds hold"}.get(total, f"all {total} thresholds hold")


def _level(result: RunResult) -> str:
    return result.verdict.level.value


def _checks(result: RunResult, columns: int, style: Style) -> list[str]:
    checks = sorted(result.snapshot.checks, key=lambda check: (-check.failed, check.name))
    if not checks:
        return []
    rows: list[Row] = [_headings("Checks", ("passed", "failed", "share"), style)]
    for check in checks[:_MOST_ROWS]:
        mark = style.foreign(check.name)
        ok = not check.failed
        shown = f" {'✓' if ok else '✗'} {mark}"
        share = figures.percent(figures.share(check.passed, check.passed + check.failed))
        counts = (figures.count(check.passed), figures.count(check.failed))
        rows.append([Cell(shown, None if ok else style.bad), *counts, share])
    return table(rows, columns, indent="") + _more(len(checks), style)


def _headings(title: str, names: tuple[str, ...], style: Style) -> Row:
    return [Cell(title, style.bold), *(Cell(name, style.dim) for name in names)]


def _more(total: int, style: Style) -> list[str]:
    return [style.dim(f"   +{total - _MOST_ROWS:,} more")] if total > _MOST_ROWS else []


def _counters(result: RunResult, columns: int, style: Style) -> list[str]:
    counters = sorted(result.snapshot.counters.items())
    if not counters:
        return []
    rows: list[Row] = [_headings("Counters", ("total",), style)]
    rows += [[f" {style.foreign(name)}", f"{value:,.10g}"] for name, value in counters[:_MOST_ROWS]]
    return table(rows, columns, indent="") + _more(len(counters), style)


def _books(result: RunResult, columns: int, style: Style) -> list[str]:
    """Requests and iterations as the equations that must hold."""
    totals, books = result.snapshot.totals, result.snapshot.accounting
    ok = totals.requests - totals.failures - totals.cancelled
    requests = _equation(totals.requests, "sent", ok=ok, failed=totals.failures, cancelled=totals.cancelled)
    iterations = _equation(
        books.started, "started", ok=books.ok, failed=books.failed, cancelled=books.cancelled, in_flight=books.in_flight
    )
    lines = [_labelled("Requests", requests, style), _labelled("Iterations", iterations, style)]
    if books.dropped:
        planned = _equation(books.planned, "planned", started=books.started, dropped=books.dropped)
        lines.append(_labelled("", planned, style))
    if not books.closes():
        lines.append(_labelled("", style.bad("✗ the books of iterations do not close: figures are missing"), style))
    received = f"{format_bytes(totals.bytes)}, {format_bytes(figures.per_s(totals.bytes, result.snapshot.elapsed_s))}/s"
    return [*lines, _labelled("Received", received, style)]


def _equation(total: int, name: str, **parts: int) -> str:
    """`7 started = 5 ok + 2 failed + 0 cancelled`; in flight only when there is any."""
    terms = [f"{number:,} {term.replace('_', ' ')}" for term, number in parts.items() if number or term != "in_flight"]
    return f"{total:,} {name} = {' + '.join(terms)}"


def _labelled(label: str, text: str, style: Style) -> str:
    return style.bold(pad(label, _LABEL)) + text


def _generator(result: RunResult, columns: int, style: Style) -> list[str]:
    """The verdict on ourselves and the workers it rests on, worst first."""
    level = _level(result)
    paint: Callable[[str], str] = {"VALID": style.good, "SUSPECT": style.warn}.get(level, style.bad)
    lines = [_labelled("Generator", paint(level), style)]
    for reason in result.verdict.reasons:
        lines += [" " * _LABEL + text for text in wrap(style.foreign(reason), columns - _LABEL)]
    workers = sorted(result.snapshot.workers, key=_badness)
    if not workers:
        return lines
    names = ("state", "requests", "cpu max", "lag p99", "lag max", "")
    rows: list[Row] = [[Cell("worker", style.dim), *(Cell(name, style.dim) for name in names)]]
    rows += [_worker(worker, style) for worker in workers[:_MOST_WORKERS]]
    more = len(workers) - _MOST_WORKERS
    return lines + table(rows, columns, flexible=6, left=(0, 1, 6)) + ([f" +{more:,} more"] if more > 0 else [])


def _badness(worker: WorkerStatus) -> tuple[bool, float, str]:
    return (not is_lost(worker), -worker.cpu_percent_max if worker.cpu_percent_max >= 70 else 0.0, _natural(worker.id))


def _natural(worker_id: str) -> str:
    return worker_id[:1] + worker_id[1:].rjust(8)


def _worker(worker: WorkerStatus, style: Style) -> Row:
    lost = style.bad if is_lost(worker) else None
    own = f"{worker.generator_errors:,} own errors" if worker.generator_errors else ""
    throttled = f"throttled {worker.throttled_s:.1f} s" if worker.throttled_s >= 0.05 else ""
    return [
        style.foreign(worker.id),
        Cell(style.foreign(worker.state), lost),
        figures.count(worker.requests),
        f"{worker.cpu_percent_max:.0f} %",
        f"{worker.lag_ms_p99:.1f} ms",
        f"{worker.lag_ms_max:.1f} ms",
        Cell(style.foreign("; ".join(filter(None, (worker.reason, own, throttled)))), lost),
    ]


def _warnings(result: RunResult, columns: int, style: Style) -> list[str]:
    lines = []
    for warning in result.snapshot.warnings[:_MOST_ROWS]:
        wrapped = wrap(style.foreign(warning), columns - 8)
        lines += [style.warn("warning ") + wrapped[0], *(" " * 8 + text for text in wrapped[1:])]
    return lines + _more(len(result.snapshot.warnings), style)


def _reading(result: RunResult, history: History, columns: int, style: Style) -> list[str]:
    sentences = reading(result, history)
    if not sentences:
        return []
    text = style.foreign(" ".join(sentences)) + " (a rule of thumb)"
    wrapped = wrap(text, columns - _LABEL)
    return [_labelled("Reading" if index == 0 else "", line, style) for index, line in enumerate(wrapped)]


def _exit(result: RunResult, style: Style) -> str:
    code = int(result.exit_code)
    return style.dim(f"exit {code}: {EXIT_CODES.get(code, 'chosen by the scenario')}")
