"""The laws of the histogram: a stated error, exact merging, the nearest rank."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.metrics.histogram import (
    BUCKETS,
    HIGHEST_US,
    LAST_BUCKET,
    RELATIVE_ERROR,
    Histogram,
    bucket_bounds_us,
    bucket_index,
    bucket_value_us,
    rank_of,
)

ONE_HOUR_US = 3_600_000_000
durations = st.integers(0, ONE_HOUR_US) | st.integers(0, 2_000)
samples = st.lists(durations, max_size=60)
quantiles = st.integers(1, 10_000).map(lambda n: n / 10_000)


def of(values: list[int]) -> Histogram:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    return histogram


def test_one_hour_is_in_the_last_bucket() -> None:
    assert bucket_index(ONE_HOUR_US) == LAST_BUCKET == BUCKETS - 1


@given(st.integers(0, 255))
def test_durations_below_256_us_are_exact(us: int) -> None:
    assert bucket_value_us(bucket_index(us)) == us


@given(durations)
def test_a_bucket_differs_from_its_samples_by_at_most_0_39_percent(us: int) -> None:
    assert abs(bucket_value_us(bucket_index(us)) - us) <= us * RELATIVE_ERROR
    assert RELATIVE_ERROR < 0.00391


@given(durations, durations)
def test_a_longer_duration_is_never_in_a_lower_bucket(a: int, b: int) -> None:
    low, high = sorted((a, b))

    assert bucket_index(low) <= bucket_index(high)


@given(st.integers(0, LAST_BUCKET))
def test_the_bounds_of_a_bucket_hold_exactly_its_durations(index: int) -> None:
    low, width = bucket_bounds_us(index)

    assert bucket_index(low) == index == bucket_index(low + width - 1)
    assert index == LAST_BUCKET or bucket_index(low + width) == index + 1


@given(st.integers(max_value=-1) | st.integers(min_value=HIGHEST_US + 1))
def test_durations_out_of_range_share_the_first_and_last_bucket(us: int) -> None:
    assert bucket_index(us) == (0 if us < 0 else LAST_BUCKET)


@given(samples, samples, samples)
def test_merging_is_associative_and_commutative(a: list[int], b: list[int], c: list[int]) -> None:
    left = of(a)
    left.merge(of(b))
    left.merge(of(c))
    right = of(c)
    right.merge(of(a))
    right.merge(of(b))

    assert left == right == of(a + b + c)
    assert left.count == right.count == len(a + b + c)


@given(st.lists(st.tuples(durations, st.integers(0, 4)), min_size=1, max_size=60), quantiles)
def test_a_percentile_is_the_same_for_one_worker_or_five(shared: list[tuple[int, int]], q: float) -> None:
    values = [us for us, _ in shared]
    merged = Histogram()
    for worker in range(5):
        merged.merge(of([us for us, where in shared if where == worker]))

    low, high = min(values), max(values)
    assert merged.percentile(q, low, high) == of(values).percentile(q, low, high)


@given(st.lists(durations, min_size=1, max_size=60), quantiles)
def test_a_percentile_is_the_nearest_rank_within_the_stated_error(values: list[int], q: float) -> None:
    exact = sorted(values)[rank_of(q, len(values)) - 1]

    found = of(values).percentile(q, min(values), max(values))

    assert found is not None
    assert abs(found - exact) <= exact * RELATIVE_ERROR
    assert min(values) <= found <= max(values)


@given(st.lists(durations, min_size=1, max_size=60), quantiles, quantiles)
def test_percentiles_rise_with_the_quantile(values: list[int], a: float, b: float) -> None:
    histogram = of(values)
    low, high = (histogram.percentile(q, min(values), max(values)) for q in sorted((a, b)))

    assert low is not None
    assert high is not None
    assert low <= high


@pytest.mark.parametrize(
    ("q", "count", "rank"),
    [(0.07, 100, 7), (0.95, 100, 95), (0.99, 100, 99), (0.999, 1000, 999), (0.5, 3, 2), (0.01, 10, 1), (1.0, 7, 7)],
)
def test_ranks_are_free_of_binary_rounding(q: float, count: int, rank: int) -> None:
    assert rank_of(q, count) == rank


def test_without_samples_there_is_no_percentile() -> None:
    assert Histogram().percentile(0.5, 0, 0) is None


def test_the_hundredth_percentile_is_the_exact_maximum() -> None:
    assert of([1_000_001, 1_000_003]).percentile(1.0, 1_000_001, 1_000_003) == 1_000_003


def test_above_one_hour_the_exact_maximum_stands_for_the_bucket() -> None:
    two_hours = 2 * ONE_HOUR_US

    assert of([5, two_hours, two_hours, two_hours]).percentile(0.5, 5, two_hours) == two_hours


@given(st.dictionaries(st.integers(0, LAST_BUCKET), st.integers(1, 1 << 40), max_size=40))
def test_packing_loses_nothing(counts: dict[int, int]) -> None:
    histogram = Histogram(counts.items())

    again = Histogram.from_blobs(*histogram.to_blobs())

    assert again == histogram
    assert again.count == histogram.count


def test_counts_take_the_smallest_width_that_fits() -> None:
    widths = [len(Histogram([(7, n)]).to_blobs()[1]) for n in (255, 256, 65_536, 1 << 32)]

    assert widths == [1, 2, 4, 8]


@given(st.binary(max_size=24), st.binary(max_size=24))
def test_unpacking_takes_only_what_packing_makes(indexes: bytes, counts: bytes) -> None:
    try:
        histogram = Histogram.from_blobs(indexes, counts)
    except ValueError:
        return
    assert all(0 <= index < BUCKETS and n > 0 for index, n in histogram.items())
    assert len(histogram.counts) == len(indexes) // 2
    assert math.isclose(histogram.count, sum(histogram.counts.values()))
