"""What the client makes of servers that do wrong: one row per fault, and the books always close."""

from __future__ import annotations

import socket
import threading

import gevent
import pytest

from loadgen.http.settings import ClientSettings, Timeouts
from tests.support.badserver import Handler, Peer, answers, ok, says, serve
from tests.support.clients import bench

HURRIED = ClientSettings(timeouts=Timeouts(5.0, 0.15, 0.15, 0.6))


def _drip(peer: Peer) -> None:
    """One byte of body at a time, for ever."""
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
    waiter = threading.Event()
    while True:
        peer.send(b"x")
        waiter.wait(0.05)


def _stall(start: bytes) -> Handler:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(start)
        peer.wait_closed()

    return handle


def _reset(start: bytes) -> Handler:
    def handle(peer: Peer) -> None:
        peer.read_request()
        if start:
            peer.send(start)
        peer.reset()

    return handle


HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"

BROKEN: dict[str, tuple[Handler, str, str]] = {
    "closed before any byte": (says(b""), "closed", "wait"),
    "reset before any byte": (_reset(b""), "reset", "wait"),
    "closed inside the status line": (says(b"HTTP/1.1 2"), "truncated", "headers"),
    "closed inside the head": (says(HEAD + b"Content-"), "truncated", "headers"),
    "closed inside the body": (says(HEAD + b"Content-Length: 10\r\n\r\nabc"), "truncated", "body"),
    "closed between chunks": (says(CHUNKED + b"3\r\nabc\r\n"), "truncated", "body"),
    "closed inside a chunk": (says(CHUNKED + b"5\r\nabc"), "truncated", "body"),
    "closed before the last chunk's end": (says(CHUNKED + b"3\r\nabc\r\n0\r\n"), "truncated", "body"),
    "two equal content-lengths": (
        says(HEAD + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"),
        "protocol_error",
        "headers",
    ),
    "two different content-lengths": (
        says(HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"),
        "protocol_error",
        "headers",
    ),
    "content-length and chunked": (
        says(HEAD + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"),
        "protocol_error",
        "headers",
    ),
    "content-length with a sign": (says(HEAD + b"Content-Length: +5\r\n\r\nabcde"), "protocol_error", "headers"),
    "content-length as a list": (says(HEAD + b"Content-Length: 5, 5\r\n\r\nabcde"), "protocol_error", "headers"),
    "content-length empty": (says(HEAD + b"Content-Length:\r\n\r\nabcde"), "protocol_error", "headers"),
    "content-length too long": (
        says(HEAD + b"Content-Length: 1" + b"0" * 30 + b"\r\n\r\n"),
        "protocol_error",
        "headers",
    ),
    "chunk size no number": (says(CHUNKED + b"zz\r\nabc\r\n"), "protocol_error", "body"),
    "chunk size overflows": (says(CHUNKED + b"fffffffffffffffff\r\nabc\r\n"), "protocol_error", "body"),
    "chunk without its line end": (says(CHUNKED + b"3\r\nabcXX"), "protocol_error", "body"),
    "transfer coding that is not chunked": (
        says(HEAD + b"Transfer-Encoding: gzip\r\n\r\nabc"),
        "protocol_error",
        "body",
    ),
    "no HTTP at all": (says(b"hello world\r\n\r\n"), "protocol_error", "headers"),
    "HTTP/0.9": (says(b"<html>hello</html>"), "protocol_error", "headers"),
    "HTTP/2 preface": (says(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "protocol_error", "headers"),
    "TLS on a plain port": (says(b"\x15\x03\x01\x00\x02\x02\x50"), "protocol_error", "headers"),
    "status of four digits": (says(b"HTTP/1.1 2000 OK\r\n\r\n"), "protocol_error", "headers"),
    "status of letters": (says(b"HTTP/1.1 abc OK\r\n\r\n"), "protocol_error", "headers"),
    "NUL in a header": (says(HEAD + b"X: a\0b\r\nContent-Length: 0\r\n\r\n"), "protocol_error", "headers"),
    "bare CR in a header": (says(HEAD + b"X: a\rb\r\nContent-Length: 0\r\n\r\n"), "protocol_error", "headers"),
    "folded header": (says(HEAD + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"), "protocol_error", "headers"),
    "space before the colon": (says(HEAD + b"X : a\r\nContent-Length: 0\r\n\r\n"), "protocol_error", "headers"),
    "101 unasked": (says(b"HTTP/1.1 101 Go\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"), "protocol_error", "headers"),
    "interim responses for ever": (says(b"HTTP/1.1 102 Wait\r\n\r\n" * 11 + ok()), "protocol_error", "headers"),
    "a header line of a megabyte": (says(HEAD + b"X: " + b"a" * 2**20), "headers_too_large", "headers"),
    "ten thousand headers": (says(HEAD + b"X: a\r\n" * 10_000 + b"\r\n"), "headers_too_large", "headers"),
    "corrupt gzip is no failure until read": (says(ok(b"no gzip", "Content-Encoding: gzip")), "", ""),
    "404": (says(ok(status="404 Not Found")), "http_4xx", ""),
    "503": (says(ok(status="503 Busy")), "http_5xx", ""),
    "799": (says(ok(status="799 Odd")), "http_other", ""),
    "099": (says(ok(status="099 Odd")), "http_other", ""),
}


@pytest.mark.parametrize(("handler", "category", "phase"), BROKEN.values(), ids=BROKEN)
def test_each_fault_has_its_category_and_leaves_one_record(handler: Handler, category: str, phase: str) -> None:
    with serve(handler) as server, bench(server.url) as b:
        response = b.client.post("/", data=b"x")

    assert b.books.records == ((0, 1, 0) if category else (1, 0, 0))
    assert [(f.category, f.phase) for f in b.books.failures] == ([(category, phase)] if category else [])
    assert b.owner.iteration_failed is bool(category)
    assert not response.ok if category else response.ok
    if phase:
        assert response.status_code == 0
        assert response.error is not None
        assert len(server.requests) == 1


STALLED: dict[str, tuple[Handler, str, str]] = {
    "no answer": (_stall(b""), "first_byte_timeout", "wait"),
    "head that never ends": (_stall(b"HTTP/1.1 200 OK\r\nX"), "idle_timeout", "headers"),
    "body that never ends": (_stall(HEAD + b"Content-Length: 10\r\n\r\nabc"), "idle_timeout", "body"),
    "a drip never resets the total deadline": (_drip, "total_timeout", "body"),
    "endless body": (_stall(HEAD + b"\r\nabc"), "idle_timeout", "body"),
}


@pytest.mark.parametrize(("handler", "category", "phase"), STALLED.values(), ids=STALLED)
def test_each_deadline_has_its_category(handler: Handler, category: str, phase: str) -> None:
    with serve(handler) as server, bench(server.url, HURRIED) as b:
        response = b.client.get("/")

    assert response.status_code == 0
    assert [(f.category, f.phase) for f in b.books.failures] == [(category, phase)]
    assert b.books.records == (0, 1, 0)


FINE: dict[str, tuple[bytes, bytes, bool]] = {  # response, body, is the connection kept
    "no reason phrase": (b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    "bare line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 2\n\nhi", b"hi", True),
    "empty lines first": (b"\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    "chunks with extensions and trailers": (
        CHUNKED + b'2;a="b"\r\nhi\r\n0\r\nTrailer: x\r\nDigest: y\r\n\r\n',
        b"hi",
        True,
    ),
    "until close": (HEAD + b"\r\nhi", b"hi", False),
    "until close, empty": (HEAD + b"\r\n", b"", False),
    "connection: close": (HEAD + b"Content-Length: 2\r\nConnection: close\r\n\r\nhi", b"hi", False),
    "HTTP/1.0": (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi", b"hi", False),
    "HTTP/1.0 kept alive": (
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhi",
        b"hi",
        True,
    ),
    "204 with a length": (b"HTTP/1.1 204 No\r\nContent-Length: 5\r\n\r\n", b"", True),
    "304 with a coding": (b"HTTP/1.1 304 No\r\nTransfer-Encoding: chunked\r\n\r\n", b"", True),
    "100, 102 and 103 first": (
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Wait\r\n\r\nHTTP/1.1 103 Hints\r\nLink: </a>\r\n\r\n"
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Final: yes\r\n\r\nhi",
        b"hi",
        True,
    ),
    "ten interim ones": (b"HTTP/1.1 102 Wait\r\n\r\n" * 10 + ok(b"hi"), b"hi", True),
    "bytes after the end": (ok(b"hi") + b"extra", b"hi", False),
    "a second response": (ok(b"hi") + ok(b"no"), b"hi", False),
    "bytes after chunked": (CHUNKED + b"2\r\nhi\r\n0\r\n\r\nextra", b"hi", False),
    "bytes after 204": (b"HTTP/1.1 204 No\r\n\r\nbody", b"", False),
    "latin-1 in a header": (HEAD + b"X-Name: caf\xe9\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
    "empty header": (HEAD + b"X-Empty:\r\nContent-Length: 2\r\n\r\nhi", b"hi", True),
}


@pytest.mark.parametrize(("raw", "body", "kept"), FINE.values(), ids=FINE)
def test_what_is_odd_but_right_is_a_success(raw: bytes, body: bytes, kept: bool) -> None:
    with serve(says(raw, ok(b"second")) if kept else says(raw)) as server, bench(server.url) as b:
        first = b.client.get("/")
        assert first.content == body
        if not kept:
            assert not b.engine.connections
        second = b.client.get("/") if kept else None

    assert b.books.records == (2 if kept else 1, 0, 0)
    assert server.connections == 1
    if second is not None:
        assert second.content == b"second"


def test_the_final_head_is_read_not_an_interim_one() -> None:
    raw, _, _ = FINE["100, 102 and 103 first"]
    with serve(says(raw)) as server, bench(server.url) as b:
        response = b.client.get("/")

    assert response.headers["x-final"] == "yes"
    assert "link" not in response.headers
    assert response.reason == "OK"


@pytest.mark.parametrize("extra", [b"", b"body nobody asked for"], ids=["proper", "with a body"])
def test_an_answer_to_head_ends_with_its_head(extra: bytes) -> None:
    head = HEAD + b"Content-Length: 2000\r\n\r\n"
    with serve(says(head + extra, head)) as server, bench(server.url) as b:
        response = b.client.head("/")
        assert response.headers["content-length"] == "2000"
        assert response.content == b""
        assert len(b.engine.connections) == (0 if extra else 1)

    assert b.books.records == (1, 0, 0)


def test_excess_bytes_are_counted() -> None:
    with serve(says(ok(b"hi") + b"extra")) as server, bench(server.url) as b:
        b.client.get("/")

    assert list(b.books.notes.counters.values()) == [1]


def test_bytes_on_an_idle_connection_close_it() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        if peer.number == 0:
            peer.send(b"HTTP/1.1 408 Too slow\r\nContent-Length: 0\r\n\r\n")
        peer.wait_closed()

    with serve(handle) as server, bench(server.url) as b:
        b.client.get("/")
        while b.engine.connections:
            gevent.sleep(0.001)
        second = b.client.get("/")

    assert second.content == b"hello"
    assert server.connections == 2
    assert b.books.records == (2, 0, 0)


def test_a_refused_connection_is_the_targets_fault() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        with bench(f"http://127.0.0.1:{free.getsockname()[1]}") as b:
            response = b.client.get("/")

    assert response.status_code == 0
    assert [(f.category, f.phase, f.fault) for f in b.books.failures] == [("connect_refused", "connect", "target")]
    assert not b.engine.connections


def test_a_connection_that_is_never_accepted_times_out() -> None:
    """The backlog is full: the kernel drops our SYN, as a firewall would."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(0)
    fillers = []
    for _ in range(4):
        filler = socket.socket()
        filler.setblocking(False)
        filler.connect_ex(listener.getsockname())
        fillers.append(filler)
    try:
        with bench(f"http://127.0.0.1:{listener.getsockname()[1]}", HURRIED_CONNECT) as b:
            response = b.client.get("/")
    finally:
        for one in (*fillers, listener):
            one.close()

    assert response.status_code == 0
    assert [(f.category, f.phase) for f in b.books.failures] == [("connect_timeout", "connect")]


HURRIED_CONNECT = ClientSettings(timeouts=Timeouts(0.15, 5.0, 5.0, 20.0))


def test_an_answer_before_the_body_was_sent_is_read_and_the_rest_not_sent() -> None:
    def handle(peer: Peer) -> None:
        peer.read_head()
        peer.send(ok(b"too large", status="413 Too Large"))
        peer.wait_closed()

    with serve(handle) as server, bench(server.url) as b:
        response = b.client.post("/", data=(b"x" * 65_536 for _ in range(1000)))
        assert not b.engine.connections

    assert response.status_code == 413
    assert response.content == b"too large"
    assert [f.category for f in b.books.failures] == ["http_4xx"]


def test_an_answer_followed_by_a_reset_is_still_read() -> None:
    def handle(peer: Peer) -> None:
        peer.read_head()
        peer.send(ok(b"go away", status="401 Unauthorized"))
        peer.sock.shutdown(socket.SHUT_WR)
        peer.read_until(lambda got: len(got) > 200_000)

    with serve(handle) as server, bench(server.url) as b:
        response = b.client.put("/", data=b"x" * 50_000_000)

    assert response.status_code == 401
    assert b.books.records == (0, 1, 0)


def test_a_body_above_the_cap_is_given_up() -> None:
    with (
        serve(says(HEAD + b"\r\n" + b"x" * 300_000)) as server,
        bench(server.url, ClientSettings(max_body_bytes=200_000)) as b,
    ):
        response = b.client.get("/")

    assert response.status_code == 0
    assert [f.category for f in b.books.failures] == ["body_too_large"]


def test_a_server_that_answers_everything_serves_many_requests_on_one_connection() -> None:
    with serve(answers(lambda request: ok(request.split()[1]))) as server, bench(server.url) as b:
        bodies = [b.client.get(f"/{n}").content for n in range(50)]

    assert bodies == [f"/{n}".encode() for n in range(50)]
    assert server.connections == 1
    assert (b.books.connections_opened, b.books.requests_on_reused) == (1, 49)
