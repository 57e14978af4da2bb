"""The server behind `tests.support.target`: asyncio and httptools only, so that it shares no code with what it judges.

It counts every request that arrived completely, and logs for each how long it took here: from its last byte
received to its answer written. Control paths (`/__stats__`, `/__log__`, `/__reset__`) are not counted.

=========================  ==========================================================================
`/delay/50ms`              200 after 50 ms (also `/delay/0.2s`)
`/mix`                     of every ten answers nine after 10 ms and one after 200 ms, in a fixed order
`/status/503`              that status
`/reset`                   closes the connection with RST instead of answering
`/bytes/4096`              a body of that many bytes
`/echo`                    what was sent, with its Content-Type
`/inspect`                 the request itself as JSON: method, path, query, headers, body
`/login`, `/account`       POST gives a token and a cookie; the account wants one of them, else 401
anything else              200 and a small JSON object
=========================  ==========================================================================
"""

from __future__ import annotations

import argparse
import asyncio
import json
import socket
import ssl
import struct
import sys
import time
from array import array
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from urllib.parse import parse_qs, urlsplit

import httptools

TOKEN = "t0ken"
MIX_FAST_S = 0.010
MIX_SLOW_S = 0.200


@dataclass
class Book:
    """What the server has seen since its start or the last reset."""

    requests: Counter[str] = field(default_factory=Counter)
    methods: Counter[str] = field(default_factory=Counter)
    statuses: Counter[int] = field(default_factory=Counter)
    durations_us: dict[str, array[float]] = field(default_factory=lambda: defaultdict(lambda: array("d")))
    request_ids: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    connections: int = 0
    abandoned: int = 0  # the client had gone before the answer

    def stats(self) -> dict[str, object]:
        return {
            "total": self.requests.total(),
            "requests": self.requests,
            "methods": self.methods,
            "statuses": self.statuses,
            "connections": self.connections,
            "abandoned": self.abandoned,
        }

    def log(self, path: str) -> dict[str, object]:
        return {"durations_us": list(self.durations_us[path]), "request_ids": self.request_ids[path]}


@dataclass(frozen=True, slots=True)
class Request:
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    def says_who(self) -> bool:
        """Whether it carries the token or the cookie of a login."""
        return self.headers.get("authorization") == f"Bearer {TOKEN}" or f"session={TOKEN}" in self.headers.get(
            "cookie", ""
        )


@dataclass(frozen=True, slots=True)
class Answer:
    status: int = 200
    body: bytes = b'{"ok": true}'
    content_type: str = "application/json"
    headers: tuple[tuple[str, str], ...] = ()
    delay_s: float = 0.0
    reset: bool = False

    def encode(self, *, head_only: bool, keep_alive: bool) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status} Answer",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            f"Connection: {'keep-alive' if keep_alive else 'close'}",
            *(f"{name}: {value}" for name, value in self.headers),
        ]
        head = "\r\n".join(lines).encode() + b"\r\n\r\n"
        return head if head_only else head + self.body


def as_json(value: object, status: int = 200, **more: object) -> Answer:
    return Answer(status, json.dumps(value).encode(), **more)  # type: ignore[arg-type]


def duration(text: str) -> float:
    """Seconds in "50ms" or "0.2s"."""
    return float(text[:-2]) / 1000 if text.endswith("ms") else float(text.removesuffix("s"))


def decide(request: Request, nth: int) -> Answer:
    """The answer to the `nth` request for this path (counted from 1)."""
    _, first, *rest = [*request.path.split("/"), ""]
    match first:
        case "delay":
            return Answer(delay_s=duration(rest[0]))
        case "mix":
            return Answer(delay_s=MIX_SLOW_S if nth % 10 == 0 else MIX_FAST_S)
        case "status":
            return as_json({"status": int(rest[0])}, int(rest[0]))
        case "reset":
            return Answer(reset=True)
        case "bytes":
            return Answer(body=b"x" * int(rest[0]), content_type="application/octet-stream")
        case "echo":
            return Answer(body=request.body, content_type=request.headers.get("content-type", "text/plain"))
        case "inspect":
            seen = {"method": request.method, "path": request.path, "query": request.query}
            return as_json({**seen, "headers": request.headers, "body": request.body.decode("utf-8", "replace")})
        case "login":
            return as_json({"token": TOKEN}, headers=(("Set-Cookie", f"session={TOKEN}; Path=/; HttpOnly"),))
        case "account" if not request.says_who():
            return as_json({"error": "log in first"}, 401)
    return as_json({"ok": True, "path": request.path, "id": nth})


