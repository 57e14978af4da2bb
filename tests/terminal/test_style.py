from __future__ import annotations

import pytest

from loadgen.cli.terminal.style import ColorChoice, Style, wants_color, wants_panel


@pytest.mark.parametrize(
    ("choice", "env", "is_tty", "expected"),
    [
        ("auto", {}, True, True),
        ("auto", {}, False, False),
        ("auto", {"NO_COLOR": "1"}, True, False),
        ("auto", {"NO_COLOR": ""}, True, True),
        ("auto", {"FORCE_COLOR": "1"}, False, True),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, True, False),
        ("auto", {"TERM": "dumb"}, True, False),
        ("auto", {"TTY_COMPATIBLE": "1"}, False, True),
        ("auto", {"TTY_COMPATIBLE": "0"}, True, False),
        ("always", {"NO_COLOR": "1"}, False, True),
        ("never", {"FORCE_COLOR": "1"}, True, False),
    ],
)
def test_colour_follows_the_flag_then_the_environment(
    choice: ColorChoice, env: dict[str, str], is_tty: bool, expected: bool
) -> None:
    assert wants_color(choice, env, is_tty) is expected


@pytest.mark.parametrize(
    ("env", "is_tty", "expected"),
    [
        ({"TERM": "xterm"}, True, True),
        ({"TERM": "xterm"}, False, False),
        ({"TERM": "dumb"}, True, False),
        ({"TERM": "xterm", "CI": "true"}, True, False),
        ({"TERM": "xterm", "CI": "false"}, True, True),
        ({"TERM": "xterm", "TTY_COMPATIBLE": "0"}, True, False),
        ({"TTY_COMPATIBLE": "1"}, False, False),
    ],
)
def test_lines_are_redrawn_only_on_a_real_terminal(env: dict[str, str], is_tty: bool, expected: bool) -> None:
    assert wants_panel(env, is_tty) is expected


def test_ascii_keeps_every_column() -> None:
    line = " ✓ p95 · 4 × 5 … ▁▂▃▄▅▆▇█ ━─ →"

    shown = Style(ascii=True).glyphs(line)

    assert shown.isascii()
    assert len(shown) == len(line)


def test_foreign_letters_become_escapes_in_ascii() -> None:
    assert Style(ascii=True).foreign("naïve\x1b") == r"na\xefve\x1b"
