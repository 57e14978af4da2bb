"""What ends a response: the one place that knows. Pure: bytes in, one response out.

====================================  =======================================================
The final response …                  ends
====================================  =======================================================
answers HEAD, or is 204 or 304        with its head, whatever its headers say
has `Transfer-Encoding: chunked`      after the last chunk and its trailers (which are dropped)
has `Content-Length: n`               after n bytes of body
has neither                           when the server closes; its connection cannot be reused
====================================  =======================================================

Before it, up to MAX_INTERIM interim responses (1xx) are skipped; 101 was never asked for and is a
protocol error. A connection that ends earlier: `Closed` before the first byte, else `Truncated`. Bytes
after the end set `excess`: they belong to no request, and the connection is not used again.
Repeated or odd Content-Length, Content-Length beside Transfer-Encoding, NUL and bare CR, folded
headers, broken chunks: protocol errors (llhttp decides). A bare LF as a line's end is accepted.

The head is kept as the bytes that came and is taken apart only when somebody asks for a header:
a callback per header would cost more than everything else here together.
"""

from __future__ import annotations

import re

import httptools

from loadgen.http.errors import BodyTooLarge, Closed, HeadersTooLarge, HttpError, ProtocolError, Truncated
from loadgen.http.headers import Headers

MAX_HEAD_BYTES = 256 * 1024
MAX_FIELDS = 1_000
MAX_INTERIM = 10
_FEW_FIELDS_BYTES = 4 * MAX_FIELDS  # a field has at least 4 bytes ("a:\r\n"): a smaller head cannot have too many
_BLANK_LINE = re.compile(rb"\n\r?\n")
_PARSER_ERRORS = (httptools.HttpParserError, httptools.HttpParserUpgrade)


class ResponseReader:
    """Reads one response after the other; `reset` between two.

    While `done` is False the response wants more: `feed` it what arrives, or tell it `eof`.
    When done: `status`, `head` (raw, without the blank line), `body` (as on the wire, chunking removed),
    `size` (bytes of body), `keep_alive`, `excess`. Both methods raise an HttpError that says what is wrong
    with the response; the reader and its connection are then of no further use.
    """

    __slots__ = ("_chunks", "_feed", "_parser", "_skipped", "body", "done", "excess", "head", "interim", "is_spoilt",
                 "keep_alive", "max_body", "size", "status")  # fmt: skip

    headed = False  # StreamReader only: the head is complete

    def __init__(self, max_body: int = 1 << 62) -> None:
        self._parser = self._new_parser()
        self._feed = self._parser.feed_data
        self.max_body = max_body
        self.reset()

    def _new_parser(self) -> httptools.HttpResponseParser:
        parser = httptools.HttpResponseParser(self)
        parser.set_dangerous_leniencies(lenient_optional_cr_before_lf=True)
        return parser

    def reset(self) -> None:
        """Make ready for the next response on the same or, after a clean end, any other connection."""
        self.head = b""
        self.body = b""
        self.done = False
        self.excess = False
        self.is_spoilt = False
        self.keep_alive = False
        self.interim = 0  # 1xx responses that came
        self._skipped = 0  # of them, those cut out of `head`
        self.size = 0
        self.status = 0
        self._chunks: list[bytes] | None = None

    # -- what the connection calls ------------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """Take in what the server sent."""
        if not self.size:
            self.head += data  # may hold the beginning of the body too: cut off when the response is done
        try:
            self._feed(data)
        except _PARSER_ERRORS as exc:
            self._stopped(exc)
        if self.done:
            self._cut_head()
        elif not self.size and len(self.head) > MAX_HEAD_BYTES:
            self._check_open_head()

    def eof(self) -> None:
        """The server closed its side: the end of a close-delimited body, or an error."""
        if not self.head:
            raise Closed()
        end = self._head_end()
        if end < 0:
            raise Truncated("the connection ended inside the response's head", phase="headers")
        self._read_status()
        if not self._is_until_close(Headers(self.head[:end])):
            raise Truncated(f"the connection ended inside the response's body, after {self.size} bytes", phase="body")
        self.done = True
        self.keep_alive = False
        self._gather()
        self._cut_head()

    @property
    def phase(self) -> str:
        """How far the response has come: "wait", "headers" or "body"."""
        if not self.head:
            return "wait"
        return "body" if self.size or self._head_end() >= 0 else "headers"

    @property
    def refuses(self) -> bool:
        """The response is complete, or an error's has begun: sending the rest of the request is pointless."""
        return self.done or (self._head_end() >= 0 and self._parser.get_status_code() >= 400)

    def spoil(self) -> None:
        """The connection cannot be used again, whatever the response says."""
        self.keep_alive = False
        self.is_spoilt = True

    # -- what the parser calls ----------------------------------------------------------------

    def on_message_begin(self) -> None:
        if self.done:
            raise _Stop  # a second response in the same breath: see _stopped

    def on_body(self, chunk: bytes) -> None:
        if not self.size:
            self.body = chunk
            self.size = len(chunk)
        else:
            self._more(chunk)

    def on_message_complete(self) -> None:
        parser = self._parser
        self.status = status = parser.get_status_code()
        if 100 <= status < 200:
            self._interim(status)
            return
        self.keep_alive = parser.should_keep_alive() and not self.is_spoilt
        self.done = True
        if self._chunks is not None:
            self._gather()

    # -- the rarer parts ----------------------------------------------------------------------

    def _more(self, chunk: bytes) -> None:
        if self._chunks is None:
            self._chunks = [self.body]
        self._chunks.append(chunk)
        self.size += len(chunk)
        if self.size > self.max_body:
            raise _Stop

    def _gather(self) -> None:
        if self._chunks is not None:
            self.body = b"".join(self._chunks)
            self._chunks = None

    def _interim(self, status: int) -> None:
        if status == 101 or self.size:
            raise _Stop
        self.interim += 1
        if self.interim > MAX_INTERIM:
            raise _Stop

    def _stopped(self, exc: Exception) -> None:
        """The parser stopped: raise what that means, or note the excess after a complete response."""
        if self.done:
            self.excess = True
            self.keep_alive = False
            return
        raise self._error(exc) from exc

    def _error(self, exc: Exception) -> HttpError:
        if self.size > self.max_body:
            return BodyTooLarge(f"the response's body is above {self.max_body:,} bytes", phase="body")
        if self.interim > MAX_INTERIM:
            return ProtocolError(f"more than {MAX_INTERIM} interim responses (1xx)", phase="headers")
        if self.status == 101:
            return ProtocolError("101 Switching Protocols, but no upgrade was asked for", phase="headers")
        start = self.head[:60]
        phase = "headers" if self._is_head_broken() else "body"
        return ProtocolError(f"no valid HTTP/1.x response: {exc}; it begins with {start!r}", phase=phase)

    def _is_head_broken(self) -> bool:
        """The parser does not say where it stopped: another one, given the head alone, does."""
        blank = _BLANK_LINE.match(self.head, end) if (end := self._head_end()) >= 0 else None
        if blank is None:
            return True
        try:
            ResponseReader()._feed(self.head[: blank.end()])
        except _PARSER_ERRORS:
            return True
        return False

    def _cut_head(self) -> None:
        """Cut `head` down to the final response's head, and hold it against the caps."""
        head = self.head
        end = head.find(b"\r\n\r\n")
        if end + 4 + self.size != len(head):  # chunked, several pieces, 1xx before it, bare LF, …
            end = self._head_end()
            head = self.head
        self.head = head = head[:end]
        if end > _FEW_FIELDS_BYTES:
            self._check_head(head)

    def _check_open_head(self) -> None:
        end = self._head_end()
        self._check_head(self.head if end < 0 else self.head[:end])

    def _check_head(self, head: bytes) -> None:
        if len(head) > MAX_HEAD_BYTES:
            raise HeadersTooLarge(f"the response's head is above {MAX_HEAD_BYTES:,} bytes", phase="headers")
        if head.count(b"\n") > MAX_FIELDS:
            raise HeadersTooLarge(f"the response has more than {MAX_FIELDS:,} header fields", phase="headers")

    def _head_end(self) -> int:
        """Where the final response's head ends in `head`, -1 if it has not yet; cuts off what stands before it."""
        while True:
            head = self.head = self.head.lstrip(b"\r\n")
            blank = _BLANK_LINE.search(head)
            if blank is None:
                return -1
            if self._skipped == self.interim:
                return blank.start()
            self.head = head[blank.end() :]
            self._skipped += 1

    def _read_status(self) -> None:
        self.status = self._parser.get_status_code()

    def _is_until_close(self, headers: Headers) -> bool:
        coding = headers.get("transfer-encoding")
        if coding is not None:
            if coding.rpartition(",")[2].strip().lower() != "chunked":
                raise ProtocolError(f"Transfer-Encoding {coding!r} does not end in chunked", phase="body")
            return False
        return "content-length" not in headers


