"""The master's side of the delivery: which bundles there are, and which chunk goes to whom next.

Pure: no sockets, and the time is passed in. `BundleStore` answers one question; `BundleSender` answers ten thousand
workers that ask at once, in turn, without ever having more than a fixed number of bytes on the way.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from loadgen.errors import Malformed
from loadgen.wire.bundle_archive import verify
from loadgen.wire.bundle_chunks import CHUNK_BYTES, WINDOW, chunks, is_count, is_sha256
from loadgen.wire.bundle_format import MIB
from loadgen.wire.messages import encode

ON_THE_WAY_BYTES = 64 * MIB  # of chunks handed to the sockets and not yet known to have arrived
BURST_BYTES = 8 * MIB  # per call of `due`: at 1–2 GB/s of copying the thread is away for a few ms
_WINDOW_BYTES = WINDOW * CHUNK_BYTES
PATIENCE_S = 10.0  # after this time what was sent to a silent peer is no longer held against the others


class BundleStore:
    """The bundles a master can hand out, each kept as the encoded bodies of its BUNDLE_CHUNK frames."""

    def __init__(self) -> None:
        self._bodies: dict[str, list[bytes]] = {}
        self._sizes: dict[str, int] = {}

    def put(self, sha256: str, data: bytes) -> None:
        """Have this bundle. Raises Malformed if the data is not the bundle of that name."""
        if sha256 in self._bodies:
            return
        verify(data, sha256)
        pieces = chunks(data)
        self._sizes[sha256] = len(data)
        self._bodies[sha256] = [
            encode({"sha256": sha256, "index": index, "total": len(pieces), "data": piece})
            for index, piece in enumerate(pieces)
        ]

    def drop(self, sha256: str) -> None:
        """Forget a bundle that no run needs any more."""
        self._bodies.pop(sha256, None)
        self._sizes.pop(sha256, None)

    def __contains__(self, sha256: object) -> bool:
        return sha256 in self._bodies

    def announce(self, sha256: str) -> dict[str, Any]:
        """What a worker must be told to ask for it: {sha256, size}."""
        return {"sha256": sha256, "size": self._sizes[sha256]}

    def answer(self, wanted: object) -> list[bytes]:
        """The bodies of the chunks asked for: at most WINDOW; none if the bundle is not here or ends before `first`.

        Raises Malformed if `wanted` is not the body of a BUNDLE_WANTED.
        """
        sha256, first, count = check_wanted(wanted)
        return self._bodies.get(sha256, [])[first : first + min(count, WINDOW)]


def check_wanted(wanted: object) -> tuple[str, int, int]:
    """(sha256, first, count) of a decoded BUNDLE_WANTED. Raises Malformed."""
    if not isinstance(wanted, dict):
        raise Malformed("bundle wanted: not a map")
    sha256, first, count = wanted.get("sha256"), wanted.get("first"), wanted.get("count")
    if not is_sha256(sha256) or not is_count(first) or not is_count(count):
        raise Malformed("bundle wanted: a field is missing or has the wrong type")
    return sha256, first, count


@dataclass(slots=True)
class _Sent:
    size: int
    at_ns: int


class BundleSender:
    """Whose turn it is: first come, first served, one window each, a bounded number of bytes on the way.

    What was sent to a peer counts as on the way until the peer asks again, is `gone` or `done`, or PATIENCE_S is over.
    Memory: one small entry per peer that asks; chunks are shared with the store.
    """

    def __init__(self, store: BundleStore, on_the_way_bytes: int = ON_THE_WAY_BYTES) -> None:
        self._store = store
        self._most = on_the_way_bytes
        self._waiting: dict[bytes, object] = {}  # peer -> what it wants, in the order of asking
        self._sent: dict[bytes, _Sent] = {}  # in the order of sending

    @property
    def is_idle(self) -> bool:
        """Nobody waits for a chunk."""
        return not self._waiting

    @property
    def on_the_way_bytes(self) -> int:
        return sum(one.size for one in self._sent.values())

    def want(self, peer: bytes, wanted: object) -> None:
        """The peer asks; asking again replaces what it asked before and keeps its place. Raises Malformed."""
        check_wanted(wanted)
        self._sent.pop(peer, None)
        self._waiting[peer] = wanted

    def done(self, peer: bytes) -> None:
        """The peer has everything it needs."""
        self._waiting.pop(peer, None)
        self._sent.pop(peer, None)

    gone = done

    def could_not_send(self, peer: bytes) -> None:
        """The socket refused a chunk: the peer will ask again when it is ready for more."""
        self._sent.pop(peer, None)

    def due(self, now_ns: int) -> list[tuple[bytes, bytes]]:
        """(peer, body) of the chunks to send now, at most about BURST_BYTES."""
        found: list[tuple[bytes, bytes]] = []
        if self.is_idle:
            return found
        self._forget_silent(now_ns)
        on_the_way, burst = self.on_the_way_bytes, 0
        while self._waiting and burst < BURST_BYTES and (not on_the_way or on_the_way + _WINDOW_BYTES <= self._most):
            peer = next(iter(self._waiting))
            bodies = self._store.answer(self._waiting.pop(peer))
            size = sum(map(len, bodies))
            if size:
                self._sent[peer] = _Sent(size, now_ns)
            on_the_way, burst = on_the_way + size, burst + size
            found += [(peer, body) for body in bodies]
        return found

    def _forget_silent(self, now_ns: int) -> None:
        while self._sent:
            peer, oldest = next(iter(self._sent.items()))
            if now_ns - oldest.at_ns < PATIENCE_S * 1e9:
                return
            del self._sent[peer]
