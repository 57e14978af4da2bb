"""One user's requests on their way: hop by hop, over connections of its own, until each is recorded.

`HttpClient` adds what a scenario calls. What is decided here: which connection a request takes, when it is sent once
more (see may_retry), which redirects are followed, and that every request ends in exactly one record.
"""

from __future__ import annotations

from collections.abc import Mapping
from time import monotonic_ns, time
from typing import TYPE_CHECKING

import gevent
from gevent import GreenletExit

from loadgen.http.bodies import NO_BODY
from loadgen.http.connection import Connection
from loadgen.http.cookies import CookieJar
from loadgen.http.dialing import dial
from loadgen.http.errors import ConnectionLost, HttpError
from loadgen.http.headers import ClientHeaders, Headers
from loadgen.http.measurement import Measurement
from loadgen.http.outgoing import payload as payload_of
from loadgen.http.outgoing import pieces_of
from loadgen.http.plans import Plan, Site
from loadgen.http.reader import HeadReader, ResponseReader, StreamReader
from loadgen.http.redirects import STATUSES, next_request
from loadgen.http.response import Response
from loadgen.http.settings import DEFAULTS, ClientSettings
from loadgen.http.streaming import CaughtStream, StreamedResponse
from loadgen.http.verdicts import CaughtResponse

if TYPE_CHECKING:
    import ssl

    from loadgen.http.engine import HttpEngine
    from loadgen.http.owner import RequestOwner
    from loadgen.http.plans import Route

MAX_SESSIONS = 16
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 §9.2.2
RETRIES = "http: requests sent again on a new connection"
EXCESS = "http: connections closed for bytes after the end of a response"


