"""The HTTP client of one virtual user: connections, cookies and headers of its own, everything else shared.

Each call leaves exactly one record: ok, failed or cancelled; also when its greenlet is killed in the
middle. A request that cannot even be asked (a URL that is none, a header with a line break) raises and leaves none.

`get` has the ordinary request written out, because every call costs ~60 ns; whatever is not ordinary (a body,
cookies, own headers, a new connection, a redirect, a failure) goes through `_perform`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from time import monotonic_ns, time, time_ns
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from gevent import GreenletExit

from loadgen.errors import RequestError
from loadgen.http import auth as authentication
from loadgen.http import urls
from loadgen.http.bodies import NO_BODY, encode_body
from loadgen.http.connection import Connection
from loadgen.http.cookies import CookieJar
from loadgen.http.dialing import dial
from loadgen.http.errors import ConnectionLost, DecodeError, HttpError
from loadgen.http.headers import ClientHeaders, Headers
from loadgen.http.measurement import Measurement
from loadgen.http.outgoing import payload as payload_of
from loadgen.http.outgoing import pieces_of
from loadgen.http.plans import Plan, Site
from loadgen.http.reader import HeadReader, ResponseReader, StreamReader
from loadgen.http.redirects import STATUSES, next_request
from loadgen.http.response import Response
from loadgen.http.settings import DEFAULTS, ClientSettings, timeouts_from
from loadgen.http.streaming import CaughtStream, StreamedResponse
from loadgen.http.verdicts import STEERING, CaughtResponse, scenario_failure

if TYPE_CHECKING:
    import ssl

    from loadgen.http.engine import HttpEngine
    from loadgen.http.owner import RequestOwner
    from loadgen.http.plans import Route

MAX_SESSIONS = 16
IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"})  # RFC 9110 §9.2.2


RETRIES = "http: requests sent again on a new connection"
EXCESS = "http: connections closed for bytes after the end of a response"


class Common(TypedDict, total=False):
    """What every request method takes besides the URL and the name."""

    params: urls.Params
    files: Any
    headers: Mapping[str, Any] | None
    cookies: Mapping[str, str] | None
    auth: Any
    timeout: Any
    allow_redirects: bool | None
    stream: bool
    catch_response: bool
    verify: bool | str | None
    cert: str | tuple[str, str] | None
    context: Mapping[str, Any] | None


class Options(Common, total=False):
    data: Any
    json: Any


class HttpClient:
    """See the module. Several greenlets of one user may use it at once: each gets a connection of its own."""

    __slots__ = (
        "_auth",
        "_engine",
        "_headers",
        "_jar",
        "_ordinary",
        "_own_block",
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
        self._own_block: tuple[int, bytes] | None = None  # (version, encoded) of _headers
        self._sessions: dict[Route, ssl.SSLSession] | None = None
        self._ordinary = True  # no cookies, headers, credentials or request_name of its own

    # -- what a scenario calls ----------------------------------------------------------------

    def get(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        if options or not self._ordinary:
            return self.request("GET", url, name=name, **options)
        site = self._site
        plan = site.gets.get(url)
        if plan is None:
            plan = site.plan("GET", url)
        begun_ns = monotonic_ns()
        connection = self._spare
        engine = self._engine
        timeouts = site.timeouts
        if connection is None or connection.route is not plan.route or connection.stream is None:
            return self._perform(Measurement(engine, self._owner, site, plan, name, timeouts, begun_ns))
        self._spare = None
        engine.recorder.requests_on_reused += 1
        readers = site.readers
        reader = readers.pop() if readers else ResponseReader(site.settings.max_body_bytes)
        owner = self._owner
        owner.has_yielded = True
        try:
            connection.exchange(plan.payload, reader, timeouts, begun_ns, begun_ns + timeouts.first_ns)
        except BaseException as exc:  # noqa: BLE001 - recorded, then raised again unless an HttpError
            measurement = Measurement(engine, owner, site, plan, name, timeouts, begun_ns)
            measurement.reused = True
            return self._recover(measurement, reader, exc)
        ended_ns = monotonic_ns()
        head = reader.head
        size = reader.size
        status = reader.status
        event = engine.request_event
        if (
            status >= 300
            or not reader.keep_alive
            or self._spare is not None
            or b"\nset-cookie:" in head.lower()
            or (event is not None and event.listeners)
        ):
            measurement = Measurement(engine, owner, site, plan, name, timeouts, begun_ns)
            measurement.ended_ns = ended_ns
            return self._ended(measurement, connection, reader, plan.payload)
        self._spare = connection
        response = Response(plan, plan.payload, status, head, reader.body, ended_ns - begun_ns)
        reader.head = reader.body = b""  # make it ready, and keep no response alive
        reader.size = 0
        reader.done = False
        readers.append(reader)
        series = (plan.series or site.series_of(plan)) if name is None else site.series("GET", name)
        series.ok((ended_ns - begun_ns) // 1000, size, owner.wait_us)
        return response

    def options(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        return self.request("OPTIONS", url, name=name, **options)

    def head(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        """Redirects are not followed unless allow_redirects=True."""
        return self.request("HEAD", url, name=name, **options)

    def post(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Unpack[Common]
    ) -> Response:
        return self.request("POST", url, name=name, data=data, json=json, **options)

    def put(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Unpack[Common]
    ) -> Response:
        return self.request("PUT", url, name=name, data=data, json=json, **options)

    def patch(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Unpack[Common]
    ) -> Response:
        return self.request("PATCH", url, name=name, data=data, json=json, **options)

    def delete(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        return self.request("DELETE", url, name=name, **options)

    def request(
        self,
        method: str,
        url: str,
        name: str | None = None,
        catch_response: bool = False,
        context: Mapping[str, Any] | None = None,
        *,
        params: urls.Params = None,
        data: Any = None,
        json: Any = None,
        files: Any = None,
        headers: Mapping[str, Any] | None = None,
        cookies: Mapping[str, str] | None = None,
        auth: Any = None,
        timeout: Any = None,
        allow_redirects: bool | None = None,
        stream: bool = False,
        verify: bool | str | None = None,
        cert: str | tuple[str, str] | None = None,
    ) -> Response:
        """The response; if none came, one with `status_code` 0, `error` set, and not `ok`.

        url: absolute, or a path under the base URL. name: what to record it under, by default its path with query.
        timeout: seconds for the whole request, (connect, read), or a Timeouts. verify, cert: for this request
        alone, with a connection of its own. stream: return when the head is there; read the rest with iter_content.
        catch_response: a context manager; what is recorded is decided inside it with success() and failure().
        Raises InvalidUrl, UsageError, ConfigError, TypeError or ValueError for what cannot be asked at all.
        """
        method = method.upper()
        site = self._site if verify is None and cert is None else self._site_with(verify, cert)
        plan = site.plan(method, url if params is None else urls.with_params(url, params))
        body = NO_BODY if data is None and json is None and not files else encode_body(data, json, files)
        timeouts = site.timeouts
        if timeout is not None:
            timeouts = timeouts_from(timeout, timeouts)
            self._engine.reaper.expect(timeouts.shortest_ns)
        elif stream:
            timeouts = timeouts.endless
        measurement = Measurement(
            self._engine, self._owner, site, plan, name or self._request_name, timeouts, monotonic_ns()
        )
        measurement.body = body
        if headers is not None:
            measurement.headers = headers
        if cookies is not None:
            measurement.cookies = cookies
        if auth is not None:
            measurement.authorization = authentication.authorization(auth)
        if context is not None:
            measurement.context = context
        measurement.ordinary = headers is None and cookies is None and auth is None
        measurement.catch = catch_response
        measurement.stream = stream
        measurement.allow_redirects = method != "HEAD" if allow_redirects is None else allow_redirects
        return self._perform(measurement)

    @contextmanager
    def rest(
        self, method: str, url: str, name: str | None = None, **options: Unpack[Options]
    ) -> Iterator[CaughtResponse]:
        """A request for JSON: `with client.rest("GET", "/item/7") as response: assert response.js["id"] == 7`.

        `response.js` is the parsed body, None if there is none. A body that is no JSON, a failed assertion and
        any exception inside the block make the request a failure; the message names the scenario's line.
        """
        options["headers"] = {"Accept": "application/json", **(options.get("headers") or {})}
        options["catch_response"] = True
        with self.request(method, url, name, **options) as response:
            assert isinstance(response, CaughtResponse)
            try:
                response.js = response.json() if response.content else None
            except (ValueError, DecodeError) as exc:
                response.failure(f"the body is no JSON: {exc}")
            try:
                yield response
            except STEERING:
                raise
            except Exception as exc:  # noqa: BLE001 - the scenario's code; what it raises is the verdict
                response.failure(exc if isinstance(exc, RequestError) else scenario_failure(exc))

    def rest_(
        self, method: str, url: str, name: str | None = None, **options: Unpack[Options]
    ) -> AbstractContextManager[CaughtResponse]:
        """rest() with a parameter `_=<milliseconds>` that no cache has seen; the name stays without it."""
        fresh = urls.with_params(url, {"_": str(time_ns() // 1_000_000)})
        return self.rest(method, fresh, name or urls.redact(url), **options)

    @contextmanager
    def rename_request(self, name: str) -> Iterator[None]:
        """Requests inside the block are recorded under `name`."""
        before = self._request_name
        self.request_name = name
        try:
            yield
        finally:
            self.request_name = before

    @property
    def request_name(self) -> str | None:
        """The name for requests that have none of their own."""
        return self._request_name

    @request_name.setter
    def request_name(self, name: str | None) -> None:
        self._request_name = name
        self._judge_ordinary()

    @property
    def base_url(self) -> str | None:
        return self._site.base_url

    @base_url.setter
    def base_url(self, base_url: str | None) -> None:
        self._site = self._engine.site(base_url, self._site.settings)

    @property
    def settings(self) -> ClientSettings:
        return self._site.settings

    @property
    def headers(self) -> ClientHeaders:
        """The headers sent with every request of this client; change them as a dict."""
        if self._headers is None:
            self._headers = ClientHeaders(self._site.settings.default_headers)
            self._judge_ordinary()
        return self._headers

    @headers.setter
    def headers(self, headers: Mapping[str, str]) -> None:
        self._headers = ClientHeaders(headers.items())
        self._own_block = None
        self._judge_ordinary()

    @property
    def cookies(self) -> CookieJar:
        """The cookies of this client."""
        if self._jar is None:
            target = self._site.target
            self._jar = CookieJar(target.host if target is not None else "")
            self._judge_ordinary()
        return self._jar

    @property
    def auth(self) -> str | None:
        """The Authorization sent with every request; set it to (user, password) or a header value."""
        return self._auth

    @auth.setter
    def auth(self, auth: Any) -> None:
        self._auth = None if auth is None else authentication.authorization(auth)
        self._judge_ordinary()

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
        except BaseException as exc:  # noqa: BLE001 - as in _perform
            return self._broken(measurement, exc)
        return response if response is not None else self._perform(measurement)

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
        response.error = exc
        if measurement.history:
            response.history = measurement.history
        if isinstance(response, CaughtResponse):
            response.defer(measurement)
        else:
            measurement.settle_failed(exc, response)
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
        self._owner.has_yielded = True
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
        self.cookies.store(values, plan.target, plan.path, time())

    def _note_retry(self, measurement: Measurement) -> None:
        measurement.retried = measurement.must_dial = True
        self._engine.recorder.count(RETRIES)

    def _judge_ordinary(self) -> None:
        self._ordinary = (
            self._headers is None and self._jar is None and self._auth is None and self._request_name is None
        )

    def _site_with(self, verify: bool | str | None, cert: str | tuple[str, str] | None) -> Site:
        """The site for a request with TLS settings of its own."""
        settings = self._site.settings
        tls = settings.tls
        tls = replace(tls, verify=tls.verify if verify is None else verify, cert=tls.cert if cert is None else cert)
        return self._engine.site(self._site.base_url, replace(settings, tls=tls))


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
