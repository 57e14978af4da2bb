"""The one histogram of loadgen: integer microseconds in log-linear buckets.

256 exact buckets (0 … 255 µs), then 128 buckets per power of two up to one hour. A bucket's value
is its middle, so it differs from any sample in it by at most 0.39 %. Merging is integer addition:
the order of workers and windows can never change a result. Values above one hour share the last
bucket; their exact maximum stands beside the histogram.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Iterable

BUCKETS = 3287  # bucket_index(one hour) + 1
LAST_BUCKET = BUCKETS - 1
RELATIVE_ERROR = 1 / 256  # half a bucket's width over its lower edge, at most
_PARTS_PER_UNIT = 10**9  # quantiles are rounded to nine decimals, so that 0.07 * 100 is 7 and not 7.000000000000001


def bucket_index(us: int) -> int:
    """The bucket of a duration in microseconds: 0 … BUCKETS - 1. Negative counts as 0."""
    if us < 256:
        return us if us > 0 else 0
    shift = us.bit_length() - 8
    index = (shift << 7) + (us >> shift)
    return index if index < BUCKETS else LAST_BUCKET


def bucket_value_us(index: int) -> float:
    """The middle of a bucket, in microseconds."""
    low, width = bucket_bounds_us(index)
    return low + (width - 1) / 2


def bucket_bounds_us(index: int) -> tuple[int, int]:
    """(smallest value, number of whole microseconds) of a bucket."""
    if index < 256:
        return index, 1
    shift = (index >> 7) - 1
    return ((index & 127) + 128) << shift, 1 << shift


_LAST_LOW, _LAST_WIDTH = bucket_bounds_us(LAST_BUCKET)
HIGHEST_US = _LAST_LOW + _LAST_WIDTH - 1  # the largest duration with a bucket of its own: a little over one hour


class Histogram:
    """A sparse histogram: bucket index -> count. Not for the hot path; see recorder.Tally for that."""

    __slots__ = ("count", "counts")

    def __init__(self, items: Iterable[tuple[int, int]] = ()) -> None:
        """From (bucket index, count) pairs, each bucket at most once, counts positive."""
        self.counts: dict[int, int] = dict(items)
        self.count: int = sum(self.counts.values())

    def add(self, us: int, n: int = 1) -> None:
        """Count `n` samples of `us` microseconds."""
        index = bucket_index(us)
        self.counts[index] = self.counts.get(index, 0) + n
        self.count += n

    def merge(self, other: Histogram) -> None:
        """Add every sample of `other`."""
        counts = self.counts
        for index, n in other.counts.items():
            counts[index] = counts.get(index, 0) + n
        self.count += other.count

    def items(self) -> list[tuple[int, int]]:
        """(bucket index, count) by rising index."""
        return sorted(self.counts.items())

    def percentile(self, q: float, min_us: int, max_us: int) -> float | None:
        """Nearest-rank percentile in microseconds (0 < q <= 1), clamped to the exact [min_us, max_us].

        The value of the smallest bucket that holds at least ceil(q * count) samples at or below
        it; None without samples. `percentile(1.0, …)` is max_us exactly.
        """
        if not self.count:
            return None
        rank = rank_of(q, self.count)
        if rank >= self.count:
            return float(max_us)
        for index, n in self.items():
            rank -= n
            if rank <= 0:
                return clamped_value_us(index, min_us, max_us)
        raise AssertionError("count is not the sum of the buckets")

    def highest_us(self) -> int:
        """The largest value of the highest bucket that holds something; 0 without samples."""
        if not self.counts:
            return 0
        low, width = bucket_bounds_us(max(self.counts))
        return low + width - 1

    def to_blobs(self) -> tuple[bytes, bytes]:
        """(indexes as <u2, counts as unsigned integers of the smallest width that fits)."""
        items = self.items()
        return pack_indexes([index for index, _ in items]), pack_counts([n for _, n in items])

    @classmethod
    def from_blobs(cls, indexes: bytes, counts: bytes) -> Histogram:
        """The reverse of `to_blobs`. Raises ValueError for a bucket that is empty, repeated or out of range."""
        keys = unpack_indexes(indexes)
        values = unpack_counts(counts, len(keys))
        histogram = cls(zip(keys, values, strict=True))
        if len(histogram.counts) != len(keys) or max(keys, default=0) >= BUCKETS or 0 in values:
            raise ValueError("a bucket is empty, repeated or out of range")
        return histogram

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Histogram) and self.counts == other.counts

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"<Histogram of {self.count} in {len(self.counts)} buckets>"


def rank_of(q: float, count: int) -> int:
    """ceil(q * count), at least 1, at most count: the nearest rank, free of binary rounding."""
    return min(max(-(-round(q * _PARTS_PER_UNIT) * count // _PARTS_PER_UNIT), 1), count)


def clamped_value_us(index: int, min_us: int, max_us: int) -> float:
    """A bucket's value, never outside the exact [min_us, max_us] that was measured."""
    if index == LAST_BUCKET and max_us > HIGHEST_US:
        return float(max_us)  # above one hour the bucket has no upper edge
    return min(max(bucket_value_us(index), float(min_us)), float(max_us))


def pack_indexes(values: list[int]) -> bytes:
    """Little-endian 16-bit integers."""
    return _little(array("H", values))


def unpack_indexes(blob: bytes) -> list[int]:
    """The reverse of pack_indexes. Raises ValueError if the length is odd."""
    values = array("H")
    values.frombytes(blob)
    return _little_back(values).tolist()


def pack_counts(values: list[int]) -> bytes:
    """Little-endian unsigned integers of 1, 2, 4 or 8 bytes, whichever holds the largest."""
    largest = max(values, default=0)
    code = "B" if largest < 1 << 8 else "H" if largest < 1 << 16 else "I" if largest < 1 << 32 else "Q"
    return _little(array(code, values))


def unpack_counts(blob: bytes, n: int) -> list[int]:
    """The reverse of pack_counts for `n` values. Raises ValueError if the length does not fit."""
    width = len(blob) // n if n else 1
    code = {1: "B", 2: "H", 4: "I", 8: "Q"}.get(width)
    if code is None or len(blob) != width * n:
        raise ValueError("counts do not fit the indexes")
    values = array(code)
    values.frombytes(blob)
    return _little_back(values).tolist()


def _little(values: array[int]) -> bytes:
    return _little_back(values).tobytes()


def _little_back(values: array[int]) -> array[int]:
    if sys.byteorder == "big":
        values.byteswap()
    return values
