"""The bundled shop as a process: a small, fast HTTP/1.1 server on loopback.

`python -m loadgen.demo.target` listens on a free port of 127.0.0.1, prints `{"port": …}` and serves
until its stdin closes, so it never outlives the process that started it.
"""

from __future__ import annotations

import errno
import json
import os
import sys
import time
from collections.abc import Callable
from functools import cache
from typing import Any

import gevent
import httptools
from gevent import socket as gsocket
from gevent.pool import Pool
from gevent.server import StreamServer

from loadgen.demo.service import Service, kind_of
from loadgen.limits import raise_file_limit

_REASONS = {200: "OK", 404: "Not Found", 503: "Service Unavailable"}
_BODIES = {
    "/": {"shop": "demo", "items": 10_000},
    "/item": {"id": 7, "name": "a thing", "price": 19.9},
    "/search": {"found": [1, 2, 3]},
    "/order": {"order": 4711},
}
_MAX_CONNECTIONS = 20_000


class _Requests:
    """httptools' callbacks: collects the paths of complete requests, in order."""

    def __init__(self) -> None:
        self.complete: list[str] = []
        self.keeps_alive = True
        self._url = b""
        self.parser = httptools.HttpRequestParser(self)

    def on_url(self, url: bytes) -> None:
        self._url += url

    def on_message_complete(self) -> None:
        self.complete.append(self._url.decode("latin-1"))
        self.keeps_alive = self.parser.should_keep_alive()
        self._url = b""


@cache
def response(status: int, kind: str) -> bytes:
    """The whole answer, head and JSON body, for a path of this kind ("" for an unknown one)."""
    body = {"error": "overloaded"} if status == 503 else _BODIES.get(kind, {"error": "no such page"})
    content = json.dumps(body).encode()
    head = f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(content)}\r\n\r\n".encode() + content


def serve_connection(connection: Any, service: Service, now: Callable[[], float] = time.monotonic) -> None:
    """Answer the requests of one connection in order until the client closes it or sends nonsense."""
    requests = _Requests()
    try:
        while requests.keeps_alive and (data := connection.recv(16_384)):
            requests.parser.feed_data(data)
            for path in requests.complete:
                answer = service.answer(path, now())
                gevent.sleep(max(0.0, answer.at_s - now()))
                connection.sendall(response(answer.status, "" if answer.status == 404 else kind_of(path)))
            requests.complete.clear()
    except (httptools.HttpParserError, httptools.HttpParserUpgrade):
        connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def _handle(connection: Any, service: Service) -> None:
    connection.setsockopt(gsocket.IPPROTO_TCP, gsocket.TCP_NODELAY, 1)
    try:
        serve_connection(connection, service)
    except OSError as exc:  # the client went away: that is its right
        if exc.errno not in (errno.ECONNRESET, errno.EPIPE, errno.ECONNABORTED):
            raise
    finally:
        connection.close()


def main() -> None:
    """Serve until stdin closes."""
    raise_file_limit()
    service = Service()
    server = StreamServer(
        ("127.0.0.1", 0),
        lambda connection, _: _handle(connection, service),
        backlog=2_048,
        spawn=Pool(_MAX_CONNECTIONS),
    )
    server.start()
    sys.stdout.write(json.dumps({"port": server.server_port}) + "\n")
    sys.stdout.flush()
    try:
        while True:
            gsocket.wait_read(sys.stdin.fileno())
            if not os.read(sys.stdin.fileno(), 4_096):
                break
    except KeyboardInterrupt:  # Ctrl-C reaches the whole group; the run decides when the shop closes
        pass
    server.stop(timeout=0)


if __name__ == "__main__":
    main()
