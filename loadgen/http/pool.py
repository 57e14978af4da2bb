"""The connections of one user that rest between requests, and the TLS sessions of those that are closed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from loadgen.http.connection import Connection
from loadgen.http.reader import ResponseReader

if TYPE_CHECKING:
    import ssl

    from loadgen.http.engine import HttpEngine
    from loadgen.http.plans import Route, Site

MAX_SESSIONS = 16
EXCESS = "http: connections closed for bytes after the end of a response"


class Pool:
    """Small and made for one connection: most users need no second one."""

    __slots__ = ("_engine", "_resting", "_sessions", "_site", "_spare")

    def __init__(self, engine: HttpEngine, site: Site) -> None:
        self._engine = engine
        self._site = site
        self._spare: Connection | None = None  # the idle connection used last
        self._resting: list[Connection] | None = None  # further idle ones
        self._sessions: dict[Route, ssl.SSLSession] | None = None

    def close(self) -> None:
        """Close the idle connections. The client can be used on: it opens new ones. Raises nothing."""
        spare, resting = self._spare, self._resting
        self._spare = self._resting = None
        if spare is not None:
            spare.close()
        for connection in resting or ():
            connection.close()

    def __del__(self) -> None:
        if self._spare is not None or self._resting:
            self.close()

    def _idle(self, route: Route) -> Connection | None:
        connection = self._spare
        if connection is not None and connection.route is route:
            self._spare = None
            if connection.stream is not None:
                return connection
        resting = self._resting
        if resting:
            for connection in reversed(resting):
                if connection.route is route and connection.stream is not None:
                    resting.remove(connection)
                    return connection
        return None

    def release(self, connection: Connection, reader: ResponseReader) -> None:
        """Keep the connection for later if its response ended cleanly, and the reader with it."""
        if not reader.keep_alive:
            if reader.excess:
                self._engine.recorder.count(EXCESS)
            self._retire(connection)
            return
        if type(reader) is ResponseReader and not reader.interim:
            reader.reset()
            self._site.readers.append(reader)
        before = self._spare
        self._spare = connection
        if before is not None and before.stream is not None:
            self._rest(before)

    def _rest(self, connection: Connection) -> None:
        resting = [one for one in self._resting or () if one.stream is not None]
        resting.append(connection)
        if len(resting) > self._site.settings.max_idle_connections:
            resting.pop(0).close()
        self._resting = resting

    def _retire(self, connection: Connection) -> None:
        """Close it, keeping its TLS session for the next one.

        A session that was resumed is kept on: taking one out, and putting it in, copies it each time (160 µs
        with the certificate chain, more than resuming saves if both are done for every connection).
        """
        secured, route = connection.secured, connection.route
        if secured is not None and self._site.settings.resume_tls and not secured.tls.session_reused:
            if self._sessions is None or len(self._sessions) >= MAX_SESSIONS:
                self._sessions = {}
            session = secured.tls.session if route.keeps_session() else None
            if session is not None:
                self._sessions[route] = session
            else:
                self._sessions.pop(route, None)  # it was refused
        connection.close()
