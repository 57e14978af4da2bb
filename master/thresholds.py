"""Whether a run kept its promises: each threshold against the whole run.

Latency thresholds judge response times (from the intended start) of successful requests; `errors`
is failures / finished requests; `rate` is requests per second of the run. What was not measured
does not hold: a threshold without data fails.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil, log

from loadgen.master.threshold_grammar import Measure, Metric, Threshold, parse
from loadgen.metrics.histogram import Histogram
from loadgen.metrics.snapshot import EndpointTotals, Latency, Snapshot
from loadgen.units import format_latency

__all__ = ["DEFAULT_THRESHOLD", "Threshold", "ThresholdResult", "evaluate", "parse", "samples_needed"]

DEFAULT_THRESHOLD = "errors < 1%"
_NAMES_SHOWN = 8
_UNITS = {Measure.SHARE: "ratio", Measure.RATE: "per_s", Measure.LATENCY: "ms"}


@dataclass(frozen=True, slots=True)
class ThresholdResult:
    """One threshold, judged.

    `actual` and `limit` are in `unit`: "ms", "ratio" (0 … 1) or "per_s". `margin` is how far the
    actual value is above the limit (negative: below): relative to it, and for "ratio" their difference.
    """

    expr: str
    metric: str  # "p95", "p99 of 'POST /cart'"
    actual: float | None  # None: nothing was measured
    limit: float
    margin: float | None
    ok: bool
    samples: int  # finished requests it rests on
    origin: str
    unit: str
    actual_text: str  # "412 ms", "–" for None
    limit_text: str  # "< 300ms"
    margin_text: str  # "+37.3 %", "-0.79 pt"
    note: str = ""  # what to know about it: too few samples, no such endpoint


def evaluate(thresholds: Sequence[Threshold], snapshot: Snapshot) -> list[ThresholdResult]:
    """The thresholds against everything the run measured. The snapshot must be detailed where endpoints are named."""
    return [_judge(threshold, snapshot) for threshold in thresholds]


def samples_needed(q: float, confidence: float = 0.95) -> int:
    """How many samples the q-quantile needs before it has a two-sided confidence interval at all.

    The number of samples below the true quantile is binomial(n, q). The largest sample lies above
    it with probability 1 - q^n and the smallest below it with 1 - (1 - q)^n, so both bounds exist
    from n >= ln((1 - confidence) / 2) / ln(max(q, 1 - q)) on: 72 for p95, 368 for p99, 3,688 for
    p99.9. (Conover, Practical Nonparametric Statistics, 3rd ed., section 3.2.)
    """
    return ceil(log((1 - confidence) / 2) / log(max(q, 1 - q)))


def _judge(threshold: Threshold, snapshot: Snapshot) -> ThresholdResult:
    endpoints = _matching(threshold, snapshot)
    if not endpoints:
        return _result(threshold, None, 0, _no_match(threshold, snapshot))
    finished = sum(endpoint.requests - endpoint.cancelled for endpoint in endpoints)
    match threshold.metric.measure:
        case Measure.SHARE:
            failures = sum(endpoint.failures for endpoint in endpoints)
            return _result(threshold, failures / finished if finished else None, finished)
        case Measure.RATE:
            requests = sum(endpoint.requests for endpoint in endpoints)
            elapsed_s = snapshot.elapsed_s
            return _result(threshold, requests / elapsed_s if elapsed_s > 0 and requests else None, requests)
        case Measure.LATENCY:
            latency = _merged([endpoint.response for endpoint in endpoints])
            actual_us = _latency_us(threshold.metric, latency)
            return _result(threshold, actual_us, latency.count, _small_sample(threshold.metric, latency.count))


def _matching(threshold: Threshold, snapshot: Snapshot) -> list[EndpointTotals]:
    """The endpoints it is about: by "METHOD name", or by name with any method."""
    wanted = threshold.endpoint
    if wanted is None:
        return [snapshot.totals]
    return [
        endpoint
        for endpoint in snapshot.endpoints
        if wanted == endpoint.name or wanted == f"{endpoint.method} {endpoint.name}"
    ]


def _merged(latencies: Sequence[Latency]) -> Latency:
    full = [latency for latency in latencies if latency.count]
    if len(full) == 1:
        return full[0]
    histogram = Histogram()
    for latency in full:
        histogram.merge(latency.histogram)
    return Latency(
        sum(latency.count for latency in full),
        sum(latency.sum_us for latency in full),
        min((latency.min_us for latency in full), default=0),
        max((latency.max_us for latency in full), default=0),
        histogram,
    )


def _latency_us(metric: Metric, latency: Latency) -> float | None:
    if not latency.count:
        return None
    if metric.q is not None:
        return latency.percentile_us(metric.q)
    return {"min": float(latency.min_us), "mean": latency.mean_us, "max": float(latency.max_us)}[metric.name]


def _small_sample(metric: Metric, samples: int) -> str:
    if metric.q is None or not samples:
        return ""
    needed = samples_needed(metric.q)
    if samples >= needed:
        return ""
    return f"only {samples:,} samples: {metric.name} needs {needed:,} for a 95 % interval"


def _no_match(threshold: Threshold, snapshot: Snapshot) -> str:
    names = [f"{endpoint.method} {endpoint.name}".strip() for endpoint in snapshot.endpoints]
    seen = ", ".join(names[:_NAMES_SHOWN]) + (f" and {len(names) - _NAMES_SHOWN} more" if names[_NAMES_SHOWN:] else "")
    return (
        f'LG502 threshold on "{threshold.endpoint}" matched no requests (counts as failed). '
        f"Names seen: {seen or 'none'}"
    )


def _result(threshold: Threshold, actual: float | None, samples: int, note: str = "") -> ThresholdResult:
    """From values in base units (share, per second, µs) to what is shown and written."""
    measure = threshold.metric.measure
    scale = 0.001 if measure is Measure.LATENCY else 1.0
    margin = None if actual is None else _margin(measure, actual, threshold.limit)
    if actual is None and not note:
        note = "nothing was measured for it (counts as failed)"
    where = f" of '{threshold.endpoint}'" if threshold.endpoint is not None else ""
    return ThresholdResult(
        expr=threshold.expr,
        metric=threshold.metric.name + where,
        actual=None if actual is None else round(actual * scale, 6),
        limit=round(threshold.limit * scale, 6),
        margin=None if margin is None else round(margin, 6),
        ok=actual is not None and threshold.holds(actual),
        samples=samples,
        origin=threshold.origin,
        unit=_UNITS[measure],
        actual_text="–" if actual is None else _text(measure, actual, threshold.limit),
        limit_text=threshold.limit_text,
        margin_text=_margin_text(measure, margin),
        note=note,
    )


def _margin(measure: Measure, actual: float, limit: float) -> float | None:
    if measure is Measure.SHARE:
        return actual - limit
    return actual / limit - 1 if limit else None


def _margin_text(measure: Measure, margin: float | None) -> str:
    if margin is None:
        return "–"
    return f"{100 * margin:+.2f} pt" if measure is Measure.SHARE else f"{100 * margin:+.1f} %"


def _text(measure: Measure, actual: float, limit: float) -> str:
    """The actual value, precise enough to show on which side of the limit it is."""
    if measure is Measure.SHARE:
        places = 2 if round(actual, 4) != round(limit, 4) or actual == limit else 6
        return f"{100 * actual:.{places}f} %"
    if measure is Measure.RATE:
        return f"{actual:,.1f}/s"
    short = format_latency(actual)
    return short if short != format_latency(limit) or actual == limit else f"{actual / 1000:,.3f} ms"