class Sender:
    """See the module. Several greenlets may use it at once: each gets a connection of its own."""

    __slots__ = (
        "_auth",
        "_engine",
        "_headers",
        "_jar",
        "_ordinary",
        "_owner",
        "_request_name",
        "_resting",
        "_sessions",
        "_site",
        "_spare",
    )  # fmt: skip

    def __init__(
        self,
        engine: HttpEngine,
        base_url: str | None,
        owner: RequestOwner,
        settings: ClientSettings = DEFAULTS,
    ) -> None:
        """Raises InvalidUrl if `base_url` is no http(s) URL."""
        self._engine = engine
        self._owner = owner
        self._site: Site = engine.site(base_url, settings)
        self._spare: Connection | None = None  # the idle connection used last
        self._resting: list[Connection] | None = None  # further idle ones
        self._headers: ClientHeaders | None = None
        self._jar: CookieJar | None = None
        self._auth: str | None = None
        self._request_name: str | None = None
        self._sessions: dict[Route, ssl.SSLSession] | None = None
        self._ordinary = True  # no cookies, headers, credentials or request_name of its own

    def close(self) -> None:
        """Close the idle connections. The client can be used on: it opens new ones."""
        for connection in [self._spare, *(self._resting or ())]:
            if connection is not None:
                connection.close()
        self._spare = self._resting = None

    def __del__(self) -> None:
        if self._spare is not None or self._resting:
            self.close()

    # -- one request, hop by hop --------------------------------------------------------------

    def _perform(self, measurement: Measurement) -> Response:
        """Send it, follow redirects, record it."""
        payload = self._payload(measurement)  # what cannot be asked is raised here, and leaves no record
        try:
            while True:
                connection, reader = self._attempt(measurement, payload)
                response = self._take_in(measurement, connection, reader, payload)
                if response is not None:
                    return response
                payload = self._payload(measurement)
        except BaseException as exc:  # noqa: BLE001 - however a request ends, it is recorded
            return self._broken(measurement, exc)

    def _attempt(self, measurement: Measurement, payload: bytes) -> tuple[Connection, ResponseReader]:
        """Send once; a second time, on a new connection, only if nobody can tell the difference."""
        while True:
            connection = self._connection(measurement)
            reader = self._reader(measurement)
            try:
                self._exchange(measurement, connection, reader, payload)
            except ConnectionLost as exc:
                if not may_retry(measurement, reader):
                    measurement.size += reader.size
                    raise exc
                self._note_retry(measurement)
            except BaseException:
                measurement.size += reader.size
                raise
            else:
                return connection, reader

    def _exchange(
        self, measurement: Measurement, connection: Connection, reader: ResponseReader, payload: bytes
    ) -> None:
        timeouts = measurement.timeouts
        begun_ns = measurement.begun_ns
        deadline_ns = min(monotonic_ns() + timeouts.first_ns, begun_ns + timeouts.total_ns)
        self._owner.has_yielded = True
        pieces = pieces_of(measurement.body)
        if pieces is None and not measurement.stream:
            connection.exchange(payload, reader, timeouts, begun_ns, deadline_ns)
        else:
            connection.begin(payload, pieces or (), reader, timeouts, begun_ns, deadline_ns)
            while not (reader.done or (measurement.stream and reader.headed)):
                connection.receive(reader)
            if not measurement.stream:
                connection.finish()

    def _recover(self, measurement: Measurement, reader: ResponseReader, exc: BaseException) -> Response:
        """The ordinary request of `get` broke: try again if that is allowed, else record how it ended."""
        if isinstance(exc, ConnectionLost) and may_retry(measurement, reader):
            self._note_retry(measurement)
            return self._perform(measurement)
        measurement.size = reader.size
        return self._broken(measurement, exc)

    def _ended(
        self, measurement: Measurement, connection: Connection, reader: ResponseReader, payload: bytes
    ) -> Response:
        """The ordinary request of `get` has a response with which something more is to be done."""
        try:
            response = self._take_in(measurement, connection, reader, payload)
            return response if response is not None else self._perform(measurement)
        except BaseException as exc:  # noqa: BLE001 - as in _perform
            return self._broken(measurement, exc)

    def _take_in(
        self, measurement: Measurement, connection: Connection, reader: ResponseReader, payload: bytes
    ) -> Response | None:
        """The final response, recorded unless that comes later; None after a redirect, which is now to be sent."""
        plan = measurement.plan
        if not measurement.ended_ns:
            measurement.end()
        status = reader.status
        if b"\nset-cookie:" in reader.head.lower():
            self._keep_cookies(plan, reader)
        if status in STATUSES and measurement.allow_redirects:
            if measurement.stream:
                while not reader.done:
                    connection.receive(reader)
                connection.finish()
            response = Response(plan, payload, status, reader.head, reader.body, measurement.elapsed_ns)
            try:
                redirected = self._redirected(measurement, response, reader)
            except HttpError:
                measurement.size += reader.size
                self.release(connection, reader)
                raise
            if redirected:
                self.release(connection, reader)
                return None
        return self._response(measurement, connection, reader, payload)

    def _redirected(self, measurement: Measurement, response: Response, reader: ResponseReader) -> bool:
        """Turn the measurement to its next hop, if there is one. May raise an HttpError."""
        redirect = next_request(
            measurement.plan.method,
            measurement.plan.url,
            response.status_code,
            response.headers.get("location"),
            hops=measurement.hops,
            limit=self._site.settings.max_redirects,
            is_replayable=measurement.body.replayable,
        )
        if redirect is None:
            return False
        measurement.hops += 1
        measurement.history = [*(measurement.history or ()), response]
        measurement.size += reader.size
        measurement.plan = measurement.site.plan(redirect.method, redirect.url)
        measurement.dropped |= redirect.dropped_headers
        if redirect.is_cross_origin:
            measurement.authorization = None
        if not redirect.keeps_body:
            measurement.body = NO_BODY
        measurement.ended_ns = 0
        return True

    def _response(
        self, measurement: Measurement, connection: Connection, reader: ResponseReader, payload: bytes
    ) -> Response:
        """The response as the scenario gets it, in the form it asked for."""
        make = RESPONSES[measurement.catch, measurement.stream]
        response = make(measurement.plan, payload, reader.status, reader.head, reader.body, measurement.elapsed_ns)
        if measurement.history:
            response.history = measurement.history
        if isinstance(response, StreamedResponse):
            assert isinstance(reader, StreamReader)
            response.attach(self, measurement, connection, reader)
            if isinstance(response, CaughtResponse):
                response.defer(measurement)
            return response
        measurement.size += reader.size
        self.release(connection, reader)
        if isinstance(response, CaughtResponse):
            response.defer(measurement)
        else:
            measurement.settle(response)
        return response

    def _broken(self, measurement: Measurement, exc: BaseException) -> Response:
        """Record how the request ended. An HttpError becomes a response with status 0; all else is raised again."""
        measurement.end()
        if isinstance(exc, GreenletExit):
            measurement.settle_cancelled()
            raise exc
        if not isinstance(exc, HttpError):
            measurement.settle_failed(exc, None)
            raise exc
        make = RESPONSES[measurement.catch, False]
        response = make(measurement.plan, b"", 0, b"", b"", measurement.elapsed_ns)
        exc.__traceback__ = None  # it holds every frame down to the socket
        response.error = exc
        if measurement.history:
            response.history = measurement.history
        if isinstance(response, CaughtResponse):
            response.defer(measurement)
        else:
            measurement.settle_failed(exc, response)
        if exc.phase in ("dns", "connect"):  # nobody may have waited, and a target that refuses must not stop the hub
            gevent.sleep(0)
        self._owner.has_yielded = True
        return response

    # -- connections --------------------------------------------------------------------------

    def _connection(self, measurement: Measurement) -> Connection:
        """An idle connection, or a new one."""
        route = measurement.plan.route
        if not measurement.must_dial:
            connection = self._idle(route)
            if connection is not None:
                measurement.reused = True
                self._engine.recorder.requests_on_reused += 1
                return connection
        measurement.must_dial = measurement.reused = False
        session = self._sessions.get(route) if self._sessions else None
        return dial(self._engine, route, measurement.timeouts, measurement.begun_ns, measurement.series, session)

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
        secured = connection.secured
        if secured is not None and self._site.settings.resume_tls and not secured.tls.session_reused:
            if self._sessions is None or len(self._sessions) >= MAX_SESSIONS:
                self._sessions = {}
            session = secured.tls.session
            if session is not None:
                self._sessions[connection.route] = session
        connection.close()

    def _reader(self, measurement: Measurement) -> ResponseReader:
        max_body = self._site.settings.max_body_bytes
        if measurement.plan.method == "HEAD":
            return HeadReader(max_body)
        if measurement.stream:
            return StreamReader()
        readers = self._site.readers
        return readers.pop() if readers else ResponseReader(max_body)

    # -- what is sent along -------------------------------------------------------------------

    def _payload(self, measurement: Measurement) -> bytes:
        """The request's bytes, without those that `pieces_of` gives."""
        plan = measurement.plan
        body = measurement.body
        if measurement.ordinary and self._ordinary and body is NO_BODY:
            return plan.payload
        site = measurement.site
        own = self._headers
        if own is None and not measurement.headers and not measurement.dropped:
            block = site.block
        else:
            defaults = site.settings.default_headers if own is None else own.fields
            block = self._engine.blocks.get(defaults, measurement.headers, measurement.dropped)
        authorization = measurement.authorization
        if authorization is None and "authorization" not in measurement.dropped:
            authorization = self._auth
        cookie = self._cookie(plan, measurement.cookies)
        return payload_of(plan, block, authorization or plan.authorization, cookie, body)

    def _cookie(self, plan: Plan, cookies: Mapping[str, str] | None) -> str | None:
        if self._jar is None and not cookies:
            return None
        jar = self._jar if self._jar is not None else CookieJar()
        return jar.header_for(plan.target, plan.path, plan.target.is_tls, time(), cookies)

    def _keep_cookies(self, plan: Plan, reader: ResponseReader) -> None:
        values = Headers(reader.head).get_all("set-cookie")
        self._own_jar().store(values, plan.target, plan.path, time())

    def _own_jar(self) -> CookieJar:
        if self._jar is None:
            target = self._site.target
            self._jar = CookieJar(target.host if target is not None else "")
            self._judge_ordinary()
        return self._jar

    def _judge_ordinary(self) -> None:
        self._ordinary = (
            self._headers is None and self._jar is None and self._auth is None and self._request_name is None
        )

    def _note_retry(self, measurement: Measurement) -> None:
        measurement.retried = measurement.must_dial = True
        self._engine.recorder.count(RETRIES)


def may_retry(measurement: Measurement, reader: ResponseReader) -> bool:
    """Is this a reused connection that turned out closed, and would sending again do no harm?

    Once, before any byte of a response, only what RFC 9110 §9.2.2 calls idempotent, only a body that is still there.
    """
    return (
        measurement.reused
        and not measurement.retried
        and not reader.head
        and measurement.plan.method in IDEMPOTENT
        and measurement.body.replayable
    )


RESPONSES: dict[tuple[bool, bool], type[Response]] = {  # (catch_response, stream)
    (False, False): Response,
    (False, True): StreamedResponse,
    (True, False): CaughtResponse,
    (True, True): CaughtStream,
}
