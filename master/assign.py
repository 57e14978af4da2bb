"""Who runs what: a pure function of the plan and the workers."""

from __future__ import annotations

from collections.abc import Sequence

from loadgen.plan import Share, UserPlan


def assign(plan: UserPlan, workers: Sequence[str]) -> dict[str, tuple[Share, ...]]:
    """The users of each worker: every user exactly once, the totals and each class even to ±1.

    The users stand in one row, class after class, and go to the workers in turn. So a worker's
    ordinals of one class are an arithmetic progression, whatever the number of users.
    """
    return {worker: _share(plan, index, len(workers)) for index, worker in enumerate(workers)}


def _share(plan: UserPlan, index: int, workers: int) -> tuple[Share, ...]:
    shares = []
    offset = 0
    for class_index, item in enumerate(plan.classes):
        first = (index - offset) % workers
        count = max(0, -((first - item.count) // workers))
        if count:
            shares.append(Share(class_index, first, workers, count))
        offset += item.count
    return tuple(shares)
