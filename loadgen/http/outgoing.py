"""The bytes of a request, for all that is not the ordinary one: own headers, cookies, credentials, bodies.

Pure. Content-Length and Transfer-Encoding are always ours: a header of that name from the scenario is left out,
since it could only contradict the body that follows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from loadgen.http.bodies import Body
from loadgen.http.plans import SAYS_EMPTY_BODY, Block, Plan, authorization_line, header_block, request_line

FRAMING = frozenset({"content-length", "transfer-encoding"})
JOINED_BYTES = 256 * 1024  # a body up to this length goes out in one piece with its head
MAX_BLOCKS = 256
_CHUNKED = b"Transfer-Encoding: chunked\r\n"
Fields = Iterable[tuple[str, Any]]


class Blocks:
    """Header lines for defaults and a request's own headers; the last MAX_BLOCKS different ones are kept."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], Block] = {}

    def get(self, defaults: tuple[tuple[str, str], ...], headers: Mapping[str, Any] | None,
            dropped: frozenset[str]) -> Block:  # fmt: skip
        """`headers` over `defaults`, without those whose lower-case name is in `dropped`. Raises UsageError."""
        key = (defaults, tuple(headers.items()) if headers else None, dropped)
        try:
            known = self._known.get(key)
        except TypeError:  # a value that cannot be hashed cannot be a header value: the next line says so
            return merge(defaults, headers, dropped)
        if known is None:
            if len(self._known) >= MAX_BLOCKS:
                self._known.clear()
            known = self._known[key] = merge(defaults, headers, dropped)
        return known


def merge(defaults: Fields, headers: Mapping[str, Any] | None, dropped: frozenset[str]) -> Block:
    """See Blocks.get. A header set to None is not sent."""
    fields = {name.lower(): (name, value) for name, value in defaults}
    for name, value in (headers or {}).items():
        fields[name.lower()] = (name, value)
    kept = {key: field for key, field in fields.items()
            if key not in dropped and key not in FRAMING and field[1] is not None}  # fmt: skip
    host = kept.pop("host", None)
    header_block([host] if host else [])  # checks it
    return Block(header_block(kept.values()), frozenset(kept), str(host[1]) if host else None)


def payload(plan: Plan, block: Block, authorization: str | None, cookie: str | None, body: Body) -> bytes:
    """The head, and the body if it is short and in memory."""
    names = block.names
    line = plan.line if block.host is None else request_line(plan.method, plan.path, block.host)
    parts = [line, block.lines]
    if authorization is not None and "authorization" not in names:
        parts.append(authorization_line(authorization))
    if cookie and "cookie" not in names:
        parts.append(b"Cookie: " + cookie.encode("latin-1", "replace") + b"\r\n")
    if body.content_type and "content-type" not in names:
        parts.append(b"Content-Type: " + body.content_type.encode("latin-1") + b"\r\n")
    if body.length is None:
        parts.append(_CHUNKED)
    elif body.length or body.chunks is not None or plan.method in SAYS_EMPTY_BODY:
        parts.append(b"Content-Length: %d\r\n" % body.length)
    parts.append(b"\r\n")
    if body.content is not None and len(body.content) <= JOINED_BYTES:
        parts.append(body.content)
    return b"".join(parts)


def pieces_of(body: Body) -> Iterable[bytes] | None:
    """What has to be sent behind the payload, ready for the wire; None if nothing."""
    if body.chunks is not None:
        return body.chunks if body.length is not None else _chunked(body.chunks)
    if body.content is not None and len(body.content) > JOINED_BYTES:
        return (body.content,)
    return None


def _chunked(chunks: Iterable[bytes]) -> Iterable[bytes]:
    for chunk in chunks:
        yield b"%x\r\n%b\r\n" % (len(chunk), chunk)
    yield b"0\r\n\r\n"
