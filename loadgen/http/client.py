"""The HTTP client of one virtual user: connections, cookies and headers of its own, everything else shared.

Each call leaves exactly one record: ok, failed or cancelled; also when its greenlet is killed in the
middle. A request that cannot even be asked (a URL that is none, a header with a line break) raises and leaves none.

A call without options takes the short way (Sender._simple), all else the general one (`request`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from time import monotonic_ns, time_ns
from typing import TYPE_CHECKING, Any, TypedDict, Unpack

from loadgen.errors import RequestError
from loadgen.http import auth as authentication
from loadgen.http import urls
from loadgen.http.bodies import NO_BODY, encode_body
from loadgen.http.cookies import CookieJar
from loadgen.http.errors import DecodeError
from loadgen.http.headers import ClientHeaders
from loadgen.http.measurement import Measurement
from loadgen.http.plans import Site
from loadgen.http.pool import EXCESS
from loadgen.http.response import Response
from loadgen.http.sender import IDEMPOTENT, RETRIES, Sender
from loadgen.http.settings import ClientSettings, timeouts_from
from loadgen.http.tls import ClientCert, FilePath
from loadgen.http.verdicts import STEERING, CaughtResponse, scenario_failure

if TYPE_CHECKING:
    pass

__all__ = ["EXCESS", "IDEMPOTENT", "RETRIES", "Common", "HttpClient", "Options"]


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
    verify: bool | FilePath | None
    cert: ClientCert | None
    context: Mapping[str, Any] | None


class Options(Common, total=False):
    data: Any
    json: Any


class HttpClient(Sender):
    """See the module. Several greenlets of one user may use it at once: each gets a connection of its own."""

    __slots__ = ()

    # -- what a scenario calls ----------------------------------------------------------------

    def get(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        if options:
            return self.request("GET", url, name=name, **options)
        plan = self._site.gets.get(url) or self._site.plan("GET", url)
        if self._ordinary:
            return self._simple(plan, plan.payload, NO_BODY, name)
        return self._simple(plan, self._own_payload(plan, NO_BODY), NO_BODY, name or self._request_name)

    def options(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        return self.request("OPTIONS", url, name=name, **options)

    def head(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        """Redirects are not followed unless allow_redirects=True."""
        return self.request("HEAD", url, name=name, **options)

    def post(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Unpack[Common]
    ) -> Response:
        if options:
            return self.request("POST", url, name=name, data=data, json=json, **options)
        return self._with_body("POST", url, data, json, name)

    def put(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Unpack[Common]
    ) -> Response:
        if options:
            return self.request("PUT", url, name=name, data=data, json=json, **options)
        return self._with_body("PUT", url, data, json, name)

    def patch(
        self, url: str, data: Any = None, json: Any = None, *, name: str | None = None, **options: Unpack[Common]
    ) -> Response:
        if options:
            return self.request("PATCH", url, name=name, data=data, json=json, **options)
        return self._with_body("PATCH", url, data, json, name)

    def delete(self, url: str, *, name: str | None = None, **options: Unpack[Options]) -> Response:
        if options:
            return self.request("DELETE", url, name=name, **options)
        return self._with_body("DELETE", url, None, None, name)

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
        verify: bool | FilePath | None = None,
        cert: ClientCert | None = None,
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
            self._engine, self._owner, site, plan, name or self._request_name, timeouts, monotonic_ns(), body
        )
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
        measurement.stream = stream and method != "HEAD"
        measurement.allow_redirects = method != "HEAD" if allow_redirects is None else allow_redirects
        payload = self._payload(measurement)  # what cannot be asked is raised here, and leaves no record
        return self._perform(measurement, payload)

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
        self._judge_ordinary()

    @property
    def cookies(self) -> CookieJar:
        """The cookies of this client."""
        return self._own_jar()

    @property
    def auth(self) -> str | None:
        """The Authorization sent with every request; set it to (user, password) or a header value."""
        return self._auth

    @auth.setter
    def auth(self, auth: Any) -> None:
        self._auth = None if auth is None else authentication.authorization(auth)
        self._judge_ordinary()

    def _site_with(self, verify: bool | FilePath | None, cert: ClientCert | None) -> Site:
        """The site for a request with TLS settings of its own."""
        settings = self._site.settings
        tls = settings.tls
        tls = replace(tls, verify=tls.verify if verify is None else verify, cert=tls.cert if cert is None else cert)
        return self._engine.site(self._site.base_url, replace(settings, tls=tls))
