"""One user's requests on their way: hop by hop, over connections of its own, until each is recorded.

`HttpClient` adds what a scenario calls. What is decided here: which connection a request takes, when it is sent once
more (see may_retry), which redirects are followed, and that every request ends in exactly one record.
"""

from __future__ import annotations

from time import monotonic_ns, time
from typing import TYPE_CHECKING

import gevent
from gevent import GreenletExit

from loadgen.http.bodies import NO_BODY, Body, encode_body
from loadgen.http.connection import Connection
from loadgen.http.cookies import CookieJar
from loadgen.http.dialing import dial
from loadgen.http.errors import ConnectionLost, HttpError
from loadgen.http.headers import ClientHeaders, Headers
from loadgen.http.measurement import Measurement
from loadgen.http.outgoing import payload as payload_of
from loadgen.http.outgoing import pieces_of
from loadgen.http.plans import Plan
from loadgen.http.pool import Pool
from loadgen.http.reader import HeadReader, ResponseReader, StreamReader
from loadgen.http.redirects import STATUSES, next_request
from loadgen.http.response import Response
from loadgen.http.settings import DEFAULTS, ClientSettings
from loadgen.http.streaming import CaughtStream, StreamedResponse
from loadgen.http.verdicts import CaughtResponse

if TYPE_CHECKING:
    from loadgen.http.engine import HttpEngine
    from loadgen.http.owner import RequestOwner

NOTHING: frozenset[str] = frozenset()
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 §9.2.2
RETRIES = "http: requests sent again on a new connection"


class Sender(Pool):
    """See the module. Several greenlets may use it at once: each gets a connection of its own."""

    __slots__ = ("_auth", "_headers", "_jar", "_ordinary", "_owner", "_request_name")

    def __init__(
        self,
        engine: HttpEngine,
        base_url: str | None,
        owner: RequestOwner,
        settings: ClientSettings = DEFAULTS,
    ) -> None:
        """Raises InvalidUrl if `base_url` is no http(s) URL."""
        super().__init__(engine, engine.site(base_url, settings))
        self._owner = owner
        self._headers: ClientHeaders | None = None
        self._jar: CookieJar | None = None
        self._auth: str | None = None
        self._request_name: str | None = None
        self._ordinary = True  # no cookies, headers, credentials or request_name of its own

    # -- the ordinary request -----------------------------------------------------------------

    def _simple(self, plan: Plan, payload: bytes, body: Body, name: str | None) -> Response:
        """Send `payload`, which is the whole of the request, with default options and record it.

        One function, because every call costs ~60 ns here. What is not ordinary (a new connection, a redirect, a
        failure, a cookie, somebody listening) is left to the general way below.
        """
        begun_ns = monotonic_ns()
        engine, owner, site = self._engine, self._owner, self._site
        connection = self._spare
        timeouts = site.timeouts
        if connection is None or connection.route is not plan.route or connection.stream is None:
            return self._perform(Measurement(engine, owner, site, plan, name, timeouts, begun_ns, body), payload)
        self._spare = None
        engine.recorder.requests_on_reused += 1
        readers = site.readers
        reader = readers.pop() if readers else ResponseReader(site.settings.max_body_bytes)
        owner.has_yielded = True
        try:
            connection.exchange(payload, reader, timeouts, begun_ns, begun_ns + timeouts.first_ns)
        except BaseException as exc:  # noqa: BLE001 - recorded, then raised again unless an HttpError
            measurement = Measurement(engine, owner, site, plan, name, timeouts, begun_ns, body)
            measurement.reused = True
            return self._recover(measurement, reader, payload, exc)
        ended_ns = monotonic_ns()
        head = reader.head
        size = reader.size
        status = reader.status
        event = engine.request_event
        if (
            status >= 300
            or status < 200
            or not reader.keep_alive
            or reader.interim
            or self._spare is not None
            or b"\nset-cookie:" in head.lower()
            or (event is not None and event.listeners)
        ):
            measurement = Measurement(engine, owner, site, plan, name, timeouts, begun_ns, body)
            measurement.ended_ns = ended_ns
            return self._ended(measurement, connection, reader, payload)
        self._spare = connection
        response = Response(plan, payload, status, head, reader.body, ended_ns - begun_ns)
        reader.head = reader.body = b""  # make it ready, and keep no response alive
        reader.size = 0
        reader.done = False
        readers.append(reader)
        series = (plan.series or site.series_of(plan)) if name is None else site.series(plan.method, name)
        series.ok((ended_ns - begun_ns) // 1000, size, owner.wait_us)
        return response

    def _with_body(self, method: str, url: str, data: object, json: object, name: str | None) -> Response:
        """An ordinary request with a body, or with none."""
        plan = self._site.plan(method, url)
        body = NO_BODY if data is None and json is None else encode_body(data, json)
        payload = plan.payload if self._ordinary and body is NO_BODY else self._own_payload(plan, body)
        if pieces_of(body) is None:
            return self._simple(plan, payload, body, name or self._request_name)
        measurement = Measurement(
            self._engine, self._owner, self._site, plan, name or self._request_name, self._site.timeouts,
            monotonic_ns(), body,
        )  # fmt: skip
        return self._perform(measurement, payload)

    def _own_payload(self, plan: Plan, body: Body) -> bytes:
        """The request with this client's headers, credentials and cookies."""
        own = self._headers
        block = self._site.block if own is None else self._engine.blocks.get(own.fields, None, NOTHING)
        jar = self._jar
        cookie = jar.header_for(plan.target, plan.path, plan.target.is_tls) if jar is not None else None
        return payload_of(plan, block, self._auth or plan.authorization, cookie, body)

    # -- one request, hop by hop --------------------------------------------------------------

    def _perform(self, measurement: Measurement, payload: bytes) -> Response:
        """Send it, follow redirects, record it."""
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

    def _recover(
        self, measurement: Measurement, reader: ResponseReader, payload: bytes, exc: BaseException
    ) -> Response:
        """An ordinary request broke: try again if that is allowed, else record how it ended."""
        if isinstance(exc, ConnectionLost) and may_retry(measurement, reader):
            self._note_retry(measurement)
            return self._perform(measurement, payload)
        measurement.size = reader.size
        return self._broken(measurement, exc)

    def _ended(
        self, measurement: Measurement, connection: Connection, reader: ResponseReader, payload: bytes
    ) -> Response:
        """An ordinary request has a response with which something more is to be done."""
        try:
            response = self._take_in(measurement, connection, reader, payload)
            return response if response is not None else self._perform(measurement, self._payload(measurement))
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
            except BaseException:  # the connection is none the worse for it
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
        in_url = measurement.plan.authorization  # the next URL comes without user and password
        measurement.plan = measurement.site.plan(redirect.method, redirect.url)
        measurement.dropped |= redirect.dropped_headers
        if redirect.is_cross_origin:
            measurement.authorization = measurement.cookies = None
        elif in_url and measurement.authorization is None and self._auth is None:
            measurement.authorization = in_url
            measurement.ordinary = False
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
        if measurement.ordinary and self._ordinary and body is NO_BODY and not measurement.dropped:
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
        cookie = self._cookie(plan, measurement)
        return payload_of(plan, block, authorization or plan.authorization, cookie, body)

    def _cookie(self, plan: Plan, measurement: Measurement) -> str | None:
        cookies = measurement.cookies
        if self._jar is None and not cookies:
            return None
        jar = self._jar if self._jar is not None else CookieJar()
        is_elsewhere = "cookie" in measurement.dropped
        return jar.header_for(plan.target, plan.path, plan.target.is_tls, time(), cookies, is_elsewhere)

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
