"""Connections: reuse, the one retry, stopping in flight, streams, uploads, addresses, our own limits."""

from __future__ import annotations

import errno
import gc
import os
import resource
import socket
import subprocess
import sys
import threading
from typing import Any

import gevent
import pytest

from loadgen.http import dialing
from loadgen.http.client import HttpClient
from loadgen.http.errors import HttpError, IdleTimeout, Truncated
from loadgen.http.owner import NoOwner
from loadgen.http.resolver import Resolver
from loadgen.http.sender import RETRIES
from loadgen.http.settings import ClientSettings, Timeouts
from tests.support.badserver import Peer, answers, ok, serve
from tests.support.clients import PATIENT, bench


def closes_after(count: int, reset: bool = False) -> Any:
    """Serves `count` requests per connection, reads one more and hangs up on it."""

    def handle(peer: Peer) -> None:
        for _ in range(count):
            peer.read_request()
            peer.send(ok())
        if peer.read_request() and reset:
            peer.reset()

    return handle


@pytest.mark.parametrize("reset", [False, True])
@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
def test_an_idempotent_request_on_a_stale_connection_is_sent_once_more(method: str, reset: bool) -> None:
    with serve(closes_after(1, reset)) as server, bench(server.url) as b:
        b.client.get("/")
        response = b.client.request(method, "/")

    assert response.status_code == 200
    assert b.books.records == (2, 0, 0)
    assert len(server.requests) == 3
    assert b.books.notes.counters[RETRIES] == 1


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_any_other_request_on_a_stale_connection_fails(method: str) -> None:
    with serve(closes_after(1)) as server, bench(server.url) as b:
        b.client.get("/")
        response = b.client.request(method, "/", data=b"x")

    assert response.status_code == 0
    assert b.books.records == (1, 1, 0)
    assert len(server.requests) == 2
    assert [(f.category, f.reused, f.retried) for f in b.books.failures] == [("closed", True, False)]


def test_it_is_sent_once_more_only_once() -> None:
    with serve(lambda peer: closes_after(1 if peer.number == 0 else 0)(peer)) as server, bench(server.url) as b:
        b.client.get("/")
        response = b.client.get("/")

    assert response.status_code == 0
    assert len(server.requests) == 3
    assert [(f.category, f.reused, f.retried) for f in b.books.failures] == [("closed", False, True)]


def test_a_new_connection_that_is_closed_is_no_reason_to_send_again() -> None:
    with serve(closes_after(0)) as server, bench(server.url) as b:
        b.client.get("/")

    assert len(server.requests) == 1
    assert [(f.reused, f.retried) for f in b.books.failures] == [(False, False)]


def test_after_a_byte_of_a_response_nothing_is_sent_again() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        peer.read_request()
        peer.send(b"H")

    with serve(handle) as server, bench(server.url) as b:
        b.client.get("/")
        b.client.get("/")

    assert len(server.requests) == 2
    assert [(f.category, f.reused) for f in b.books.failures] == [("truncated", True)]


def test_a_connection_closed_while_idle_is_noticed_and_replaced() -> None:
    closed = threading.Event()

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        closed.wait(10)

    with serve(handle) as server, bench(server.url) as b:
        b.client.get("/")
        assert len(b.engine.connections) == 1
        closed.set()
        while b.engine.connections:
            gevent.sleep(0.001)
        b.client.post("/", data=b"x")

    assert b.books.records == (2, 0, 0)
    assert not b.books.notes.counters
    assert (b.books.connections_opened, b.books.requests_on_reused) == (2, 0)


def test_a_user_stopped_in_flight_leaves_a_cancelled_record_and_no_connection() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")
        peer.wait_closed()

    with serve(handle) as server, bench(server.url) as b:
        users = [gevent.spawn(b.client.get, "/") for _ in range(5)]
        while len(server.requests) < 5:
            gevent.sleep(0.001)
        gevent.killall(users)

        assert b.books.records == (0, 0, 5)
        assert not b.engine.connections


def test_a_user_stopped_on_a_reused_connection_leaves_a_cancelled_record() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(ok())
        peer.read_request()
        peer.wait_closed()

    with serve(handle) as server, bench(server.url) as b:
        b.client.get("/")
        user = gevent.spawn(b.client.get, "/")
        while len(server.requests) < 2:
            gevent.sleep(0.001)
        user.kill()

        assert b.books.records == (1, 0, 1)
        assert not b.engine.connections


