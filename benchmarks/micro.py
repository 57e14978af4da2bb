"""Parts by themselves, each in a fresh process on the generator's core: a record, and a report at the master."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable

from benchmarks.machine import GENERATOR_CORE, born_on
from benchmarks.results import OURS, Bound, Row
from benchmarks.tools import LOAD, LOCUST, LOCUST_ENVIRONMENT, ROOT, Tool

LOCUST_PARTS = [str(LOCUST_ENVIRONMENT / "bin" / "python"), str(LOAD / "locust_parts.py")]
REPORT_BOUNDS = (Bound(120), Bound(4, LOCUST.name, at_least=True))


def measure(peers: list[Tool], rounds: int, say: Callable[[str], None]) -> list[Row]:
    """A record at the worker and a report at the master, ours and Locust's in turn."""
    record = Row("record of one request", "ns")
    report = Row("worker report at the master (1,000 workers, 20 names)", "CPU µs", REPORT_BOUNDS)
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}: parts")
        record.add(OURS, figures(ours("recorder"))["ns_per_ok"])
        report.add(OURS, figures(ours("ledger_report"))["us_per_report"])
        if LOCUST in peers:
            theirs = figures(LOCUST_PARTS)
            record.add(LOCUST.name, theirs["ns_per_ok"])
            report.add(LOCUST.name, theirs["us_per_report"])
    return [record, report]


def ours(module: str) -> list[str]:
    return [sys.executable, "-m", f"benchmarks.{module}"]


def figures(command: list[str]) -> dict[str, float]:
    """What the command prints as JSON."""
    with born_on(GENERATOR_CORE):
        result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name: float(value) for name, value in json.loads(result.stdout).items()}
