"""What all HTTP clients of one worker process share: event loop, resolver, deadlines, request heads, recorder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from gevent import get_hub

from loadgen.http.connection import Connection
from loadgen.http.deadlines import Reaper
from loadgen.http.outgoing import Blocks
from loadgen.http.plans import MAX_SITES, Routes, Site
from loadgen.http.resolver import Resolver
from loadgen.http.settings import ClientSettings

if TYPE_CHECKING:
    from loadgen.hooks import EventHook
    from loadgen.metrics.recorder import Recorder

DNS_TTL_S = 30.0


class HttpEngine:
    """One per worker process, made in the thread whose event loop runs its clients."""

    def __init__(
        self,
        recorder: Recorder,
        *,
        request_event: EventHook | None = None,
        dns_ttl_s: float = DNS_TTL_S,
        resolver: Resolver | None = None,
    ) -> None:
        """`request_event` is fired for each request with Locust's arguments, if anybody listens."""
        self.hub: Any = get_hub()
        self.recorder = recorder
        self.request_event = request_event
        self.resolver = resolver if resolver is not None else Resolver(ttl_s=dns_ttl_s)
        self.connections: set[Connection] = set()
        self.reaper = Reaper(self.hub, self.connections)
        self.routes = Routes()
        self.blocks = Blocks()
        self._sites: dict[tuple[str | None, ClientSettings], Site] = {}

    def site(self, base_url: str | None, settings: ClientSettings) -> Site:
        """The shared site of a base URL with these settings. Raises InvalidUrl."""
        key = (base_url, settings)
        site = self._sites.get(key)
        if site is None:
            if len(self._sites) >= MAX_SITES:
                self._sites.clear()  # clients keep theirs
            site = self._sites[key] = Site(base_url, settings, self.recorder, self.routes)
            self.reaper.expect(settings.timeouts.shortest_ns)
        return site

    def close(self) -> None:
        """Close every connection and stop the timer. Requests in flight are not told: stop the users first."""
        self.reaper.close()
        for connection in list(self.connections):
            connection.close()
