"""The cookies of one virtual user, by RFC 6265: what each host gets, what a response may set.

A jar holds few cookies, so it is one list, longest paths first (the order in which they are sent),
not a tree of domains and paths: less memory per user, and faster. Bounded: MAX_COOKIES in all and
MAX_PER_DOMAIN; the first in the list, of equal paths the oldest, gives way. There is no list of
public suffixes; only whole top-level domains are refused.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping, MutableMapping

from loadgen.http.setcookie import Cookie, parse_set_cookie
from loadgen.http.urls import Target

MAX_PER_DOMAIN = 50
MAX_COOKIES = 300

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\x20-\x3a\x3c-\x7e\x80-\xff]*")


class CookieJar(MutableMapping[str, str]):
    """Cookies by name, and by where they go. As a mapping it shows every cookie, wherever it goes.

    Of several cookies of one name the mapping shows the one that would be sent first.
    """

    __slots__ = ("_cookies", "_host")

    def __init__(self, host: str = "") -> None:
        """`host`: where cookies go that are set by hand and without a domain; "" = everywhere."""
        self._host = host
        self._cookies: list[Cookie] = []

    # -- what the client asks ------------------------------------------------------------------

    def header_for(
        self,
        target: Target,
        path: str,
        secure: bool,
        now_s: float | None = None,
        extra: Mapping[str, str] | None = None,
        is_elsewhere: bool = False,
    ) -> str | None:
        """The value of the Cookie header for this request, None if no cookie goes there.

        `extra` are the cookies of this request alone; they take the place of the jar's of the same name.
        `is_elsewhere`: a server sent us to this origin, not the scenario; cookies without a domain stay at home.
        """
        host, plain_path = target.host, path.partition("?")[0]
        pairs = self._pairs_for(host, plain_path, secure, now_s, is_elsewhere) if self._cookies else []
        if extra:
            pairs = [pair for pair in pairs if pair.partition("=")[0] not in extra]
            pairs += [_checked(name, value) for name, value in extra.items()]
        return "; ".join(pairs) if pairs else None

    def store(self, values: Iterable[str], target: Target, path: str, now_s: float | None = None) -> None:
        """Take what the Set-Cookie headers of a response from `target` for `path` say; never raises."""
        now_s = time.time() if now_s is None else now_s
        for value in values:
            cookie = parse_set_cookie(value, target, path, now_s)
            if cookie is not None:
                self._put(cookie, now_s)

    # -- what a scenario asks --------------------------------------------------------------------

    def set(self, name: str, value: str | None, domain: str = "", path: str = "/") -> None:
        """Set a cookie by hand, for `domain` and its subdomains, else for the jar's own host; None deletes it.

        Raises ValueError for characters a cookie cannot have.
        """
        if value is None:
            self._cookies = [cookie for cookie in self._cookies if cookie.name != name]
            return
        _checked(name, value)
        domain = domain.removeprefix(".").lower()
        self._put(Cookie(name, value, domain or self._host, path, host_only=not domain), None)

    def get_dict(self) -> dict[str, str]:
        """Every cookie, name to value."""
        return dict(self.items())

    def cookies(self) -> list[Cookie]:
        """Every cookie with all it has, in the order of sending."""
        return list(self._cookies)

    def clear(self) -> None:
        """Forget all cookies."""
        self._cookies = []

    def __getitem__(self, name: str) -> str:
        for cookie in self._cookies:
            if cookie.name == name:
                return cookie.value
        raise KeyError(name)

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.set(name, None)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(cookie.name for cookie in self._cookies))

    def __len__(self) -> int:
        return len({cookie.name for cookie in self._cookies})

    def __repr__(self) -> str:
        """Names only: values are secrets more often than not."""
        return f"CookieJar({', '.join(self)})"

    # -- inside ------------------------------------------------------------------------------------

    def _pairs_for(self, host: str, path: str, secure: bool, now_s: float | None, is_elsewhere: bool) -> list[str]:
        pairs = []
        for cookie in self._cookies:
            if is_elsewhere and not cookie.domain:
                continue
            if cookie.expires_s is not None:
                now_s = time.time() if now_s is None else now_s
                if cookie.expires_s <= now_s:
                    continue  # dropped at the next store
            if cookie.goes_to(host, path, secure):
                pairs.append(f"{cookie.name}={cookie.value}")
        return pairs

    def _put(self, new: Cookie, now_s: float | None) -> None:
        """Replace the cookie of the same name, domain and path where it stands, or add this one; then make room."""
        kept = [cookie for cookie in self._cookies if now_s is None or not _is_over(cookie, now_s)]
        for index, cookie in enumerate(kept):
            if cookie.name == new.name and cookie.domain == new.domain and cookie.path == new.path:
                kept[index : index + 1] = [] if now_s is not None and _is_over(new, now_s) else [new]
                break
        else:
            if now_s is None or not _is_over(new, now_s):
                _insert(kept, new)
        self._cookies = kept


def _insert(cookies: list[Cookie], new: Cookie) -> None:
    same_domain = [cookie for cookie in cookies if cookie.domain == new.domain]
    if len(same_domain) >= MAX_PER_DOMAIN:
        cookies.remove(same_domain[0])
    elif len(cookies) >= MAX_COOKIES:
        del cookies[0]
    index = 0
    while index < len(cookies) and len(cookies[index].path) >= len(new.path):
        index += 1
    cookies.insert(index, new)


def _is_over(cookie: Cookie, now_s: float) -> bool:
    return cookie.expires_s is not None and cookie.expires_s <= now_s


def _checked(name: str, value: str) -> str:
    """ "name=value". Raises ValueError, without showing the value, if the header could not carry it."""
    if not _NAME.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a cookie")
    if not _VALUE.fullmatch(str(value)):
        raise ValueError(f"the value of the cookie {name!r} has characters no cookie can have: encode it first")
    return f"{name}={value}"
