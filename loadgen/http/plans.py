"""What is sent, made once and shared: routes (where to), sites (on whose behalf), plans (which request).

All clients with the same base URL and settings share one Site, and with it the heads of their requests; a
client's own headers and cookies are added behind the shared part. Caches are bounded: a full one is
dropped as a whole, which costs a few microseconds per request until it is warm again.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

from loadgen.errors import UsageError
from loadgen.http import auth, urls
from loadgen.http.settings import ClientSettings
from loadgen.http.tls import TlsSettings, context_for
from loadgen.http.urls import Target

if TYPE_CHECKING:
    from loadgen.http.reader import ResponseReader
    from loadgen.http.resolver import Address
    from loadgen.metrics.recorder import Recorder, Series

MAX_PLANS = 2_048  # per site and method; ~0.6 KiB each
MAX_SITES = 512
REFUSALS = 64
_PLAIN_PATH = re.compile(r"/[A-Za-z0-9\-._~!$&'()*+,/:;=?@]*")  # needs no encoding and has no fragment
_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+\-.^_`|~]+")
_BAD_VALUE = re.compile(r"[\r\n\0]")
SAYS_EMPTY_BODY = frozenset({"POST", "PUT", "PATCH"})  # RFC 9110 §8.6: these send Content-Length: 0


class Block(NamedTuple):
    """Header lines, and the lower-case names among them. `host` is a Host header of the scenario's own, taken out."""

    lines: bytes
    names: frozenset[str]
    host: str | None = None


class Route:
    """A target with the TLS settings to use for it. Interned: two equal ones are the same object."""

    __slots__ = ("_refusals", "literal", "target", "tls")

    def __init__(self, target: Target, tls: TlsSettings | None) -> None:
        self.target = target
        self.tls = tls
        self.literal: list[Address] | None = None  # its address, where the host is one
        self._refusals = 0  # TLS sessions that it would not resume, one after the other

    def note_resumption(self, accepted: bool) -> None:
        """Say whether the target resumed the TLS session that was offered to it."""
        self._refusals = 0 if accepted else self._refusals + 1

    def keeps_session(self) -> bool:
        """Whether the TLS session of a connection that is closed now is worth keeping.

        Taking one out and putting it in costs 365 µs, 30 % of a new connection: a target that refused REFUSALS
        in a row is offered about one of REFUSALS from then on, until it takes one.
        """
        if self._refusals < REFUSALS:
            return True
        self._refusals += 1
        return self._refusals % REFUSALS == 0


class Plan:
    """One request; `payload` is how it is sent without a body, cookies and headers of its own."""

    __slots__ = ("authorization", "line", "method", "name", "path", "payload", "route", "series", "target")

    def __init__(
        self, method: str, route: Route, path: str, block: bytes, authorization: str | None, name: str
    ) -> None:
        self.method = method
        self.route = route
        self.target = route.target
        self.path = path
        self.authorization = authorization  # from the user and password in the URL
        self.line = request_line(method, path, self.target.authority)
        self.payload = b"".join(
            (
                self.line,
                block,
                authorization_line(authorization),
                b"Content-Length: 0\r\n\r\n" if method in SAYS_EMPTY_BODY else b"\r\n",
            )
        )
        self.name = name
        self.series: Series | None = None  # of `name`, once a request without a name of its own was made

    @property
    def url(self) -> str:
        return self.target.origin + self.path


class Routes:
    """The interned routes of an engine."""

    def __init__(self) -> None:
        self._routes: dict[tuple[Target, TlsSettings | None], Route] = {}

    def get(self, target: Target, tls: TlsSettings) -> Route:
        key = (target, tls if target.is_tls else None)
        route = self._routes.get(key)
        if route is None:
            if len(self._routes) >= MAX_SITES:
                self._routes.clear()
            route = self._routes[key] = Route(*key)
        return route


