"""URLs: from what a scenario writes to where to connect and what to ask for.

Two ways to combine: `join` is Locust's rule for a scenario's paths (the base's own path stays in
front: "http://h/api" + "/x" = "http://h/api/x"), `resolve` is RFC 3986's rule for redirects.
What is sent is always plain ASCII without spaces or control characters, whatever was written,
and is otherwise left as written: dot segments, double slashes and existing %XX are the scenario's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import AddressValueError, IPv6Address
from typing import NamedTuple
from urllib.parse import quote, quote_from_bytes, unquote, unquote_plus, urlencode, urljoin

from loadgen.http.errors import InvalidUrl

Params = Mapping[str, object] | Iterable[tuple[str, object]] | str | bytes | None
Userinfo = tuple[str, str]

DEFAULT_PORTS = {"http": 80, "https": 443}

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_AUTHORITY_END = re.compile(r"[/?#]")
_NAME = re.compile(r"[a-z0-9_-]+(\.[a-z0-9_-]+)*\.?")
_KEPT = "-._~!#$&'()*+,/:;=?@[]%"
_UNSAFE = re.compile(rf"[^A-Za-z0-9{re.escape(_KEPT)}]+|%(?![0-9A-Fa-f]{{2}})")
_SECRET_KEY = re.compile(
    r"pass(wor[dt]|wd|phrase|code)?\d*$|pwd|secret|token|credential|jwt|session|signature|authori[sz]ation"
    r"|(^|[-_.])(auth|sig|sid|otp|pin|code)$|(^|[-_.]|api|access|private|public|account)key([-_.]?id)?$",
    re.IGNORECASE,
)
MASK = "***"


class Target(NamedTuple):
    """Where to connect. `host` is lower-case ASCII; an IPv6 literal stands without its brackets."""

    scheme: str
    host: str
    port: int
    is_ipv6: bool = False

    @property
    def is_tls(self) -> bool:
        return self.scheme == "https"

    @property
    def authority(self) -> str:
        """The value of the Host header: brackets round IPv6, no zone, no default port."""
        host = f"[{self.host.partition('%')[0]}]" if self.is_ipv6 else self.host
        return host if self.port == DEFAULT_PORTS[self.scheme] else f"{host}:{self.port}"

    @property
    def origin(self) -> str:
        """Scheme and authority: "https://host", "http://host:8080"."""
        return f"{self.scheme}://{self.authority}"

    @property
    def where(self) -> str:
        """Host and port for messages; the port is always shown."""
        return f"[{self.host}]:{self.port}" if self.is_ipv6 else f"{self.host}:{self.port}"


def split(url: str, base: str | None = None) -> tuple[Target, str, Userinfo | None]:
    """(target, path with query, (user, password) or None) of a URL, or of a path under `base`.

    The path starts with "/", is percent-encoded where it must be, and has no fragment.
    Raises InvalidUrl.
    """
    whole = join(base, url)
    scheme, rest = _scheme_of(whole)
    authority, tail = _cut_authority(rest)
    userinfo, _, host_port = authority.rpartition("@")
    try:
        if "\\" in userinfo:  # a browser takes "\\" for "/", so would see another host than we do
            raise ValueError("backslash before the host name")
        target = _target(scheme, host_port)
    except ValueError as exc:
        raise InvalidUrl(f"{exc} in {redact(whole)!r}") from exc
    return target, _request_path(tail), _credentials(userinfo)


def join(base: str | None, url: str) -> str:
    """The absolute URL for what a scenario wrote: an http(s) URL as it is, else a path under `base`.

    Exactly one slash stands between base and path; the base's query and fragment are dropped.
    Raises InvalidUrl if `url` is a path and there is no base.
    """
    url = url.strip()
    if _SCHEME.match(url):
        return url
    if not base:
        raise InvalidUrl(
            f"{redact(url)!r} is no absolute URL and no host is set",
            hints=('Set host = "https://…" in the user class, or give -H https://…, or write the whole URL.',),
        )
    base = base.strip()
    if not url:
        return base
    front = re.split(r"[?#]", base, maxsplit=1)[0]
    if url[0] in "?#":
        return front + url
    return front.rstrip("/") + (url if url[0] == "/" else f"/{url}")


def resolve(base: str, reference: str) -> str:
    """The absolute URL of `reference` as seen from `base` (RFC 3986 §5), as redirects need it. Raises InvalidUrl."""
    try:
        return urljoin(base, reference.strip())
    except ValueError as exc:  # such as an unclosed bracket
        raise InvalidUrl(f"{exc} in {redact(reference)!r}") from exc


def with_params(url: str, params: Params) -> str:
    """The URL with `params` added to its query, before its fragment.

    Mappings and pairs are form-encoded, a list gives its key once per item, None leaves its key out;
    str and bytes are added as they are.
    """
    query = _query(params)
    if not query:
        return url
    front, hash_sign, fragment = url.partition("#")
    if "?" not in front:
        front += "?"
    elif front[-1] not in "?&":
        front += "&"
    return front + query + hash_sign + fragment


def redact(url: str) -> str:
    """The URL fit for reports: no user and password, values of secret-looking keys masked. Never raises."""
    match = _SCHEME.match(url)
    front = match.group() if match else "//" if url.startswith("//") else ""
    rest, hash_sign, fragment = _without_userinfo(url[len(front) :]).partition("#")
    path, mark, query = rest.partition("?")
    return front + path + mark + _mask(query) + hash_sign + _mask(fragment)


def _without_userinfo(rest: str) -> str:
    authority, tail = _cut_authority(rest)
    if "@" in authority:
        return authority.rpartition("@")[2] + tail
    if "@" in tail and re.search(r":(?![0-9]*$)", authority) and "[" not in authority:
        return tail.rpartition("@")[2]  # no port: the front half of a password with an unescaped "/", "?" or "#"
    return rest


def _cut_authority(rest: str) -> tuple[str, str]:
    end = _AUTHORITY_END.search(rest)
    cut = end.start() if end else len(rest)
    return rest[:cut], rest[cut:]


def _mask(query: str) -> str:
    if "=" not in query:
        return query
    pieces = re.split(r"([&;])", query)
    return "".join(_mask_one(piece) for piece in pieces)


def _mask_one(pair: str) -> str:
    key, equals, value = pair.partition("=")
    if value and _SECRET_KEY.search(unquote_plus(key)):
        return key + equals + MASK
    return pair


def _scheme_of(url: str) -> tuple[str, str]:
    match = _SCHEME.match(url)
    scheme = match.group(1).lower() if match else ""
    if match is None or scheme not in DEFAULT_PORTS:
        raise InvalidUrl(
            f"{redact(url)!r} does not start with http:// or https://",
            hints=(f"Write http://{redact(url)} or https://{redact(url)}",) if match is None else (),
        )
    return scheme, url[match.end() :]


def _target(scheme: str, host_port: str) -> Target:
    """Raises ValueError with a message that can go in front of " in '<url>'"."""
    is_ipv6 = host_port.startswith("[")
    if is_ipv6:
        literal, bracket, after = host_port[1:].partition("]")
        if not bracket or (after and after[0] != ":"):
            raise ValueError("broken [IPv6] address")
        return Target(scheme, _ipv6(literal), _port(after[1:], scheme), True)
    name, _, port = host_port.partition(":")
    return Target(scheme, _host(name), _port(port, scheme))


def _ipv6(literal: str) -> str:
    address, percent, zone = literal.partition("%")
    if percent:
        zone = zone.removeprefix("25")  # RFC 6874 writes the zone's % as %25
        if not re.fullmatch(r"[A-Za-z0-9._~-]+", zone):
            raise ValueError("broken IPv6 zone")
    try:
        text = str(IPv6Address(address))
    except AddressValueError:
        raise ValueError("broken IPv6 address") from None
    return f"{text}%{zone}" if percent else text


def _host(name: str) -> str:
    """Lower-case ASCII; other letters by the standard library's IDNA (2003), as browsers of old."""
    if not name:
        raise ValueError("no host name")
    try:
        host = name.encode("idna").decode("ascii").lower()
    except UnicodeError:
        raise ValueError("host name with an empty, too long or impossible label") from None
    if len(host) > 253 or not _NAME.fullmatch(host):
        raise ValueError("host name with impossible characters")
    return host


