"""Values for the Authorization header: basic (RFC 7617, UTF-8) and bearer (RFC 6750)."""

from __future__ import annotations

import re
from base64 import b64encode

_TOKEN = re.compile(r"[A-Za-z0-9\-._~+/]+=*")
_VALUE = re.compile(r"[\t -~\x80-\xff]+")


def basic(user: str | bytes, password: str | bytes) -> str:
    """The header value for a name and a password. Raises ValueError if the name contains a colon."""
    name, secret = _utf8(user), _utf8(password)
    if b":" in name:
        raise ValueError("a user name for basic authentication cannot contain a colon")
    return "Basic " + b64encode(name + b":" + secret).decode("ascii")


def bearer(token: str) -> str:
    """The header value for a token. Raises ValueError, without showing the token, if it is no token."""
    if not _TOKEN.fullmatch(token):
        raise ValueError("a bearer token is made of letters, digits and -._~+/ with = at its end only")
    return f"Bearer {token}"


def authorization(auth: object) -> str:
    """The header value for a scenario's `auth=`.

    A pair is basic authentication, and so is any object with `username` and `password` (as
    requests.auth.HTTPBasicAuth has); a str, as basic() and bearer() make it, is the value itself.
    Raises TypeError or ValueError, never showing what was passed.
    """
    if isinstance(auth, str):
        if not _VALUE.fullmatch(auth):
            raise ValueError("auth= contains characters that no header may have")
        return auth
    if isinstance(auth, tuple | list) and len(auth) == 2:
        return basic(*auth)
    username, password = getattr(auth, "username", None), getattr(auth, "password", None)
    if isinstance(username, str | bytes) and isinstance(password, str | bytes):
        return basic(username, password)
    raise TypeError("auth= is (user, password) or a header value as made by basic() or bearer()")


def _utf8(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else text.encode()
