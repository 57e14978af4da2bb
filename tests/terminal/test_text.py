from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.cli.terminal.text import clean, pad, shorten, width, wrap


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2Jgone", r"\x1b[2Jgone"),
        ("two\nlines\r", r"two\nlines\r"),
        ("\u202egpj.exe", r"\u202egpj.exe"),
        ("bell\x07", r"bell\x07"),
        ("\x9b31m", r"\x9b31m"),
        ("\ud800", r"\ud800"),
        ("日本語 é", "日本語 é"),
    ],
)
def test_what_could_steer_the_terminal_is_shown_as_its_escape(hostile: str, shown: str) -> None:
    assert clean(hostile) == shown


def test_piled_up_accents_are_limited() -> None:
    assert clean("e" + "\u0301" * 500) == "e" + "\u0301" * 3


def test_a_name_of_a_megabyte_is_cut() -> None:
    assert len(clean("x" * 1_000_000)) == 2_000


def test_the_middle_gives_way_and_both_ends_stay() -> None:
    assert shorten("/api/v1/customers/[id]/orders", 16) == "/api/v1/…/orders"


def test_wide_letters_take_two_columns() -> None:
    assert width("日本") == 4
    assert width(shorten("日本語日本語", 7)) <= 7
    assert pad("日本", 6) == "日本  "


@given(st.text(), st.integers(0, 60))
def test_shortened_text_always_fits(text: str, columns: int) -> None:
    assert width(shorten(clean(text), columns)) <= columns


@given(st.text())
def test_cleaned_text_is_one_printable_line(text: str) -> None:
    shown = clean(text)

    assert len(shown.splitlines()) <= 1
    assert not any(ord(char) < 32 or 127 <= ord(char) < 160 for char in shown)


@given(st.text(), st.integers(2, 60))
def test_wrapped_text_fits_and_keeps_every_letter(text: str, columns: int) -> None:
    lines = wrap(clean(text), columns)

    assert all(width(line) <= columns for line in lines)
    assert "".join("".join(lines).split()) == "".join(clean(text).split())


def test_words_are_kept_whole_where_they_fit() -> None:
    assert wrap("add workers or lower the load", 12) == ["add workers", "or lower the", "load"]
