"""The scenario's folder: which files lie in it, seen as paths below it, and reading them without leaving it.

    LG120  the scenario lies directly in the home folder or in `/`, and needs more than its own file
    LG121  a file is a link out of the folder
    LG124  too many files, or too many bytes
    LG125  a file cannot be read, or cannot be named in a bundle
"""

from __future__ import annotations

import hashlib
import os
import stat
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path

from loadgen.errors import ScenarioError
from loadgen.importing import shown
from loadgen.units import format_bytes
from loadgen.wire.bundle_format import Limits, path_problem

_REGULAR_ONLY = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | os.O_CLOEXEC
_SHOWN = 3  # of the largest files, in the hint of LG124


class ScenarioFolder:
    """The folder of one scenario file.

    A file is known by its path below the folder, as Python sees it: a link in the folder to another place in the
    folder is a plain file in the bundle (that is how Kubernetes mounts a ConfigMap).
    """

    def __init__(self, scenario: Path) -> None:
        self.root = scenario.parent
        self.scenario = scenario
        self._real = os.path.realpath(self.root)
        self._spellings = list(dict.fromkeys((str(self.root), os.path.normpath(self.root), self._real)))
        self._installed = _installed_places(self._real)
        self.is_shared = _is_home_or_above(self._real)

    def refuse_shared(self, what: str) -> None:
        """Raise LG120 if this folder is one that holds everything of somebody, not just a scenario."""
        if self.is_shared:
            raise ScenarioError(
                f"{shown(self.scenario)} lies directly in {self._real}, and needs {what} from there on other machines",
                code="LG120",
                hints=("Put the scenario and what belongs to it into a folder of its own.",),
            )

    def own(self, file: str) -> str | None:
        """The path below the folder, with "/" between its parts; None if the file is elsewhere or is installed."""
        for spelling in self._spellings:
            prefix = spelling.rstrip(os.sep) + os.sep
            if file.startswith(prefix):
                path = os.path.normpath(file[len(prefix) :]).replace(os.sep, "/")
                return None if path.split("/")[0] == ".." or self.is_installed(file) else path
        return None

    def is_installed(self, file: str) -> bool:
        """Whether a module's file belongs to an installed package, the standard library, or loadgen."""
        if {"site-packages", "dist-packages"} & set(Path(file).parts):
            return True
        real = os.path.realpath(file) + os.sep
        return any(real.startswith(place) for place in self._installed)

    def sizes(self, paths: Sequence[str], limits: Limits) -> dict[str, int]:
        """Size of each file in bytes. Raises LG121, LG124, LG125."""
        if len(paths) > limits.files:
            raise ScenarioError(
                f"the bundle of {shown(self.scenario)} would have {len(paths):,} files; {limits.files:,} are allowed",
                code="LG124",
                hints=("Name fewer in `files`, or put them into one archive.",),
            )
        sizes = {path: self._size(path) for path in paths}
        self._refuse_large(sizes, limits)
        return sizes

    def _refuse_large(self, sizes: dict[str, int], limits: Limits) -> None:
        total, largest = sum(sizes.values()), sorted(sizes.items(), key=lambda one: -one[1])[:_SHOWN]
        most, allowed = total, limits.total_bytes
        if largest and largest[0][1] > limits.file_bytes:
            most, allowed = largest[0][1], limits.file_bytes
        if most > allowed:
            what = "the bundle of" if most == total else f"{largest[0][0]} in the bundle of"
            listed = ", ".join(f"{path} {format_bytes(size)}" for path, size in largest)
            raise ScenarioError(
                f"{what} {shown(self.scenario)} has {format_bytes(most)}; {format_bytes(allowed)} are allowed",
                code="LG124",
                hints=(f"The largest: {listed}", "Ship less, or let the workers find large files on their own disks."),
            )

    def _size(self, path: str) -> int:
        if problem := path_problem(path):
            raise self._unreadable(path, f"its path {problem}")
        try:
            info = os.stat(self._inside(path))
        except OSError as exc:
            raise self._unreadable(path, exc.strerror or str(exc)) from exc
        if not stat.S_ISREG(info.st_mode):
            raise self._unreadable(path, "it is not a plain file")
        return info.st_size

    def read(self, path: str, size: int) -> bytes:
        """The content. Raises LG121 or LG125, the latter too if it has not that size any more."""
        try:
            file = os.open(self._inside(path), _REGULAR_ONLY)
            with open(file, "rb") as opened:
                content = opened.read(size + 1) if stat.S_ISREG(os.fstat(file).st_mode) else b""
        except OSError as exc:
            raise self._unreadable(path, exc.strerror or str(exc)) from exc
        if len(content) != size:
            raise self._unreadable(path, "it changed just now")
        return content

    def refuse_changed(self, content: bytes, sha256: str) -> None:
        """Raise LG125 if this is not what was imported as the scenario, checked and shown."""
        if hashlib.sha256(content).hexdigest() != sha256:
            raise self._unreadable(self.scenario.name, "it changed since it was imported. Start again.")

    def _inside(self, path: str) -> str:
        """The file's real place. Raises LG121 if that is not in the folder."""
        real = os.path.realpath(os.path.join(self._real, path))
        if not real.startswith(self._real.rstrip(os.sep) + os.sep):
            raise ScenarioError(
                f"{shown(self.root / path)} leads out of the scenario's folder, to {real}",
                code="LG121",
                hints=("Only what lies in the folder travels to other machines: copy the file there.",),
            )
        return real

    def _unreadable(self, path: str, why: str) -> ScenarioError:
        printable = shown(self.root / path).encode("utf-8", "backslashreplace").decode()
        return ScenarioError(f"{printable} cannot go into the bundle: {why}", code="LG125")


def _is_home_or_above(real: str) -> bool:
    try:
        home = os.path.realpath(Path.home())
    except (RuntimeError, KeyError):  # no HOME, and a user that the system does not know
        home = os.sep
    return real == os.sep or f"{home}{os.sep}".startswith(real + os.sep)


def _installed_places(root: str) -> tuple[str, ...]:
    """Folders of which nothing is the scenario's own: standard library, packages, loadgen, an interpreter in `root`."""
    names = ("stdlib", "platstdlib", "purelib", "platlib")
    places = {path for name in names if (path := sysconfig.get_paths().get(name))}
    places |= {one for one in (sys.prefix, sys.base_prefix) if os.path.realpath(one).startswith(root + os.sep)}
    here = os.path.realpath(os.path.join(os.path.dirname(__file__), os.pardir))
    if root != here and not root.startswith(here + os.sep):  # else: one of loadgen's own scenarios
        places.add(here)
    return tuple(sorted(os.path.realpath(one) + os.sep for one in places))
