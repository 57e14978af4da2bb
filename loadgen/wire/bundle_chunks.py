"""A bundle in pieces: how it is cut, and how a worker puts it together again, whatever arrives how often.

::

    BUNDLE_WANTED  {sha256, first, count}          a worker asks for `count` (at most WINDOW) chunks from `first` on
    BUNDLE_CHUNK   {sha256, index, total, data}    the master's answer, one frame each

All chunks have CHUNK_BYTES but the last. Pure: no sockets, no clock; who asks again, and when, is the agent's.
"""

from __future__ import annotations

import re
from typing import Any, TypeGuard

from loadgen.errors import Malformed
from loadgen.wire.bundle_archive import verify
from loadgen.wire.bundle_format import HARD_LIMITS, Limits

CHUNK_BYTES = 256 << 10
WINDOW = 4
_SHA256 = re.compile(r"[0-9a-f]{64}")


def chunks(data: bytes) -> list[bytes]:
    """The data in pieces of 256 KiB."""
    return [data[start : start + CHUNK_BYTES] for start in range(0, len(data), CHUNK_BYTES)]


def is_sha256(value: object) -> TypeGuard[str]:
    """Whether this is a SHA-256 as it is written here: 64 digits, small letters."""
    return isinstance(value, str) and _SHA256.fullmatch(value) is not None


def is_count(value: object) -> TypeGuard[int]:
    """Whether this is a whole number of 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


class Receiver:
    """Collects the chunks of one bundle whose name and compressed size are known from the welcome.

    Invariant: it keeps at most `size` bytes, and `data` is only ever a bundle of that name, verified whole.
    """

    def __init__(self, sha256: str, size: int, limits: Limits = HARD_LIMITS) -> None:
        if not is_sha256(sha256) or not is_count(size) or not 0 < size <= limits.data_bytes:
            raise Malformed(f"bundle: no name, or a size of {size!r}")
        self.sha256 = sha256
        self.size = size
        self.total = -(-size // CHUNK_BYTES)
        self.data = b""  # the whole bundle, once it is complete
        self.failures = 0  # how often all chunks were there and the whole was wrong
        self._limits = limits
        self._chunks: dict[int, bytes] = {}
        self._first_missing = 0

    @property
    def is_complete(self) -> bool:
        return bool(self.data)

    @property
    def received(self) -> int:
        """How many different chunks are here."""
        return self.total if self.is_complete else len(self._chunks)

    def missing(self) -> range:
        """The chunks to ask for next: the first gap, at most WINDOW of it; empty when complete."""
        if self.is_complete:
            return range(0)
        end = self._first_missing
        while end < self.total and end - self._first_missing < WINDOW and end not in self._chunks:
            end += 1
        return range(self._first_missing, end)

    def wanted(self) -> dict[str, Any]:
        """The body of BUNDLE_WANTED that asks for them."""
        missing = self.missing()
        return {"sha256": self.sha256, "first": missing.start, "count": len(missing)}

    def on_body(self, body: dict[str, Any]) -> bool:
        """Take the body of a BUNDLE_CHUNK; one of another bundle is ignored. As `add`."""
        if body.get("sha256") != self.sha256:
            return self.is_complete
        return self.add(body.get("index"), body.get("total"), body.get("data"))

    def add(self, index: object, total: object, data: object) -> bool:
        """Keep one chunk; whether the bundle is complete now.

        A repeated chunk is ignored. Raises Malformed for one that cannot be a part of this bundle, which changes
        nothing, and when the last one came and the whole is not the bundle of this name: then all are missing again.
        """
        if self.is_complete:
            return True
        if not isinstance(index, int) or isinstance(index, bool) or not isinstance(data, bytes):
            raise Malformed("chunk: a field has the wrong type")
        if total != self.total or not 0 <= index < self.total or len(data) != self._length_of(index):
            raise Malformed(f"chunk {index} of {total!r} with {len(data)} bytes in a bundle of {self.size}")
        self._chunks.setdefault(index, data)
        while self._first_missing in self._chunks:
            self._first_missing += 1
        if self._first_missing == self.total:
            self._complete()
        return self.is_complete

    def _length_of(self, index: int) -> int:
        return min(CHUNK_BYTES, self.size - index * CHUNK_BYTES)

    def _complete(self) -> None:
        data = b"".join(self._chunks.pop(index) for index in range(self.total))
        self._first_missing = 0
        try:
            verify(data, self.sha256, self._limits)
        except Malformed:
            self.failures += 1
            raise
        self.data = data
