"""What the hub sees of the cluster: immutable values made in the native thread."""

from __future__ import annotations

from dataclasses import dataclass

from loadgen.master.cluster import Cluster
from loadgen.master.members import Member, MemberState
from loadgen.master.view import LedgerView
from loadgen.metrics.snapshot import WorkerStatus


@dataclass(frozen=True, slots=True)
class MemberView:
    """One worker: what the run's state machine decides by, and what people see."""

    uid: bytes
    state: MemberState
    settled: bool
    idle: bool
    held: int  # users that it is to run, or may still be running
    end_ms: int  # end of its newest window, milliseconds since the run's start
    classes: tuple[tuple[str, float, int], ...]
    users_by_class: dict[str, int]
    status: WorkerStatus


@dataclass(frozen=True, slots=True)
class ClusterView:
    """The cluster at `now_ns`."""

    now_ns: int
    members: tuple[MemberView, ...]
    ledger: LedgerView
    rejected: dict[str, int]


def view_of(cluster: Cluster, now_ns: int, *, detailed: bool) -> ClusterView:
    """The present state; with `detailed` every endpoint has its histograms."""
    members = tuple(_member_view(cluster, member, now_ns) for member in cluster.members.values())
    return ClusterView(
        now_ns,
        members,
        cluster.ledger.view(detailed=detailed),
        dict(cluster.rejected),
    )


def _member_view(cluster: Cluster, member: Member, now_ns: int) -> MemberView:
    report = cluster.ledger.report(member.id)
    status = WorkerStatus(
        id=member.id,
        state=member.state.value,
        users=report.users,
        requests=report.requests,
        cpu_percent=report.cpu_percent,
        cpu_percent_max=report.cpu_percent_max,
        lag_ms_p99=report.lag_ms_p99,
        lag_ms_max=report.lag_ms_max,
        saturated_s=report.saturated_s,
        heartbeat_age_s=max(0.0, (now_ns - member.heard_ns) / 1e9),
        generator_errors=report.generator_errors,
        throttled_s=report.throttled_us / 1e6,
        reason=member.reason,
    )
    return MemberView(
        member.uid,
        member.state,
        member.is_settled,
        member.idle,
        len(member.held),
        report.end_ms,
        member.classes,
        dict(report.users_by_class),
        status,
    )
