"""Who runs what after workers came or went: users stay where they are unless they must move.

Pure, like `assign`, but it starts from who runs what now:

- `adopt`: users whose worker is gone go to the workers with the fewest, nobody else moves;
- `level`: a worker that came late is given users by those that have most, until all are even to ±1.

A user that moves must have ended on its old worker before it starts on the new one, or the load would
exceed the plan for a moment. So `level` says what to release first; what was released is adopted later.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from loadgen.plan import UserKey, UserPlan

Holdings = dict[str, set[UserKey]]


def orphans(plan: UserPlan, held: Mapping[str, set[UserKey]]) -> list[UserKey]:
    """The users of the plan that nobody runs, in order."""
    everyone = {(index, ordinal) for index, item in enumerate(plan.classes) for ordinal in range(item.count)}
    return sorted(everyone.difference(*held.values()))


def adopt(held: Mapping[str, set[UserKey]], lost: Iterable[UserKey]) -> Holdings:
    """`held` with the `lost` users given to those that have least, of their class first, then in all."""
    result = {worker: set(users) for worker, users in held.items()}
    per_class = {worker: _by_class(users) for worker, users in result.items()}
    for user in lost:
        class_index = user[0]
        worker = min(result, key=lambda name: (len(result[name]), per_class[name].get(class_index, 0), name))
        result[worker].add(user)
        per_class[worker][class_index] = per_class[worker].get(class_index, 0) + 1
    return result


def level(held: Mapping[str, set[UserKey]]) -> Holdings:
    """`held` without the users that the fullest workers must release so that all can be even to ±1.

    Each releases its users of the class it has most of, the highest ordinal first.
    """
    result = {worker: set(users) for worker, users in held.items()}
    total = sum(len(users) for users in result.values())
    floor, extra = divmod(total, len(result) or 1)
    for rank, worker in enumerate(sorted(result, key=lambda name: (-len(result[name]), name))):
        users = result[worker]
        allowed = floor + (1 if rank < extra else 0)
        while len(users) > allowed:
            counts = _by_class(users)
            fullest = max(counts, key=lambda index: (counts[index], index))
            users.remove(max(user for user in users if user[0] == fullest))
    return result


def _by_class(users: Iterable[UserKey]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for class_index, _ in users:
        counts[class_index] = counts.get(class_index, 0) + 1
    return counts
