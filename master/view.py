"""From the ledger's sums to what is shown: endpoints, the total of all, the last few seconds."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

import numpy as np

from loadgen.master.spans import SpanRows
from loadgen.master.totals import Slot, Totals, sparse
from loadgen.metrics.errorbook import OTHER
from loadgen.metrics.histogram import BUCKETS
from loadgen.metrics.recorder import MAX_NAMES, MAX_OUTCOMES, MAX_PHASES, too_many_names
from loadgen.metrics.snapshot import (
    Accounting,
    CheckTotals,
    EndpointTotals,
    ErrorGroup,
    Latency,
    Phase,
    TaskError,
    WindowStats,
)
from loadgen.metrics.tally import COUNTED_KINDS, NO_MIN_US, Kind

WINDOW_S = 5  # what live rates and percentiles look back over

SERVICE = (Kind.OK, Kind.OK_WAITED_SERVICE)
RESPONSE = (Kind.OK, Kind.OK_WAITED_RESPONSE)
FAILED = (Kind.FAILED, Kind.FAILED_WAITED_SERVICE)
CANCELLED = (Kind.CANCELLED,)

Name = tuple[str, str]  # method, name


@dataclass(frozen=True, slots=True)
class LedgerView:
    """The part of a Snapshot that comes from measurements."""

    totals: EndpointTotals
    endpoints: tuple[EndpointTotals, ...]
    window: WindowStats
    users_by_class: dict[str, int]
    errors: tuple[ErrorGroup, ...]
    task_errors: tuple[TaskError, ...]
    checks: tuple[CheckTotals, ...]
    counters: dict[str, float]
    accounting: Accounting
    warnings: tuple[str, ...]
    detailed: bool


class Names:
    """All (method, name) of the run, at most MAX_NAMES, and what is counted per name beside latencies."""

    def __init__(self) -> None:
        self.outcomes: dict[Name, dict[str, int]] = {("", OTHER): {}}
        self.phases: dict[Name, dict[str, tuple[int, int, int]]] = {("", OTHER): {}}
        self.numbers: dict[Name, int] = {("", OTHER): 0}  # in order of admission
        self.changed_outcomes: set[Name] = set()  # since the last commit
        self.changed_phases: set[Name] = set()

    def admit(self, method: str, name: str) -> tuple[Name, str]:
        """The name to book under, and a warning or "". Each worker may have its own MAX_NAMES."""
        key = (method, name)
        if key in self.outcomes:
            return key, ""
        if len(self.outcomes) > MAX_NAMES:
            return ("", OTHER), too_many_names(name)
        self.numbers[key] = len(self.numbers)
        self.outcomes[key] = {}
        self.phases[key] = {}
        return key, ""

    def since(self, number: int) -> tuple[Name, ...]:
        """The names from this number on."""
        return tuple(islice(self.numbers, number, None)) if number < len(self.numbers) else ()

    def add_outcomes(self, name: Name, counts: dict[str, int]) -> None:
        own = self.outcomes[name]
        self.changed_outcomes.add(name)
        for outcome, n in counts.items():
            key = outcome if outcome in own or len(own) < MAX_OUTCOMES else OTHER
            own[key] = own.get(key, 0) + n

    def add_phases(self, name: Name, rows: dict[str, tuple[int, int, int]]) -> None:
        own = self.phases[name]
        self.changed_phases.add(name)
        for phase, row in rows.items():
            key = phase if phase in own or len(own) < MAX_PHASES else OTHER
            own[key] = _add_phase(own.get(key, (0, 0, 0)), row)


def _add_phase(a: tuple[int, int, int], b: tuple[int, int, int]) -> tuple[int, int, int]:
    return a[0] + b[0], a[1] + b[1], max(a[2], b[2])


def see_endpoints(totals: Totals, names: Names, *, detailed: bool) -> tuple[EndpointTotals, tuple[EndpointTotals, ...]]:
    """(the total of all, one per name that has samples, by name and method)."""
    by_name: dict[Name, dict[Kind, int]] = {}
    for number, slot in enumerate(totals.slots):
        by_name.setdefault((slot.method, slot.name), {})[slot.kind] = number
    endpoints = tuple(
        _endpoint(key, totals, by_name[key], names.outcomes[key], names.phases[key], detailed=detailed)
        for key in sorted(by_name, key=lambda key: (key[1], key[0]))
    )
    return _total(totals, endpoints), endpoints


def _endpoint(
    key: Name,
    totals: Totals,
    slots: dict[Kind, int],
    outcomes: dict[str, int],
    phases: dict[str, tuple[int, int, int]],
    *,
    detailed: bool,
) -> EndpointTotals:
    def latency(kinds: Iterable[Kind]) -> Latency:
        return totals.latency([slots[kind] for kind in kinds if kind in slots], histogram=detailed)

    service = latency(SERVICE)
    failed = latency(FAILED)
    cancelled = totals.count([slots[kind] for kind in CANCELLED if kind in slots])
    return EndpointTotals(
        method=key[0],
        name=key[1],
        requests=service.count + failed.count + cancelled,
        failures=failed.count,
        cancelled=cancelled,
        bytes=totals.bytes([number for kind, number in slots.items() if kind in COUNTED_KINDS]),
        service=service,
        response=latency(RESPONSE) if Kind.OK_WAITED_RESPONSE in slots else service,
        failed_service=failed,
        outcomes=_outcomes(service.count, outcomes, cancelled),
        phases={phase: Phase(*row) for phase, row in sorted(phases.items())},
    )


def _total(totals: Totals, endpoints: tuple[EndpointTotals, ...]) -> EndpointTotals:
    """All endpoints together, always with histograms."""
    outcomes: dict[str, int] = {}
    phases: dict[str, tuple[int, int, int]] = {}
    for endpoint in endpoints:
        for outcome, n in endpoint.outcomes.items():
            outcomes[outcome] = outcomes.get(outcome, 0) + n
        for phase, row in endpoint.phases.items():
            phases[phase] = _add_phase(phases.get(phase, (0, 0, 0)), (row.count, row.sum_us, row.max_us))
    service = totals.latency(totals.of_kinds(SERVICE))
    waited = any(slot.kind is Kind.OK_WAITED_RESPONSE for slot in totals.slots)
    return EndpointTotals(
        method="",
        name="TOTAL",
        requests=sum(endpoint.requests for endpoint in endpoints),
        failures=sum(endpoint.failures for endpoint in endpoints),
        cancelled=sum(endpoint.cancelled for endpoint in endpoints),
        bytes=sum(endpoint.bytes for endpoint in endpoints),
        service=service,
        response=totals.latency(totals.of_kinds(RESPONSE)) if waited else service,
        failed_service=totals.latency(totals.of_kinds(FAILED)),
        outcomes=outcomes,
        phases={phase: Phase(*row) for phase, row in sorted(phases.items())},
    )


def _outcomes(ok: int, failures: dict[str, int], cancelled: int) -> dict[str, int]:
    counted = {"ok": ok, **dict(sorted(failures.items())), "cancelled": cancelled}
    return {outcome: n for outcome, n in counted.items() if n}


def live_window(spans: Iterable[SpanRows], watermark_s: int, totals: Totals) -> WindowStats:
    """The last WINDOW_S complete seconds before `watermark_s`.

    A span that reaches over several seconds (a worker that had to wait for acks) counts in rates
    with its share of the window. Percentiles are of response times, from spans that end inside.
    """
    first_s = max(watermark_s - WINDOW_S, 0)
    seconds = watermark_s - first_s
    if not seconds:
        return WindowStats()
    shares = [(span, _share(span, first_s, watermark_s)) for span in spans]
    inside = [(span, share) for span, share in shares if share]
    by_name, failures = _rates(inside, totals.slots)
    p50_us, p95_us, p99_us = _window_percentiles([span for span, _ in inside if span.last_s < watermark_s], totals)
    return WindowStats(
        seconds=float(seconds),
        rps=sum(by_name.values()) / seconds,
        failures_per_s=failures / seconds,
        p50_us=p50_us,
        p95_us=p95_us,
        p99_us=p99_us,
        by_name={name: n / seconds for name, n in sorted(by_name.items())},
    )


def _share(span: SpanRows, first_s: int, end_s: int) -> float:
    """How much of the span's time lies in [first_s, end_s)."""
    overlap = min(span.last_s + 1, end_s) - max(span.first_s, first_s)
    return max(overlap, 0) / (span.last_s + 1 - span.first_s)


