"""Numbers as they are shown everywhere: the same units and the same places in every table."""

from __future__ import annotations

import math

from loadgen.metrics.snapshot import EndpointTotals, Latency
from loadgen.units import format_latency

NOTHING = "–"


def count(value: float) -> str:
    """`1,188,204`."""
    return f"{value:,.0f}"


def rate(per_s: float) -> str:
    """`211.7`, `1,204.0`, `98,123`: per second."""
    return f"{per_s:,.1f}" if per_s < 10_000 else f"{per_s:,.0f}"


def percent(ratio: float) -> str:
    """`1.92 %`; a share that would round to nothing is `<0.01 %`, and to everything `>99.99 %`."""
    if 0 < ratio < 0.00005:
        return "<0.01 %"
    if 0.99995 < ratio < 1:
        return ">99.99 %"
    return f"{100 * ratio:.2f} %"


def share(part: int, whole: int) -> float:
    """part / whole, 0.0 when there is no whole."""
    return part / whole if whole else 0.0


def latency(us: float | None) -> str:
    """`412 ms`, or a dash when there is no value."""
    return NOTHING if us is None else format_latency(us)


def enough_samples(q: float) -> int:
    """How many samples the percentile q (0 < q < 1) needs for a two-sided 95 % interval to exist: 368 for p99."""
    return math.ceil(math.log(0.025) / math.log(q))


def percentile(of: Latency, q: float) -> str:
    """The percentile; `*` marks one from too few samples."""
    value = of.percentile_us(q)
    if value is None:
        return NOTHING + " "
    return format_latency(value) + ("*" if of.count < enough_samples(q) else " ")


def endpoint_name(endpoint: EndpointTotals, method_columns: int = 0) -> str:
    """`GET  /item/[id]`, the method filled to `method_columns`."""
    return f"{endpoint.method:<{method_columns}} {endpoint.name}" if endpoint.method else endpoint.name


def per_s(total: float, elapsed_s: float) -> float:
    """total / elapsed, 0.0 before any time has passed."""
    return total / elapsed_s if elapsed_s > 0 else 0.0


def plural(number: int, word: str) -> str:
    """`1 worker`, `4 workers`."""
    return f"{number:,} {word}" + ("" if number == 1 else "s")
