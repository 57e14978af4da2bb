from __future__ import annotations

import pytest

from loadgen.cli.terminal.progress import header, line, next_line_s
from loadgen.cli.terminal.style import PLAIN
from tests.support.snapshots import running


def moments(until_s: float, every_s: float | None = None) -> list[float]:
    due, found = next_line_s(0.0, every_s), []
    while due <= until_s:
        found.append(due)
        due = next_line_s(due, every_s)
    return found


def test_lines_come_every_ten_seconds_then_every_thirty() -> None:
    assert moments(150.0) == [10, 20, 30, 40, 50, 60, 90, 120, 150]


def test_eight_hours_make_fewer_than_a_thousand_lines() -> None:
    assert len(moments(8 * 3600.0)) < 1_000


@pytest.mark.parametrize("every_s", [1.0, 5.0, 45.0])
def test_an_interval_of_ones_own_is_kept(every_s: float) -> None:
    assert moments(90.0, every_s) == [every_s * n for n in range(1, int(90 / every_s) + 1)]


def test_values_stand_under_their_names() -> None:
    names, values = header(), line(running(), PLAIN)

    for name, value in (("elapsed", "01:30"), ("users", "500"), ("req/s", "1,981.2"), ("p99", "820 ms")):
        assert names.index(name) + len(name) == values.index(value) + len(value)
