"""The end of a run on a terminal: verdict first, then thresholds, endpoints, failures, books, generator. Pure."""

from __future__ import annotations

from loadgen.cli.exits import EXIT_CODES
from loadgen.cli.screen import RunInfo, RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.books import books_section
from loadgen.cli.terminal.endpoints import endpoints_section
from loadgen.cli.terminal.failures import errors_section, task_errors_section
from loadgen.cli.terminal.generator import generator_section
from loadgen.cli.terminal.history import History
from loadgen.cli.terminal.judged import failure_details, thresholds_section
from loadgen.cli.terminal.panel import NARROWEST, WIDEST
from loadgen.cli.terminal.reading import headline, reading
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, labelled, table
from loadgen.cli.terminal.text import shorten, wrap

_WORDS = {0: "PASS", 1: "FAIL", 2: "STOPPED", 5: "EMPTY", 6: "INVALID"}
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
        books_section(result.snapshot, columns, style),
        generator_section(result, columns, style),
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


def _warnings(result: RunResult, columns: int, style: Style) -> list[str]:
    lines = []
    for warning in result.snapshot.warnings[:_MOST_ROWS]:
        wrapped = wrap(style.foreign(warning), columns - 8)
        lines += [style.warn("warning ") + wrapped[0], *(" " * 8 + text for text in wrapped[1:])]
    return lines + _more(len(result.snapshot.warnings), style)


def _reading(result: RunResult, history: History, columns: int, style: Style) -> list[str]:
    sentences = reading(result, history)
    text = style.foreign(" ".join(sentences)) + " (a rule of thumb)"
    return labelled("Reading", text, columns, style) if sentences else []


def _exit(result: RunResult, style: Style) -> str:
    code = int(result.exit_code)
    return style.dim(f"exit {code}: {EXIT_CODES.get(code, 'chosen by the scenario')}")
