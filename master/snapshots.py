"""From what the cluster shows to the read model that everybody reads."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from loadgen.master.cluster_view import ClusterView, MemberView
from loadgen.master.members import MemberState
from loadgen.master.run import Run
from loadgen.metrics.snapshot import RunState, Snapshot
from loadgen.units import format_duration

_DELIVERED = (MemberState.FINAL, MemberState.LEFT)


@dataclass(frozen=True, slots=True)
class RunIdentity:
    """What does not change during a run."""

    run_id: str
    started_at_s: float


def compose(identity: RunIdentity, run: Run, view: ClusterView, *, detailed: bool) -> Snapshot:
    """The snapshot of `view`. The elapsed time stands still once the last user has ended."""
    users = Counter[str]()
    for member in view.members:
        if not member.settled:
            users.update(member.users_by_class)
    finished = run.state is RunState.FINISHED
    reasons = incomplete_reasons(view) if finished else ()
    ledger = view.ledger
    return Snapshot(
        run_id=identity.run_id,
        state=run.state,
        started_at_s=identity.started_at_s,
        elapsed_s=_last_end_s(view) if finished else run.elapsed_s(view.now_ns),
        planned_s=run.plan.duration_s,
        users=sum(users.values()),
        target_users=run.plan.users,
        users_by_class=dict(users),
        totals=ledger.totals,
        endpoints=ledger.endpoints,
        window=ledger.window,
        errors=ledger.errors,
        task_errors=ledger.task_errors,
        checks=ledger.checks,
        counters=ledger.counters,
        accounting=ledger.accounting,
        workers=tuple(member.status for member in view.members),
        warnings=(*ledger.warnings, *_noise(view)),
        complete=finished and not reasons,
        incomplete_reasons=reasons,
        detailed=detailed,
    )


def _noise(view: ClusterView) -> tuple[str, ...]:
    count = view.rejected.get("malformed", 0)
    text = f"LG602 {count:,} frames on the master's port were not what a worker sends; they were dropped"
    return (text,) if count else ()


def incomplete_reasons(view: ClusterView) -> tuple[str, ...]:
    """Why the results of a finished run are not all there; empty if they are."""
    lost = [_loss(member) for member in view.members if member.state not in _DELIVERED]
    accounting = view.ledger.accounting
    if not accounting.closes() or (accounting.in_flight and not lost):
        lost.append(f"the books of iterations do not close: {accounting}")
    return tuple(lost)


def _loss(member: MemberView) -> str:
    reason = member.status.reason or f"it was {member.state.value} when the run ended"
    known = f"its results end at {format_duration(member.end_ms / 1000)}" if member.end_ms else "it reported nothing"
    return f"worker {member.status.id} was lost ({reason}): {known}"


def _last_end_s(view: ClusterView) -> float:
    return max((member.end_ms for member in view.members), default=0) / 1000