@pytest.mark.parametrize("catch", [False, True])
def test_a_user_stopped_in_a_block_or_a_stream_leaves_a_cancelled_record(catch: bool) -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        peer.wait_closed()

    def use(client: HttpClient) -> None:
        with client.get("/", stream=True, catch_response=catch) as response:
            for _ in response.iter_content():
                pass

    with serve(handle) as server, bench(server.url) as b:
        user = gevent.spawn(use, b.client)
        while not server.requests:
            gevent.sleep(0.001)
        gevent.sleep(0.01)
        user.kill()

        assert b.books.records == (0, 0, 1)
        assert not b.engine.connections


def test_a_user_stopped_while_judging_leaves_a_cancelled_record() -> None:
    with serve(answers(lambda r: ok())) as server, bench(server.url) as b:
        judging = gevent.event.Event()

        def use() -> None:
            with b.client.get("/", catch_response=True):
                judging.set()
                gevent.sleep(10)

        user = gevent.spawn(use)
        judging.wait()
        user.kill()

        assert b.books.records == (0, 0, 1)


def test_an_exception_thrown_into_a_request_is_recorded_and_goes_on() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.wait_closed()

    with serve(handle) as server, bench(server.url) as b:
        with pytest.raises(gevent.Timeout), gevent.Timeout(0.02):
            b.client.get("/")

        assert b.books.records == (0, 1, 0)
        assert [(f.category, f.fault) for f in b.books.failures] == [("exception", "scenario")]
        assert not b.engine.connections


def test_an_upload_that_raises_is_the_scenarios_failure() -> None:
    def pieces() -> Any:
        yield b"abc"
        raise LookupError("no more data")

    with serve(lambda peer: peer.wait_closed()) as server, bench(server.url) as b:
        with pytest.raises(LookupError):
            b.client.post("/", data=pieces())

        assert b.books.records == (0, 1, 0)
        assert [(f.category, f.message) for f in b.books.failures] == [("exception", "LookupError: no more data")]
        assert not b.engine.connections


def test_a_client_that_is_dropped_closes_its_connections() -> None:
    with serve(answers(lambda r: ok())) as server, bench(server.url) as b:
        other = HttpClient(b.engine, server.url, NoOwner(), PATIENT)
        other.get("/")
        assert len(b.engine.connections) == 1
        del other
        gc.collect()

        assert not b.engine.connections


# -- streams ----------------------------------------------------------------------------------


def lines_slowly(peer: Peer) -> None:
    peer.read_request()
    peer.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    for n in range(5):
        peer.send(b"7\r\nline %d\n\r\n" % n)
    peer.send(b"3\r\nend\r\n0\r\n\r\n")
    peer.read_request()
    peer.send(ok())


def test_a_stream_gives_lines_as_they_come_and_keeps_its_connection() -> None:
    with serve(lines_slowly) as server, bench(server.url) as b:
        with b.client.get("/", stream=True) as response:
            assert b.books.records == (0, 0, 0)
            lines = list(response.iter_lines(decode_unicode=True))
        second = b.client.get("/")

    assert lines == [f"line {n}" for n in range(5)] + ["end"]
    assert second.ok
    assert server.connections == 1
    assert b.books.records == (2, 0, 0)
    assert b.books.bytes == 5 * 7 + 3 + 5


def test_a_stream_closed_early_is_recorded_and_loses_its_connection() -> None:
    with serve(lines_slowly) as server, bench(server.url) as b:
        with b.client.get("/", stream=True) as response:
            next(response.iter_lines())
        assert b.books.records == (1, 0, 0)
        assert not b.engine.connections
        del response

    assert b.books.records == (1, 0, 0)


def test_a_stream_dropped_in_the_middle_is_cancelled() -> None:
    with serve(lines_slowly) as server, bench(server.url) as b:
        response = b.client.get("/", stream=True)
        next(response.iter_lines())
        del response

        assert b.books.records == (0, 0, 1)
        assert not b.engine.connections


@pytest.mark.parametrize("size", [1, 3, 7, 1000])
def test_a_stream_comes_in_pieces_of_the_size_asked_for(size: int) -> None:
    with serve(lines_slowly) as server, bench(server.url) as b, b.client.get("/", stream=True) as response:
        pieces = list(response.iter_content(size))

    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert b"".join(pieces) == b"".join(b"line %d\n" % n for n in range(5)) + b"end"


