"""What stands in `tasks`, in every form Locust scenarios use, turned into tables for the hot loop.

`tasks` may be a list of callables, a list of (callable, weight), or a dict {callable: weight}; a
callable is a function of the user (or TaskSet), or a TaskSet class. Tables are made once per class
(and per tag filter), not once per user.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from math import isfinite
from typing import Any, TypeVar

from loadgen.errors import ScenarioError
from loadgen.identity import cut_points

WEIGHT_MARK = "loadgen_task_weight"
TAGS_MARK = "loadgen_tags"
BUILTIN_MARK = "loadgen_builtin"
MAX_COPIES = 10_000  # of one task in an expanded list

Task = Callable[[Any], Any]  # a function of its holder, or a TaskSet class


F = TypeVar("F", bound=Callable[..., Any])


def builtin(method: F) -> F:
    """Mark a method of ours, so that an override by a scenario can be told from it."""
    setattr(method, BUILTIN_MARK, True)
    return method


def overridden(method: object) -> bool:
    """Is this the scenario's own version of a method marked `builtin`?"""
    return not getattr(method, BUILTIN_MARK, False)


class TaskTable:
    """The tasks of one holder class, ready to choose from.

    `cuts` is empty when there is nothing to choose (one task, or none). `source` is the `tasks`
    object the table was made from: another object there means the table is out of date.
    """

    __slots__ = ("cuts", "executes", "paced", "picks", "sequence", "source", "tasks", "waits")

    def __init__(self, source: object, weighted: list[tuple[Task, float]], sequence: list[Task]) -> None:
        self.source = source
        self.tasks = [task for task, _ in weighted]
        self.cuts = cut_points([weight for _, weight in weighted]) if len(weighted) > 1 else []
        self.sequence = sequence  # in declaration order, repeated by weight
        self.picks = False  # the holder class overrides get_next_task
        self.executes = False  # … execute_task
        self.waits = False  # … wait
        self.paced = False  # wait_time is constant_pacing or constant_throughput

    def pick(self, draw: int) -> Task:
        """The task that a draw of CHOICE_BITS bits falls on. There must be one."""
        return self.tasks[bisect_right(self.cuts, draw)]


def pairs(tasks: object) -> list[tuple[Task, float]]:
    """`tasks` as (callable, weight), in its own order. Raises TypeError or ValueError if it is wrong."""
    items: Iterable[object]
    if tasks is None:
        return []
    if isinstance(tasks, Mapping):
        items = tasks.items()
    elif isinstance(tasks, list | tuple | set | frozenset):
        items = tasks
    else:
        raise TypeError(f"`tasks` must be a list or a dict, not {type(tasks).__name__}")
    return [_pair(item) for item in items]


def _pair(item: object) -> tuple[Task, float]:
    weight: object = 1
    if isinstance(item, tuple) and len(item) == 2:
        item, weight = item
    if not callable(item):
        raise TypeError(f"{item!r} in `tasks` is not callable")
    return item, checked_weight(weight, getattr(item, "__name__", repr(item)))


def checked_weight(weight: object, name: str) -> float:
    """`weight` if it is a finite number >= 0. Raises TypeError or ValueError naming the task."""
    if isinstance(weight, bool) or not isinstance(weight, int | float):
        raise TypeError(f"the weight of {name} is {weight!r}; it must be a number")
    if not isfinite(weight) or weight < 0:
        raise ValueError(f"the weight of {name} is {weight!r}; it must be 0 or more")
    return weight


def gather(bases: tuple[type, ...], namespace: Mapping[str, Any], *, keep_place: bool) -> list[Any]:
    """The value of `tasks` for a new class: what the bases have, and what the class adds.

    Inheritance is additive, as in Locust. With `keep_place` the class's own `tasks` stand where
    they were written among the decorated ones (the order matters in a sequence), else first.
    Raises ScenarioError if they are wrong.
    """
    try:
        return expanded(_gathered(bases, namespace, keep_place))
    except (TypeError, ValueError) as exc:
        raise ScenarioError(str(exc), code="LG105") from None


def _gathered(bases: tuple[type, ...], namespace: Mapping[str, Any], keep_place: bool) -> list[tuple[Task, float]]:
    found: list[tuple[Task, float]] = []
    for base in bases:
        found += pairs(getattr(base, "tasks", None)) if hasattr(base, "tasks") else _of_mixin(base)
    declared = pairs(namespace.get("tasks"))
    if not keep_place:
        found += declared
    for key, value in namespace.items():
        if key == "tasks" and keep_place:
            found += declared
        elif (weight := own_mark(value, WEIGHT_MARK)) is not None:
            found.append((value, weight))
    return found


def _of_mixin(base: type) -> list[tuple[Task, float]]:
    """Decorated functions of a plain class that is mixed into a user or TaskSet class."""
    found: dict[str, tuple[Task, float]] = {}
    for cls in reversed(base.__mro__):
        for key, value in vars(cls).items():
            weight = own_mark(value, WEIGHT_MARK)
            if weight is not None:
                found[key] = (value, weight)
    return list(found.values())


def own_mark(value: object, mark: str) -> Any:
    """What a decorator left on this very object; None if nothing, or only on a base class of it."""
    return getattr(value, "__dict__", {}).get(mark)


def expanded(weighted: list[tuple[Task, float]]) -> list[Any]:
    """The list that scenarios see as `cls.tasks`.

    With whole weights each callable stands there weight times, as in Locust, so that
    `random.choice(self.tasks)` in a scenario does what it did; else (callable, weight) pairs.
    """
    if all(float(weight).is_integer() and weight <= MAX_COPIES for _, weight in weighted):
        return [task for task, weight in weighted for _ in range(int(weight))]
    return list(weighted)


def merged(weighted: list[tuple[Task, float]]) -> list[tuple[Task, float]]:
    """Each callable once with the sum of its weights, without those of weight 0."""
    total: dict[Task, float] = {}
    for task, weight in weighted:
        total[task] = total.get(task, 0) + weight
    return [(task, weight) for task, weight in total.items() if weight > 0]


def repeated(weighted: list[tuple[Task, float]]) -> list[Task]:
    """Each callable weight times, in order. Raises ValueError for a weight that is not whole."""
    for task, weight in weighted:
        if not float(weight).is_integer() or weight > MAX_COPIES:
            name = getattr(task, "__name__", repr(task))
            raise ValueError(f"the weight of {name} is {weight!r}; in a sequence it is a whole number of repetitions")
    return [task for task, weight in weighted for _ in range(int(weight))]
