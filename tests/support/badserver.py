"""A faulty server on raw sockets: each fault is a small function that gets one connection.

It runs in native threads, beside whatever event loop the test uses, and records every request it reads.

    with serve(says(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab")) as server:
        client.get(server.url)
"""

from __future__ import annotations

import re
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LIMIT_S = 20.0  # no handler outlives a test for long


class Peer:
    """One connection, seen from the server. `number` counts connections from 0."""

    def __init__(self, sock: socket.socket, number: int, server: BadServer) -> None:
        self.sock = sock
        self.number = number
        self.server = server

    def read_request(self) -> bytes:
        """The next request with its body (Content-Length or chunked), recorded; b"" when the client has closed."""
        data = self.read_until(lambda got: b"\r\n\r\n" in got)
        head, _, body = data.partition(b"\r\n\r\n")
        length = _LENGTH.search(head)
        if length is not None:
            size = int(length[1])
            body = self.read_until(lambda got: len(got) >= size, body)
        elif b"transfer-encoding: chunked" in head.lower():
            body = self.read_until(lambda got: got.endswith(b"0\r\n\r\n"), body)
        if not head:
            return b""
        request = head + b"\r\n\r\n" + body
        self.server.requests.append(request)
        return request

    def read_head(self) -> bytes:
        """Only the head of the next request; what came of its body is thrown away."""
        data = self.read_until(lambda got: b"\r\n\r\n" in got)
        if data:
            self.server.requests.append(data)
        return data

    def read_until(self, enough: Callable[[bytes], bool], data: bytes = b"") -> bytes:
        while not enough(data):
            piece = self.sock.recv(65_536)
            if not piece:
                break
            data += piece
        return data

    def send(self, data: bytes) -> None:
        self.sock.sendall(data)

    def reset(self) -> None:
        """End the connection with RST."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def wait_closed(self) -> None:
        """Until the client has closed."""
        while self.sock.recv(65_536):
            pass


Handler = Callable[[Peer], None]


class BadServer:
    """See serve()."""

    def __init__(self, handler: Handler, family: int, host: str, context: ssl.SSLContext | None, backlog: int) -> None:
        self.handler = handler
        self.requests: list[bytes] = []
        self.connections = 0
        self._context = context
        self._peers: list[socket.socket] = []
        self._threads: list[threading.Thread] = []
        self._listener = socket.socket(family, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind((host, 0))
        self._listener.listen(backlog)
        self.port: int = self._listener.getsockname()[1]
        scheme = "https" if context else "http"
        shown = f"[{host}]" if ":" in host else host
        self.url = f"{scheme}://{'localhost' if context else shown}:{self.port}"

    def start(self) -> None:
        thread = threading.Thread(target=self._accept, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._peers:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(LIMIT_S)
        for sock in self._peers:
            sock.close()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            sock.settimeout(LIMIT_S)
            self._peers.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.connections), daemon=True)
            self.connections += 1
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self._context is not None:
                plain, sock = sock, self._context.wrap_socket(sock, server_side=True)
                self._peers.remove(plain)
                self._peers.append(sock)
            try:
                self.handler(Peer(sock, number, self))
            finally:
                sock.close()


@contextmanager
def serve(
    handler: Handler,
    *,
    family: int = socket.AF_INET,
    host: str = "127.0.0.1",
    tls: ssl.SSLContext | None = None,
    backlog: int = 128,
) -> Iterator[BadServer]:
    """A running server on a free port; each connection is handled by `handler` in a thread and then closed."""
    server = BadServer(handler, family, host, tls, backlog)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def says(*responses: bytes, then_close: bool = True) -> Handler:
    """Answer the first request with the first response, and so on; then close, or wait for the client to."""

    def handle(peer: Peer) -> None:
        for response in responses:
            if not peer.read_request():
                return
            peer.send(response)
        if not then_close:
            peer.wait_closed()

    return handle


def answers(respond: Callable[[bytes], bytes]) -> Handler:
    """Answer every request on every connection with respond(request)."""

    def handle(peer: Peer) -> None:
        while request := peer.read_request():
            peer.send(respond(request))

    return handle


def ok(body: bytes = b"hello", *fields: str, status: str = "200 OK") -> bytes:
    """A proper response."""
    lines = "".join(f"{field}\r\n" for field in fields)
    return f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\n{lines}\r\n".encode() + body
