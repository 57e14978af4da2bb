"""Files that a scenario declares: `files = ["users.csv", "data/*.json"]` at module level, and its test data.

A pattern is relative to the scenario's folder. `*`, `?` and `[…]` match within one name, `**` any number of folders.
Wildcards pass over hidden names (`.env`, `.git`) and `__pycache__`; whoever means those writes them out.

    LG121  a pattern is absolute or has `..`; test data lies elsewhere
    LG122  `files` is not a list of texts
    LG123  a pattern matches nothing, or names a folder
    LG124  there is too much to look through
"""

from __future__ import annotations

import fnmatch
import os
import re
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePath
from types import ModuleType

from loadgen.errors import ScenarioError
from loadgen.importing import shown
from loadgen.wire.bundle_folder import ScenarioFolder

SCAN_MAX = 100_000  # names looked at for all patterns together
_WILD = re.compile(r"[*?[]")


def declared_patterns(module: ModuleType, scenario: Path) -> list[str]:
    """The patterns of the scenario's `files`. Raises LG122."""
    value = getattr(module, "files", ())
    value = [value] if isinstance(value, str | PurePath) else value
    if not isinstance(value, list | tuple) or not all(isinstance(one, str | PurePath) and str(one) for one in value):
        raise ScenarioError(
            f"`files` is not a list of texts ({shown(scenario)})",
            code="LG122",
            hints=(
                'It names what travels to other machines, for example:  files = ["users.csv", "data/*.json"]',
                "If it is something else, give it another name.",
            ),
        )
    return list(dict.fromkeys(os.fspath(one) for one in value))


def data_files(folder: ScenarioFolder, modules: Collection[str]) -> set[str]:
    """The paths of the files that the sources of test data of these modules read. Raises LG120, LG121."""
    data = sys.modules.get("loadgen.data")  # whoever declares a source has imported it
    found = set()
    for file in data.declared_files(modules) if data is not None else ():
        folder.refuse_shared(f'"{file.name}"')
        path = folder.own(str(file))
        if path is None:
            raise ScenarioError(
                f"{shown(file)}, test data of {shown(folder.scenario)}, does not lie in the scenario's folder",
                code="LG121",
                hints=("Only what lies in the folder travels to other machines: copy the file there.",),
            )
        found.add(path)
    return found


def declared_files(folder: ScenarioFolder, patterns: Sequence[str]) -> set[str]:
    """The paths of the files that the patterns match. Raises LG120, LG121, LG123, LG124."""
    if patterns:
        folder.refuse_shared(f'"{patterns[0]}"')
    scan = _Scan(folder)
    return {path for pattern in patterns for path in _matches(folder, pattern, scan)}


def _matches(folder: ScenarioFolder, pattern: str, scan: _Scan) -> list[str]:
    parts = [part for part in pattern.split("/") if part not in ("", ".")]
    if os.path.isabs(pattern) or pattern.startswith("~") or ".." in parts:
        raise _bad(folder, pattern, "does not lie in the scenario's folder", "LG121", "Copy the file there.")
    found = sorted(set(scan.find("", parts)))
    if found:
        return found
    if (folder.root / pattern).is_dir():
        hint = f'For everything in it:  files = ["{"/".join([*parts, "**"])}"]'
        raise _bad(folder, pattern, "is a folder", "LG123", hint)
    what = "matches no file" if _WILD.search(pattern) else "is not there"
    raise _bad(folder, pattern, what, "LG123", f"It was looked for in {shown(folder.root)}.")


def _bad(folder: ScenarioFolder, pattern: str, what: str, code: str, hint: str) -> ScenarioError:
    return ScenarioError(f'"{pattern}" in `files` of {shown(folder.scenario)} {what}', code=code, hints=(hint,))


@dataclass(slots=True)
class _Scan:
    """Looks for files; counts what it looks at."""

    folder: ScenarioFolder
    seen: int = field(default=0)

    def find(self, base: str, parts: Sequence[str]) -> Iterator[str]:
        """Paths of the files below `base` (a path that ends with "/", or "") that match the parts."""
        if not parts:
            return
        part, rest = parts[0], parts[1:]
        if part == "**":
            yield from self.find(base, rest or ["*"])
            for name in self._names(base):
                if _may_match(name, part) and self._is_folder(f"{base}{name}", follow_links=False):
                    yield from self.find(f"{base}{name}/", parts)
        elif not _WILD.search(part):
            yield from self._at(f"{base}{part}", rest)
        else:
            matches = re.compile(fnmatch.translate(part)).fullmatch
            for name in self._names(base):
                if matches(name) and _may_match(name, part):
                    yield from self._at(f"{base}{name}", rest)

    def _at(self, path: str, rest: Sequence[str]) -> Iterator[str]:
        if not rest:
            full = self.folder.root / path
            if full.is_file() or (full.is_symlink() and not full.is_dir()):  # a broken link is an error of its own
                yield path
        elif self._is_folder(path, follow_links=True):
            yield from self.find(f"{path}/", rest)

    def _names(self, base: str) -> list[str]:
        try:
            names = os.listdir(self.folder.root / base)
        except OSError:
            return []
        self.seen += len(names)
        if self.seen > SCAN_MAX:
            raise ScenarioError(
                f"`files` of {shown(self.folder.scenario)} would look through more than {SCAN_MAX:,} names",
                code="LG124",
                hints=("Write patterns that begin with a folder's name.",),
            )
        return sorted(names)

    def _is_folder(self, path: str, follow_links: bool) -> bool:
        full = self.folder.root / path
        return full.is_dir() and (follow_links or not full.is_symlink())


def _may_match(name: str, pattern: str) -> bool:
    """Whether a wildcard may match this name: hidden ones only if the pattern begins with the dot."""
    return name != "__pycache__" and (not name.startswith(".") or pattern.startswith("."))
