"""Who exists when: the closed plan of a run as pure arithmetic.

A plan names how many users of each class there are and how fast they start. Each user is (class,
ordinal); the order in which users start follows from the counts alone, so every process computes the
same schedule and nobody has to send it. The mix of classes stays even during the ramp:

    key of user j of a class with n users = (2 j + 1) / 2 n

and users start in the order of their keys (ties by the order of the classes). Classes with a fixed
count come first, all of them, as in Locust.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from loadgen.errors import Malformed


@dataclass(frozen=True, slots=True)
class ClassDemand:
    """What a user class asks for: its weight, or a fixed count (then the weight is ignored)."""

    name: str
    weight: float = 1.0
    fixed_count: int = 0


@dataclass(frozen=True, slots=True)
class ClassCount:
    """How many users of one class the plan holds."""

    name: str
    count: int
    fixed: bool = False


@dataclass(frozen=True, slots=True)
class UserPlan:
    """So many users of each class, started at `spawn_rate_per_s`, stopped after `duration_s` (None = never)."""

    classes: tuple[ClassCount, ...]
    spawn_rate_per_s: float
    duration_s: float | None = None

    @property
    def users(self) -> int:
        return sum(item.count for item in self.classes)

    def start_index(self, class_index: int, ordinal: int) -> int:
        """The place of one user in the order of starts: 0 is the first; a permutation of range(users)."""
        mine = self.classes[class_index]
        before = 0 if mine.fixed else sum(item.count for item in self.classes if item.fixed)
        for index, other in enumerate(self.classes):
            if other.fixed == mine.fixed and other.count:
                before += _keys_before(other.count, mine.count, ordinal, ties=index < class_index)
        return before

    def start_s(self, class_index: int, ordinal: int) -> float:
        """Seconds from the start of the run to the start of one user."""
        return self.start_index(class_index, ordinal) / self.spawn_rate_per_s

    def users_due(self, elapsed_s: float) -> int:
        """How many users should have been started by now."""
        if elapsed_s < 0:
            return 0
        return min(self.users, int(elapsed_s * self.spawn_rate_per_s + 1e-9) + 1)

    @property
    def ramp_s(self) -> float:
        """Seconds until the last user starts."""
        return max(self.users - 1, 0) / self.spawn_rate_per_s

    def to_wire(self) -> dict[str, Any]:
        return {
            "classes": [[item.name, item.count, item.fixed] for item in self.classes],
            "spawn_rate_per_s": self.spawn_rate_per_s,
            "duration_s": self.duration_s,
        }

    @classmethod
    def from_wire(cls, data: object) -> UserPlan:
        """The plan in a decoded assignment. Raises Malformed."""
        if not isinstance(data, dict):
            raise Malformed("the plan is not a map")
        try:
            classes = tuple(ClassCount(str(name), int(count), bool(fixed)) for name, count, fixed in data["classes"])
            duration_s = data["duration_s"]
            plan = cls(classes, float(data["spawn_rate_per_s"]), None if duration_s is None else float(duration_s))
        except (KeyError, TypeError, ValueError) as exc:
            raise Malformed(f"plan: {exc!r}") from exc
        if plan.spawn_rate_per_s <= 0 or any(item.count < 0 for item in classes):
            raise Malformed("plan: a count or rate is negative")
        return plan


def _keys_before(other_count: int, count: int, ordinal: int, ties: bool) -> int:
    """How many keys (2 i + 1) / 2 other_count lie before (2 ordinal + 1) / 2 count, ties included or not."""
    scaled = (2 * ordinal + 1) * other_count
    if ties:
        return min(other_count, (scaled + count) // (2 * count))
    return min(other_count, -((count - scaled) // (2 * count)))


@dataclass(frozen=True, slots=True)
class Share:
    """Users of one class that one worker runs: ordinals first, first + step, … (`count` of them)."""

    class_index: int
    first: int
    step: int
    count: int

    def ordinals(self) -> range:
        return range(self.first, self.first + self.step * self.count, self.step)

    def to_wire(self) -> list[int]:
        return [self.class_index, self.first, self.step, self.count]

    @classmethod
    def from_wire(cls, row: object, plan: UserPlan) -> Share:
        """The share in a decoded row. Raises Malformed if it is no part of `plan`."""
        if not isinstance(row, list) or len(row) != 4 or not all(type(number) is int for number in row):
            raise Malformed("a share is not four whole numbers")
        share = cls(*row)
        if not (0 <= share.class_index < len(plan.classes) and share.first >= 0 and share.step > 0 and share.count > 0):
            raise Malformed(f"share {row}: a number is out of range")
        if share.first + share.step * (share.count - 1) >= plan.classes[share.class_index].count:
            raise Malformed(f"share {row}: more users than the plan has")
        return share


UserKey = tuple[int, int]  # class index, ordinal


def users_of(shares: Iterable[Share]) -> set[UserKey]:
    """The users in some shares."""
    return {(share.class_index, ordinal) for share in shares for ordinal in share.ordinals()}


def to_shares(users: Iterable[UserKey]) -> tuple[Share, ...]:
    """The same users as arithmetic progressions, as few as a simple greedy way finds."""
    by_class: dict[int, list[int]] = {}
    for class_index, ordinal in sorted(users):
        by_class.setdefault(class_index, []).append(ordinal)
    return tuple(share for index, ordinals in by_class.items() for share in _progressions(index, ordinals))


def _progressions(class_index: int, ordinals: list[int]) -> Iterable[Share]:
    place = 0
    while place < len(ordinals):
        end = place + 1
        step = ordinals[end] - ordinals[place] if end < len(ordinals) else 1
        while end < len(ordinals) and ordinals[end] - ordinals[end - 1] == step:
            end += 1
        yield Share(class_index, ordinals[place], step, end - place)
        place = end


def schedule(plan: UserPlan, shares: Sequence[Share]) -> list[tuple[float, int, int]]:
    """(start_s, class index, ordinal) of every user in `shares`, in the order of their starts."""

    def rows() -> Iterator[tuple[float, int, int]]:
        for share in shares:
            for ordinal in share.ordinals():
                yield plan.start_s(share.class_index, ordinal), share.class_index, ordinal

    return sorted(rows())


def share_out(users: int, demands: Sequence[ClassDemand]) -> tuple[ClassCount, ...]:
    """How many of `users` each class gets; the counts add up to `users` (0 if all weights are 0).

    Fixed counts are served first, in order, as far as the users go. The rest is split by weight with the
    largest remainders, so each count is within one of its exact share.
    """
    left = users
    counts: dict[int, int] = {}
    for index, demand in enumerate(demands):
        if demand.fixed_count > 0:
            counts[index] = min(demand.fixed_count, left)
            left -= counts[index]
    weighted = [(i, d.weight) for i, d in enumerate(demands) if d.fixed_count <= 0 and d.weight > 0]
    total = sum(weight for _, weight in weighted)
    exact = [(index, left * weight / total) for index, weight in weighted]
    counts.update((index, int(value)) for index, value in exact)
    missing = left - sum(int(value) for _, value in exact) if weighted else 0
    by_remainder = sorted(exact, key=lambda row: (int(row[1]) - row[1], row[0]))
    for index, _ in by_remainder[:missing]:
        counts[index] += 1
    return tuple(ClassCount(d.name, counts.get(i, 0), d.fixed_count > 0) for i, d in enumerate(demands))
