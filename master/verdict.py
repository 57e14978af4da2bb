"""Whether the load generator itself can be trusted in this run.

A saturated generator measures itself: what it reports as latency of the target is partly its own
delay. Pure; every limit is a named constant with its reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum

from loadgen.metrics.health import SATURATED_CPU_PERCENT, SATURATED_LAG_MS
from loadgen.metrics.snapshot import Snapshot, WorkerStatus

INVALID_LAG_MS = 250.0
"""Hub lag (p99 of the run) above which one request in a hundred waited a quarter of a second for us."""

INVALID_SATURATED_SHARE = 0.5
"""Share of the run that a worker may spend saturated before the run says more of it than of the target."""

SUSPECT_THROTTLED_SHARE = 0.01
"""Share of the run for which the container's CPU limit may stop a worker: as much as p99 leaves out."""

INVALID_GENERATOR_ERROR_SHARE = 0.01
"""Share of requests that may fail by our own limits (descriptors, ports): the default limit for errors."""

_LOST_STATES = frozenset({"lost", "failed"})


class Level(Enum):
    """VALID: the figures are the target's. SUSPECT: a part may be ours. INVALID: do not use them."""

    VALID = "VALID"
    SUSPECT = "SUSPECT"
    INVALID = "INVALID"


@dataclass(frozen=True, slots=True)
class Verdict:
    """The level and why, the most serious reasons first. VALID has no reasons."""

    level: Level
    reasons: tuple[str, ...] = ()


Finding = tuple[Level, str]


def judge(snapshot: Snapshot) -> Verdict:
    """The verdict over the whole run: the most serious finding decides."""
    findings = [
        *(finding for worker in snapshot.workers for finding in _about_worker(worker, snapshot.elapsed_s)),
        *_generator_errors(snapshot),
    ]
    invalid = tuple(reason for level, reason in findings if level is Level.INVALID)
    suspect = tuple(reason for level, reason in findings if level is Level.SUSPECT)
    level = Level.INVALID if invalid else Level.SUSPECT if suspect else Level.VALID
    return Verdict(level, invalid + suspect)


def _about_worker(worker: WorkerStatus, elapsed_s: float) -> Iterator[Finding]:
    if worker.cpu_percent_max >= SATURATED_CPU_PERCENT:
        yield (
            _saturation_level(worker.saturated_s, elapsed_s),
            f"{worker.id} used {worker.cpu_percent_max:.0f} % of a core (limit {SATURATED_CPU_PERCENT:.0f} %)"
            f"{_for(worker.saturated_s, elapsed_s)}: add workers or lower the load",
        )
    if worker.lag_ms_p99 >= SATURATED_LAG_MS:
        level = Level.INVALID if worker.lag_ms_p99 >= INVALID_LAG_MS else Level.SUSPECT
        yield (
            level,
            f"{worker.id} was late by {worker.lag_ms_p99:.0f} ms (p99, limit {SATURATED_LAG_MS:.0f} ms): "
            f"latencies contain that delay; look for blocking code in the scenario, or add workers",
        )
    if elapsed_s > 0 and worker.throttled_s >= SUSPECT_THROTTLED_SHARE * elapsed_s:
        yield (
            Level.SUSPECT,
            f"{worker.id} was stopped by its container's CPU limit for {worker.throttled_s:.1f} s: raise the limit",
        )
    if worker.state in _LOST_STATES:
        why = f" ({worker.reason})" if worker.reason else ""
        yield Level.SUSPECT, f"{worker.id} was {worker.state}{why}: its users are missing from the load"


def _saturation_level(saturated_s: float, elapsed_s: float) -> Level:
    if elapsed_s > 0 and saturated_s >= INVALID_SATURATED_SHARE * elapsed_s:
        return Level.INVALID
    return Level.SUSPECT


def _for(saturated_s: float, elapsed_s: float) -> str:
    return f" and was saturated for {saturated_s:.0f} of {elapsed_s:.0f} s" if saturated_s >= 1 else ""


def _generator_errors(snapshot: Snapshot) -> Iterator[Finding]:
    """Failures that were our own limits. Workers count them; the error groups say which."""
    count = sum(worker.generator_errors for worker in snapshot.workers)
    groups = [group for group in snapshot.errors if group.fault == "generator"]
    count = max(count, sum(group.count for group in groups))
    if not count:
        return
    share = count / snapshot.totals.requests if snapshot.totals.requests else 1.0
    level = Level.INVALID if share >= INVALID_GENERATOR_ERROR_SHARE else Level.SUSPECT
    example = f", for example {groups[0].latest_sample}" if groups else ""
    yield level, f"{count:,} requests failed by limits of the generator, not of the target{example}"
