"""The screens that write: a panel redrawn in place on a terminal, plain lines elsewhere.

Neither raises when the terminal goes away: a load test does not end because nobody looks.
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

from loadgen.cli.screen import RunInfo, RunResult, Screen
from loadgen.cli.terminal import figures, progress
from loadgen.cli.terminal.history import History
from loadgen.cli.terminal.panel import NARROWEST, panel
from loadgen.cli.terminal.style import Style, wants_color, wants_panel
from loadgen.cli.terminal.summary import summary
from loadgen.cli.terminal.text import shorten, width
from loadgen.http.urls import redact
from loadgen.metrics.snapshot import Snapshot
from loadgen.units import format_duration

PLAIN_COLUMNS = 100  # where the width is unknown: a file, a CI log
_CLEAR_BELOW = "\x1b[J"

Columns = Callable[[], int]


class LinesScreen:
    """Complete lines only, few of them. `every_s` None is the usual rhythm, 0 none at all."""

    def __init__(self, stream: TextIO, style: Style, columns: Columns, every_s: float | None, version: str) -> None:
        self._stream = stream
        self._style = style
        self._columns = columns
        self._every_s = every_s
        self._version = version
        self.history = History()  # what was seen of the run, for words after the summary
        self.result: RunResult | None = None
        self._info = RunInfo("", "", 0, None, None)
        self._due_s = progress.next_line_s(0.0, every_s)
        self._lines = 0

    def started(self, info: RunInfo) -> None:
        self._info = info
        self._print(*opening(info, self._style, self._columns(), self._version))

    def update(self, snapshot: Snapshot) -> None:
        self.history.add(snapshot)
        if self._every_s == 0 or snapshot.elapsed_s < self._due_s:
            return
        self._due_s = progress.next_line_s(snapshot.elapsed_s, self._every_s)
        if self._lines % progress.HEADER_EVERY == 0:
            self._print(self._style.dim(progress.header()))
        self._lines += 1
        self._print(progress.line(snapshot, self._style))

    def note(self, text: str) -> None:
        self._print(*note_lines(text, self._style))

    def log(self, line: str) -> None:
        self._print(*log_lines(line, self._style))

    def finished(self, result: RunResult) -> None:
        self.result = result
        columns = max(NARROWEST, self._columns())
        self._print("", *summary(self._info, result, self.history, columns, self._style, self._version))

    def close(self) -> None:
        return None

    def say(self, *lines: str) -> None:
        """Print lines of the caller's own after the summary."""
        self._print(*(self._style.glyphs(line) for line in lines))

    def _print(self, *lines: str) -> None:
        write(self._stream, "".join(line + "\n" for line in lines))


class PanelScreen(LinesScreen):
    """The panel redrawn in place; everything else is printed above it and stays in the scroll-back."""

    def __init__(self, stream: TextIO, style: Style, columns: Columns, version: str) -> None:
        super().__init__(stream, style, columns, 0.0, version)
        self._panel: list[str] = []
        self._drawn: list[int] = []  # the width of each line on the terminal

    def update(self, snapshot: Snapshot) -> None:
        super().update(snapshot)
        columns = self._columns() - 1  # a full last column would wrap
        self._panel = panel(self._info, snapshot, self.history, columns, self._style)
        write(self._stream, self._erasing() + self._drawing())

    def finished(self, result: RunResult) -> None:
        self._panel = []
        super().finished(result)

    def close(self) -> None:
        self._panel = []
        write(self._stream, self._erasing())

    def _print(self, *lines: str) -> None:
        write(self._stream, self._erasing() + "".join(line + "\n" for line in lines) + self._drawing())

    def _erasing(self) -> str:
        """What takes the panel off; lines wrapped by a narrower window count as several."""
        columns = max(1, self._columns())
        rows = sum(max(1, -(-drawn // columns)) for drawn in self._drawn)
        self._drawn = []
        return f"\r\x1b[{rows}A{_CLEAR_BELOW}" if rows else ""

    def _drawing(self) -> str:
        self._drawn = [width(bare(line)) for line in self._panel]
        return "".join(line + "\n" for line in self._panel)


def bare(line: str) -> str:
    """The line without our own colours."""
    parts = line.split("\x1b[")
    return parts[0] + "".join(part.partition("m")[2] for part in parts[1:])


def opening(info: RunInfo, style: Style, columns: int, version: str) -> list[str]:
    """Two lines when a run starts: what runs where, and how it will be judged."""
    planned = format_duration(info.planned_s) if info.planned_s else "until Ctrl-C"
    parts = [f"loadgen {version}".strip(), style.foreign(info.scenario_name), style.foreign(redact(info.host or ""))]
    parts += [planned, figures.plural(info.workers, "worker") if info.workers else ""]
    room = max(NARROWEST, columns - 1)
    head = shorten(" · ".join(part for part in parts if part), room)
    judged = [f"passes if {style.foreign(', '.join(info.thresholds))}"] if info.thresholds else []
    below = shorten(" · ".join([f"run {style.foreign(info.run_id)}", *judged]), room)
    return [style.glyphs(style.bold(head)), style.glyphs(style.dim(below))]


def note_lines(text: str, style: Style) -> list[str]:
    return [style.glyphs(style.accent("● ") + style.foreign(line)) for line in text.splitlines()]


def log_lines(text: str, style: Style) -> list[str]:
    return [style.foreign(line.expandtabs(4)) for line in text.splitlines()]


def write(stream: TextIO, text: str) -> None:
    """Write and flush; a terminal or pipe that went away is ignored."""
    if not text:
        return
    try:
        stream.write(text)
        stream.flush()
    except UnicodeEncodeError:
        encoding = stream.encoding or "ascii"
        stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        stream.flush()
    except (OSError, ValueError):  # ValueError: the stream is closed
        return


def make_screen(
    params: Mapping[str, Any],
    *,
    stream: TextIO | None = None,
    env: Mapping[str, str] = os.environ,
    version: str = "",
) -> LinesScreen:
    """The screen that fits the parsed options (`loadgen.cli.options.output_options`), stream and environment.

    Human text goes to stdout, or to stderr when `--json -` needs stdout for itself.
    """
    out = stream or (sys.stderr if params.get("json_path") == "-" else sys.stdout)
    is_tty = out.isatty()
    style = style_for(params, out, env)
    every = params.get("progress", -1.0)
    if every < 0 and wants_panel(env, is_tty):
        return PanelScreen(out, style, _terminal_columns, version)
    columns = _terminal_columns if is_tty else _plain_columns(env)
    return LinesScreen(out, style, columns, None if every < 0 else every, version)


def style_for(params: Mapping[str, Any], stream: TextIO, env: Mapping[str, str] = os.environ) -> Style:
    """Colours and glyphs that the options `--color` and `--ascii`, the environment and the stream allow."""
    return Style(
        color=wants_color(params.get("color", "auto"), env, stream.isatty()),
        ascii=bool(params.get("ascii")) or not _speaks_unicode(stream),
    )


def _terminal_columns() -> int:
    return shutil.get_terminal_size((80, 24)).columns


def _plain_columns(env: Mapping[str, str]) -> Columns:
    known = env.get("COLUMNS", "")
    columns = int(known) if known.isdigit() and int(known) > 0 else PLAIN_COLUMNS
    return lambda: columns


def _speaks_unicode(stream: TextIO) -> bool:
    return (getattr(stream, "encoding", None) or "utf-8").lower().replace("-", "").startswith("utf")


_SATISFIES: type[Screen] = LinesScreen  # mypy checks here that the protocol is met
