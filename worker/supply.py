"""What a worker asks its master for: the scenario's bundle, and rows of shared test data.

Both block the asking greenlet and ask again until the answer is there: a frame may be lost with its
connection, and the master answers a repeated question in the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from gevent.event import AsyncResult, Event

from loadgen.bundle import BundleCache, Receiver
from loadgen.data_port import Grant, Place, Wanted
from loadgen.errors import Malformed, ScenarioError
from loadgen.wire.messages import MessageType

ASK_AGAIN_S = 3.0
MAX_FAILURES = 3  # bundles that arrived damaged, before we stop trying

Ask = Callable[[MessageType, dict[str, Any]], None]


class BundleFetcher:
    """Fetches one bundle and unpacks it into a folder of this process."""

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._receiver: Receiver | None = None
        self._arrived = Event()
        self._cache: BundleCache | None = None

    def fetch(self, announced: dict[str, Any]) -> Path:
        """The path of the scenario file. Raises ScenarioError if what arrives cannot be used."""
        try:
            receiver = self._receiver = Receiver(str(announced.get("sha256")), int(announced.get("size", -1)))
        except (Malformed, TypeError, ValueError) as exc:
            raise ScenarioError(f"the master announces a bundle that cannot be: {exc}", code="LG306") from exc
        while not receiver.is_complete:
            if receiver.failures >= MAX_FAILURES:
                raise ScenarioError("the scenario's bundle keeps arriving damaged", code="LG306")
            self._arrived.clear()
            wanted = receiver.wanted()
            self._ask(MessageType.BUNDLE_WANTED, wanted)
            self._wait_for(receiver, wanted["first"] + wanted["count"])
        self._cache = BundleCache()
        return self._cache.put(receiver.sha256, receiver.data)

    def on_chunk(self, body: dict[str, Any]) -> None:
        """A chunk arrived. Raises Malformed if it is none of ours."""
        if self._receiver is not None:
            self._receiver.on_body(body)
            self._arrived.set()

    def close(self) -> None:
        """Remove the folder."""
        if self._cache is not None:
            self._cache.close()

    def _wait_for(self, receiver: Receiver, upto: int) -> None:
        """Until every chunk asked for is there, or too long nothing came."""
        while not receiver.is_complete and receiver.received < upto:
            if not self._arrived.wait(ASK_AGAIN_S):
                return
            self._arrived.clear()


class MasterRows:
    """The port through which data sources lease rows from the master."""

    def __init__(self, ask: Ask, place: Place) -> None:
        self._ask = ask
        self._place = place
        self._waiting: dict[tuple[str, int], AsyncResult[Grant]] = {}

    def want(self, wanted: Wanted) -> Grant:
        key = (wanted.source, wanted.number)
        answer = self._waiting.setdefault(key, AsyncResult())
        try:
            while True:
                self._ask(MessageType.ROWS_WANTED, wanted.to_wire())
                grant = answer.wait(ASK_AGAIN_S)
                if grant is not None:
                    return grant
        finally:
            self._waiting.pop(key, None)

    def place(self) -> Place:
        return self._place

    def on_grant(self, body: dict[str, Any]) -> None:
        """An answer arrived. Raises Malformed; one that nobody waits for is ignored."""
        grant = Grant.from_wire(body)
        answer = self._waiting.get((str(body.get("source")), int(body.get("number") or 0)))
        if answer is not None and not answer.ready():
            answer.set(grant)
