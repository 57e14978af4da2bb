"""Why one HTTP request failed: its category, the phase it failed in, and whose fault it is.

::

    RequestError                    (loadgen.errors)
    └── HttpError                   .category .phase .fault
        ├── InvalidUrl              the scenario asked for something that is no URL
        ├── DnsError                dns_not_found, dns_failed, dns_timeout
        ├── ConnectRefused
        ├── Unreachable
        ├── TlsError                tls_expired, tls_wrong_host, … (see TLS rows of CATEGORIES)
        ├── RequestTimeout
        │   ├── ConnectTimeout      name, TCP and TLS together took too long
        │   ├── FirstByteTimeout    no byte of the response in time
        │   ├── IdleTimeout         the response (or our sending) stood still for too long
        │   └── TotalTimeout        the whole request took too long, whatever moved
        ├── ConnectionLost
        │   ├── Reset               the connection was reset
        │   ├── Closed              it was closed properly, but before any byte of a response
        │   └── Truncated           it ended inside the response
        ├── BadResponse
        │   ├── ProtocolError       what came is not HTTP/1.x
        │   ├── HeadersTooLarge
        │   ├── BodyTooLarge
        │   ├── DecodeError         the content coding is broken, unknown, or a bomb
        │   ├── TooManyRedirects
        │   └── InvalidRedirect     a Location that cannot be followed
        ├── HttpStatusError         raise_for_status(): http_4xx, http_5xx, http_other
        ├── GeneratorLimit          this machine ran out of descriptors, ports or memory
        └── IoError                 the operating system refused in a way not listed here

A category is also the outcome under which the request is counted, so there are few of them and
CATEGORIES lists them all, with their meaning. Anything that went wrong on the generator is never
blamed on the target.
"""

from __future__ import annotations

import errno
from typing import ClassVar, NamedTuple

from loadgen.errors import RequestError

PHASES = ("dns", "connect", "tls", "send", "wait", "headers", "body")
"""Where in its life a request can fail; "" = before it began, or after it ended (a status)."""

FAULTS = ("target", "network", "generator", "scenario")


class Category(NamedTuple):
    """One row of the table of categories. The first phase is the one an error has unless told otherwise."""

    phases: tuple[str, ...]
    fault: str
    meaning: str


_EXCHANGE = ("wait", "send", "headers", "body")
_TLS_LATE = ("tls", *_EXCHANGE)  # in TLS 1.3 the server's word on our certificate comes after our first request
_ANYWHERE = ("connect", "dns", "tls", *_EXCHANGE)

CATEGORIES: dict[str, Category] = {
    "invalid_url": Category(("",), "scenario", "the scenario asked for something that is no http(s) URL"),
    "dns_not_found": Category(("dns",), "network", "the name has no address"),
    "dns_failed": Category(("dns",), "network", "the name service answered with a failure, or not at all"),
    "dns_timeout": Category(("dns",), "network", "no answer from the name service in time"),
    "connect_refused": Category(("connect",), "target", "nothing listens on that port"),
    "unreachable": Category(("connect", *_EXCHANGE), "network", "no route to the host, or a firewall said no"),
    "connect_timeout": Category(("connect", "tls"), "target", "the connection was not ready in time"),
    "tls_expired": Category(("tls",), "target", "the certificate has expired"),
    "tls_not_yet_valid": Category(("tls",), "target", "the certificate is not valid yet (check both clocks)"),
    "tls_wrong_host": Category(("tls",), "target", "the certificate is for another name"),
    "tls_self_signed": Category(("tls",), "target", "the certificate, or the root of its chain, is self-signed"),
    "tls_unknown_ca": Category(("tls",), "target", "the certificate comes from an authority not trusted here"),
    "tls_untrusted": Category(("tls",), "target", "the certificate was refused for another reason"),
    "tls_version": Category(("tls",), "target", "no TLS version in common"),
    "tls_no_cipher": Category(("tls",), "target", "no cipher suite or signature algorithm in common"),
    "tls_client_cert": Category(_TLS_LATE, "scenario", "the server wants a client certificate, or another one"),
    "tls_not_tls": Category(("tls",), "target", "the port does not speak TLS"),
    "tls_closed": Category(("tls",), "target", "the connection ended in the middle of the handshake"),
    "tls_handshake": Category(("tls",), "target", "the handshake failed for another reason"),
    "tls_error": Category(_EXCHANGE, "target", "broken TLS data after the handshake"),
    "first_byte_timeout": Category(("wait",), "target", "no byte of a response in time"),
    "idle_timeout": Category(_EXCHANGE, "target", "nothing moved for too long"),
    "total_timeout": Category(("connect", "tls", *_EXCHANGE), "target", "the request as a whole took too long"),
    "reset": Category(("connect", "tls", *_EXCHANGE), "target", "the connection was reset"),
    "closed": Category(("wait", "send"), "target", "the connection was closed before any byte of a response"),
    "truncated": Category(("headers", "body"), "target", "the connection ended inside the response"),
    "protocol_error": Category(("headers", "body"), "target", "what came is not a valid HTTP/1.x response"),
    "headers_too_large": Category(("headers",), "target", "the head of the response is above the cap"),
    "body_too_large": Category(("body",), "target", "the body is above the cap"),
    "decode_error": Category(("body",), "target", "the content coding is broken, unknown, or expands too much"),
    "too_many_redirects": Category(("",), "target", "the limit of redirects was reached"),
    "invalid_redirect": Category(("",), "target", "a redirect to something that is no http(s) URL"),
    "http_4xx": Category(("",), "target", "the response has a status 400 to 499"),
    "http_5xx": Category(("",), "target", "the response has a status 500 to 599"),
    "http_other": Category(("",), "target", "the response has a status outside 100 to 599"),
    "generator_limit": Category(_ANYWHERE, "generator", "descriptors, ports or memory ran out here"),
    "io_error": Category(("connect", "tls", *_EXCHANGE), "generator", "an operating system error not listed above"),
}