class Connection(asyncio.Protocol):
    """One client. Requests are answered one after another, as HTTP/1.1 without pipelining does."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.transport: asyncio.Transport | None = None
        self.parser = httptools.HttpRequestParser(self)
        self.url = b""
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.book.connections += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserError as error:
            self.send(as_json({"error": str(error)}, 400), head_only=False, keep_alive=False)

    # httptools calls these while it parses.
    def on_url(self, url: bytes) -> None:
        self.url = url
        self.headers = {}
        self.body = bytearray()

    def on_header(self, name: bytes, value: bytes) -> None:
        self.headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        arrived_ns = time.monotonic_ns()
        parts = urlsplit(self.url.decode("latin-1"))
        method = self.parser.get_method().decode()
        request = Request(method, parts.path, parse_qs(parts.query), self.headers, bytes(self.body))
        keep_alive = self.parser.should_keep_alive()
        if request.path.startswith("/__"):
            self.send(self.control(request), head_only=False, keep_alive=keep_alive)
            return
        self.book.requests[request.path] += 1
        self.book.methods[method] += 1
        self.book.request_ids[request.path].append(self.headers.get("x-request-id", ""))
        answer = decide(request, self.book.requests[request.path])
        if answer.delay_s:
            loop = asyncio.get_running_loop()
            loop.call_later(answer.delay_s, self.finish, request, answer, keep_alive, arrived_ns)
        else:
            self.finish(request, answer, keep_alive, arrived_ns)

    def finish(self, request: Request, answer: Answer, keep_alive: bool, arrived_ns: int) -> None:
        if self.transport is None or self.transport.is_closing():
            self.book.abandoned += 1
            return
        if answer.reset:
            reset(self.transport)
            return
        self.send(answer, head_only=request.method == "HEAD", keep_alive=keep_alive)
        self.book.statuses[answer.status] += 1
        self.book.durations_us[request.path].append((time.monotonic_ns() - arrived_ns) / 1000)

    def send(self, answer: Answer, *, head_only: bool, keep_alive: bool) -> None:
        if self.transport is None:
            return
        self.transport.write(answer.encode(head_only=head_only, keep_alive=keep_alive))
        if not keep_alive:
            self.transport.close()

    def control(self, request: Request) -> Answer:
        match request.path:
            case "/__stats__":
                return as_json(self.book.stats())
            case "/__log__":
                return as_json(self.book.log(request.query.get("path", ["/"])[0]))
            case "/__reset__":
                self.book.__init__()  # type: ignore[misc]
                return as_json({"ok": True})
        return as_json({"error": f"no control path {request.path}"}, 404)


def reset(transport: asyncio.Transport) -> None:
    """Close with RST: what a crashed process or an impatient middlebox does."""
    transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()


async def serve(tls: ssl.SSLContext | None, announce: Callable[[int], None]) -> None:
    """Serve on a free loopback port until stdin closes, so that no server outlives its test."""
    loop = asyncio.get_running_loop()
    book = Book()
    server = await loop.create_server(lambda: Connection(book), "127.0.0.1", 0, ssl=tls, backlog=4096)
    ended = asyncio.Event()

    class Stdin(asyncio.Protocol):
        def connection_lost(self, exc: Exception | None) -> None:
            ended.set()

    await loop.connect_read_pipe(Stdin, sys.stdin)
    announce(server.sockets[0].getsockname()[1])
    await ended.wait()
    server.close()


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--certificate", help="PEM file with key and certificate: serve TLS")
    chosen = arguments.parse_args()
    tls = None
    if chosen.certificate:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(chosen.certificate)
    asyncio.run(serve(tls, lambda port: print(port, flush=True)))


if __name__ == "__main__":
    main()
