"""Bytes that are read only while a body is sent: files, iterators, and several of them in a row.

Invariant: a chunk is never empty (in chunked coding an empty chunk would end the body), and a source
that knows its length gives exactly that many bytes or raises.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

READ_SIZE = 64 * 1024  # one read per send; measured sizes above it bring nothing on loopback


class FileSource:
    """A file object from its present position to its end.

    `length` is the number of bytes, or None where only reading tells (text, pipes). A seekable file
    starts again from the same position at each iteration; text is sent as UTF-8.
    """

    __slots__ = ("_file", "_start", "length", "replayable")

    def __init__(self, file: Any) -> None:
        self._file = file
        self._start = _position(file)
        self.replayable = self._start is not None
        self.length = None if self._start is None else _bytes_left(file, self._start)

    def __iter__(self) -> Iterator[bytes]:
        if self._start is not None:
            self._file.seek(self._start)
        return self._read_all() if self.length is None else self._read_exactly(self.length)

    def _read_all(self) -> Iterator[bytes]:
        while chunk := self._file.read(READ_SIZE):
            yield to_bytes(chunk)

    def _read_exactly(self, left: int) -> Iterator[bytes]:
        """The length stands in the head already: a file that grows is cut, one that shrinks is an error."""
        while left:
            chunk = self._file.read(min(left, READ_SIZE))
            if not chunk:
                raise ValueError(f"the file {name_of(self._file)!r} became {left} bytes shorter while it was sent")
            left -= len(chunk)
            yield to_bytes(chunk)


class IteratorSource:
    """The items of any iterable of bytes or str. Sent once: nothing is kept to send it again."""

    __slots__ = ("_items",)
    length = None
    replayable = False

    def __init__(self, items: Iterable[bytes | str]) -> None:
        self._items = iter(items)

    def __iter__(self) -> Iterator[bytes]:
        return (chunk for chunk in map(to_bytes, self._items) if chunk)


class BytesSource:
    """Bytes in memory, as one chunk."""

    __slots__ = ("_content", "length")
    replayable = True

    def __init__(self, content: bytes) -> None:
        self._content = content
        self.length: int | None = len(content)

    def __iter__(self) -> Iterator[bytes]:
        return iter((self._content,) if self._content else ())


Source = FileSource | IteratorSource | BytesSource


class ChainSource:
    """Several sources one after the other; as long as all of them, as replayable as the least of them."""

    __slots__ = ("_parts", "length", "replayable")

    def __init__(self, parts: Sequence[Source]) -> None:
        self._parts = parts
        lengths = [part.length for part in parts if part.length is not None]
        self.length = sum(lengths) if len(lengths) == len(parts) else None
        self.replayable = all(part.replayable for part in parts)

    def __iter__(self) -> Iterator[bytes]:
        return (chunk for part in self._parts for chunk in part)


def to_bytes(value: object) -> bytes:
    """The value as bytes, str as UTF-8. Raises TypeError for anything that is neither."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, bytearray | memoryview):
        return bytes(value)
    raise TypeError(f"a body is made of bytes or str, not {type(value).__name__}")


def name_of(file: object) -> str:
    """The base name of an open file, or "" where it has none (pipes, memory)."""
    name = getattr(file, "name", None)
    return os.path.basename(name) if isinstance(name, str) and not name.startswith("<") else ""


def _position(file: Any) -> int | None:
    """Where the file stands; None if it cannot be wound back there."""
    try:
        position: int = file.tell()
        file.seek(position)
    except (AttributeError, OSError, ValueError):
        return None
    return position


def _bytes_left(file: Any, start: int) -> int | None:
    """Bytes from `start` to the end of a seekable file; None for text, whose length in UTF-8 differs."""
    try:
        if isinstance(file.read(0), str):
            return None
        file.seek(0, os.SEEK_END)
        end: int = file.tell()
        file.seek(start)
    except (OSError, ValueError):  # a compressed file cannot always seek from its end
        file.seek(start)
        return None
    return max(0, end - start)