class HttpError(RequestError):
    """One HTTP request failed. `category` is a key of CATEGORIES, `phase` one of PHASES or ""."""

    default_category: ClassVar[str] = "io_error"
    default_code: ClassVar[str] = ""

    def __init__(
        self,
        message: str = "",
        *,
        category: str = "",
        phase: str | None = None,
        fault: str = "",
        hints: tuple[str, ...] = (),
    ) -> None:
        """Without a message the category's meaning is the message; fault and phase default to the category's."""
        self.category = category or self.default_category
        row = CATEGORIES[self.category]
        super().__init__(message or row.meaning, code=self.default_code, hints=hints)
        self.phase = row.phases[0] if phase is None else phase
        self.fault = fault or row.fault


class InvalidUrl(HttpError):
    """The scenario asked for something that is no http(s) URL."""

    default_category = "invalid_url"


class DnsError(HttpError):
    """The name has no usable address. The category says which of three ways."""

    default_category = "dns_failed"
    default_code = "LG201"


class ConnectRefused(HttpError):
    """Nothing listens on that port. Nothing was sent."""

    default_category = "connect_refused"
    default_code = "LG201"


class Unreachable(HttpError):
    """No route to the host, or a firewall said no."""

    default_category = "unreachable"
    default_code = "LG201"


class TlsError(HttpError):
    """The TLS handshake failed, or broken data came after it. See loadgen.http.tls_errors."""

    default_category = "tls_handshake"
    default_code = "LG203"


class RequestTimeout(HttpError):
    """Base of the four deadlines."""

    default_category = "total_timeout"


class ConnectTimeout(RequestTimeout):
    """The connection (name, TCP, TLS) was not ready in time. Nothing was sent."""

    default_category = "connect_timeout"
    default_code = "LG201"


class FirstByteTimeout(RequestTimeout):
    """No byte of the response came in time."""

    default_category = "first_byte_timeout"


class IdleTimeout(RequestTimeout):
    """Nothing moved on the connection for too long."""

    default_category = "idle_timeout"


class TotalTimeout(RequestTimeout):
    """The request as a whole took too long; a slow drip of bytes never resets this one."""

    default_category = "total_timeout"


class ConnectionLost(HttpError):
    """The connection ended before the response did."""

    default_category = "reset"


class Reset(ConnectionLost):
    """The connection was reset (RST), or it was gone when we wrote."""

    default_category = "reset"


class Closed(ConnectionLost):
    """The connection was closed properly before any byte of a response."""

    default_category = "closed"


class Truncated(ConnectionLost):
    """The connection ended inside the response: what came is never a success."""

    default_category = "truncated"


class BadResponse(HttpError):
    """A response came, and it cannot be used."""

    default_category = "protocol_error"


class ProtocolError(BadResponse):
    """What came is not a valid HTTP/1.x response."""

    default_category = "protocol_error"