def _rates(spans: Iterable[tuple[SpanRows, float]], slots: list[Slot]) -> tuple[dict[Name, float], float]:
    """(requests per name, failures), spans weighted by their share."""
    by_name: dict[Name, float] = {}
    failures = 0.0
    for span, share in spans:
        for number, count in zip(span.slots.tolist(), span.count.tolist(), strict=True):
            slot = slots[number]
            if slot.kind in COUNTED_KINDS:
                key = (slot.method, slot.name)
                by_name[key] = by_name.get(key, 0.0) + count * share
            if slot.kind in FAILED:
                failures += count * share
    return by_name, failures


def _window_percentiles(spans: list[SpanRows], totals: Totals) -> tuple[float | None, float | None, float | None]:
    wanted = np.zeros(len(totals.slots), dtype=bool)
    wanted[totals.of_kinds(RESPONSE)] = True
    dense = np.zeros(BUCKETS, dtype=np.int64)
    low, high = NO_MIN_US, 0
    for span in spans:
        chosen = wanted[span.keys // BUCKETS]
        np.add.at(dense, span.keys[chosen] % BUCKETS, span.counts[chosen])
        rows = wanted[span.slots]
        low = min(low, int(span.min_us[rows].min(initial=NO_MIN_US)))
        high = max(high, int(span.max_us[rows].max(initial=0)))
    histogram = sparse(dense)
    p50_us, p95_us, p99_us = (histogram.percentile(q, low, high) for q in (0.50, 0.95, 0.99))
    return p50_us, p95_us, p99_us
