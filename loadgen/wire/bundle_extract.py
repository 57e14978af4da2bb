"""Writing a bundle's files into a folder of their own, where nothing else is touched.

What may stand in a bundle is decided by `bundle_format` before the first file is made: relative paths of plain
files, no `..`, no link, bounded counts and sizes. Here each file is created anew (never opened where something is),
readable for its owner only whatever the umask, and everything is removed again if anything is wrong.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from loadgen.errors import Malformed
from loadgen.wire.bundle_archive import Archive
from loadgen.wire.bundle_format import HARD_LIMITS, BundleFile, Limits

_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


def extract(data: bytes, folder: Path, sha256: str = "", limits: Limits = HARD_LIMITS) -> Path:
    """The path of the scenario file, after all files of the bundle were written below `folder`.

    The folder must not exist or be empty. With `sha256`, it must be the bundle of that name. Raises Malformed for a
    bundle that is wrong, OSError if it cannot be written; then the folder is gone.
    """
    archive = Archive(data, limits)
    if sha256 and archive.table.sha256 != sha256:
        raise Malformed(f"bundle {archive.table.sha256[:12]} came in place of {sha256[:12]}")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(folder.iterdir()):
        raise FileExistsError(f"{folder} is not empty")
    try:
        _write(archive, folder)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return folder / archive.table.entry


def _write(archive: Archive, folder: Path) -> None:
    current: BundleFile | None = None
    file = -1
    try:
        for one, block in archive.blocks():
            if one is not current:
                file, finished, current = _create(folder / one.path), file, one
                _close(finished)
            _write_all(file, block)
    finally:
        _close(file)


def _create(path: Path) -> int:
    """A descriptor of a new file; a name that the file system takes for another one that exists is refused."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        return os.open(path, _NEW_FILE, 0o600)
    except FileExistsError as exc:
        raise Malformed(f"bundle: on this file system {path.name!r} is the same as another of its files") from exc


def _write_all(file: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(file, view) :]


def _close(file: int) -> None:
    if file >= 0:
        os.close(file)
