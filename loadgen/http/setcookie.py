"""Reading one Set-Cookie header, by the rules of RFC 6265 §5.1 to §5.3 (what browsers do, not what servers should)."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import NamedTuple

from loadgen.http.urls import Target

MAX_PAIR = 4096  # name + value; a bigger cookie is ignored, as RFC 6265bis has it
MAX_ATTRIBUTE = 1024  # a longer attribute is ignored, the cookie stays

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")
_MAX_AGE = re.compile(r"-?[0-9]+")
_DATE_DELIMITER = re.compile(r"[\t\x20-\x2f\x3b-\x40\x5b-\x60\x7b-\x7e]+")
_TIME = re.compile(r"([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(?![0-9])")
_DAY = re.compile(r"([0-9]{1,2})(?![0-9])")
_YEAR = re.compile(r"([0-9]{2,4})(?![0-9])")
_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")


class Cookie(NamedTuple):
    """One cookie. An empty `domain` goes to every host; `expires_s` is wall time, None = for the session."""

    name: str
    value: str
    domain: str = ""
    path: str = "/"
    host_only: bool = True
    secure: bool = False
    expires_s: float | None = None

    def goes_to(self, host: str, path: str, secure: bool) -> bool:
        """Whether a request for `path` (without query) at `host` carries this cookie. Expiry is not looked at."""
        if self.secure and not secure:
            return False
        if self.path != "/" and not path_matches(path, self.path):
            return False
        domain = self.domain
        return host == domain or not domain or (not self.host_only and domain_matches(host, domain))


def parse_set_cookie(text: str, target: Target, path: str, now_s: float) -> Cookie | None:
    """The cookie a response from `target` for `path` sets, or None if it has to be ignored.

    A cookie that is deleted comes back with an `expires_s` in the past.
    """
    pair, _, attributes = text.partition(";")
    name, equals, value = (piece.strip(" \t") for piece in pair.partition("="))
    if not equals or not name or len(name) + len(value) > MAX_PAIR or _CONTROL.search(pair):
        return None
    found = _attributes(attributes)
    domain, host_only = _domain(found.get("domain", ""), target)
    if domain is None:
        return None
    cookie_path = found.get("path", "")
    return Cookie(
        name,
        value,
        domain,
        cookie_path if cookie_path.startswith("/") else default_path(path),
        host_only,
        "secure" in found,
        _expiry(found, now_s),
    )


def domain_matches(host: str, domain: str) -> bool:
    """RFC 6265 §5.1.3: the same, or a subdomain of it; an IP address has none."""
    return host == domain or (host.endswith(f".{domain}") and not _is_ip(host))


def path_matches(path: str, cookie_path: str) -> bool:
    """RFC 6265 §5.1.4: the same, or below it at a slash."""
    if not path.startswith(cookie_path):
        return False
    return len(path) == len(cookie_path) or cookie_path.endswith("/") or path[len(cookie_path)] == "/"


def default_path(path: str) -> str:
    """The directory of a request's path: "/a/b" and "/a/b?c" give "/a", "/a" gives "/"."""
    return path.partition("?")[0].rpartition("/")[0] or "/"


def parse_date(text: str) -> float | None:
    """Seconds since 1970 of a cookie's date, its parts in any order (RFC 6265 §5.1.1); None if it is no date."""
    clock = day = month = year = None
    for token in _DATE_DELIMITER.split(text):
        if clock is None and (match := _TIME.match(token)):
            clock = match.groups()
        elif day is None and (match := _DAY.match(token)):
            day = int(match.group(1))
        elif month is None and token[:3].lower() in _MONTHS:
            month = _MONTHS.index(token[:3].lower()) + 1
        elif year is None and (match := _YEAR.match(token)):
            year = _four_digits(int(match.group(1)))
    if clock is None or day is None or month is None or year is None or year < 1601:
        return None
    try:
        hour, minute, second = map(int, clock)
        return datetime(year, month, day, hour, minute, second, tzinfo=UTC).timestamp()
    except ValueError:  # such as 31 February or 25:00:00
        return None


def _attributes(text: str) -> dict[str, str]:
    """Name in lower case to value, of several the last."""
    found: dict[str, str] = {}
    for attribute in text.split(";"):
        name, _, value = attribute.partition("=")
        if len(value) <= MAX_ATTRIBUTE:
            found[name.strip(" \t").lower()] = value.strip(" \t")
    return found


def _domain(attribute: str, target: Target) -> tuple[str | None, bool]:
    """(domain, host only), or (None, …) where the response may not set a cookie for that domain."""
    domain = attribute.removeprefix(".").lower()
    if not domain or domain == target.host:
        return target.host, not domain or _is_ip(target.host)
    if "." not in domain or not domain_matches(target.host, domain):
        return None, False  # a stranger's domain, or a whole top-level domain
    return domain, False


def _expiry(found: dict[str, str], now_s: float) -> float | None:
    """Max-Age wins over Expires; what cannot be read counts as not there."""
    max_age = found.get("max-age", "")
    if _MAX_AGE.fullmatch(max_age):
        seconds = int(max_age[:12])  # 12 characters are 30,000 years
        return now_s + seconds if seconds > 0 else 0.0
    return parse_date(found["expires"]) if "expires" in found else None


def _four_digits(year: int) -> int:
    if 70 <= year <= 99:
        return year + 1900
    return year + 2000 if year < 70 else year


def _is_ip(host: str) -> bool:
    return ":" in host or host.rpartition(".")[2].isdigit()