def _port(text: str, scheme: str) -> int:
    if not text:
        return DEFAULT_PORTS[scheme]
    if not (text.isascii() and text.isdigit() and len(text) <= 5 and 0 < int(text) < 65536):
        raise ValueError("port that is no number from 1 to 65535")
    return int(text)


def _request_path(rest: str) -> str:
    path = rest.partition("#")[0]
    if not path.startswith("/"):
        path = "/" + path
    return _UNSAFE.sub(_encode, path)


def _encode(match: re.Match[str]) -> str:
    try:
        return quote(match.group(), safe="")
    except UnicodeEncodeError as exc:  # half of a surrogate pair
        raise InvalidUrl("a character in the URL has no UTF-8 form") from exc


def _credentials(userinfo: str) -> Userinfo | None:
    if not userinfo:
        return None
    user, _, password = userinfo.partition(":")
    return unquote(user), unquote(password)


def _query(params: Params) -> str:
    if params is None:
        return ""
    if isinstance(params, bytes):
        return quote_from_bytes(params, safe=_KEPT)
    if isinstance(params, str):
        return params
    return form_encode(params)


def form_encode(fields: Mapping[str, object] | Iterable[tuple[str, object]]) -> str:
    """The fields as application/x-www-form-urlencoded; a list gives its key once per item, None nothing."""
    return urlencode(list(each_field(fields)))


def each_field(fields: Mapping[str, object] | Iterable[tuple[str, object]]) -> Iterator[tuple[str, object]]:
    """Every (key, single value), in order: lists, tuples and sets unrolled, None left out."""
    for key, value in fields.items() if isinstance(fields, Mapping) else fields:
        for item in value if isinstance(value, list | tuple | set | frozenset) else (value,):
            if item is not None:
                yield key, item
