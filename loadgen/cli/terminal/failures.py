"""What went wrong: groups of failed requests with a sample, and exceptions of the scenario. Pure."""

from __future__ import annotations

from loadgen.cli.terminal import figures
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.cli.terminal.text import shorten, width
from loadgen.metrics.snapshot import ErrorGroup, Snapshot, TaskError
from loadgen.units import format_duration

_MOST = 8
_TRACEBACK_LINES = 4
_COUNTED = 10  # columns of "2,411 ×"


def errors_section(snapshot: Snapshot, columns: int, style: Style) -> list[str]:
    """Two lines per group, most frequent first: how often, where, what, when; and its first sample."""
    groups = sorted(snapshot.errors, key=lambda group: (-group.count, group.first_s))
    if not groups:
        return []
    heads: list[Row] = [_head(group, style) for group in groups[:_MOST]]
    lines = table(heads, columns, flexible=1, left=(1,), indent="", gap=2)
    samples = [_sample(group, columns, style) for group in groups[:_MOST]]
    title = style.bold(f"Errors ({figures.plural(len(groups), 'group')})")
    pairs = [text for pair in zip(lines, samples, strict=True) for text in pair]
    return [title, *pairs, *_more(len(groups), style)]


def _head(group: ErrorGroup, style: Style) -> Row:
    where = f"{group.method} {group.name}".strip()
    return [
        _counted(group.count),
        style.foreign(where),
        _times(group.first_s, group.last_s),
    ]


def _counted(count: int) -> str:
    return f"{count:,} ×".rjust(_COUNTED)


def _times(first_s: float, last_s: float) -> str:
    return f"{format_duration(first_s)} → {format_duration(last_s)}"


def _sample(group: ErrorGroup, columns: int, style: Style) -> str:
    """What kind of failure, in which phase, by whose fault if not the target's; then the first one as it was."""
    what = group.category + (f" in {group.phase}" if group.phase else "")
    what = style.foreign(what + (f" ({group.fault})" if group.fault != "target" else ""))
    text = shorten(style.foreign(group.first_sample or group.signature), columns - _COUNTED - 4 - width(what))
    return " " * (_COUNTED + 2) + style.bad(what) + "  " + style.dim(text)


def task_errors_section(snapshot: Snapshot, columns: int, style: Style) -> list[str]:
    """Exceptions that escaped from the scenario's own code, with the end of their traceback."""
    errors = sorted(snapshot.task_errors, key=lambda error: (-error.count, error.first_s))
    if not errors:
        return []
    title = style.bold(f"Exceptions in the scenario ({figures.plural(len(errors), 'group')})")
    lines = [line for error in errors[:_MOST] for line in _task_error(error, columns, style)]
    return [title, *lines, *_more(len(errors), style)]


def _task_error(error: TaskError, columns: int, style: Style) -> list[str]:
    heads: list[Row] = [
        [
            _counted(error.count),
            shorten(style.foreign(error.user_class), 18),
            Cell(style.foreign(error.message), style.bad),
            _times(error.first_s, error.last_s),
        ]
    ]
    room = columns - _COUNTED - 2
    frames = [line.rstrip() for line in error.traceback.splitlines() if line.strip(" ^~")][1:-1][-_TRACEBACK_LINES:]
    shown = [" " * (_COUNTED + 2) + style.dim(_indented(line, room, style)) for line in frames]
    return table(heads, columns, flexible=2, left=(1, 2), indent="") + shown


def _indented(line: str, room: int, style: Style) -> str:
    text = line.lstrip()
    indent = line[: len(line) - len(text)].replace("\t", "  ")
    return shorten(indent + style.foreign(text), room)


def _more(total: int, style: Style) -> list[str]:
    return [style.dim(f"   +{total - _MOST:,} more")] if total > _MOST else []
