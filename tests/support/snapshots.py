"""Snapshots as a real run would make them, for what only reads them."""

from __future__ import annotations

import random
from dataclasses import replace

from loadgen.metrics.histogram import Histogram
from loadgen.metrics.snapshot import (
    Accounting,
    CheckTotals,
    EndpointTotals,
    ErrorGroup,
    Latency,
    RunState,
    Snapshot,
    TaskError,
    WindowStats,
    WorkerStatus,
)


def latency(count: int, median_us: int, spread: float = 0.6, seed: int = 1) -> Latency:
    """A lognormal latency around a median; a few hundred draws stand for `count` samples."""
    rng = random.Random(seed)
    draws = min(count, 400)
    histogram = Histogram()
    total, low, high = 0, 10**12, 0
    for index in range(draws):
        us = max(1, round(median_us * rng.lognormvariate(0, spread)))
        share = count // draws + (index < count % draws)
        histogram.add(us, share)
        total, low, high = total + us * share, min(low, us), max(high, us)
    return Latency(count, total, low if draws else 0, high, histogram)


def merged(parts: list[Latency]) -> Latency:
    """All samples of the parts."""
    histogram = Histogram()
    for part in parts:
        histogram.merge(part.histogram)
    full = [part for part in parts if part.count]
    return Latency(
        sum(part.count for part in parts),
        sum(part.sum_us for part in parts),
        min((part.min_us for part in full), default=0),
        max((part.max_us for part in full), default=0),
        histogram,
    )


def endpoint(method: str, name: str, requests: int, median_us: int, failures: int = 0, seed: int = 1) -> EndpointTotals:
    """An endpoint whose failures are all 5xx."""
    service = latency(requests - failures, median_us, seed=seed)
    outcomes = {"ok": requests - failures} | ({"http_5xx": failures} if failures else {})
    return EndpointTotals(
        method,
        name,
        requests=requests,
        failures=failures,
        bytes=requests * 1_337,
        service=service,
        response=service,
        failed_service=latency(failures, 9_000),
        outcomes=outcomes,
    )


def total(endpoints: tuple[EndpointTotals, ...]) -> EndpointTotals:
    """The total row of these endpoints."""
    service = merged([one.service for one in endpoints])
    return EndpointTotals(
        "",
        "TOTAL",
        requests=sum(one.requests for one in endpoints),
        failures=sum(one.failures for one in endpoints),
        cancelled=sum(one.cancelled for one in endpoints),
        bytes=sum(one.bytes for one in endpoints),
        service=service,
        response=service,
    )


SHOP = (
    endpoint("GET", "/item/[id]", 722_410, 22_000, seed=1),
    endpoint("GET", "/cart", 214_128, 31_000, seed=2),
    endpoint("POST", "/cart/checkout", 127_044, 400_000, failures=2_442, seed=3),
    endpoint("GET", "/search?q=[term]", 124_622, 45_000, failures=12, seed=4),
)
WORKERS = (
    WorkerStatus("w1", "running", 250, 594_102, 48.0, 63.0, 1.8, 6.0),
    WorkerStatus("w2", "running", 250, 594_102, 51.0, 66.0, 2.1, 7.5),
)
SATURATED = WorkerStatus("w3", "running", 250, 420_700, 97.0, 99.0, 61.0, 240.0)
ERRORS = (
    ErrorGroup(
        "POST",
        "/cart/checkout",
        "http_5xx",
        "503 upstream connect error <…>",
        2_411,
        72.0,
        598.0,
        '503 Service Unavailable: "upstream connect error or disconnect before headers, reset reason: overflow"',
        '503 Service Unavailable: "overflow"',
    ),
    ErrorGroup(
        "POST",
        "/cart/checkout",
        "timeout_read",
        "no byte for 10 s",
        31,
        260.0,
        422.0,
        "no byte for 10 s",
        "no byte for 10 s",
        "body",
    ),
    ErrorGroup(
        "GET",
        "/search?q=[term]",
        "generator_emfile",
        "too many open files",
        12,
        301.0,
        305.0,
        "too many open files: this worker may open 1,024",
        "too many open files: this worker may open 1,024",
        "connect",
        "generator",
    ),
)
TRACEBACK = """Traceback (most recent call last):
  File "/srv/loadtest.py", line 31, in buy
    order = reply.json()["id"]
            ~~~~~~~~~~~~^^^^^^
KeyError: 'id'
"""
TASK_ERRORS = (TaskError("Shopper", "KeyError: 'id'", TRACEBACK, 12, 3.0, 41.0),)
CHECKS = (CheckTotals("order id returned", 124_565, 37), CheckTotals("page has a title", 722_410, 0))


def running(elapsed_s: float = 90.0) -> Snapshot:
    """A shop under rising load, in the middle of the run."""
    return Snapshot(
        run_id="2026-11-20-1403-7f3a",
        state=RunState.RUNNING,
        elapsed_s=elapsed_s,
        planned_s=600.0,
        users=500,
        target_users=500,
        users_by_class={"Shopper": 400, "Admin": 100},
        totals=total(SHOP),
        endpoints=SHOP,
        window=WindowStats(
            5.0,
            1_981.2,
            4.0,
            31_000,
            388_000,
            820_000,
            {("GET", "/item/[id]"): 1_204.0, ("POST", "/cart/checkout"): 211.7, ("GET", "/cart"): 356.9},
        ),
        workers=WORKERS,
    )


def finished() -> Snapshot:
    """The same shop at the end, with errors, checks, exceptions and closed books."""
    return replace(
        running(600.0),
        state=RunState.FINISHED,
        users=0,
        errors=ERRORS,
        task_errors=TASK_ERRORS,
        checks=CHECKS,
        counters={"orders placed": 124_602.0, "revenue EUR": 1_893_220.5},
        accounting=Accounting(412_000, 412_000, 0, 409_400, 2_454, 146, 0),
        workers=tuple(replace(worker, state="finished", users=0) for worker in WORKERS),
        complete=True,
        detailed=True,
    )


def ramp(steps: int = 40, knee: int = 25) -> list[Snapshot]:
    """A snapshot each second of a service with a knee at second `knee`, and three seconds of errors near the end."""
    shots, requests, failures = [], 0, 0
    for step in range(1, steps + 1):
        users = 50 * step
        rps = min(users, 50 * knee)
        over = max(0, step - knee)
        failing = round(rps * 0.3) if steps - 6 <= step < steps - 3 else 0
        requests, failures = requests + rps, failures + failing
        window = WindowStats(5.0, rps, failing, 20_000, 40_000 + 30_000 * over, 60_000 + 50_000 * over)
        base = running(float(step))
        totals = replace(base.totals, requests=requests, failures=failures)
        shots.append(
            replace(base, state=RunState.RAMPING, users=users, target_users=2_000, window=window, totals=totals)
        )
    return shots
