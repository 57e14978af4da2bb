"""The read model: what the master knows of a run at one moment, as plain immutable values.

The master's ledger makes it; the terminal, the thresholds, the summary, `environment.stats` and
the dashboard read it. Latencies are integer microseconds here and become milliseconds on output.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from loadgen.metrics.histogram import Histogram


class RunState(Enum):
    """Where a run is. The transitions stand in loadgen.master.run."""

    CREATED = "created"
    WAITING = "waiting"  # for workers to join and import the scenario
    RAMPING = "ramping"
    RUNNING = "running"
    STOPPING = "stopping"  # users finish, workers flush
    FINISHED = "finished"


@dataclass(frozen=True, slots=True)
class Latency:
    """Latencies of one kind: exact count, sum, min and max beside the histogram."""

    count: int = 0
    sum_us: int = 0
    min_us: int = 0
    max_us: int = 0
    histogram: Histogram = field(default_factory=Histogram)

    @property
    def mean_us(self) -> float:
        """0.0 when there is no sample."""
        return self.sum_us / self.count if self.count else 0.0

    def percentile_us(self, q: float) -> float | None:
        """Nearest-rank percentile (0 < q <= 1), clamped to [min, max]; None without samples."""
        return self.histogram.percentile(q, self.min_us, self.max_us)


@dataclass(frozen=True, slots=True)
class EndpointTotals:
    """One (method, name), or the total of all. requests = ok + failures + cancelled.

    `service`/`response` hold successful requests; `failed_service` failed ones. `outcomes` counts
    each outcome ("ok", "http_5xx", "connect_refused", …, "cancelled").
    """

    method: str
    name: str
    requests: int = 0
    failures: int = 0
    cancelled: int = 0
    bytes: int = 0
    service: Latency = field(default_factory=Latency)
    response: Latency = field(default_factory=Latency)
    failed_service: Latency = field(default_factory=Latency)
    outcomes: dict[str, int] = field(default_factory=dict)
    phases: dict[str, Phase] = field(default_factory=dict)

    @property
    def fail_ratio(self) -> float:
        """Failures over finished requests (a cancelled one is neither good nor bad); 0.0 where none finished."""
        finished = self.requests - self.cancelled
        return self.failures / finished if finished else 0.0


@dataclass(frozen=True, slots=True)
class Phase:
    """A part of a request that happened `count` times ("dns", "connect", "tls", …)."""

    count: int
    sum_us: int
    max_us: int


@dataclass(frozen=True, slots=True)
class ErrorGroup:
    """Failures of one endpoint with one normalised signature."""

    method: str
    name: str
    category: str  # "http_5xx", "reset", "check", "exception", …
    signature: str  # message with digits, ids and addresses replaced
    count: int
    first_s: float  # seconds since the run's start
    last_s: float
    first_sample: str  # redacted message of the first occurrence
    latest_sample: str
    phase: str = ""  # "connect", "headers", …; "" where it does not apply
    fault: str = "target"  # "target", "network", "generator", "scenario"


@dataclass(frozen=True, slots=True)
class TaskError:
    """Exceptions that escaped from a task, on_start or on_stop, by their traceback's signature."""

    user_class: str
    message: str
    traceback: str
    count: int
    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class CheckTotals:
    name: str
    passed: int
    failed: int


@dataclass(frozen=True, slots=True)
class Accounting:
    """The books of iterations: planned = started + dropped; started = ok + failed + cancelled + in_flight.

    For users (a closed plan) nothing is planned in advance: planned = started, dropped = 0.
    """

    planned: int = 0
    started: int = 0
    dropped: int = 0
    ok: int = 0
    failed: int = 0
    cancelled: int = 0
    in_flight: int = 0

    def closes(self) -> bool:
        return (
            self.planned == self.started + self.dropped
            and self.started == self.ok + self.failed + self.cancelled + self.in_flight
        )


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """One worker as the master sees it. `state` is the value of loadgen.master.cluster.MemberState."""

    id: str  # "w1", "w2", … in order of joining
    state: str
    users: int = 0
    requests: int = 0
    cpu_percent: float = 0.0  # of one core, last report
    cpu_percent_max: float = 0.0
    lag_ms_p99: float = 0.0  # hub lag over the whole run
    lag_ms_max: float = 0.0
    saturated_s: float = 0.0  # how long its CPU or its hub lag was at the limit (loadgen.metrics.health)
    heartbeat_age_s: float = 0.0
    generator_errors: int = 0  # EMFILE, EADDRNOTAVAIL, …: our limits, not the target's
    throttled_s: float = 0.0  # cgroup CPU throttling since the run's start
    late_s: float = 0.0  # how late its newest delta is
    reason: str = ""  # why it is lost or failed, "" otherwise


@dataclass(frozen=True, slots=True)
class WindowStats:
    """The last few complete seconds, for live views. Rates per second, percentiles of successes."""

    seconds: float = 0.0
    rps: float = 0.0
    failures_per_s: float = 0.0
    p50_us: float | None = None
    p95_us: float | None = None
    p99_us: float | None = None
    by_name: dict[tuple[str, str], float] = field(default_factory=dict)  # (method, name) -> rps


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything about a run at one moment. `complete` is meaningful once state is FINISHED.

    Live snapshots may leave histograms of single endpoints empty (`detailed` is False then): only
    the total and the window are kept up to date each tick. The final one is always detailed.
    """

    run_id: str = ""
    state: RunState = RunState.CREATED
    started_at_s: float = 0.0  # wall clock, for display
    elapsed_s: float = 0.0  # since the first user was due; frozen when the last user ended
    planned_s: float | None = None  # the plan's duration, None = until stopped
    users: int = 0
    target_users: int = 0
    users_by_class: dict[str, int] = field(default_factory=dict)
    totals: EndpointTotals = field(default_factory=lambda: EndpointTotals("", "TOTAL"))
    endpoints: tuple[EndpointTotals, ...] = ()
    window: WindowStats = field(default_factory=WindowStats)
    errors: tuple[ErrorGroup, ...] = ()
    task_errors: tuple[TaskError, ...] = ()
    checks: tuple[CheckTotals, ...] = ()
    counters: dict[str, float] = field(default_factory=dict)
    accounting: Accounting = field(default_factory=Accounting)
    workers: tuple[WorkerStatus, ...] = ()
    warnings: tuple[str, ...] = ()
    complete: bool = False
    incomplete_reasons: tuple[str, ...] = ()
    detailed: bool = False
