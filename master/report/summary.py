"""The result of a run as one JSON document: schema "loadgen.summary/1".

Latencies are milliseconds, null where there is no sample, and percentiles are of successful
requests. `totals` count requests that were sent (requests = ok + failures + cancelled),
`accounting` counts iterations (started = ok + failed + cancelled + in_flight).
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

from loadgen.master.thresholds import ThresholdResult
from loadgen.master.verdict import Verdict
from loadgen.metrics.snapshot import Accounting, EndpointTotals, ErrorGroup, Latency, Snapshot, TaskError, WorkerStatus

SCHEMA = "loadgen.summary/1"
PERCENTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p99_9": 0.999}


class RunFacts(Protocol):
    """What the summary needs to know of how the run was started (loadgen.cli.screen.RunInfo has it)."""

    @property
    def scenario_name(self) -> str: ...
    @property
    def host(self) -> str | None: ...
    @property
    def command(self) -> str: ...
    @property
    def seed(self) -> int | None: ...


def summary(snapshot: Snapshot, results: Sequence[ThresholdResult], verdict: Verdict, run: RunFacts) -> dict[str, Any]:
    """The document, made of what json.dumps takes without help (no NaN, no infinity)."""
    return {
        "schema": SCHEMA,
        "run": _run(snapshot, run),
        "totals": _requests(snapshot.totals, snapshot.elapsed_s),
        "accounting": _accounting(snapshot.accounting),
        "endpoints": [
            {"method": endpoint.method, "name": endpoint.name, **_requests(endpoint, snapshot.elapsed_s)}
            for endpoint in snapshot.endpoints
        ],
        "errors": [_error(group) for group in snapshot.errors],
        "task_errors": [_task_error(error) for error in snapshot.task_errors],
        "checks": [{"name": check.name, "passed": check.passed, "failed": check.failed} for check in snapshot.checks],
        "counters": dict(snapshot.counters),
        "thresholds": [_threshold(result) for result in results],
        "workers": [_worker(worker) for worker in snapshot.workers],
        "generator": {"verdict": verdict.level.value, "reasons": list(verdict.reasons)},
        "warnings": list(snapshot.warnings),
    }


def _run(snapshot: Snapshot, run: RunFacts) -> dict[str, Any]:
    started = datetime.fromtimestamp(snapshot.started_at_s, UTC)
    return {
        "id": snapshot.run_id,
        "state": snapshot.state.value,
        "scenario": run.scenario_name,
        "command": run.command,
        "host": run.host,
        "seed": run.seed,
        "started_at": started.isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "duration_s": round(snapshot.elapsed_s, 3),
        "complete": snapshot.complete,
        "incomplete_reasons": list(snapshot.incomplete_reasons),
    }


def _requests(of: EndpointTotals, elapsed_s: float) -> dict[str, Any]:
    return {
        "requests": of.requests,
        "failures": of.failures,
        "cancelled": of.cancelled,
        "rps": round(of.requests / elapsed_s, 3) if elapsed_s > 0 else None,
        "bytes": of.bytes,
        "service_ms": _latency(of.service),
        "response_ms": _latency(of.response),
        "outcomes": dict(of.outcomes),
    }


def _latency(latency: Latency) -> dict[str, float | None]:
    percentiles = {name: _ms(latency.percentile_us(q)) for name, q in PERCENTILES.items()}
    if not latency.count:
        return {"min": None, "mean": None, **percentiles, "max": None}
    return {"min": _ms(latency.min_us), "mean": _ms(latency.mean_us), **percentiles, "max": _ms(latency.max_us)}


def _ms(us: float | None) -> float | None:
    return None if us is None else round(us / 1000, 4)


def _accounting(books: Accounting) -> dict[str, int]:
    return {
        "planned": books.planned,
        "started": books.started,
        "dropped": books.dropped,
        "ok": books.ok,
        "failed": books.failed,
        "cancelled": books.cancelled,
        "in_flight": books.in_flight,
    }


def _error(group: ErrorGroup) -> dict[str, Any]:
    return {
        "method": group.method,
        "name": group.name,
        "category": group.category,
        "signature": group.signature,
        "phase": group.phase,
        "fault": group.fault,
        "count": group.count,
        "first_s": group.first_s,
        "last_s": group.last_s,
        "sample": group.first_sample,
    }


def _task_error(error: TaskError) -> dict[str, Any]:
    return {
        "user_class": error.user_class,
        "message": error.message,
        "traceback": error.traceback,
        "count": error.count,
        "first_s": error.first_s,
        "last_s": error.last_s,
    }


def _threshold(result: ThresholdResult) -> dict[str, Any]:
    return {
        "expr": result.expr,
        "actual": result.actual,
        "limit": result.limit,
        "unit": result.unit,
        "margin": result.margin,
        "ok": result.ok,
        "samples": result.samples,
        "origin": result.origin,
        "note": result.note,
    }


def _worker(worker: WorkerStatus) -> dict[str, Any]:
    return {
        "id": worker.id,
        "state": worker.state,
        "requests": worker.requests,
        "cpu_percent_max": round(worker.cpu_percent_max, 1),
        "saturated_s": round(worker.saturated_s, 1),
        "lag_ms_p99": round(worker.lag_ms_p99, 3),
        "lag_ms_max": round(worker.lag_ms_max, 3),
        "generator_errors": worker.generator_errors,
        "reason": worker.reason,
    }
