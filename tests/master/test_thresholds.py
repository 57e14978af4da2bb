"""Thresholds: the language, its errors, and how a run is judged by them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ConfigError
from loadgen.master.threshold_grammar import EXAMPLES, Measure, tokens
from loadgen.master.thresholds import DEFAULT_THRESHOLD, ThresholdResult, evaluate, parse, samples_needed
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.snapshot import EndpointTotals, Latency, Snapshot


def latency(*values_us: int) -> Latency:
    histogram = Histogram()
    for us in values_us:
        histogram.add(us)
    return Latency(len(values_us), sum(values_us), min(values_us), max(values_us), histogram)


def endpoint(method: str, name: str, *values_us: int, failures: int = 0, cancelled: int = 0) -> EndpointTotals:
    response = latency(*values_us) if values_us else Latency()
    requests = len(values_us) + failures + cancelled
    return EndpointTotals(method, name, requests, failures, cancelled, 0, response, response)


def run(*endpoints: EndpointTotals, elapsed_s: float = 10.0) -> Snapshot:
    histogram = Histogram()
    for one in endpoints:
        histogram.merge(one.response.histogram)
    full = [one.response for one in endpoints if one.response.count]
    merged = Latency(
        sum(one.count for one in full),
        sum(one.sum_us for one in full),
        min((one.min_us for one in full), default=0),
        max((one.max_us for one in full), default=0),
        histogram,
    )
    totals = EndpointTotals(
        "",
        "TOTAL",
        sum(one.requests for one in endpoints),
        sum(one.failures for one in endpoints),
        sum(one.cancelled for one in endpoints),
        0,
        merged,
        merged,
    )
    return Snapshot(totals=totals, endpoints=endpoints, elapsed_s=elapsed_s, detailed=True)


def judged(text: str, snapshot: Snapshot) -> ThresholdResult:
    [result] = evaluate([parse(text)], snapshot)
    return result


@pytest.mark.parametrize(
    ("text", "measure", "q", "endpoint_name", "comparison", "limit"),
    [
        ("errors < 1%", Measure.SHARE, None, None, "<", 0.01),
        ("errors<=0.5 %", Measure.SHARE, None, None, "<=", 0.005),
        ("p95 < 300ms", Measure.LATENCY, 0.95, None, "<", 300_000),
        ("p99.9 of 'POST /cart' < 0.8s", Measure.LATENCY, 0.999, "POST /cart", "<", 800_000),
        ('p50 of "/item/[id]" <= 250us', Measure.LATENCY, 0.5, "/item/[id]", "<=", 250),
        ("rate > 1900/s", Measure.RATE, None, None, ">", 1_900),
        ("rate >= 1.9k/s", Measure.RATE, None, None, ">=", 1_900),
        ("rate > 1,900/s", Measure.RATE, None, None, ">", 1_900),
        ("rate > 120/min", Measure.RATE, None, None, ">", 2),
        ("mean ≤ 50ms", Measure.LATENCY, None, None, "<=", 50_000),
        ("  max   <2s  ", Measure.LATENCY, None, None, "<", 2_000_000),
        ("min ≥ 1 ms", Measure.LATENCY, None, None, ">=", 1_000),
    ],
)
def test_thresholds_are_understood(
    text: str, measure: Measure, q: float | None, endpoint_name: str | None, comparison: str, limit: float
) -> None:
    threshold = parse(text, "loadtest.py:3")

    assert (threshold.metric.measure, threshold.metric.q) == (measure, q)
    assert (threshold.endpoint, threshold.comparison) == (endpoint_name, comparison)
    assert threshold.limit == pytest.approx(limit)
    assert (threshold.expr, threshold.origin) == (text.strip(), "loadtest.py:3")


@pytest.mark.parametrize(
    ("text", "says", "column"),
    [
        ("p95 < 300", 'unit missing. Write "p95 < 300ms"', 9),
        ("rate > 100", 'unit missing. Write "rate > 100/s"', 10),
        ("errors < 1", 'unit missing. Write "errors < 1%"', 10),
        ("errrs < 1%", 'did you mean "errors"?', 0),
        ("rps > 100/s", 'did you mean "rate"?', 0),
        ("median < 1s", 'did you mean "p50"?', 0),
        ("p100 < 1s", 'did you mean "max"?', 0),
        ("cpu < 1%", "there are errors, rate, min, mean, max, p50 … p99.9", 0),
        ("", "a metric is missing", 0),
        ("p95", "here belongs <, <=, > or >=", 3),
        ("p95 300ms", "here belongs <, <=, > or >=", 4),
        ("p95 == 300ms", "here belongs <, <=, > or >=", 4),
        ("p95 <", "a number belongs here", 5),
        ("p95 < fast", "a number belongs here", 6),
        ("p95 < 300MB", '"MB" is no unit of p95; there are us, µs, ms, s, m, min', 9),
        ("errors < 300ms", '"ms" is no unit of errors; there are %', 12),
        ("p95 of /cart < 1s", "a name in quotes", 7),
        ("p95 of '' < 1s", "a name in quotes", 7),
        ("p95 < 300ms over 30s", '"over" is not expected here', 12),
        ("p95 < 300ms $", '"$" is not expected here', 12),
    ],
)
def test_what_is_not_understood_is_pointed_at(text: str, says: str, column: int) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(text, "loadtest.py:8")

    error = caught.value
    assert error.code == "LG501"
    assert "loadtest.py:8" in error.message
    assert says in error.message
    assert error.hints[0].splitlines() == [text, " " * column + "^"]


@pytest.mark.parametrize("example", [*EXAMPLES, DEFAULT_THRESHOLD])
def test_the_examples_in_error_messages_work(example: str) -> None:
    assert parse(example).expr == example


@given(st.text(max_size=40) | st.text("p95 <>=ms%of'/.", max_size=20))
def test_any_text_is_a_threshold_or_a_clear_error(text: str) -> None:
    render = ""
    try:
        threshold = parse(text)
    except ConfigError as error:
        render = error.render()
    else:
        assert parse(threshold.expr) == threshold

    assert not render or render.startswith("error[LG501]: threshold")


@given(st.text(max_size=60))
def test_tokens_keep_their_place(text: str) -> None:
    for token in tokens(text):
        assert text[token.at : token.at + len(token.text)] == token.text


@given(
    st.sampled_from(["p50", "p90", "p99.9", "mean", "max", "min"]),
    st.sampled_from(["<", "<=", ">", ">="]),
    st.integers(1, 10_000),
    st.sampled_from([("us", 1), ("ms", 1_000), ("s", 1_000_000)]),
)
def test_a_latency_limit_means_what_it_says(metric: str, comparison: str, number: int, unit: tuple[str, int]) -> None:
    threshold = parse(f"{metric} {comparison} {number}{unit[0]}")

    assert threshold.limit == number * unit[1]
    assert threshold.holds(threshold.limit) == ("=" in comparison)
    assert threshold.holds(threshold.limit - 1) == ("<" in comparison)
    assert threshold.holds(threshold.limit + 1) == (">" in comparison)


def test_a_percentile_is_judged_over_response_times() -> None:
    slow = replace(endpoint("GET", "/", *[1_000] * 100), response=latency(*[200_000] * 100))
    result = judged("p95 < 100ms", replace(run(slow), totals=slow))

    assert not result.ok
    assert (result.actual, result.limit, result.unit, result.samples) == (200.0, 100.0, "ms", 100)
    assert (result.actual_text, result.limit_text, result.margin_text) == ("200 ms", "< 100ms", "+100.0 %")


def test_errors_are_a_share_of_finished_requests() -> None:
    result = judged("errors < 1%", run(endpoint("GET", "/", *[1] * 98, failures=2, cancelled=900)))

    assert (result.actual, result.unit, result.samples, result.ok) == (0.02, "ratio", 100, False)
    assert (result.actual_text, result.limit_text, result.margin_text) == ("2.00 %", "< 1%", "+1.00 pt")


def test_the_rate_is_of_all_requests_over_the_whole_run() -> None:
    result = judged("rate > 4/s", run(endpoint("GET", "/", *[1] * 40, failures=5, cancelled=5), elapsed_s=10))

    assert (result.actual, result.unit, result.ok, result.actual_text) == (5.0, "per_s", True, "5.0/s")
    assert result.margin_text == "+25.0 %"


@pytest.mark.parametrize(("text", "actual"), [("min > 1us", 0.002), ("mean > 1us", 0.004), ("max > 1us", 0.006)])
def test_min_mean_and_max_are_exact(text: str, actual: float) -> None:
    assert judged(text, run(endpoint("GET", "/", 2, 4, 6))).actual == actual


def test_an_endpoint_is_found_by_name_or_by_method_and_name() -> None:
    snapshot = run(
        endpoint("GET", "/cart", *[1_000] * 10), endpoint("POST", "/cart", *[9_000] * 10), endpoint("GET", "/", 5)
    )

    assert judged("max of 'GET /cart' < 2ms", snapshot).actual == 1.0
    assert judged("max of 'POST /cart' < 2ms", snapshot).actual == 9.0
    both = judged("max of '/cart' < 2ms", snapshot)
    assert (both.actual, both.samples, both.metric) == (9.0, 20, "max of '/cart'")


def test_an_endpoint_that_matched_nothing_fails_and_names_what_was_seen() -> None:
    result = judged("p95 of 'GET /itm/[id]' < 1s", run(endpoint("GET", "/item/[id]", 1), endpoint("POST", "/cart", 1)))

    assert (result.ok, result.actual, result.actual_text, result.samples) == (False, None, "–", 0)
    assert result.note == (
        'LG502 threshold on "GET /itm/[id]" matched no requests (counts as failed). '
        "Names seen: GET /item/[id], POST /cart"
    )


@pytest.mark.parametrize("text", ["p95 < 1s", "errors < 100%", "rate >= 0/s", "max < 1s"])
def test_what_was_not_measured_does_not_hold(text: str) -> None:
    result = judged(text, run())

    assert not result.ok
    assert result.actual is None
    assert result.note


def test_only_failures_leave_a_latency_threshold_without_data() -> None:
    assert not judged("p95 < 1s", run(endpoint("GET", "/", failures=5))).ok


@pytest.mark.parametrize(("q", "n"), [(0.95, 72), (0.99, 368), (0.999, 3_688), (0.9999, 36_887), (0.5, 6), (0.05, 72)])
def test_the_needed_samples_follow_from_the_binomial_rule(q: float, n: int) -> None:
    assert samples_needed(q) == n
    extreme = max(q, 1 - q)
    assert extreme**n <= 0.025 < extreme ** (n - 1)


def test_a_percentile_from_too_few_samples_says_so() -> None:
    few = judged("p99 < 1s", run(endpoint("GET", "/", *[1] * 367)))
    enough = judged("p99 < 1s", run(endpoint("GET", "/", *[1] * 368)))

    assert few.note == "only 367 samples: p99 needs 368 for a 95 % interval"
    assert few.ok
    assert enough.note == ""


def test_a_value_that_would_print_like_its_limit_is_printed_more_precisely() -> None:
    result = judged("max < 300ms", run(endpoint("GET", "/", 300_200)))

    assert (result.ok, result.actual_text) == (False, "300.200 ms")
