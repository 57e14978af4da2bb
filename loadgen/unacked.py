"""What a worker leaves behind when it must give up: its measurements that no master acknowledged.

One file per worker process, `unacked-<uid>.lg`, to be added to the run later with
`loadgen import-unacked`. Little-endian:

    magic     8 bytes, b"LGUNACK1"
    records   length <u4, CRC-32 of the content <u4, content

The first record is a msgpack map: run_id (bytes), uid (bytes), worker. Each further one is a sealed
delta: its number <u8, then its body, in order. A file that was cut off gives what is whole.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgpack

from loadgen.errors import RunFileError
from loadgen.metrics.delta import MAX_BODY

MAGIC = b"LGUNACK1"
_FRAME = struct.Struct("<II")
_NUMBER = struct.Struct("<Q")
_MAX_CONTENT = _NUMBER.size + MAX_BODY


@dataclass(frozen=True, slots=True)
class Unacked:
    """The unacknowledged deltas of one worker process, oldest first."""

    run_id: bytes
    uid: bytes
    worker: str  # "w3", as the master had named it; "" if it never did
    deltas: tuple[tuple[int, bytes], ...]  # number and body
    torn: str = ""  # what is wrong with the end of the file, "" if nothing


def file_name(uid: bytes) -> str:
    return f"unacked-{uid.hex()}.lg"


def write(folder: Path, unacked: Unacked) -> Path:
    """Write the file, whole or not at all; its path. Raises OSError."""
    path = folder / file_name(unacked.uid)
    unfinished = folder / f".{path.name}.{os.getpid()}"
    head: bytes = msgpack.packb({"run_id": unacked.run_id, "uid": unacked.uid, "worker": unacked.worker})
    try:
        with open(unfinished, "wb") as file:
            file.write(MAGIC + _record(head))
            for number, body in unacked.deltas:
                file.write(_record(_NUMBER.pack(number) + body))
            file.flush()
            os.fsync(file.fileno())
        os.replace(unfinished, path)
    except OSError:
        unfinished.unlink(missing_ok=True)
        raise
    _sync_folder(folder)
    return path


def read(path: Path) -> Unacked:
    """What is in the file, up to the first record that is not whole. Raises RunFileError if it is none of ours."""
    try:
        data = path.read_bytes()
    except OSError as exc:
        raise RunFileError(f"cannot read {path}: {exc.strerror}", code="LG621") from exc
    if not data.startswith(MAGIC):
        raise RunFileError(f"{path} holds no results of a worker", code="LG621", hints=(_HINT,))
    problems: list[str] = []
    records = _records(data, problems)
    try:
        head = _head(next(records, b""))
    except (ValueError, TypeError, KeyError) as exc:
        text = f"{path} is damaged at its start: it does not say which worker it is of"
        raise RunFileError(text, code="LG622") from exc
    deltas = [(_NUMBER.unpack_from(record)[0], record[_NUMBER.size :]) for record in records]
    return Unacked(*head, tuple(deltas), problems[0] if problems else "")


_HINT = "give a file named unacked-….lg, as a worker writes it when it must give up"


def _record(content: bytes) -> bytes:
    return _FRAME.pack(len(content), zlib.crc32(content)) + content


def _records(data: bytes, problems: list[str]) -> Iterator[bytes]:
    """The whole records; why it ended before the end of the data goes into `problems`."""
    place = len(MAGIC)
    while place < len(data):
        content = b""
        if place + _FRAME.size <= len(data):
            length, crc = _FRAME.unpack_from(data, place)
            content = data[place + _FRAME.size : place + _FRAME.size + min(length, _MAX_CONTENT)]
        if len(content) < _NUMBER.size or len(content) != length:
            problems.append(f"it is cut off after {place:,} of {len(data):,} bytes")
            return
        if zlib.crc32(content) != crc:
            problems.append(f"it is damaged after {place:,} of {len(data):,} bytes")
            return
        yield content
        place += _FRAME.size + length


def _head(record: bytes) -> tuple[bytes, bytes, str]:
    head: dict[str, Any] = msgpack.unpackb(record)
    run_id, uid, worker = head["run_id"], head["uid"], head["worker"]
    if not (isinstance(run_id, bytes) and isinstance(uid, bytes) and isinstance(worker, str)):
        raise TypeError("a field of another type")
    return run_id, uid, worker


def _sync_folder(folder: Path) -> None:
    """Make the new name in the folder as lasting as the file."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
