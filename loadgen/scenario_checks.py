"""What can be said against the user classes of a scenario before any of them runs.

    LG101  no user class
    LG104  a misspelt attribute
    LG105  `tasks` holds something that is no task
    LG110  two user classes of the same name
    LG111  wait_time is not callable
    LG113  weight or fixed_count is no number
    LG116  an __init__ that does not call the one of its base
    LG117  a user class or task set without tasks

Each message names the file and line where the thing stands.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterable, Iterator
from math import isfinite
from os import PathLike
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

from loadgen.errors import ScenarioError
from loadgen.importing import shown
from loadgen.markov import MarkovTaskSet
from loadgen.nearness import nearest
from loadgen.tasks import TaskSet, is_task
from loadgen.users import HttpUser, User
from loadgen.weighting import own_mark, pairs

Holder = type[User] | type[TaskSet]


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_plain_function(value: object) -> bool:
    return isinstance(value, FunctionType) and not is_task(value)


SETTINGS: dict[str, Callable[[object], bool]] = {
    "tasks": lambda value: isinstance(value, list | tuple | dict),
    "wait_time": lambda value: _is_plain_function(value) or _is_number(value),
    "on_start": _is_plain_function,
    "on_stop": _is_plain_function,
    "weight": _is_number,
    "fixed_count": _is_number,
    "abstract": lambda value: isinstance(value, bool),
    "host": _is_text,
    "network_timeout": _is_number,
    "connection_timeout": _is_number,
    "max_redirects": _is_number,
    "default_headers": lambda value: isinstance(value, dict),
    "verify": lambda value: isinstance(value, bool | str | PathLike),
    "insecure": lambda value: isinstance(value, bool),
    "tls_minimum_version": _is_text,
    "tls_server_name": _is_text,
    "get_next_task": _is_plain_function,
    "execute_task": _is_plain_function,
}
"""What a scenario sets on its classes, and what such a value looks like: a method `test` is no slip of `tasks`."""


RETIRED = ("min_wait", "max_wait", "wait_function")  # of old Locust files: without them users would not wait


def check_classes(module: ModuleType, file: Path, classes: list[type[User]]) -> None:
    """Raise ScenarioError for the first thing that is wrong."""
    _unique_names(file, classes)
    holders = list(_holders(classes, module))
    for holder in holders:
        _spelling(holder, file)
    for holder in holders:
        _task_list(holder, file)
        _wait_time(holder, file)
        _initialiser(holder, file)
    for cls in classes:
        _numbers(cls, file)
        if not cls.abstract and (cls.weight > 0 or cls.fixed_count > 0):
            _has_tasks(cls, file)


def _holders(classes: Iterable[type[User]], module: ModuleType) -> Iterator[Holder]:
    """The user classes, those they derive from, and the TaskSets they use or the module defines."""
    seen: set[type] = set()
    loose = [one for one in vars(module).values() if isinstance(one, type) and issubclass(one, TaskSet)]
    waiting: list[Any] = [*classes, *loose]
    while waiting:
        holder = waiting.pop(0)
        if not isinstance(holder, type) or holder in seen or holder.__module__.partition(".")[0] == "loadgen":
            continue
        if issubclass(holder, User | TaskSet):
            seen.add(holder)
            yield holder
            waiting += [*_listed(holder), *holder.__bases__]


def _listed(holder: Holder) -> list[object]:
    """What stands in the holder's tasks, right or wrong; weights left out."""
    try:
        return [task for task, _ in pairs(holder.tasks)]
    except (TypeError, ValueError):
        return []


def _unique_names(file: Path, classes: list[type[User]]) -> None:
    """LG110; also for two `class A(User)` in the file, of which Python would keep the last silently."""
    names: dict[str, type[User]] = {}
    for cls in classes:
        if (other := names.setdefault(cls.__name__, cls)) is not cls:
            raise _twice(cls.__name__, where(other, file), where(cls, file))
    lines: dict[str, int] = {}
    for node in ast.parse(file.read_bytes()).body:
        if isinstance(node, ast.ClassDef) and node.name in names:
            if node.name in lines:
                raise _twice(node.name, f"{shown(file)}:{lines[node.name]}", f"{shown(file)}:{node.lineno}")
            lines[node.name] = node.lineno


