"""Which Python files a scenario needs from its own folder.

Two ways, and what either finds is taken: what stands in import statements, followed from file to file, also
those inside functions that have not run yet; and what was imported already, which finds the names that are
only made when the program runs. Nothing is imported or executed here.
"""

from __future__ import annotations

import ast
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.machinery import BYTECODE_SUFFIXES, EXTENSION_SUFFIXES, SOURCE_SUFFIXES
from pathlib import Path

from loadgen.wire.bundle_folder import ScenarioFolder

_SUFFIXES = (*EXTENSION_SUFFIXES, *SOURCE_SUFFIXES, *BYTECODE_SUFFIXES)  # in the order in which Python looks


@dataclass(slots=True)
class OwnModules:
    """`files` are paths below the folder; `outside` are modules (name → file) that are neither there nor installed."""

    files: set[str] = field(default_factory=set)
    outside: dict[str, str] = field(default_factory=dict)


def own_modules(folder: ScenarioFolder, entry: str) -> OwnModules:
    """What the scenario imports from its folder, itself included.

    In a shared folder (the home folder, `/`) only import statements count: of what was imported already, too much
    lies somewhere below.
    """
    found = OwnModules({entry})
    loaded = set() if folder.is_shared else {path for path, _ in _loaded(folder)}
    roots = ["", *({} if folder.is_shared else _search_paths(folder))]
    waiting = [entry, *sorted(loaded)]
    found.files.update(waiting)
    while waiting:
        path = waiting.pop()
        for wanted in imports_in(folder, path):
            files = list(_resolve(folder, path, wanted, roots))
            waiting += [one for one in files if one not in found.files]
            found.files.update(files)
            if not files and not wanted.level:
                _note_outside(folder, wanted.name.partition(".")[0], found.outside)
    return found


def _loaded(folder: ScenarioFolder) -> Iterator[tuple[str, str]]:
    """(path, name) of the folder's modules among those that are imported."""
    for name, module in list(sys.modules.items()):
        if name != "__main__" and not _is_ours(name) and (file := file_of(module)) and (path := folder.own(file)):
            yield path, name


def loaded_modules(folder: ScenarioFolder) -> list[str]:
    """Names of the folder's modules that are imported in this process."""
    return [] if folder.is_shared else [name for _, name in _loaded(folder)]


def _is_ours(name: str) -> bool:
    return name.partition(".")[0] == "loadgen"


def file_of(module: object) -> str | None:
    """The module's plain file. Asked of its dict: some modules run code when an attribute is missing."""
    file = getattr(module, "__dict__", {}).get("__file__")
    return file if isinstance(file, str) and os.path.isfile(file) else None


def _search_paths(folder: ScenarioFolder) -> Iterator[str]:
    """Folders below the scenario's, as `path/`, in which Python looks for modules too."""
    for entry in sys.path:
        path = folder.own(os.path.join(os.path.abspath(entry or "."), ""))
        if path and path != ".":
            yield f"{path}/"


def _note_outside(folder: ScenarioFolder, name: str, outside: dict[str, str]) -> None:
    file = file_of(sys.modules.get(name))
    if file and not _is_provided(folder, name) and folder.own(file) is None:
        outside[name] = file


# -- import statements


@dataclass(frozen=True, slots=True)
class Wanted:
    """`from ..a.b import c` is name "a.b", level 2, members ("c",)."""

    name: str
    level: int = 0
    members: tuple[str, ...] = ()


def imports_in(folder: ScenarioFolder, path: str) -> Iterator[Wanted]:
    """The imports that stand anywhere in a file; none if it is not Python that can be read."""
    if not path.endswith(".py"):
        return
    try:
        tree = ast.parse((folder.root / path).read_bytes())
    except (OSError, SyntaxError, ValueError, RecursionError):
        return  # whoever imports it will hear of it
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (Wanted(alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield Wanted(node.module or "", node.level, tuple(alias.name for alias in node.names))


def _resolve(folder: ScenarioFolder, importer: str, wanted: Wanted, roots: list[str]) -> Iterator[str]:
    """The folder's files that this import loads: of each package on the way its `__init__`, then the module."""
    if wanted.level:
        parts = importer.split("/")[: -wanted.level]
        if len(importer.split("/")) < wanted.level:
            return
        roots = ["".join(f"{part}/" for part in parts)]
    elif _is_provided(folder, wanted.name.partition(".")[0]):
        return
    for root in roots:
        names = [part for part in wanted.name.split(".") if part]
        files = list(_chain(folder.root, root, names))
        for member in wanted.members:
            files += _chain(folder.root, root, [*names, member])
        if files:
            yield from dict.fromkeys(files)
            return


def _is_provided(folder: ScenarioFolder, name: str) -> bool:
    """Whether every worker has this top-level module: loadgen, the standard library, what is installed here."""
    file = file_of(sys.modules.get(name))
    return _is_ours(name) or name in sys.stdlib_module_names or (file is not None and folder.is_installed(file))


def _chain(root: Path, base: str, names: list[str]) -> Iterator[str]:
    """The files that importing the dotted name loads, as far as they exist below `base`."""
    for name in names:
        base = f"{base}{name}"
        if init := _file(root, f"{base}/__init__"):
            yield init
        elif module := _file(root, base):
            yield module
            return
        base += "/"


def _file(root: Path, stem: str) -> str | None:
    return next((path for suffix in _SUFFIXES if (root / (path := f"{stem}{suffix}")).is_file()), None)
