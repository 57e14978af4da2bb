"""What stands in a scenario: classes, tasks with their shares, thresholds, own options. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from loadgen.arguments import HIDDEN, Declared
from loadgen.cli.terminal import figures
from loadgen.cli.terminal.style import Style
from loadgen.cli.terminal.table import Cell, Row, table
from loadgen.scenario import Scenario, TaskNode, task_tree
from loadgen.users import User


def listing(scenario: Scenario, declared: Sequence[Declared], columns: int, style: Style) -> list[str]:
    """The scenario as a tree, then its thresholds and its options."""
    count = figures.plural(len(scenario.user_classes), "user class").replace("classs", "classes")
    lines = [style.bold(style.foreign(scenario.path.name)) + f" · {count}"]
    summary = scenario.doc.splitlines()[0] if scenario.doc else ""
    lines += [style.dim(style.foreign(summary))] if summary else []
    total = sum(one.weight for one in scenario.user_classes if not one.fixed_count)
    rows = [row for one in scenario.user_classes for row in _class_rows(one, total, style)]
    lines += ["", *table(rows, columns, left=(0, 3), indent="  ")]
    if scenario.thresholds:
        held: list[Row] = [
            [style.foreign(one.text), Cell(style.foreign(one.origin), style.dim)] for one in scenario.thresholds
        ]
        lines += ["", style.bold("Thresholds"), *table(held, columns, left=(0, 1), indent="  ")]
    if declared:
        options: list[Row] = [[style.foreign(one.name), style.foreign(_described(one))] for one in declared]
        lines += ["", style.bold("Options of this scenario"), *table(options, columns, left=(0, 1), indent="  ")]
    return [style.glyphs(line) for line in lines]


def _class_rows(user_class: type[User], total: float, style: Style) -> Iterator[Row]:
    if user_class.fixed_count:
        weight, share = f"{user_class.fixed_count:,} users", "fixed"
    else:
        weight, share = f"weight {user_class.weight:g}", _percent(user_class.weight / total if total else 0.0)
    host = user_class.host or ""
    yield [Cell(style.foreign(user_class.__name__), style.bold), weight, share, Cell(style.foreign(host), style.dim)]
    yield from _task_rows(task_tree(user_class), "", style)


def _task_rows(nodes: Sequence[TaskNode], indent: str, style: Style) -> Iterator[Row]:
    for index, node in enumerate(nodes):
        last = index == len(nodes) - 1
        tags = ", ".join(sorted(node.tags))
        name = f"{indent}{'└ ' if last else '├ '}{style.foreign(node.name)}"
        yield [
            name,
            f"{node.weight:g}",
            _percent(node.share),
            Cell(style.foreign(f"[{tags}]" if tags else ""), style.dim),
        ]
        yield from _task_rows(node.children, indent + ("  " if last else "│ "), style)


def _described(option: Declared) -> str:
    """The option's help, its choices and its default; a secret default is not shown."""
    parts = [option.help] if option.help else []
    parts += [f"one of {', '.join(map(str, option.choices))}"] if option.choices else []
    if option.is_required:
        parts.append("required")
    elif option.default is not None:
        parts.append(f"default {HIDDEN if option.is_secret else option.default}")
    return ", ".join(parts)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