def test_a_stream_read_whole_is_like_any_response() -> None:
    with serve(lines_slowly) as server, bench(server.url) as b:
        response = b.client.get("/", stream=True)
        assert response.text.endswith("end")
        assert response.text.endswith("end")

    assert b.books.records == (1, 0, 0)


def test_a_stream_that_breaks_raises_and_is_recorded_as_failed() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    with serve(handle) as server, bench(server.url) as b:
        response = b.client.get("/", stream=True)
        with pytest.raises(Truncated):
            list(response.iter_content())
        with b.client.get("/", stream=True, catch_response=True) as caught, pytest.raises(Truncated):
            list(caught.iter_content())

    assert b.books.records == (0, 2, 0)
    assert [(f.category, f.bytes) for f in b.books.failures] == [("truncated", 3)] * 2


def test_a_stream_that_stands_still_times_out() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\n\r\nabc")
        peer.wait_closed()

    with serve(handle) as server, bench(server.url, ClientSettings(timeouts=Timeouts(5.0, 5.0, 0.1))) as b:
        response = b.client.get("/", stream=True)
        with pytest.raises(IdleTimeout):
            list(response.iter_content())

    assert [(f.category, f.phase) for f in b.books.failures] == [("idle_timeout", "body")]


def test_a_slow_reader_of_a_stream_slows_the_server_down_and_loses_nothing() -> None:
    size = 20_000_000

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
        peer.send(b"x" * size)
        peer.wait_closed()

    with serve(handle) as server, bench(server.url) as b:
        total = 0
        with b.client.get("/", stream=True) as response:
            for number, piece in enumerate(response.iter_content()):
                total += len(piece)
                if number % 20 == 0:
                    gevent.sleep(0.0005)

    assert total == size
    assert b.books.bytes == size


# -- deadlines of a request ---------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.1, (5, 0.1), Timeouts(5.0, 0.1, 5.0, None)])
def test_a_request_can_have_a_deadline_of_its_own(timeout: Any) -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        if peer.number == 0:
            peer.wait_closed()
        peer.send(ok())

    with serve(handle) as server, bench(server.url) as b:
        first = b.client.get("/", timeout=timeout)
        second = b.client.get("/")

    assert isinstance(first.error, HttpError)
    assert first.error.category in ("total_timeout", "first_byte_timeout")
    assert second.ok


def test_an_upload_nobody_takes_times_out() -> None:
    def handle(peer: Peer) -> None:
        peer.server.hold.wait(10)  # type: ignore[attr-defined]

    with serve(handle) as server, bench(server.url, ClientSettings(timeouts=Timeouts(5.0, 0.1, 0.1))) as b:
        server.hold = threading.Event()  # type: ignore[attr-defined]
        b.client.post("/", data=b"x" * 50_000_000)
        server.hold.set()  # type: ignore[attr-defined]

    assert [(f.category, f.phase) for f in b.books.failures] == [("idle_timeout", "send")]


# -- addresses ----------------------------------------------------------------------------------


def resolving(*addresses: tuple[int, str]) -> Resolver:
    def lookup(host: str) -> Any:
        return [(family, socket.SOCK_STREAM, 6, "", (ip, 0, 0, 0)[: 4 if family == socket.AF_INET6 else 2])
                for family, ip in addresses]  # fmt: skip

    return Resolver(lookup=lookup)


def test_ipv6_works() -> None:
    with serve(answers(lambda r: ok(r)), family=socket.AF_INET6, host="::1") as server, bench(server.url) as b:
        sent = b.client.get("/").text

    assert f"Host: [::1]:{server.port}" in sent


