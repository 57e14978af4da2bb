"""A response, with the interface of `requests.Response`. Everything but status and raw bytes is made when asked for.

`status_code` is 0 when no response came; then `error` says why, `ok` is False and the body empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import timedelta
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from loadgen.errors import UsageError
from loadgen.http.errors import HttpStatusError
from loadgen.http.headers import Headers

if TYPE_CHECKING:
    from loadgen.http.cookies import CookieJar
    from loadgen.http.plans import Plan

REQUEST_HEAD_END = b"\r\n\r\n"


class Request:
    """What was sent: `method`, `url`, `headers`, `body`."""

    __slots__ = ("_payload", "_plan")

    def __init__(self, plan: Plan, payload: bytes) -> None:
        self._plan = plan
        self._payload = payload

    @property
    def method(self) -> str:
        return self._plan.method

    @property
    def url(self) -> str:
        return self._plan.url

    @property
    def headers(self) -> Headers:
        return Headers(self._payload.partition(REQUEST_HEAD_END)[0])

    @property
    def body(self) -> bytes:
        """The body, as far as it was in memory when it was sent."""
        return self._payload.partition(REQUEST_HEAD_END)[2]


class Response:
    """One response. Slots that are rarely needed stay unset until they are."""

    __slots__ = ("__weakref__", "_content", "_encoding", "_error", "_head", "_headers", "_history", "_payload", "_plan",
                 "_wire_body", "elapsed_ns", "status_code")  # fmt: skip
    _content: bytes
    _encoding: str
    _error: BaseException | None
    _headers: Headers
    _history: list[Response]

    def __init__(self, plan: Plan, payload: bytes, status: int, head: bytes, body: bytes, elapsed_ns: int) -> None:
        self._plan = plan
        self._payload = payload
        self.status_code = status
        self._head = head
        self._wire_body = body
        self.elapsed_ns = elapsed_ns

    # -- status -------------------------------------------------------------------------------

    @property
    def ok(self) -> bool:
        """A response came and its status is from 100 to 399."""
        return 100 <= self.status_code < 400

    def __bool__(self) -> bool:
        return self.ok

    @property
    def reason(self) -> str:
        """The reason phrase of the status line, often empty."""
        return self.headers.status_line.partition(" ")[2].partition(" ")[2].strip()

    @property
    def is_redirect(self) -> bool:
        return self.status_code in (301, 302, 303, 307, 308) and "location" in self.headers

    @property
    def error(self) -> BaseException | None:
        """Why no usable response came; None if one did."""
        try:
            return self._error
        except AttributeError:
            return None

    @error.setter
    def error(self, error: BaseException | None) -> None:
        self._error = error

    def raise_for_status(self) -> None:
        """Raise HttpStatusError for a status from 400, or the error that kept the response from coming."""
        if self.error is not None:
            raise self.error
        if not self.ok:
            raise status_error(self)

    # -- head ---------------------------------------------------------------------------------

    @property
    def headers(self) -> Headers:
        try:
            return self._headers
        except AttributeError:
            self._headers = headers = Headers(self._head)
            return headers

    @property
    def cookies(self) -> CookieJar:
        """The cookies this response sets (the client's own jar is `client.cookies`)."""
        from loadgen.http.cookies import CookieJar

        jar = CookieJar()
        jar.store(self.headers.get_all("set-cookie"), self._plan.target, self._plan.path)
        return jar

    # -- body ---------------------------------------------------------------------------------

    @property
    def content(self) -> bytes:
        """The body, with gzip, deflate, br and zstd undone. Raises DecodeError."""
        try:
            return self._content
        except AttributeError:
            self._content = content = self._decoded()
            return content

    def _decoded(self) -> bytes:
        body = self._wire_body
        if not body or (b"ontent-" not in self._head and b"ONTENT-" not in self._head):
            return body
        coding = self.headers.get("content-encoding")
        if not coding:
            return body
        from loadgen.http.decoding import Decoder

        decoder = Decoder(coding)
        return decoder.feed(body) + decoder.finish()

    @property
    def encoding(self) -> str:
        """The charset for `text`: set by you, else named by Content-Type, else UTF-8."""
        try:
            return self._encoding
        except AttributeError:
            from loadgen.http.decoding import charset_of

            return charset_of(self.headers.get("content-type")) or "utf-8"

    @encoding.setter
    def encoding(self, encoding: str) -> None:
        self._encoding = encoding

    @property
    def text(self) -> str:
        """The body as text; bytes that do not fit the charset become U+FFFD."""
        try:
            return self.content.decode(self.encoding, "replace")
        except LookupError:  # a charset that Python does not know
            return self.content.decode("utf-8", "replace")

    def json(self, **options: Any) -> Any:
        """The body parsed as JSON (UTF-8, UTF-16 or UTF-32). Raises ValueError."""
        return json.loads(self.content, **options)

    def iter_content(self, chunk_size: int | None = 65_536, decode_unicode: bool = False) -> Iterator[Any]:
        """The body in pieces."""
        content = self.content
        step = chunk_size or len(content) or 1
        for start in range(0, len(content), step):
            piece = content[start : start + step]
            yield piece.decode(self.encoding, "replace") if decode_unicode else piece

    def iter_lines(self, decode_unicode: bool = False) -> Iterator[Any]:
        """The body line by line, without line ends."""
        yield from (self.text.splitlines() if decode_unicode else self.content.splitlines())

    # -- where it comes from --------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The URL that gave this response, after redirects."""
        return self._plan.url

    @property
    def request(self) -> Request:
        return Request(self._plan, self._payload)

    @property
    def history(self) -> list[Response]:
        """The redirects that led here, oldest first."""
        try:
            return self._history
        except AttributeError:
            return []

    @history.setter
    def history(self, history: list[Response]) -> None:
        self._history = history

    @property
    def elapsed(self) -> timedelta:
        """From sending the request to the last byte of the response."""
        return timedelta(microseconds=self.elapsed_ns / 1000)

    def close(self) -> None:
        """Nothing is held open; a streamed response overrides this."""

    def success(self) -> None:
        raise _not_caught("success")

    def failure(self, reason: object) -> None:
        raise _not_caught("failure")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> bool | None:
        return None

    def __repr__(self) -> str:
        return f"<Response [{self.status_code}]>"


def status_error(response: Response) -> HttpStatusError:
    """The error of a response that failed by its status: "HTTP 503 Service Unavailable"."""
    text = f"HTTP {response.status_code} {response.reason}".rstrip()
    return HttpStatusError(text, status=response.status_code, response=response)


def _not_caught(method: str) -> UsageError:
    return UsageError(
        f"{method}() needs catch_response=True",
        hints=("Write: with client.get(…, catch_response=True) as response:",),
    )
