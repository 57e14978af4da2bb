"""What one sees in the demo, in four lines made from what was measured. Pure."""

from __future__ import annotations

from loadgen.cli.screen import RunResult
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.history import History
from loadgen.cli.terminal.reading import Burst, Knee, find_burst, find_knee
from loadgen.units import format_duration


def lesson(result: RunResult, history: History) -> list[str]:
    """A title and four lines: the knee, the burst, the verdict, what to do next."""
    totals = result.snapshot.totals
    burst = find_burst(history.moments, figures.share(totals.failures, totals.requests))
    return [
        "What you saw",
        f" 1 Knee     {_knee(find_knee(history.moments))}",
        f" 2 Burst    {_burst(burst)}",
        f" 3 Verdict  {_verdict(result)}",
        " 4 Next     loadgen quick http://localhost:8000/ -c 50 -d 30s  (yours)",
    ]


def _knee(knee: Knee | None) -> str:
    if knee is None:
        return "none: the shop kept up with every user it got."
    return (
        f"{knee.start.users:,} users fill the shop: ~{figures.count(knee.start.rps)} req/s stay, "
        f"p95 {figures.latency(knee.start.p95_us)} → {figures.latency(knee.end.p95_us)}."
    )


def _burst(burst: Burst | None) -> str:
    if burst is None:
        return "none: failures were spread evenly, or there were none."
    return (
        f"{format_duration(burst.start_s)}–{format_duration(burst.end_s)}: up to {100 * burst.peak_share:.0f} % "
        f"failed; percentiles leave failures out."
    )


def _verdict(result: RunResult) -> str:
    level = result.verdict.level.value
    passed = sum(outcome.ok for outcome in result.thresholds)
    limits = f"{passed} of {len(result.thresholds)} thresholds hold, exit {int(result.exit_code)}"
    honest = "it kept up" if level == "VALID" else "it was busy itself"
    return f"{limits}. Generator {level}: {honest}."
