"""Scenarios: a Python file, its user classes, and what it declares about a run.

`load_scenario` imports the file fresh and refuses what cannot work, with messages that name the file
and line (codes LG101 to LG117; see loadgen.importing and loadgen.scenario_checks).
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

from loadgen.errors import ScenarioError
from loadgen.hooks import Events
from loadgen.hooks import events as process_events
from loadgen.importing import import_fresh, parse_source, read_source, shown
from loadgen.nearness import nearest
from loadgen.scenario_checks import check_classes, no_user_class
from loadgen.tasks import TaskSet, tags_of
from loadgen.users import User
from loadgen.weighting import merged, pairs


class DeclaredThreshold(NamedTuple):
    """One line of the scenario's `thresholds`, and where it stands ("loadtest.py:7")."""

    text: str
    origin: str


@dataclass(frozen=True, slots=True)
class Scenario:
    """A scenario that was imported and checked. `user_classes` are those that take part."""

    path: Path
    name: str
    module: ModuleType
    doc: str
    user_classes: tuple[type[User], ...]
    thresholds: tuple[DeclaredThreshold, ...]
    sha256: str
    events: Events = process_events


def load_scenario(path: Path | str, only: Sequence[str] = ()) -> Scenario:
    """The scenario in a file, imported anew; with `only`, restricted to classes of these names.

    Raises ScenarioError if the file cannot be used as one.
    """
    file = Path(path).expanduser().absolute()
    source = read_source(file)
    tree = parse_source(source, file)
    module = import_fresh(file, source, tree)
    classes = user_classes_of(module)
    check_classes(module, file, classes)
    chosen = [one for one in classes if not one.abstract and (one.weight > 0 or one.fixed_count > 0)]
    if not chosen:
        raise no_user_class(module, file, classes)
    return Scenario(
        path=file,
        name=file.stem,
        module=module,
        doc=inspect.cleandoc(module.__doc__ or ""),
        user_classes=tuple(_only(chosen, only, file)),
        thresholds=declared_thresholds(module, tree, file),
        sha256=hashlib.sha256(source).hexdigest(),
    )


def user_classes_of(module: ModuleType) -> list[type[User]]:
    """The user classes a scenario defines or imports from its own modules, in the order of the file."""
    found = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and issubclass(value, User) and value.__module__.partition(".")[0] != "loadgen"
    ]
    return list(dict.fromkeys(found))


def _only(classes: list[type[User]], names: Sequence[str], file: Path) -> list[type[User]]:
    known = {one.__name__: one for one in classes}
    for name in names:
        if name not in known:
            near = nearest(name, known)
            raise ScenarioError(
                f"no user class {name} in {shown(file)}",
                code="LG112",
                hints=(f'Did you mean "{near}"?' if near else f"There are: {', '.join(known)}",),
            )
    return [one for one in classes if not names or one.__name__ in names]


def declared_thresholds(module: ModuleType, tree: ast.Module, file: Path) -> tuple[DeclaredThreshold, ...]:
    """The module's `thresholds`, each with its line. Raises LG114 if it is not a list of texts."""
    value = getattr(module, "thresholds", ())
    lines = _threshold_lines(tree)
    if isinstance(value, str):
        value = [value]
    if not isinstance(value, list | tuple) or not all(isinstance(one, str) for one in value):
        raise ScenarioError(
            f"`thresholds` is not a list of texts ({shown(file)}:{lines.get('', 1)})",
            code="LG114",
            hints=('For example:  thresholds = ["p95 < 300ms", "errors < 1%"]',),
        )
    first = lines.get("", 1)
    return tuple(DeclaredThreshold(text, f"{shown(file)}:{lines.get(text, first)}") for text in value)


def _threshold_lines(tree: ast.Module) -> dict[str, int]:
    """Line of each text in `thresholds = […]`; the line of the assignment itself under ""."""
    lines: dict[str, int] = {}
    for node in tree.body:
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        if any(isinstance(target, ast.Name) and target.id == "thresholds" for target in targets):
            lines[""] = node.lineno
            for part in ast.walk(node):
                if isinstance(part, ast.Constant) and isinstance(part.value, str):
                    lines[part.value] = part.lineno
    return lines


@dataclass(frozen=True, slots=True)
class TaskNode:
    """A task in a listing: its share among its siblings (0 … 1), and its own tasks if it is a TaskSet."""

    name: str
    weight: float
    share: float
    tags: frozenset[str]
    children: tuple[TaskNode, ...] = ()


def task_tree(holder: type[User] | type[TaskSet]) -> tuple[TaskNode, ...]:
    """The tasks of a class, nested ones below theirs."""
    return _tree(holder, frozenset(), ())


def _tree(holder: type, inherited: frozenset[str], around: tuple[type, ...]) -> tuple[TaskNode, ...]:
    tags = inherited | tags_of(holder)
    weighted = merged(pairs(getattr(holder, "tasks", ())))
    total = sum(weight for _, weight in weighted)
    nodes = []
    for task, weight in weighted:
        is_set = isinstance(task, type) and task not in around
        children = _tree(task, tags, (*around, holder)) if isinstance(task, type) and is_set else ()
        name = getattr(task, "__name__", repr(task))
        nodes.append(TaskNode(name, weight, weight / total, tags | tags_of(task), children))
    return tuple(nodes)
