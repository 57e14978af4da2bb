"""Tasks, their weights and tags, and sets of tasks.

A task is a function of its holder: the user, or the TaskSet it stands in. A TaskSet is a task that
runs tasks of its own until it is interrupted. `tasks` of a class is inherited additively.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, TypeVar, cast, final, overload

from loadgen.errors import LoadgenError, ScenarioError
from loadgen.flow import InterruptTaskSet, RescheduleTaskImmediately
from loadgen.identity import CHOICE_SHIFT
from loadgen.iterating import ENDINGS, drive, leave
from loadgen.pacing import PACED_MARK
from loadgen.weighting import (
    TAGS_MARK,
    WEIGHT_MARK,
    Task,
    TaskTable,
    builtin,
    checked_weight,
    gather,
    merged,
    overridden,
    own_mark,
    pairs,
    repeated,
)

if TYPE_CHECKING:
    from random import Random

    from loadgen.measuring import Measurement
    from loadgen.users import HttpUser, User

logger = logging.getLogger(__name__)
T = TypeVar("T", bound=Callable[..., Any])


@overload
def task(weight: T) -> T: ...
@overload
def task(weight: float = 1) -> Callable[[T], T]: ...
def task(weight: Any = 1) -> Any:
    """Make a method or a nested TaskSet class a task: `@task`, or `@task(3)` with a weight.

    A weight is relative to those of the other tasks, 0 or more; it need not be whole.
    """
    if callable(weight):
        return _mark_task(weight, 1)
    checked_weight(weight, "@task(…)")
    return lambda decorated: _mark_task(decorated, weight)


def _mark_task(decorated: Any, weight: float) -> Any:
    name = getattr(decorated, "__name__", "")
    if name == "run":
        raise ScenarioError("a task must not be called `run`, a name loadgen needs itself: rename it", code="LG105")
    if name in ("on_start", "on_stop"):
        logger.warning("%s is decorated with @task, so it also runs as a task", name)
    setattr(decorated, WEIGHT_MARK, weight)
    return decorated


def tag(*tags: str) -> Callable[[T], T]:
    """Name a task for --tags and --exclude-tags: `@tag("slow", "cart")`.

    On a TaskSet class the tags hold for all its tasks. Several @tag add up.
    """
    if not tags or not all(isinstance(one, str) for one in tags):
        raise ValueError('@tag needs at least one name: @tag("checkout")')

    def mark(decorated: T) -> T:
        setattr(decorated, TAGS_MARK, frozenset(tags) | getattr(decorated, TAGS_MARK, frozenset()))
        return decorated

    return mark


def tags_of(item: object) -> frozenset[str]:
    """The tags of a task, or of a TaskSet class (inherited ones too)."""
    return getattr(item, TAGS_MARK, frozenset())


class TaskSet:
    """A group of tasks that a user works in until `interrupt()`.

    `parent` is the user or TaskSet that runs it, `user` the user, `client` the user's client.
    Override `get_next_task` to choose tasks in another way.
    """

    tasks: Any = []
    user: User
    parent: User | TaskSet
    queued: deque[Task] | None = None  # tasks of schedule_task(), before any chosen one
    written: ClassVar[frozenset[str]] = frozenset()  # names in the class's own body
    keeps_place: ClassVar[bool] = False  # the order of tasks matters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.written = frozenset(vars(cls))
        cls.tasks = gather(cls.__bases__, vars(cls), keep_place=cls.keeps_place)

    def __init__(self, parent: User | TaskSet) -> None:
        self.parent = parent
        self.user = parent.own_user()

    def own_user(self) -> User:
        return self.user

    @property
    def client(self) -> Any:
        """The client of the user."""
        return cast("HttpUser", self.user).client

    @property
    def environment(self) -> Any:
        return self.user.environment

    @property
    def rng(self) -> Random:
        """The user's own random.Random, the same in each run with the same --seed."""
        return self.user.rng

    def on_start(self) -> None:
        """Called when a user enters this TaskSet."""

    def on_stop(self) -> None:
        """Called when a user leaves this TaskSet, also when the user itself ends."""

    @final
    def run(self) -> bool:
        """on_start, tasks, on_stop. True if the parent is to go on without waiting.

        on_stop runs once, unless on_start failed or interrupted.
        """
        user = self.user
        try:
            self.on_start()
        except InterruptTaskSet as exc:
            return exc.reschedule
        except ENDINGS:
            leave(user, self)
            raise
        at_once = False
        try:
            drive(user, self)
        except InterruptTaskSet as exc:
            at_once = exc.reschedule
        except BaseException:
            leave(user, self)
            raise
        leave(user, self)
        return at_once

    def interrupt(self, reschedule: bool = True) -> NoReturn:
        """Leave this TaskSet. The parent goes on with its next task, after a wait if not `reschedule`."""
        raise InterruptTaskSet(reschedule)

    def schedule_task(self, task_callable: Task, first: bool = False) -> None:
        """Run this task next: after those scheduled before, or before them if `first`."""
        if self.queued is None:
            self.queued = deque()
        if first:
            self.queued.appendleft(task_callable)
        else:
            self.queued.append(task_callable)

    @builtin
    def get_next_task(self) -> Task:
        """The task to run next, chosen by weight."""
        table = self.user.environment.table_of(self)
        if not table.tasks:
            raise LoadgenError(f"{type(self).__name__} has no tasks: decorate methods with @task, or set `tasks`")
        return table.pick(self.user.draw() >> CHOICE_SHIFT)

    @builtin
    def execute_task(self, task: Task) -> None:
        """Run one task of this set now."""
        if not isinstance(task, type):
            task(self)
        elif cast("type[TaskSet]", task)(self).run():
            raise RescheduleTaskImmediately

    def execute_next_task(self) -> None:
        """Run the next scheduled or chosen task now."""
        self.execute_task(self.queued.popleft() if self.queued else self.get_next_task())

    def wait_time(self) -> float:
        """Seconds between two tasks of this set: those of the user, unless overridden."""
        return cast("float", self.user.wait_time())

    @builtin
    def wait(self) -> None:
        """Sleep for wait_time()."""
        self.user.pause(self.wait_time())

    def measure(self, method: str, name: str) -> Measurement:
        """See User.measure."""
        return self.user.measure(method, name)

    def check(self, name: str, passed: object) -> bool:
        """See User.check."""
        return self.user.check(name, passed)

    def count(self, name: str, amount: float = 1) -> None:
        """See User.count."""
        self.user.count(name, amount)


