"""What the figures mean, in one or two sentences: rules of thumb, tried in order of importance. Pure.

generator limited → target unreachable → errors dominate → knee → limits broken → too few samples → steady.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from loadgen.cli.screen import RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.history import History, Moment
from loadgen.metrics.snapshot import Snapshot
from loadgen.units import format_duration

ENOUGH_REQUESTS = 200
_MORE_LOAD, _SAME_RATE, _SLOWER = 1.2, 1.03, 1.5  # the knee: load × 1.2, rate below × 1.03, p95 at least × 1.5
_DOMINATING_SHARE = 0.1
_BURST_SHARE, _BURST_TIMES = 0.02, 3.0
_UNREACHABLE = ("connect", "dns", "tls", "unreachable")


@dataclass(frozen=True, slots=True)
class Knee:
    """Past `start` more users brought no more throughput, only waiting; `end` is the worst moment after it."""

    start: Moment
    end: Moment


@dataclass(frozen=True, slots=True)
class Burst:
    """A time in which clearly more requests failed than in the rest of the run."""

    start_s: float
    end_s: float
    peak_share: float


def find_knee(moments: Sequence[Moment]) -> Knee | None:
    """The first moment after which users grew by a fifth, throughput hardly, and p95 by half; None if there is none."""
    usable = [moment for moment in moments if moment.rps > 0 and moment.p95_us]
    step = max(1, len(usable) // 200)
    thinned = usable[::step]
    for index, start in enumerate(thinned):
        later = thinned[index + 1 :]
        if later and max(moment.rps for moment in later) > start.rps * 1.1:
            continue
        worst = [moment for moment in later if _is_past(start, moment)]
        if worst:
            return Knee(start, max(worst, key=lambda moment: moment.p95_us or 0.0))
    return None


def _is_past(start: Moment, moment: Moment) -> bool:
    return (
        moment.users >= start.users * _MORE_LOAD
        and moment.rps <= start.rps * _SAME_RATE
        and (moment.p95_us or 0.0) >= (start.p95_us or 0.0) * _SLOWER
    )


def find_burst(moments: Sequence[Moment], overall_share: float) -> Burst | None:
    """The time around the worst share of failures, if that stands out from the run's `overall_share`."""
    shares = [moment.failing for moment in moments]
    peak = max(shares, default=0.0)
    if peak < max(_BURST_SHARE, _BURST_TIMES * overall_share):
        return None
    first = last = shares.index(peak)
    while first > 0 and shares[first - 1] > peak / 4:
        first -= 1
    while last < len(shares) - 1 and shares[last + 1] > peak / 4:
        last += 1
    return Burst(moments[first].at_s, moments[last].at_s, peak)


def reading(result: RunResult, history: History) -> list[str]:
    """The sentences for this run, most important first; empty when nothing was measured."""
    snapshot = result.snapshot
    requests = snapshot.totals.requests
    if not requests:
        return []
    nothing_works = _total_failure(snapshot)
    if nothing_works:
        return [nothing_works]
    if requests < ENOUGH_REQUESTS:
        return [f"Only {figures.plural(requests, 'request')}: too few to say more than that. Run longer."]
    limited = [_generator_limited(result)] if result.verdict.reasons else []
    return [*limited, _target_side(result, history)]


def _generator_limited(result: RunResult) -> str:
    why = headline(result.verdict.reasons[0])
    return f"The generator is {result.verdict.level.value}: {why}. So part of the latency may be ours."


def headline(reason: str) -> str:
    """What was found, without the advice after the colon."""
    return reason.partition(": ")[0]


def _target_side(result: RunResult, history: History) -> str:
    snapshot = result.snapshot
    failed = snapshot.totals.fail_ratio
    if failed >= _DOMINATING_SHARE:
        return f"{figures.percent(failed)} of the requests failed; the percentiles speak only for the others."
    knee = find_knee(history.moments)
    if knee:
        return knee_sentence(knee)
    broken = sum(not outcome.ok for outcome in result.thresholds)
    if broken:
        return f"{figures.plural(broken, 'limit')} broken without a knee: slow or failing at this load, not overloaded."
    users = _most_users(history)
    upto = f" up to {figures.plural(users, 'user')}" if users else ""
    return f"Steady: no knee{upto}. Raise the load to find the limit."


def knee_sentence(knee: Knee) -> str:
    """Where the knee is and what it did."""
    start, end = knee.start, knee.end
    return (
        f"From {format_duration(start.at_s)} ({start.users:,} users) throughput stays near "
        f"{figures.count(start.rps)} req/s while p95 goes from {figures.latency(start.p95_us)} "
        f"to {figures.latency(end.p95_us)}: past the knee."
    )


def _total_failure(snapshot: Snapshot) -> str:
    """What to say when not a single request succeeded, "" when one did."""
    if snapshot.totals.failures < snapshot.totals.requests or not snapshot.errors:
        return ""
    category = max(snapshot.errors, key=lambda group: group.count).category
    if category.startswith(_UNREACHABLE):
        return f"No request reached the target: {category}. Check host and port."
    return f"Every request failed, most with {category}. Nothing is known about latencies."


def _most_users(history: History) -> int:
    return max((moment.users for moment in history.moments), default=0)