class HeadersTooLarge(BadResponse):
    """The head of the response (or its trailers) is above the cap."""

    default_category = "headers_too_large"


class BodyTooLarge(BadResponse):
    """The body is above the cap."""

    default_category = "body_too_large"


class DecodeError(BadResponse):
    """The content coding is broken, unknown, stacked too deep, or expands too much."""

    default_category = "decode_error"


class TooManyRedirects(BadResponse):
    """The limit of redirects was reached."""

    default_category = "too_many_redirects"


class InvalidRedirect(BadResponse):
    """A Location that cannot be followed."""

    default_category = "invalid_redirect"


class HttpStatusError(HttpError):
    """`raise_for_status()` met a status that is an error. `response` is the response itself."""

    default_category = "http_other"

    def __init__(self, message: str, *, status: int, response: object = None) -> None:
        super().__init__(message, category=status_category(status), phase="")
        self.status = status
        self.response = response


class GeneratorLimit(HttpError):
    """This machine ran out of file descriptors, local ports or memory: not the target's fault."""

    default_category = "generator_limit"


class IoError(HttpError):
    """The operating system refused in a way that has no category of its own."""

    default_category = "io_error"


def status_category(status: int) -> str:
    """The category of a response that failed by its status: by its first digit, odd ones "http_other"."""
    return {4: "http_4xx", 5: "http_5xx"}.get(status // 100, "http_other")


_BY_ERRNO: dict[int, type[HttpError]] = {
    errno.ECONNREFUSED: ConnectRefused,
    errno.ECONNRESET: Reset,
    errno.ECONNABORTED: Reset,
    errno.EPIPE: Reset,
    errno.ENOTCONN: Reset,
    errno.ESHUTDOWN: Reset,
    errno.ENETRESET: Reset,
    errno.EHOSTUNREACH: Unreachable,
    errno.ENETUNREACH: Unreachable,
    errno.EHOSTDOWN: Unreachable,
    errno.ENETDOWN: Unreachable,
    errno.EACCES: Unreachable,  # a local firewall or a broadcast address
    errno.EPERM: Unreachable,  # iptables REJECT/DROP in OUTPUT
    errno.EAFNOSUPPORT: Unreachable,  # an IPv6 address on a machine without IPv6
    errno.EMFILE: GeneratorLimit,
    errno.ENFILE: GeneratorLimit,
    errno.EADDRNOTAVAIL: GeneratorLimit,
    errno.EADDRINUSE: GeneratorLimit,
    errno.EAGAIN: GeneratorLimit,  # connect(): no local port or no routing cache entry left
    errno.ENOBUFS: GeneratorLimit,
    errno.ENOMEM: GeneratorLimit,
}

_HINTS: dict[int, str] = {
    errno.EMFILE: "Raise the limit of open files (ulimit -n) or run fewer users in this process.",
    errno.ENFILE: "Raise the machine's limit of open files (sysctl fs.file-max).",
    errno.EADDRNOTAVAIL: "Local ports are used up: keep connections alive, spread the load over more machines, "
    "or widen net.ipv4.ip_local_port_range. (With an IPv6 address: IPv6 is switched off here.)",
    errno.ECONNREFUSED: "Is the service running, and is the port right?",
}


def from_os_error(exc: OSError, phase: str, where: str = "") -> HttpError:
    """The error to raise for what the operating system said in `phase`; `where` is "host:port" for the message.

    For socket errors only: TLS errors go through loadgen.http.tls_errors, failed name
    look-ups through loadgen.http.resolver. Raise it `from exc`.
    """
    kind = _kind_of(exc, phase)
    code = exc.errno or 0
    reason = errno.errorcode.get(code, "") or type(exc).__name__
    text = (exc.strerror or CATEGORIES[kind.default_category].meaning).lower()
    hint = _HINTS.get(code)
    message = f"{text} ({reason})" + (f" at {where}" if where else "")
    return kind(message, phase=phase, hints=(hint,) if hint else ())


def _kind_of(exc: OSError, phase: str) -> type[HttpError]:
    if isinstance(exc, TimeoutError):  # the kernel gave up: SYN or data was never acknowledged
        return ConnectTimeout if phase in ("dns", "connect", "tls") else IdleTimeout
    kind = _BY_ERRNO.get(exc.errno or 0)
    if kind is not None:
        return kind
    if isinstance(exc, ConnectionRefusedError):
        return ConnectRefused
    return Reset if isinstance(exc, ConnectionError) else IoError