def make_table(
    holder: type[User] | type[TaskSet],
    tasks: object,
    include: frozenset[str],
    exclude: frozenset[str],
    inherited: frozenset[str] = frozenset(),
) -> TaskTable:
    """The table of a holder class for `tasks` (its own, or what an instance put in their place).

    `include` and `exclude` are the run's tags, `inherited` those of the sets around the holder.
    """
    weighted = filtered(pairs(tasks), include, exclude, inherited | tags_of(holder))
    in_order = getattr(holder, "keeps_place", False)
    table = TaskTable(tasks, merged(weighted), repeated(weighted) if in_order else [])
    if issubclass(holder, TaskSet):
        table.picks = overridden(holder.get_next_task)
        table.executes = overridden(holder.execute_task)
    table.waits = overridden(holder.wait)
    table.paced = getattr(holder.wait_time, PACED_MARK, False)
    return table


def filtered(
    weighted: list[tuple[Task, float]], include: frozenset[str], exclude: frozenset[str], inherited: frozenset[str]
) -> list[tuple[Task, float]]:
    """Those that --tags and --exclude-tags leave: first include, then exclude, which wins.

    A TaskSet stays if any of its tasks does.
    """
    if not include and not exclude:
        return weighted
    return [(item, weight) for item, weight in weighted if _stays(item, include, exclude, inherited)]


def _stays(item: Task, include: frozenset[str], exclude: frozenset[str], inherited: frozenset[str]) -> bool:
    tags = inherited | tags_of(item)
    if isinstance(item, type) and issubclass(item, TaskSet):
        return bool(filtered(pairs(item.tasks), include, exclude, tags))
    return (not include or bool(tags & include)) and not tags & exclude


def filter_by_tags(
    holder: type[User] | type[TaskSet], include: Iterable[str] = (), exclude: Iterable[str] = ()
) -> list[tuple[Task, float]]:
    """The (task, weight) pairs of a class that these tags leave; empty means it has nothing to do.

    Nothing is changed: Environment filters for itself, by the same rule.
    """
    weighted = filtered(pairs(holder.tasks), frozenset(include), frozenset(exclude), tags_of(holder))
    return merged(weighted)


def is_task(value: object) -> bool:
    """Is this decorated with @task itself?"""
    return own_mark(value, WEIGHT_MARK) is not None
