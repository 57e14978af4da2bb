"""A TaskSet that walks: each task says which one may follow, and how likely.

::

    class Visit(MarkovTaskSet):
        @transition("browse")                     # the first task is the start
        def enter(self): ...

        @transitions({"browse": 3, "leave": 1})
        def browse(self): ...

        @transition("enter")
        def leave(self): ...

The chain is checked when the class is made: names that are no task of it are errors, tasks that can
never be reached a warning.
"""

from __future__ import annotations

import logging
from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ClassVar, NamedTuple, TypeVar

from loadgen.errors import ScenarioError
from loadgen.identity import CHOICE_SHIFT, cut_points
from loadgen.tasks import TaskSet, tags_of
from loadgen.weighting import Task, checked_weight, own_mark

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=Callable[..., Any])
CHAIN_MARK = "loadgen_transitions"
CODE = "LG115"


class NoMarkovTasksError(ScenarioError):
    """A MarkovTaskSet in which no method is decorated."""


class InvalidTransitionError(ScenarioError):
    """A transition to a name that the class does not have."""


class NonMarkovTaskTransitionError(ScenarioError):
    """A transition to something that has no transitions of its own."""


class MarkovTaskTagError(ScenarioError):
    """A task of a chain has tags: leaving it out would break the chain."""


def transition(name: str, weight: float = 1) -> Callable[[T], T]:
    """After this task the one called `name` may follow. Several add up; weights are relative."""
    return transitions({name: weight})


def transitions(followers: Mapping[str, float] | Iterable[str | tuple[str, float]]) -> Callable[[T], T]:
    """After this task one of these follows: {"browse": 3, "leave": 1} or ["browse", ("leave", 2)]."""
    pairs: list[tuple[str, float]]
    if isinstance(followers, Mapping):
        pairs = list(followers.items())
    else:
        pairs = [(one, 1) if isinstance(one, str) else one for one in followers]
    for name, weight in pairs:
        checked_weight(weight, f"the transition to {name}")

    def mark(decorated: T) -> T:
        chain: dict[str, float] = dict(own_mark(decorated, CHAIN_MARK) or {})
        for name, weight in pairs:
            chain[name] = chain.get(name, 0) + weight
        setattr(decorated, CHAIN_MARK, chain)
        return decorated

    return mark


class Step(NamedTuple):
    """One task of a chain and where it leads."""

    task: Task
    followers: list[str]
    cuts: list[int]


class MarkovTaskSet(TaskSet):
    """Runs its tasks as a Markov chain, from the first one on; `current` is the task that runs next."""

    abstract: ClassVar[bool] = True
    current: Any = None
    chain: ClassVar[dict[str, Step]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.abstract = bool(vars(cls).get("abstract", False))
        found = _decorated(cls)
        if not found and cls.abstract:
            return
        _check(cls, found)
        cls.chain = {name: _step(function) for name, function in found.items()}
        cls.tasks = list(found.values())
        cls.current = staticmethod(next(iter(found.values())))

    def get_next_task(self) -> Task:
        """The current task; draws the one after it."""
        now: Task = self.current
        step = self.chain[now.__name__]
        drawn = bisect_right(step.cuts, self.user.draw() >> CHOICE_SHIFT)
        self.current = self.chain[step.followers[drawn]].task
        return now


def _decorated(cls: type) -> dict[str, Any]:
    """The decorated methods by name, those of base classes first."""
    names = dict.fromkeys(name for base in reversed(cls.__mro__) for name in vars(base))
    methods = {name: vars(base)[name] for name in names for base in cls.__mro__[::-1] if name in vars(base)}
    return {
        name: method
        for name, method in methods.items()
        if name != "current" and own_mark(method, CHAIN_MARK) is not None
    }


def _step(function: Any) -> Step:
    followers = own_mark(function, CHAIN_MARK)
    return Step(function, list(followers), cut_points(list(followers.values())))


def _check(cls: type, found: Mapping[str, Any]) -> None:
    where = cls.__name__
    if not found:
        raise NoMarkovTasksError(
            f"{where} is a MarkovTaskSet without a task", code=CODE, hints=("Decorate its methods with @transition.",)
        )
    for name, function in found.items():
        if tags_of(function):
            raise MarkovTaskTagError(
                f"{where}.{name} has tags; the tasks of a MarkovTaskSet cannot",
                code=CODE,
                hints=(f"Put @tag on {where} itself.",),
            )
        if not sum(own_mark(function, CHAIN_MARK).values()) > 0:
            raise InvalidTransitionError(f"{where}.{name} leads nowhere: its transitions weigh 0", code=CODE)
        for follower in own_mark(function, CHAIN_MARK):
            _check_follower(cls, name, follower, found)
    for name in set(found) - _reachable(found):
        logger.warning("%s.%s can never be reached from the first task", where, name)


def _check_follower(cls: type, name: str, follower: str, found: Mapping[str, Any]) -> None:
    if follower in found:
        return
    if hasattr(cls, follower):
        raise NonMarkovTaskTransitionError(
            f"{cls.__name__}.{name} leads to {follower!r}, which has no transitions of its own",
            code=CODE,
            hints=(f"Decorate {follower} with @transition too.",),
        )
    raise InvalidTransitionError(
        f"{cls.__name__}.{name} leads to {follower!r}, which {cls.__name__} does not have",
        code=CODE,
        hints=(f"Its tasks: {', '.join(found)}",),
    )


def _reachable(found: Mapping[str, Any]) -> set[str]:
    reached: set[str] = set()
    open_names = [next(iter(found))]
    while open_names:
        name = open_names.pop()
        if name not in reached:
            reached.add(name)
            open_names += own_mark(found[name], CHAIN_MARK)
    return reached