def test_the_next_address_is_tried_when_one_refuses() -> None:
    names = resolving((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
    with serve(answers(lambda r: ok())) as server, bench(f"http://two.test:{server.port}", resolver=names) as b:
        assert b.client.get("/").ok

    assert b.books.records == (1, 0, 0)
    assert set(b.books.series("GET", "/").phases) == {"dns", "connect"}


def test_addresses_are_used_in_turn() -> None:
    names = resolving(*((socket.AF_INET, f"127.0.0.{n}") for n in (1, 2, 3)))
    peers: list[str] = []

    def handle(peer: Peer) -> None:
        peers.append(peer.sock.getsockname()[0])
        peer.read_request()
        peer.send(ok(b"", "Connection: close"))

    with serve(handle, host="0.0.0.0") as server, bench(f"http://many.test:{server.port}", resolver=names) as b:
        for _ in range(6):
            assert b.client.get("/").ok

    assert sorted(peers) == ["127.0.0.1", "127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.3", "127.0.0.3"]


def test_where_ipv6_goes_nowhere_ipv4_is_tried_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """The first address accepts no connection (full backlog) and is given FALLBACK_S only."""
    monkeypatch.setattr(dialing, "FALLBACK_S", 0.02)
    names = resolving((socket.AF_INET6, "::1"), (socket.AF_INET, "127.0.0.1"))
    with serve(answers(lambda r: ok())) as server:
        hole = socket.socket(socket.AF_INET6)
        hole.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        hole.bind(("::1", server.port))
        hole.listen(0)
        fillers = [socket.socket(socket.AF_INET6) for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(("::1", server.port))
        with bench(f"http://two.test:{server.port}", resolver=names) as b:
            assert b.client.get("/").ok
        for one in (hole, *fillers):
            one.close()

    assert b.books.records == (1, 0, 0)


def test_a_name_without_an_address_is_a_dns_failure() -> None:
    with bench("http://nowhere.test/", resolver=resolving()) as b:
        response = b.client.get("/")

    assert response.status_code == 0
    assert [(f.category, f.phase, f.fault) for f in b.books.failures] == [("dns_not_found", "dns", "network")]


# -- our own limits -----------------------------------------------------------------------------


def test_running_out_of_descriptors_is_never_blamed_on_the_target() -> None:
    with serve(answers(lambda r: ok())) as server, bench(server.url) as b:
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        used = len(os.listdir("/proc/self/fd")) + 1
        taken = []
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 2, hard))
        try:
            while True:
                try:
                    taken.append(os.dup(0))
                except OSError:
                    break
            response = b.client.get("/")
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for fd in taken:
                os.close(fd)

    assert response.status_code == 0
    assert [(f.category, f.fault) for f in b.books.failures] == [("generator_limit", "generator")]
    assert b.books.generator_errors == 1


@pytest.mark.parametrize("code", [errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.EAGAIN])
def test_running_out_of_ports_is_never_blamed_on_the_target(code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing(socket.socket):
        def connect_ex(self, address: Any) -> int:
            return code

    monkeypatch.setattr(dialing, "new_socket", Refusing)
    with bench("http://127.0.0.1:9") as b:
        b.client.get("/")

    assert [(f.category, f.fault) for f in b.books.failures] == [("generator_limit", "generator")]


# -- in a process where everything is patched -----------------------------------------------------


PATCHED = """
from gevent import monkey; monkey.patch_all()
import sys, gevent
from tests.support.badserver import serve, answers, ok
from tests.support.clients import bench
with serve(answers(lambda r: ok(b"hi"))) as server, bench(server.url) as b:
    gevent.joinall([gevent.spawn(b.client.get, "/") for _ in range(10)])
    b.client.get(server.url.replace("127.0.0.1", "localhost"))
    print(*b.books.records)
"""


def test_it_works_under_monkey_patching() -> None:
    done = subprocess.run([sys.executable, "-c", PATCHED], capture_output=True, text=True, timeout=60, check=False)

    assert done.stdout.split() == ["11", "0", "0"], done.stderr


def test_idle_connections_beyond_the_limit_are_closed() -> None:
    few = ClientSettings(max_idle_connections=2)
    with serve(answers(lambda r: ok())) as server, bench(server.url, few) as b:
        gevent.joinall([gevent.spawn(b.client.get, "/") for _ in range(6)], raise_error=True)
        assert len(b.engine.connections) == 3

        b.client.close()
        assert not b.engine.connections
        assert b.client.get("/").ok


def test_two_targets_keep_a_connection_each() -> None:
    with serve(answers(lambda r: ok())) as one, serve(answers(lambda r: ok())) as two, bench(one.url) as b:
        for _ in range(3):
            assert b.client.get("/").ok
            assert b.client.get(f"{two.url}/").ok

    assert (one.connections, two.connections) == (1, 1)
    assert (b.books.connections_opened, b.books.requests_on_reused) == (2, 4)
