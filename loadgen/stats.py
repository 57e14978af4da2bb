"""`environment.stats`: the results so far, by the names Locust scenarios read.

A view, never a store: each read asks for the newest snapshot. On the master that is the whole run;
a worker sees what its process knows. Times are milliseconds, of successful requests, with the time
a request waited for its late iteration included (response time).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from loadgen.metrics.snapshot import EndpointTotals, ErrorGroup, Snapshot

Source = Callable[[], Snapshot]


class RequestStats:
    """All endpoints (`entries`), their total, and the errors."""

    def __init__(self, source: Source = Snapshot) -> None:
        self._source = source

    @property
    def total(self) -> StatsEntry:
        snapshot = self._source()
        return StatsEntry(snapshot.totals, snapshot.elapsed_s, snapshot.window.rps)

    @property
    def entries(self) -> Entries:
        """{(name, method): StatsEntry}, as in Locust name first."""
        return Entries(self._source())

    @property
    def errors(self) -> dict[str, StatsError]:
        """Errors by a key that stays the same between two reads."""
        groups = self._source().errors
        return {f"{one.method}.{one.name}.{one.category}.{one.signature}": StatsError.of(one) for one in groups}

    @property
    def num_requests(self) -> int:
        return self.total.num_requests

    @property
    def num_failures(self) -> int:
        return self.total.num_failures

    def get(self, name: str, method: str) -> StatsEntry:
        """One endpoint; an empty entry if it was never requested."""
        found = self.entries.get((name, method))
        return found if found is not None else StatsEntry(EndpointTotals(method, name), 0.0, 0.0)


class StatsEntry:
    """One endpoint, or the total, at one moment."""

    def __init__(self, totals: EndpointTotals, elapsed_s: float, current_rps: float) -> None:
        self._totals = totals
        self._elapsed_s = elapsed_s
        self.current_rps = current_rps
        self.name = totals.name
        self.method = totals.method
        self.num_requests = totals.requests
        self.num_failures = totals.failures

    @property
    def fail_ratio(self) -> float:
        """0.0 … 1.0: failures over finished requests."""
        return self._totals.fail_ratio

    @property
    def avg_response_time(self) -> float:
        """Milliseconds; 0.0 without successful requests."""
        return self._totals.response.mean_us / 1000

    @property
    def min_response_time(self) -> float:
        return self._totals.response.min_us / 1000

    @property
    def max_response_time(self) -> float:
        return self._totals.response.max_us / 1000

    @property
    def median_response_time(self) -> float:
        return self.get_response_time_percentile(0.5)

    def get_response_time_percentile(self, percent: float) -> float:
        """Milliseconds for `percent` in (0, 1]; 0.0 without successful requests."""
        value_us = self._totals.response.percentile_us(percent)
        return 0.0 if value_us is None else value_us / 1000

    @property
    def avg_content_length(self) -> float:
        """Bytes per request."""
        return self._totals.bytes / self.num_requests if self.num_requests else 0.0

    @property
    def total_content_length(self) -> int:
        return self._totals.bytes

    @property
    def total_rps(self) -> float:
        """Requests per second since the start."""
        return self.num_requests / self._elapsed_s if self._elapsed_s > 0 else 0.0

    @property
    def total_fail_per_sec(self) -> float:
        return self.num_failures / self._elapsed_s if self._elapsed_s > 0 else 0.0


@dataclass(frozen=True, slots=True)
class StatsError:
    """One group of equal errors."""

    method: str
    name: str
    error: str
    occurrences: int

    @classmethod
    def of(cls, group: ErrorGroup) -> StatsError:
        return cls(group.method, group.name, group.latest_sample, group.count)


class Entries(Mapping[tuple[str, str], StatsEntry]):
    """The endpoints of one snapshot."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._entries = {
            (one.name, one.method): StatsEntry(
                one, snapshot.elapsed_s, snapshot.window.by_name.get((one.method, one.name), 0.0)
            )
            for one in snapshot.endpoints
        }

    def __getitem__(self, key: tuple[str, str]) -> StatsEntry:
        return self._entries[key]

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)