def _twice(name: str, first: str, second: str) -> ScenarioError:
    return ScenarioError(
        f"two user classes are called {name} ({first} and {second})", code="LG110", hints=("Rename one of them.",)
    )


def _spelling(holder: Holder, file: Path) -> None:
    for name, value in vars(holder).items():
        if name in SETTINGS or name.startswith("_") or any(hasattr(base, name) for base in (User, HttpUser, TaskSet)):
            continue
        known = [one for one, fits in SETTINGS.items() if one not in holder.written and fits(value)]
        if name in RETIRED:
            raise ScenarioError(
                f'"{name}" of {holder.__name__} ({where(holder, file, name)}) does nothing here',
                code="LG104",
                hints=("Write, in seconds:  wait_time = between(1, 3)",),
            )
        meant = nearest(name, known)
        if meant is not None:
            raise ScenarioError(
                f'"{name}" is not {_article(holder)} attribute of {holder.__name__} '
                f'({where(holder, file, name)}). Did you mean "{meant}"?',
                code="LG104",
            )


def _article(holder: Holder) -> str:
    return "a user" if issubclass(holder, User) else "a task set"


def _task_list(holder: Holder, file: Path) -> None:
    try:
        weighted = pairs(holder.tasks)
    except (TypeError, ValueError) as exc:
        raise ScenarioError(f"{holder.__name__}: {exc} ({where(holder, file, 'tasks')})", code="LG105") from None
    for task, _ in weighted:
        name = getattr(task, "__name__", repr(task))
        if inspect.iscoroutinefunction(task):
            raise ScenarioError(
                f"{holder.__name__}.{name} is an `async def`; tasks are plain functions ({where(holder, file, name)})",
                code="LG105",
                hints=("Write `def`: each user has a greenlet of its own, so blocking calls are fine.",),
            )
        if isinstance(task, type) and not issubclass(task, TaskSet):
            raise ScenarioError(
                f"{name} in the tasks of {holder.__name__} is a class, but no TaskSet ({where(holder, file, 'tasks')})",
                code="LG105",
                hints=(f"Write  class {name}(TaskSet):",),
            )


def _wait_time(holder: Holder, file: Path) -> None:
    value = holder.wait_time
    if not callable(value):
        hint = f"Write  wait_time = constant({value!r})" if _is_number(value) else "Write  wait_time = between(1, 3)"
        raise ScenarioError(
            f"wait_time of {holder.__name__} is {value!r}, which cannot be called ({where(holder, file, 'wait_time')})",
            code="LG111",
            hints=(hint,),
        )


def _initialiser(holder: Holder, file: Path) -> None:
    init = vars(holder).get("__init__")
    if isinstance(init, FunctionType) and not {"super", "__init__"} & set(init.__code__.co_names):
        argument = "environment" if issubclass(holder, User) else "parent"
        raise ScenarioError(
            f"{holder.__name__}.__init__ does not call its base ({where(holder, file, '__init__')})",
            code="LG116",
            hints=(f"Begin it with  super().__init__({argument})",),
        )


def _numbers(cls: type[User], file: Path) -> None:
    for name, whole in (("weight", False), ("fixed_count", True)):
        value: Any = getattr(cls, name)
        fits = _is_number(value) and isfinite(value) and value >= 0 and (not whole or isinstance(value, int))
        if not fits:
            kind = "a whole number" if whole else "a number"
            raise ScenarioError(
                f"{name} of {cls.__name__} is {value!r}; it must be {kind} of 0 or more ({where(cls, file, name)})",
                code="LG113",
            )


def _has_tasks(cls: type[User], file: Path) -> None:
    holders: list[Holder] = [cls, *_nested(cls)]
    for holder in holders:
        if not any(weight > 0 for _, weight in pairs(holder.tasks)) and not _chooses_itself(holder):
            what = "user class" if issubclass(holder, User) else "task set"
            raise ScenarioError(
                f"the {what} {holder.__name__} has no tasks ({where(holder, file)})",
                code="LG117",
                hints=("Decorate its methods with @task, or set  tasks = […].", *_undecorated(holder)),
            )


def _chooses_itself(holder: Holder) -> bool:
    """An overridden get_next_task, or tasks set in __init__ or on_start, need no list."""
    if issubclass(holder, TaskSet) and holder.get_next_task is not TaskSet.get_next_task:
        return True
    return any("tasks" in code.co_names for code in _bodies(holder))


