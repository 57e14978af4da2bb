"""What a bundle says about itself: its limits, its table of contents, and the name that follows from it.

::

    table  = "loadgen-bundle 1\\n"
             "entry " path "\\n"
             then per file, sorted by path:  sha256 " " size " " path "\\n"
    sha256 = SHA-256 of the table

There is exactly one table for given files: no times, owners, modes or folders stand in it, and `Table.parse`
refuses any other spelling. So the name of a bundle is the same on every machine. Paths are relative, with "/"
between their parts; links and devices cannot be said.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import NamedTuple

from loadgen.errors import ConfigError, Malformed
from loadgen.units import format_bytes

MIB = 1 << 20
PATH_MAX_BYTES = 512
PARTS_MAX = 32  # folders within folders
_FIRST_LINE = "loadgen-bundle 1"
_FILE_LINE = re.compile(r"([0-9a-f]{64}) (0|[1-9][0-9]{0,11}) (.+)", re.DOTALL)
TABLE_MAX_BYTES = 8 * MIB


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a bundle may hold, before compression."""

    files: int = 4_096
    file_bytes: int = 32 * MIB
    total_bytes: int = 32 * MIB

    @property
    def data_bytes(self) -> int:
        """The largest that the compressed bytes can become (zlib adds 0.03 % at worst)."""
        return self.total_bytes + self.total_bytes // 1_000 + TABLE_MAX_BYTES + 1_024


DEFAULT_LIMITS = Limits()  # what is built unless the user says otherwise
HARD_LIMITS = Limits(files=16_384, file_bytes=256 * MIB, total_bytes=256 * MIB)  # what is received at most


def limits_for(total_bytes: int) -> Limits:
    """The limits of bundles of that size. Raises ConfigError if no worker would take one."""
    if not 0 < total_bytes <= HARD_LIMITS.total_bytes:
        most = format_bytes(HARD_LIMITS.total_bytes)
        raise ConfigError(f"a bundle of {format_bytes(total_bytes)} cannot be sent", hints=(f"At most {most} can.",))
    return Limits(DEFAULT_LIMITS.files, total_bytes, total_bytes)


class BundleFile(NamedTuple):
    """One file: its path below the scenario's folder, its size in bytes, the SHA-256 of its content in hex."""

    path: str
    size: int
    sha256: str


def path_problem(path: str) -> str:
    """Why a path cannot stand in a bundle; "" if it can."""
    try:
        encoded = path.encode()
    except UnicodeEncodeError:
        return "is not valid UTF-8"
    parts = path.split("/")
    if not path or path.startswith("/"):
        return "is not relative"
    if ".." in parts:
        return "leads out of the folder"
    if "" in parts or "." in parts:
        return "has an empty part"
    if any(ord(char) < 32 or char in "\x7f\\" for char in path):
        return "has a backslash or a control character"
    if len(encoded) > PATH_MAX_BYTES or len(parts) > PARTS_MAX or any(len(part.encode()) > 255 for part in parts):
        return "is too long or too deep"
    return ""


@dataclass(frozen=True, slots=True)
class Table:
    """What is in a bundle. `entry` is the path of the scenario file; files are sorted by the bytes of their paths."""

    entry: str
    files: tuple[BundleFile, ...]

    @property
    def total_bytes(self) -> int:
        return sum(file.size for file in self.files)

    def encode(self) -> bytes:
        lines = [_FIRST_LINE, f"entry {self.entry}", *(f"{one.sha256} {one.size} {one.path}" for one in self.files)]
        return "".join(f"{line}\n" for line in lines).encode()

    @property
    def sha256(self) -> str:
        """The bundle's name."""
        return hashlib.sha256(self.encode()).hexdigest()

    @classmethod
    def parse(cls, data: bytes, limits: Limits) -> Table:
        """The table that was encoded to `data`. Raises Malformed for anything else, and above the limits."""
        if data.count(b"\n") > limits.files + 2:
            raise Malformed(f"bundle: more than {limits.files} files")
        try:
            lines = data.decode().split("\n")
        except UnicodeDecodeError as exc:
            raise Malformed("bundle: the table is not UTF-8") from exc
        if len(lines) < 4 or lines[0] != _FIRST_LINE or not lines[1].startswith("entry ") or lines[-1]:
            raise Malformed("bundle: not a table of contents")
        table = cls(lines[1].removeprefix("entry "), tuple(map(_file_in, lines[2:-1])))
        table.check(limits)
        return table

    def check(self, limits: Limits) -> None:
        """Raise Malformed if a path is unsafe or stands twice, if the entry is missing, or above the limits."""
        paths = [one.path for one in self.files]
        for path in paths:
            if problem := path_problem(path):
                raise Malformed(f"bundle: path {path[:100]!r} {problem}")
        if [path.encode() for path in paths] != sorted({path.encode() for path in paths}):
            raise Malformed("bundle: files are not in order, or stand there twice")
        if not set(paths).isdisjoint(_folders(paths)):
            raise Malformed("bundle: a file is a folder too")
        if self.entry not in paths:
            raise Malformed("bundle: the scenario itself is missing")
        if any(one.size > limits.file_bytes for one in self.files) or self.total_bytes > limits.total_bytes:
            raise Malformed("bundle: larger than the limit")


def _file_in(line: str) -> BundleFile:
    match = _FILE_LINE.fullmatch(line)
    if match is None:
        raise Malformed(f"bundle: not a line of the table: {line[:100]!r}")
    return BundleFile(match[3], int(match[2]), match[1])


def _folders(paths: list[str]) -> set[str]:
    """Every folder that the paths lie in."""
    found: set[str] = set()
    for path in paths:
        folder = path.rpartition("/")[0]
        while folder and folder not in found:
            found.add(folder)
            folder = folder.rpartition("/")[0]
    return found
