"""The project's Python files as the rules see them: a dotted module name and what it imports."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("master", "worker", "web")


@dataclass(frozen=True, slots=True)
class Import:
    """One imported module. `inside` is the function it stands in, or "" at module level."""

    importer: str
    imported: str
    inside: str
    line: int
    relative: bool

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"

    def reaches(self, package: str) -> bool:
        """Whether the imported module is `package` or lies in it."""
        return within(self.imported, package)


def within(module: str, package: str) -> bool:
    return module == package or module.startswith(package + ".")


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module that is installed, by its dotted name; the files of roles by their real place."""
    found = {}
    for folder in ("loadgen", *ROLES):
        for path in (root / folder).rglob("*.py"):
            parts = path.relative_to(root).with_suffix("").parts
            if folder == "loadgen" and parts[1] in ROLES:
                continue  # seen through a link (rglob follows links on some Pythons)
            dotted = ".".join(parts if folder == "loadgen" else ("loadgen", *parts))
            found[dotted.removesuffix(".__init__")] = path
    return found


def imports_of(importer: str, source: str) -> list[Import]:
    """Every import in `source`, wherever it stands; `from a import b` counts as `a` and as `a.b`."""
    return list(_walk(importer, ast.parse(source), inside=""))


def _walk(importer: str, node: ast.AST, inside: str) -> Iterator[Import]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(importer, alias.name, inside, child.lineno, relative=False)
        elif isinstance(child, ast.ImportFrom):
            base = child.module or ""
            for name in [base, *(f"{base}.{alias.name}" for alias in child.names)]:
                yield Import(importer, name, inside, child.lineno, relative=child.level > 0)
        else:
            named = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from _walk(importer, child, child.name if named else inside)  # type: ignore[attr-defined]


def all_imports() -> list[Import]:
    return [found for name, path in modules().items() for found in imports_of(name, path.read_text())]