def _bodies(holder: Holder) -> Iterator[Any]:
    for name in ("__init__", "on_start"):
        code = getattr(getattr(holder, name), "__code__", None)
        if code is not None:
            yield code


def _nested(holder: Holder) -> list[type[TaskSet]]:
    found: dict[type[TaskSet], None] = {}
    waiting: list[Any] = _listed(holder)
    while waiting:
        one = waiting.pop()
        if isinstance(one, type) and issubclass(one, TaskSet) and one not in found:
            found[one] = None
            waiting += _listed(one)
    return [one for one in found if not issubclass(one, MarkovTaskSet)]


def _undecorated(holder: Holder) -> list[str]:
    """A hint naming a method that looks as if @task was forgotten."""
    for name, value in vars(holder).items():
        if isinstance(value, FunctionType) and not name.startswith("_") and not hasattr(User, name):
            return [f"Is @task missing above  def {name}(self):  ?"]
    return []


def no_user_class(module: ModuleType, file: Path, classes: list[type[User]]) -> ScenarioError:
    """LG101, with the class that is nearest to being one."""
    message = f"no user class found in {shown(file)}"
    if classes:
        idle = [one for one in classes if not one.abstract]
        why = "weight = 0" if idle else "abstract = True"
        names = ", ".join(f"`{one.__name__}`" for one in idle or classes)
        return ScenarioError(message, code="LG101", hints=(f"{names} takes no part: {why}.",))
    own = [one for one in vars(module).values() if isinstance(one, type) and one.__module__ == module.__name__]
    close = [one for one in own if _is_close(one)]
    if not close:
        return ScenarioError(
            message, code="LG101", hints=("Write  class Shopper(HttpUser):  with a method under @task.",)
        )
    count = "1 class that is" if len(close) == 1 else f"{len(close)} classes that are"
    return ScenarioError(
        message, code="LG101", hints=(f"I found {count} close: {_difference(close[0])}", *_repair(close[0], file))
    )


def _is_close(cls: type) -> bool:
    has_task = any(is_task(value) or own_mark(value, "loadgen_transitions") for value in vars(cls).values())
    return has_task or issubclass(cls, TaskSet) or cls.__name__.endswith("User") or "tasks" in vars(cls)


def _difference(cls: type) -> str:
    if issubclass(cls, TaskSet):
        return f"`{cls.__name__}` is a task set, which a user class must use."
    if cls.__bases__ == (object,):
        return f"`{cls.__name__}` has no base class."
    return f"`{cls.__name__}` derives from {', '.join(one.__name__ for one in cls.__bases__)}, not from a user class."


def _repair(cls: type, file: Path) -> list[str]:
    if issubclass(cls, TaskSet):
        return [f"Add:  class Visitor(HttpUser):\n          tasks = [{cls.__name__}]"]
    return [f"Did you mean:  class {cls.__name__}(HttpUser):      {where(cls, file)}"]


def where(cls: type, file: Path, member: str = "") -> str:
    """ "loadtest.py:9", the line of a class or of one of its members; the file alone if it is not known."""
    module = inspect.getmodule(cls)
    path = Path(getattr(module, "__file__", None) or file)
    line = _line(path, cls.__qualname__, member)
    return f"{shown(path)}:{line}" if line else shown(path)


def _line(path: Path, qualname: str, member: str) -> int:
    try:
        nodes: list[ast.stmt] = ast.parse(path.read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return 0
    line = 0
    for part in [one for one in qualname.split(".") if one != "<locals>"]:
        found = [node for node in _inside(nodes) if getattr(node, "name", None) == part]
        if not found:
            return line
        line = found[-1].lineno
        nodes = getattr(found[-1], "body", [])
    return _member_line(nodes, member) or line


def _inside(nodes: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements, and those inside `if`, `try` and `with` around definitions."""
    for node in nodes:
        yield node
        if not isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            yield from _inside([one for one in ast.iter_child_nodes(node) if isinstance(one, ast.stmt)])


def _member_line(nodes: list[ast.stmt], member: str) -> int:
    for node in nodes:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if getattr(node, "name", None) == member or any(getattr(one, "id", None) == member for one in targets):
            return node.lineno
    return 0
