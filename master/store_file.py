"""A run file on disk: who may open it, whether it is one, and what SQLite's errors mean for a run.

Plain sqlite3 and nothing that gevent patches: the master's native thread uses what is opened here.

    LG611  not there, or not a run file         LG614  another process writes it
    LG612  damaged                              LG615  it exists already
    LG613  of a newer loadgen                   LG616  it cannot be written now (disk full, …)
"""

from __future__ import annotations

import fcntl
import os
import platform
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from loadgen.errors import LoadgenError, RunFileError, StoreError, StoreFull
from loadgen.master.store_schema import APPLICATION_ID, MIGRATIONS, migrate, version_of

BUSY_S = 0.5  # how long a write waits for another program that writes into the file; nobody should
PAGE_BYTES = 8192
WAL_PAGES = 2_000  # 16 MB, then SQLite copies the write-ahead log into the file
WAL_BYTES = 64 << 20  # of it left on disk after a burst
LOW_BYTES = 64 << 20  # with less room on the disk the write-ahead log is emptied at each commit


def connect(path: Path, *, read_only: bool) -> sqlite3.Connection:
    """An open file, of any schema version up to ours. Raises RunFileError, StoreError.

    The connection may be handed to another thread; it is for one thread at a time.
    """
    if not path.is_file():
        raise RunFileError(f"there is no run file {path}", code="LG611")
    if not path.stat().st_size:
        raise RunFileError(f"{path} is empty: the run ended before it began", code="LG611")
    mode = "ro" if read_only else "rw"
    uri = f"file:{quote(str(path.absolute()))}?mode={mode}"
    with explained(path):
        db = sqlite3.connect(uri, uri=True, timeout=BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            _check(db, path)
        except BaseException:
            db.close()
            raise
    return db


def create(path: Path) -> None:
    """A new run file without contents. Raises RunFileError if there is one already, StoreError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
    except FileExistsError as exc:
        raise RunFileError(f"the run file {path} exists already", code="LG615") from exc
    except OSError as exc:
        raise StoreError(f"cannot make the run file {path}: {exc.strerror}", code="LG616") from exc
    with explained(path):
        db = sqlite3.connect(path, isolation_level=None)
        try:
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA page_size = {PAGE_BYTES}")
            migrate(db)
        except BaseException:
            path.unlink()
            raise
        finally:
            db.close()


def prepare_to_write(db: sqlite3.Connection, path: Path) -> None:
    """Bring it to the newest schema, and let others read while we write."""
    with explained(path):
        migrate(db)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
        db.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")


def free_bytes(path: Path) -> int:
    """Room left for us on the disk of `path`; 0 if the system does not say."""
    try:
        disk = os.statvfs(path)
    except OSError:
        return 0
    return disk.f_bavail * disk.f_frsize


def _check(db: sqlite3.Connection, path: Path) -> None:
    if db.execute("PRAGMA application_id").fetchone()[0] != APPLICATION_ID:
        raise RunFileError(f"{path} is a database, but not a run file of loadgen", code="LG611")
    version = version_of(db)
    if version > len(MIGRATIONS):
        raise RunFileError(
            f"{path} was written by a newer loadgen (schema {version}; this one knows {len(MIGRATIONS)})",
            code="LG613",
            hints=("use that version, or a newer one",),
        )
    if not version:
        raise RunFileError(f"{path} has no tables: the run ended before it began", code="LG611")


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors as ours. A mistake of ours (constraint, wrong use) stays what it is."""
    try:
        yield
    except sqlite3.DatabaseError as exc:
        error = _explain(exc, path)
        if error is None:
            raise
        raise error from exc


def _explain(exc: sqlite3.DatabaseError, path: Path) -> LoadgenError | None:
    code = getattr(exc, "sqlite_errorcode", 0) & 0xFF  # the low byte is the kind, the rest says more
    if code == sqlite3.SQLITE_NOTADB:
        return RunFileError(f"{path} is not a run file", code="LG611")
    if code == sqlite3.SQLITE_CORRUPT:
        return damaged(path, str(exc))
    if code == sqlite3.SQLITE_FULL:
        text = f"the disk of {path} is full: results wait on the workers until there is room"
        return StoreFull(text, code="LG616", hints=("free some space; nothing is lost as long as the workers live",))
    if isinstance(exc, sqlite3.OperationalError) and code != sqlite3.SQLITE_ERROR:
        return StoreError(f"cannot write or read {path}: {exc}", code="LG616")
    return None


def damaged(path: Path, what: str) -> RunFileError:
    hints = ("its numbers cannot be trusted; what can be saved: sqlite3 FILE .recover",)
    return RunFileError(f"the run file {path} is damaged: {what}", code="LG612", hints=hints)


class RunLock:
    """Held by the one process that writes a run file, and gone with it, however it ends.

    It lies in a file of its own: closing any other descriptor of the run file itself would end
    SQLite's own locks.
    """

    def __init__(self, path: Path) -> None:
        """Raises RunFileError if somebody else holds it."""
        self._path = path.with_name(path.name + ".lock")
        while True:
            try:
                self._fd = os.open(self._path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o666)
            except OSError as exc:
                raise StoreError(f"cannot lock the run file {path}: {exc.strerror}", code="LG616") from exc
            try:
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as exc:
                holder = os.pread(self._fd, 200, 0).decode("utf-8", "replace").strip()
                os.close(self._fd)
                raise _in_use(path, holder) from exc
            if self._is_current():
                break
            os.close(self._fd)  # its holder removed the file just after we had opened it
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, f"process {os.getpid()} on {platform.node()}\n".encode(), 0)
        except OSError:
            pass  # on a full disk the lock holds all the same; only who holds it stays unsaid

    def release(self) -> None:
        if self._is_current():
            os.unlink(self._path)
        os.close(self._fd)

    def _is_current(self) -> bool:
        try:
            return os.path.samestat(os.fstat(self._fd), os.stat(self._path))
        except FileNotFoundError:
            return False


def _in_use(path: Path, holder: str) -> RunFileError:
    return RunFileError(
        f"the run file {path} is in use by {holder or 'another process'}",
        code="LG614",
        hints=("a run has one master: stop that one first, or wait until it has ended",),
    )
