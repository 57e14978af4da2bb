"""The document that machines read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from loadgen.clock import FakeClock
from loadgen.master.ledger import Ledger
from loadgen.master.report.summary import summary
from loadgen.master.thresholds import evaluate, parse
from loadgen.master.verdict import judge
from loadgen.metrics.delta import Window, seal
from loadgen.metrics.failure import Failure
from loadgen.metrics.health import Health
from loadgen.metrics.recorder import Recorder
from loadgen.metrics.snapshot import RunState, Snapshot, WorkerStatus


@dataclass(frozen=True)
class Facts:
    scenario_name: str = "shop"
    host: str | None = "http://127.0.0.1:9000"
    command: str = "loadgen run shop.py"
    seed: int | None = 7


LATENCY_KEYS = ["min", "mean", "p50", "p90", "p95", "p99", "p99_9", "max"]


def document(recorder: Recorder, **values: Any) -> dict[str, Any]:
    ledger = Ledger()
    ledger.join("w1")
    ledger.apply("w1", 1, seal(recorder, Window(0, 1_000), Health(), True))
    view = ledger.view(detailed=True)
    snapshot = Snapshot(
        run_id="2026-11-20-1403-7f3a",
        state=RunState.FINISHED,
        started_at_s=1_795_183_402.25,
        elapsed_s=2.0,
        totals=view.totals,
        endpoints=view.endpoints,
        errors=view.errors,
        task_errors=view.task_errors,
        checks=view.checks,
        counters=view.counters,
        accounting=view.accounting,
        workers=(WorkerStatus("w1", "final", requests=4, cpu_percent_max=40.04, lag_ms_p99=1.0),),
        warnings=view.warnings,
        complete=True,
        detailed=True,
        **values,
    )
    results = evaluate([parse("errors < 1%"), parse("p95 of 'GET /none' < 1s")], snapshot)
    made = summary(snapshot, results, judge(snapshot), Facts())
    again: dict[str, Any] = json.loads(json.dumps(made, allow_nan=False))
    assert again == made
    return made


def shop() -> Recorder:
    recorder = Recorder(FakeClock())
    recorder.series("GET", "/").ok(1_500, 10)
    recorder.series("GET", "/").ok(2_500, 10, 1_000)
    recorder.series("POST", "/cart").failed(500, 0, 0, Failure("http_5xx", "HTTP 503 for order 7"))
    recorder.series("POST", "/cart").cancelled(100)
    books = recorder.books
    books.started, books.ok, books.failed, books.cancelled = 5, 2, 1, 1
    recorder.check("id returned", False)
    recorder.count("sold", 3)
    return recorder


def test_the_summary_has_the_fields_of_its_schema() -> None:
    made = document(shop())

    assert made["schema"] == "loadgen.summary/1"
    assert made["run"] == {
        "id": "2026-11-20-1403-7f3a",
        "state": "finished",
        "scenario": "shop",
        "command": "loadgen run shop.py",
        "host": "http://127.0.0.1:9000",
        "seed": 7,
        "started_at": "2026-11-20T14:03:22.250Z",
        "duration_s": 2.0,
        "complete": True,
        "incomplete_reasons": [],
    }
    assert made["generator"] == {"verdict": "VALID", "reasons": []}
    assert made["checks"] == [{"name": "id returned", "passed": 0, "failed": 1}]
    assert made["counters"] == {"sold": 3}
    assert [worker["id"] for worker in made["workers"]] == ["w1"]


def test_totals_count_requests_and_accounting_counts_iterations() -> None:
    made = document(shop())

    totals, books = made["totals"], made["accounting"]
    assert (totals["requests"], totals["failures"], totals["cancelled"], totals["rps"]) == (4, 1, 1, 2.0)
    assert totals["outcomes"] == {"ok": 2, "http_5xx": 1, "cancelled": 1}
    assert books == {
        "planned": 5,
        "started": 5,
        "dropped": 0,
        "ok": 2,
        "failed": 1,
        "cancelled": 1,
        "in_flight": 1,
    }
    assert books["planned"] == books["started"] + books["dropped"]
    assert books["started"] == books["ok"] + books["failed"] + books["cancelled"] + books["in_flight"]


def test_latencies_are_milliseconds_by_service_and_by_response_time() -> None:
    [get, post] = document(shop())["endpoints"]

    assert (get["method"], get["name"]) == ("GET", "/")
    assert list(get["service_ms"]) == LATENCY_KEYS
    assert (get["service_ms"]["min"], get["service_ms"]["mean"], get["service_ms"]["max"]) == (1.5, 2.0, 2.5)
    assert (get["response_ms"]["min"], get["response_ms"]["max"]) == (1.5, 3.5)
    assert post["service_ms"] == dict.fromkeys(LATENCY_KEYS)


def test_errors_are_grouped_with_one_sample() -> None:
    [error] = document(shop())["errors"]

    assert (error["method"], error["name"], error["category"], error["count"]) == ("POST", "/cart", "http_5xx", 1)
    assert (error["signature"], error["sample"]) == ("HTTP 503 for order <n>", "HTTP 503 for order 7")


def test_thresholds_carry_actual_limit_and_samples() -> None:
    errors, missing = document(shop())["thresholds"]

    assert (errors["expr"], errors["ok"], errors["samples"], errors["unit"]) == ("errors < 1%", False, 3, "ratio")
    assert (missing["actual"], missing["ok"]) == (None, False)
    assert missing["note"].startswith("LG502")


def test_a_run_that_measured_nothing_has_nulls_and_zeros() -> None:
    made = document(Recorder(FakeClock()))

    assert made["totals"]["service_ms"] == dict.fromkeys(LATENCY_KEYS)
    assert made["totals"]["requests"] == 0
    assert made["endpoints"] == []