class Site:
    """A base URL with settings, and the plans made for it."""

    __slots__ = ("_front", "_named", "_plans", "_recorder", "_routes", "authorization", "base_url", "block", "gets",
                 "readers", "settings", "target", "timeouts")  # fmt: skip

    def __init__(self, base_url: str | None, settings: ClientSettings, recorder: Recorder, routes: Routes) -> None:
        """Raises InvalidUrl for a bad base URL."""
        self.base_url = base_url
        self.settings = settings
        self.target: Target | None = None
        self.authorization: str | None = None
        self._front = ""
        if base_url:
            self.target, path, userinfo = urls.split(base_url)
            self._front = re.split(r"[?#]", path, maxsplit=1)[0].rstrip("/")
            if userinfo:
                self.authorization = auth.basic(*userinfo)
        self.block = Block(
            header_block(settings.default_headers), frozenset(name.lower() for name, _ in settings.default_headers)
        )
        self.timeouts = settings.timeouts
        self._recorder = recorder
        self._routes = routes
        self._plans: dict[str, dict[str, Plan]] = {}
        self._named: dict[str, dict[str, Series]] = {}
        self.gets = self._plans.setdefault("GET", {})
        self.readers: list[ResponseReader] = []  # at rest, to be used by any connection

    def plan(self, method: str, url: str) -> Plan:
        """The plan for a method (upper case) and what the scenario wrote as URL.

        Raises InvalidUrl, UsageError, and ConfigError for CA files or certificates that cannot be used.
        """
        plans = self._plans.get(method)
        if plans is None:
            if not _TOKEN.fullmatch(method):
                raise UsageError(f"{method!r} is no HTTP method")
            plans = self._plans[method] = {}
        plan = plans.get(url)
        if plan is None:
            if len(plans) >= MAX_PLANS:
                plans.clear()
            plan = plans[url] = self._new_plan(method, url)
        return plan

    def series_of(self, plan: Plan) -> Series:
        """The series of a request that has no name of its own."""
        plan.series = series = self._recorder.series(plan.method, plan.name)
        return series

    def series(self, method: str, name: str) -> Series:
        """The recorder's series of a name, looked up once."""
        named = self._named.setdefault(method, {})
        series = named.get(name)
        if series is None:
            if len(named) >= MAX_PLANS:
                named.clear()
            series = named[name] = self._recorder.series(method, name)
        return series

    def _new_plan(self, method: str, url: str) -> Plan:
        if self.target is not None and _PLAIN_PATH.fullmatch(url):
            target, path, userinfo = self.target, self._front + url, None
        else:
            target, path, userinfo = urls.split(url, self.base_url)
        tls = self.settings.tls
        if target.is_tls:
            context_for(tls)  # reading CA files takes 20 ms, which belong to no request's time
        is_own = target == self.target
        authorization = auth.basic(*userinfo) if userinfo else self.authorization if is_own else None
        name = urls.redact(path if is_own or self.target is None else target.origin + path)
        if tls.server_name is not None and not is_own and self.target is not None:
            tls = replace(tls, server_name=None)  # it is the name of the own host, not of every other one
        return Plan(method, self._routes.get(target, tls), path, self.block.lines, authorization, name)


def request_line(method: str, path: str, host: str) -> bytes:
    """Request line and Host."""
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\n".encode("latin-1")


def authorization_line(value: str | None) -> bytes:
    return f"Authorization: {value}\r\n".encode("latin-1") if value is not None else b""


def header_block(fields: Iterable[tuple[str, str | bytes | None]]) -> bytes:
    """Header lines. None leaves a header out. Raises UsageError for what would break the request apart."""
    return "".join([f"{name}: {value}\r\n" for name, value in _checked(fields)]).encode("latin-1")


def _checked(fields: Iterable[tuple[str, str | bytes | None]]) -> Iterable[tuple[str, str]]:
    for name, value in fields:
        if value is None:
            continue
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if not _TOKEN.fullmatch(name):
            raise UsageError(f"{name!r} cannot be the name of a header")
        if _BAD_VALUE.search(text):
            raise UsageError(
                f"the value of header {name} contains a line break or NUL",
                hints=("It would become another header or request: strip it, or encode the value.",),
            )
        try:
            text.encode("latin-1")
        except UnicodeEncodeError as exc:
            raise UsageError(
                f"the value of header {name} contains {text[exc.start]!r}, which no header can carry",
                hints=("Percent-encode it, or pass UTF-8 as bytes.",),
            ) from exc
        yield name, text