class HeadReader(ResponseReader):
    """For one answer to HEAD: it ends with its head. Used once."""

    __slots__ = ()

    def on_headers_complete(self) -> None:
        self._read_status()
        if 100 <= self.status < 200:
            return
        self.done = True
        raise _Stop

    def _stopped(self, exc: Exception) -> None:
        if not self.done:
            super()._stopped(exc)

    def _cut_head(self) -> None:
        end = self._head_end()
        blank = _BLANK_LINE.match(self.head, end)
        self.excess = blank is not None and blank.end() < len(self.head)
        self.head = self.head[:end]
        self._check_head(self.head)
        tokens = Headers(self.head).get("connection", "").lower()
        version = self.head[:8]
        self.keep_alive = not (self.excess or self.is_spoilt) and (
            "close" not in tokens if version == b"HTTP/1.1" else "keep-alive" in tokens
        )


class StreamReader(ResponseReader):
    """Hands the body over piece by piece: `headed` once the head is complete, `take` gives what came. Used once."""

    __slots__ = ("headed",)

    def __init__(self, max_body: int = 1 << 62) -> None:
        self.headed = False
        super().__init__(max_body)

    def on_headers_complete(self) -> None:
        self._read_status()
        self.headed = not 100 <= self.status < 200

    def feed(self, data: bytes) -> None:
        was_headed = self.headed
        if not was_headed:
            self.head += data
        try:
            self._feed(data)
        except _PARSER_ERRORS as exc:
            self._stopped(exc)
        if was_headed:
            return
        if self.headed:
            self._cut_head()
        elif len(self.head) > MAX_HEAD_BYTES:
            self._check_open_head()

    def eof(self) -> None:
        if not self.headed:
            super().eof()
            return
        if not self._is_until_close(Headers(self.head)):
            raise Truncated(f"the connection ended inside the response's body, after {self.size} bytes", phase="body")
        self.done = True
        self.keep_alive = False

    def _gather(self) -> None:
        """Pieces stay pieces."""

    def on_body(self, chunk: bytes) -> None:
        if self._chunks is None:
            self._chunks = []
        self._chunks.append(chunk)
        self.size += len(chunk)
        if self.size > self.max_body:
            raise _Stop

    def take(self) -> list[bytes]:
        """The pieces of body that came since the last call."""
        chunks = self._chunks or []
        self._chunks = None
        return chunks


class _Stop(Exception):
    """Raised in a callback to make the parser stop here."""
