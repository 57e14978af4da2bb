"""HTTP clients for tests, and what their recorder says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from loadgen.http.client import HttpClient
from loadgen.http.engine import HttpEngine
from loadgen.http.owner import NoOwner
from loadgen.http.settings import ClientSettings, Timeouts
from loadgen.metrics.failure import Failure
from loadgen.metrics.recorder import Recorder, Series
from loadgen.metrics.tally import Kind

PATIENT = ClientSettings(timeouts=Timeouts(5.0, 5.0, 5.0, 20.0))  # a fault in a test must not hang it


class Books(Recorder):
    """A recorder that keeps every failure, and can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.failures: list[Failure] = []

    def note_failure(self, series: Series, failure: Failure) -> None:
        self.failures.append(failure)
        super().note_failure(series, failure)

    def _total(self, *kinds: Kind) -> int:
        return sum(
            sum(tally.buckets.values())
            for series in self.all_series
            for kind, tally in series.tallies.items()
            if kind in kinds
        )

    @property
    def ok(self) -> int:
        return self._total(Kind.OK, Kind.OK_WAITED_SERVICE)

    @property
    def failed(self) -> int:
        return self._total(Kind.FAILED, Kind.FAILED_WAITED_SERVICE)

    @property
    def cancelled(self) -> int:
        return self._total(Kind.CANCELLED)

    @property
    def bytes(self) -> int:
        return sum(tally.bytes for series in self.all_series for tally in series.tallies.values())

    @property
    def records(self) -> tuple[int, int, int]:
        """(ok, failed, cancelled)."""
        return self.ok, self.failed, self.cancelled

    @property
    def names(self) -> set[tuple[str, str]]:
        """(method, name) of every series something was recorded in."""
        return {(s.method, s.name) for s in self.all_series if any(t.buckets for t in s.tallies.values())}


class Bench:
    """An engine with its books and one client."""

    def __init__(self, base_url: str | None, settings: ClientSettings, **engine: Any) -> None:
        self.books = Books()
        self.engine = HttpEngine(self.books, **engine)
        self.owner = NoOwner()
        self.client = HttpClient(self.engine, base_url, self.owner, settings)


@contextmanager
def bench(base_url: str | None, settings: ClientSettings = PATIENT, **engine: Any) -> Iterator[Bench]:
    """A client for `base_url`; at the end nothing of it may still be in use."""
    made = Bench(base_url, settings, **engine)
    try:
        yield made
    finally:
        busy = [connection for connection in made.engine.connections if connection.reader is not None]
        made.client.close()
        made.engine.close()
        assert not busy
