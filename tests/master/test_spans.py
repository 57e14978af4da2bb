"""Packed sums are the same by whichever way they were added."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.clock import FakeClock
from loadgen.master import spans
from loadgen.master.spans import Part, SpanRows, merge, pack
from loadgen.metrics.delta import Window, decode, seal
from loadgen.metrics.health import Health
from loadgen.metrics.recorder import Recorder

samples = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 4_000_000_000)), min_size=1, max_size=30)


def part(recorded: list[tuple[int, int]]) -> Part:
    recorder = Recorder(FakeClock())
    for number, us in recorded:
        recorder.series("GET", str(number)).ok(us, 1)
    latencies = decode(seal(recorder, Window(0, 1_000), Health(), False)).latencies
    return Part(latencies.keys * 2, latencies)  # any slots will do, as long as they are the same for a name


def listed(span: SpanRows) -> list[list[int]]:
    columns = (span.slots, span.count, span.bytes, span.sum_us, span.min_us, span.max_us, span.keys, span.counts)
    return [column.tolist() for column in columns]


def renamed(recorded: list[list[tuple[int, int]]]) -> list[Part]:
    """Parts whose slots agree: every recorder introduces all names in the same order first."""
    return [part([(number, 1) for number in range(4)] + values) for values in recorded]


@given(st.lists(samples, min_size=1, max_size=5))
def test_packing_together_is_packing_apart_and_merging(recorded: list[list[tuple[int, int]]]) -> None:
    parts = renamed(recorded)

    together = pack(0, 0, parts)
    apart = merge([pack(0, 0, [one]) for one in parts])
    backwards = merge([pack(0, 0, [one]) for one in reversed(parts)])

    assert listed(together) == listed(apart) == listed(backwards)
    assert int(together.count.sum()) == int(together.counts.sum()) == sum(len(values) + 4 for values in recorded)
    assert (np.diff(together.keys) > 0).all()
    assert (np.diff(together.slots) > 0).all()


@pytest.mark.parametrize("bins_per_key", [0, 1 << 40])
def test_sorting_and_counting_give_the_same(bins_per_key: int, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = renamed([[(1, 500), (2, 70_000)], [(1, 500), (3, 9)]])
    usual = listed(pack(0, 0, parts))

    monkeypatch.setattr(spans, "_BINS_PER_KEY", bins_per_key)

    assert listed(pack(0, 0, parts)) == usual


def test_merged_spans_reach_from_the_first_to_the_last_second() -> None:
    [one] = renamed([[(1, 5)]])
    merged = merge([pack(3, 3, [one]), pack(1, 7, [one])])

    assert (merged.first_s, merged.last_s) == (1, 7)
