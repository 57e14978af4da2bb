from __future__ import annotations

import io
from dataclasses import replace

from loadgen.cli.screen import RunInfo
from loadgen.cli.terminal.panel import MOST_LINES
from loadgen.cli.terminal.screens import LinesScreen, PanelScreen, make_screen
from loadgen.cli.terminal.style import PLAIN, Style
from loadgen.metrics.snapshot import RunState, Snapshot
from tests.support.snapshots import ERRORS, ramp, running
from tests.support.terminal import FakeTerminal

INFO = RunInfo("2026-11-20-1403-7f3a", "checkout-api", 2, "https://shop.test", 600.0, "", ("errors < 1%",))


def panel_on(terminal: FakeTerminal, style: Style = PLAIN) -> PanelScreen:
    screen = PanelScreen(terminal, style, lambda: terminal.columns, "0.1.0")
    screen.started(INFO)
    return screen


def test_the_panel_is_redrawn_in_place() -> None:
    terminal = FakeTerminal()
    screen = panel_on(terminal)
    for snapshot in ramp():
        screen.update(snapshot)

    assert len(terminal.lines) <= 2 + MOST_LINES
    assert sum(line.startswith(" users") for line in terminal.lines) == 1


def test_log_lines_stand_above_the_panel_in_their_order() -> None:
    terminal = FakeTerminal()
    screen = panel_on(terminal)
    for number, snapshot in enumerate(ramp(steps=10)):
        screen.update(snapshot)
        screen.log(f"log {number}")
    screen.note("stopping")
    lines = terminal.lines

    assert [line for line in lines if line.startswith("log")] == [f"log {number}" for number in range(10)]
    assert lines.index("● stopping") == 2 + 10
    assert any("checkout-api" in line for line in lines[13:])


def test_closing_takes_the_panel_off_and_may_be_repeated() -> None:
    terminal = FakeTerminal()
    screen = panel_on(terminal)
    screen.update(running())
    screen.close()
    screen.close()

    assert len(terminal.lines) == 2


def test_a_window_made_narrower_leaves_no_debris() -> None:
    terminal = FakeTerminal(columns=120)
    screen = panel_on(terminal)
    screen.update(running())
    before = terminal.lines[:2]
    terminal.columns = 60
    rewrap(terminal)
    screen.update(running())
    screen.close()

    assert "".join(terminal.lines) == "".join(before)


def rewrap(terminal: FakeTerminal) -> None:
    """What a terminal does with its lines when it becomes narrower."""
    lines = terminal.lines
    terminal._rows, terminal._row, terminal._column = [[]], 0, 0
    for line in lines:
        terminal.write(line + "\n")


def test_a_name_with_escapes_cannot_move_the_cursor() -> None:
    terminal = FakeTerminal()
    screen = PanelScreen(terminal, PLAIN, lambda: 80, "")
    screen.started(replace(INFO, scenario_name="\x1b[5Aevil\r\n", host="http://\x1b[2J"))
    evil = replace(running().endpoints[0], name="/\x1b[31m\n\n\n日本" * 20)
    screen.update(replace(running(), endpoints=(evil,), errors=(replace(ERRORS[0], signature="\x1b[Hgone"),)))
    screen.log("\x1b[2J\x07 line")

    assert len(terminal.lines) <= 1 + 2 + MOST_LINES
    assert any(r"\x1b[2J\x07 line" in line for line in terminal.lines)


class Broken(io.StringIO):
    def write(self, text: str) -> int:
        raise BrokenPipeError(32, "nobody reads")


def test_a_terminal_that_went_away_does_not_end_the_run() -> None:
    for screen in (
        PanelScreen(Broken(), PLAIN, lambda: 80, ""),
        LinesScreen(Broken(), PLAIN, lambda: 80, None, ""),
    ):
        screen.started(INFO)
        screen.update(running())
        screen.log("line")
        screen.close()


def lines_of(snapshots: list[Snapshot], every_s: float | None = None) -> list[str]:
    stream = io.StringIO()
    screen = LinesScreen(stream, PLAIN, lambda: 100, every_s, "0.1.0")
    for snapshot in snapshots:
        screen.update(snapshot)
    return stream.getvalue().splitlines()


def every_half_second(seconds: int) -> list[Snapshot]:
    return [replace(running(), elapsed_s=step / 2) for step in range(2 * seconds + 1)]


def test_a_file_gets_few_lines_and_the_header_again_every_twenty() -> None:
    lines = lines_of(every_half_second(600))

    assert len([line for line in lines if not line.startswith("elapsed")]) == 6 + 18
    assert [index for index, line in enumerate(lines) if line.startswith("elapsed")] == [0, 21]


def test_progress_can_be_turned_off() -> None:
    assert lines_of(every_half_second(60), every_s=0.0) == []


def test_state_changes_are_told_at_once() -> None:
    stream = io.StringIO()
    screen = LinesScreen(stream, PLAIN, lambda: 100, None, "")
    screen.note("worker w2 lost")

    assert stream.getvalue() == "● worker w2 lost\n"


def test_the_screen_fits_the_stream_and_the_environment() -> None:
    auto = {"progress": -1.0, "color": "auto"}
    tty, env = FakeTerminal(), {"TERM": "xterm-256color"}

    assert type(make_screen(auto, stream=tty, env=env)) is PanelScreen
    assert type(make_screen(auto, stream=tty, env={**env, "CI": "true"})) is LinesScreen
    assert type(make_screen(auto, stream=tty, env={"TERM": "dumb"})) is LinesScreen
    assert type(make_screen({**auto, "progress": 5.0}, stream=tty, env=env)) is LinesScreen
    assert type(make_screen(auto, stream=io.StringIO(), env=env)) is LinesScreen


def test_json_on_stdout_moves_the_words_to_stderr() -> None:
    out, err = io.StringIO(), io.StringIO()
    import sys
    from unittest.mock import patch

    with patch.object(sys, "stdout", out), patch.object(sys, "stderr", err):
        make_screen({"json_path": "-", "progress": 0.0}, env={}).note("words")

    assert (out.getvalue(), err.getvalue()) == ("", "● words\n")


def test_a_stream_that_cannot_say_it_gets_ascii() -> None:
    raw = io.BytesIO()
    stream = io.TextIOWrapper(raw, encoding="ascii")
    screen = make_screen({"progress": 0.0}, stream=stream, env={})
    screen.note("naïve ✓")
    stream.flush()

    assert raw.getvalue() == b"* na\\xefve +\n"


def test_a_long_quiet_state_is_not_remembered() -> None:
    screen = LinesScreen(io.StringIO(), PLAIN, lambda: 100, 0.0, "")
    screen.update(replace(running(), state=RunState.WAITING))

    assert screen.history.moments == []
