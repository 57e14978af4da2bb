"""Merged latencies of a span of seconds, packed: only buckets that hold something.

A slot is the number of one (method, name, kind); a key is slot * BUCKETS + bucket index. Merging is
integer addition (and min, max), so neither order nor grouping can change a result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from loadgen.metrics.decoding import BYTES, COUNT, MAX_US, MIN_US, N_BUCKETS, SUM_US, Latencies
from loadgen.metrics.histogram import BUCKETS
from loadgen.metrics.tally import NO_MIN_US

Ints = npt.NDArray[np.int64]

# Sorting costs about 60 ns a key, a dense pass 4 ns a bin (numpy 2.4, 2 cores): take the cheaper.
_BINS_PER_KEY = 15
_WIDEST = np.array([(1 << 8) - 1, (1 << 16) - 1, (1 << 32) - 1])  # counts of 1, 2 and 4 bytes


@dataclass(frozen=True, slots=True)
class SpanRows:
    """All samples whose delta covered [first_s, last_s], both whole seconds since the run's start.

    `slots` are distinct and rise; so do `keys`. The five columns stand beside `slots`.
    """

    first_s: int
    last_s: int
    slots: Ints
    count: Ints
    bytes: Ints
    sum_us: Ints
    min_us: Ints
    max_us: Ints
    keys: Ints
    counts: Ints


@dataclass(frozen=True, slots=True)
class Part:
    """Latencies of one delta, with the ledger's slot of each row."""

    slots: Ints
    latencies: Latencies


def pack(first_s: int, last_s: int, parts: Sequence[Part]) -> SpanRows:
    """The sum of many deltas (at least one) of the same span."""
    slots = np.concatenate([part.slots for part in parts])
    rows = np.concatenate([part.latencies.rows for part in parts])
    keys = np.repeat(slots * BUCKETS, rows[:, N_BUCKETS])
    keys += np.concatenate([part.latencies.indexes for part in parts])
    counts = np.concatenate([part.latencies.counts for part in parts]).astype(np.int64)  # widths differ by delta
    columns = [rows[:, column] for column in (COUNT, BYTES, SUM_US, MIN_US, MAX_US)]
    return SpanRows(first_s, last_s, *_merge_rows(slots, columns), *_merge_keys(keys, counts))


def merge(spans: Sequence[SpanRows]) -> SpanRows:
    """The sum of several packed spans (at least one), from the first second of any to the last."""
    if len(spans) == 1:
        return spans[0]
    slots = np.concatenate([span.slots for span in spans])
    columns = [
        np.concatenate([getattr(span, name) for span in spans])
        for name in ("count", "bytes", "sum_us", "min_us", "max_us")
    ]
    keys = np.concatenate([span.keys for span in spans])
    counts = np.concatenate([span.counts for span in spans])
    first_s = min(span.first_s for span in spans)
    last_s = max(span.last_s for span in spans)
    return SpanRows(first_s, last_s, *_merge_rows(slots, columns), *_merge_keys(keys, counts))


def _merge_rows(slots: Ints, columns: Sequence[Ints]) -> tuple[Ints, Ints, Ints, Ints, Ints, Ints]:
    """(distinct slots, count, bytes, sum_us, min_us, max_us)."""
    distinct, where = np.unique(slots, return_inverse=True)
    sums = np.zeros((3, len(distinct)), dtype=np.int64)
    for total, column in zip(sums, columns, strict=False):
        np.add.at(total, where, column)
    lowest = np.full(len(distinct), NO_MIN_US, dtype=np.int64)
    highest = np.zeros(len(distinct), dtype=np.int64)
    np.minimum.at(lowest, where, columns[3])
    np.maximum.at(highest, where, columns[4])
    return distinct, sums[0], sums[1], sums[2], lowest, highest


def _merge_keys(keys: Ints, counts: Ints) -> tuple[Ints, Ints]:
    """(distinct rising keys, their sums)."""
    low = int(keys.min())
    bins = int(keys.max()) - low + 1
    if bins <= _BINS_PER_KEY * len(keys):
        dense = np.zeros(bins, dtype=np.int64)
        np.add.at(dense, keys - low, counts)
        filled = np.flatnonzero(dense)
        return filled + low, dense[filled]
    order = np.argsort(keys, kind="stable")
    ordered = keys[order]
    starts = np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
    return ordered[starts], np.add.reduceat(counts[order], starts)


class SlotRow(NamedTuple):
    """One slot of a span by itself.

    `indexes` are buckets, <u2, rising; `counts` unsigned of the smallest width that fits, one per index.
    """

    slot: int
    samples: int
    size: int  # bytes
    sum_us: int
    min_us: int
    max_us: int
    indexes: bytes
    counts: bytes


def to_slot_rows(span: SpanRows) -> list[SlotRow]:
    """The span, slot by slot."""
    slots, indexes = np.divmod(span.keys, BUCKETS)
    starts = np.searchsorted(slots, span.slots)
    ends = [*starts[1:].tolist(), len(indexes)]
    highest = np.maximum.reduceat(span.counts, starts)
    widths = (1 << np.searchsorted(_WIDEST, highest)).tolist()
    index_bytes = indexes.astype("<u2").tobytes()
    count_bytes = {width: span.counts.astype(f"<u{width}").tobytes() for width in set(widths)}
    columns = np.stack([span.slots, span.count, span.bytes, span.sum_us, span.min_us, span.max_us], axis=1)
    rows = []
    for values, start, end, width in zip(columns.tolist(), starts.tolist(), ends, widths, strict=True):
        own_counts = count_bytes[width][width * start : width * end]
        rows.append(SlotRow._make((*values, index_bytes[2 * start : 2 * end], own_counts)))
    return rows


def from_slot_rows(first_s: int, last_s: int, rows: Sequence[SlotRow]) -> SpanRows:
    """The reverse of to_slot_rows; at least one row, by rising slot."""
    lengths = [len(row.indexes) // 2 for row in rows]
    slots, count, size, sum_us, min_us, max_us = np.array([row[:6] for row in rows], dtype=np.int64).T.copy()
    keys = np.repeat(slots * BUCKETS, lengths) + np.frombuffer(b"".join([row.indexes for row in rows]), dtype="<u2")
    counts = [
        np.frombuffer(row.counts, dtype=f"<u{len(row.counts) // length}")
        for row, length in zip(rows, lengths, strict=True)
    ]
    all_counts = np.concatenate(counts).astype(np.int64)
    return SpanRows(first_s, last_s, slots, count, size, sum_us, min_us, max_us, keys, all_counts)
