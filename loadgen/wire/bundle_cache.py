"""Where a worker process keeps the bundles it was sent: a private temporary folder that ends with the process.

A killed process cannot tidy up. So each folder holds a lock file, locked while its process lives; the next
cache that is made removes the folders beside its own that nobody locks. A lock tells the truth where a process
id would not: ids are used again, and containers that share a folder do not share them.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from loadgen.errors import ScenarioError
from loadgen.wire.bundle_extract import extract
from loadgen.wire.bundle_format import HARD_LIMITS, Limits

_PREFIX = "loadgen-bundle-"
_LOCK = "lock"


class BundleCache:
    """Bundles by their hash. The folder is made when the first one is put there, below `parent` (the system's own)."""

    def __init__(self, parent: Path | None = None) -> None:
        self._parent = Path(parent or tempfile.gettempdir())
        self._folder: Path | None = None
        self._lock = -1
        self._pid = os.getpid()
        self._entries: dict[str, Path] = {}

    def get(self, sha256: str) -> Path | None:
        """The scenario file of that bundle, or None if it is not here."""
        return self._entries.get(sha256)

    def put(self, sha256: str, data: bytes, limits: Limits = HARD_LIMITS) -> Path:
        """Unpack the bundle, unless it is here already; its scenario file.

        Raises Malformed if this is not the bundle of that name, ScenarioError (LG306) if it cannot be written.
        """
        if sha256 not in self._entries:
            try:
                self._folder = self._folder or self._make_folder()
                self._entries[sha256] = extract(data, self._folder / sha256[:16], sha256, limits)
            except OSError as exc:
                raise ScenarioError(
                    f"the scenario cannot be unpacked below {self._parent}: {exc.strerror or exc}",
                    code="LG306",
                    hints=("Make room there, or set TMPDIR to a folder that has some.",),
                ) from exc
        return self._entries[sha256]

    def close(self) -> None:
        """Remove the folder. Called at the end of the process too; does nothing in a forked child."""
        if self._folder is None or os.getpid() != self._pid:
            return
        atexit.unregister(self.close)
        shutil.rmtree(self._folder, ignore_errors=True)
        os.close(self._lock)
        self._folder, self._lock = None, -1
        self._entries.clear()

    def _make_folder(self) -> Path:
        remove_abandoned(self._parent)
        while True:
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=self._parent))
            lock = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                os.stat(folder / _LOCK)
            except (BlockingIOError, FileNotFoundError):
                os.close(lock)  # another process took the folder for an abandoned one before the lock was ours
            except OSError:
                os.close(lock)
                raise
            else:
                self._lock = lock
                atexit.register(self.close)
                return folder


def remove_abandoned(parent: Path) -> int:
    """Remove the folders in `parent` whose process is gone; how many there were."""
    removed = 0
    for folder in sorted(parent.glob(f"{_PREFIX}*")):
        with _locked(folder / _LOCK) as abandoned:
            if abandoned:
                shutil.rmtree(folder, ignore_errors=True)
                removed += 1
    return removed


@contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Whether the lock file could be locked: it is there, ours to open, and nobody holds it."""
    try:
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        yield False
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        yield False
    else:
        yield True
    finally:
        os.close(file)
