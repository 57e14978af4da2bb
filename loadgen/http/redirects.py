"""What to ask next when a response says "elsewhere". Pure: the client sends what this decides.

=========  =====================================================================
status     next request
=========  =====================================================================
301, 302   POST becomes GET without a body, every other method stays (Fetch, RFC 9110 §15.4)
303        GET without a body; HEAD stays HEAD
307, 308   the same method with the same body
others     none: the response is final (300 and 304 too)
=========  =====================================================================

A missing or empty Location makes the response final. Whoever is another origin (scheme, host or
port) gets neither credentials nor cookies that were meant for the first one.
"""

from __future__ import annotations

from typing import NamedTuple

from loadgen.http.errors import InvalidRedirect, InvalidUrl, TooManyRedirects
from loadgen.http.urls import redact, resolve, split

STATUSES = frozenset({301, 302, 303, 307, 308})

CREDENTIAL_HEADERS = frozenset({"authorization", "cookie", "host", "proxy-authorization"})
BODY_HEADERS = frozenset(
    {
        "content-encoding",
        "content-language",
        "content-length",
        "content-location",
        "content-type",
        "expect",
        "transfer-encoding",
    }
)


class Redirect(NamedTuple):
    """The next request. `dropped_headers` are the lower-case names of headers that must not be sent again.

    With "cookie" among them only a Cookie header of the scenario's own making is meant: the jar
    decides for itself what each host gets.
    """

    method: str
    url: str
    keeps_body: bool
    dropped_headers: frozenset[str]
    is_cross_origin: bool


def next_request(
    method: str,
    url: str,
    status: int,
    location: str | None,
    *,
    hops: int = 0,
    limit: int = 30,
    is_replayable: bool = True,
) -> Redirect | None:
    """What to send after `status` and `location` came for `method` on the absolute `url`; None if nothing.

    `hops` redirects have been followed already, at most `limit` may be. `location` is the header as
    read in Latin-1. `is_replayable`: the body, if any, can be sent again.
    Raises TooManyRedirects, or InvalidRedirect for a Location that is no http(s) URL and for a body
    that would have to be sent again and cannot.
    """
    if status not in STATUSES or not location or not location.strip():
        return None
    there, is_cross_origin = _follow(url, _as_utf8(location))
    if hops >= limit:
        raise TooManyRedirects(f"{limit} redirects, and then one more (status {status}) to {redact(there)}", phase="")
    next_method = _method_after(status, method)
    keeps_body = next_method == method
    if keeps_body and not is_replayable:
        raise InvalidRedirect(
            f"status {status} asks for the body once more at {redact(there)}, but an iterator can be sent only once",
            fault="scenario",
            hints=("Pass bytes or a file, or allow_redirects=False.",),
        )
    dropped = CREDENTIAL_HEADERS if is_cross_origin else frozenset[str]()
    return Redirect(next_method, there, keeps_body, dropped if keeps_body else dropped | BODY_HEADERS, is_cross_origin)


def _follow(url: str, location: str) -> tuple[str, bool]:
    """(absolute URL, whether it is another origin)."""
    try:
        there = resolve(url, location)
        return there, split(there)[0] != split(url)[0]
    except InvalidUrl as exc:
        raise InvalidRedirect(f"redirect to {redact(location)!r}: {exc.message}") from exc


def _as_utf8(location: str) -> str:
    """Header bytes were read as Latin-1; servers that send raw letters nearly always mean UTF-8."""
    try:
        return location.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return location


def _method_after(status: int, method: str) -> str:
    if status == 303 and method != "HEAD":
        return "GET"
    return "GET" if status in (301, 302) and method == "POST" else method
