"""HTTPS through the whole client: what works, and each way a handshake fails under its own category."""

from __future__ import annotations

import datetime
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
import pytest
import trustme
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ConfigError
from loadgen.http import plans
from loadgen.http.plans import Route
from loadgen.http.settings import ClientSettings, Timeouts
from loadgen.http.tls import TlsSettings
from loadgen.http.urls import Target
from tests.support.badserver import Handler, Peer, answers, ok, says, serve
from tests.support.clients import bench

CA = trustme.CA()
OTHER_CA = trustme.CA()
CERT = CA.issue_cert("localhost", "127.0.0.1", "other.test")
YESTERDAY = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
HELLO = answers(lambda request: ok())


def context(cert: trustme.LeafCert = CERT, change: Callable[[ssl.SSLContext], Any] | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    cert.configure_cert(made)
    if change is not None:
        change(made)
    return made


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("ca") / "ca.pem"
    CA.cert_pem.write_to_path(str(path))
    return str(path)


def trusting(ca: str, **tls: Any) -> ClientSettings:
    return ClientSettings(timeouts=Timeouts(5.0, 5.0, 5.0, 20.0), tls=TlsSettings(verify=ca, **tls))


def test_https_works_and_is_kept_alive(ca: str) -> None:
    with serve(HELLO, tls=context()) as server, bench(server.url, trusting(ca)) as b:
        assert [b.client.get("/").content for _ in range(5)] == [b"hello"] * 5

    assert server.connections == 1
    assert b.books.records == (5, 0, 0)
    assert {"connect", "tls"} <= set(b.books.series("GET", "/").phases)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_large_bodies_go_both_ways(ca: str, version: ssl.TLSVersion) -> None:
    def change(made: ssl.SSLContext) -> None:
        made.minimum_version = made.maximum_version = version

    body = bytes(range(256)) * 12_000
    echo = answers(lambda request: ok(request.partition(b"\r\n\r\n")[2]))
    with serve(echo, tls=context(change=change)) as server, bench(server.url, trusting(ca)) as b:
        assert b.client.post("/", data=body).content == body
        assert b.client.post("/", data=iter([b"abc", b"def"])).content.startswith(b"3\r\nabc")
        with b.client.post("/", data=body, stream=True) as response:
            assert b"".join(response.iter_content()) == body

    assert server.connections == 1
    assert b.books.records == (3, 0, 0)


def _ask_for_a_certificate(made: ssl.SSLContext) -> None:
    made.verify_mode = ssl.CERT_REQUIRED
    CA.configure_trust(made)


def _offer_only_anonymous_ciphers(made: ssl.SSLContext) -> None:
    made.maximum_version = ssl.TLSVersion.TLSv1_2
    made.set_ciphers("ADH-AES128-SHA256:@SECLEVEL=0")


FAILING: dict[str, tuple[Callable[[], ssl.SSLContext], str]] = {
    "expired": (lambda: context(CA.issue_cert("localhost", not_after=YESTERDAY)), "tls_expired"),
    "wrong host": (lambda: context(CA.issue_cert("elsewhere.test")), "tls_wrong_host"),
    "unknown CA": (lambda: context(OTHER_CA.issue_cert("localhost")), "tls_unknown_ca"),
    "client certificate wanted": (lambda: context(change=_ask_for_a_certificate), "tls_client_cert"),
    "no cipher in common": (lambda: context(change=_offer_only_anonymous_ciphers), "tls_no_cipher"),
}


@pytest.mark.parametrize(("make", "category"), FAILING.values(), ids=FAILING)
def test_each_failed_handshake_has_its_category(ca: str, make: Callable[[], ssl.SSLContext], category: str) -> None:
    with serve(HELLO, tls=make()) as server, bench(server.url, trusting(ca)) as b:
        response = b.client.post("/", data=b"x")

    assert response.status_code == 0
    assert [f.category for f in b.books.failures] == [category]
    assert b.books.records == (0, 1, 0)
    assert not b.engine.connections


def test_a_version_too_old_is_refused(ca: str) -> None:
    old = context(change=lambda c: setattr(c, "maximum_version", ssl.TLSVersion.TLSv1_2))
    with serve(HELLO, tls=old) as server, bench(server.url, trusting(ca, minimum_version="1.3")) as b:
        b.client.get("/")

    assert [f.category for f in b.books.failures] == ["tls_version"]


def test_certificates_are_verified_unless_told_otherwise() -> None:
    with serve(HELLO, tls=context()) as server, bench(server.url) as b:
        refused = b.client.get("/")
        accepted = b.client.get("/", verify=False)
        again = b.client.get("/", verify=False)

    assert refused.status_code == 0
    assert [f.category for f in b.books.failures] == ["tls_unknown_ca"]
    assert accepted.ok
    assert again.ok
    assert server.connections == 2


def test_a_client_certificate_is_shown(ca: str, tmp_path: Path) -> None:
    mine = CA.issue_cert("client.test")
    pem = tmp_path / "client.pem"
    mine.private_key_and_cert_chain_pem.write_to_path(str(pem))

    with (
        serve(HELLO, tls=context(change=_ask_for_a_certificate)) as server,
        bench(server.url, trusting(ca, cert=str(pem))) as b,
    ):
        assert b.client.get("/").ok


def test_the_server_is_told_the_name_and_another_one_if_wished(ca: str) -> None:
    names: list[str | None] = []

    def listen(made: ssl.SSLContext) -> None:
        made.sni_callback = lambda _socket, name, _context: names.append(name)

    with serve(HELLO, tls=context(change=listen)) as server:
        for settings in (trusting(ca), trusting(ca, server_name="other.test")):
            with bench(server.url, settings) as b:
                assert b.client.get("/").ok

    assert names == ["localhost", "other.test"]


def test_the_other_name_is_for_the_own_host_only(ca: str) -> None:
    names: list[str | None] = []

    def listen(made: ssl.SSLContext) -> None:
        made.sni_callback = lambda _socket, name, _context: names.append(name)

    with (
        serve(HELLO, tls=context(change=listen)) as elsewhere,
        serve(answers(lambda _: ok(b"", f"Location: {elsewhere.url}/", status="302 Found")), tls=context()) as server,
        bench(server.url, trusting(ca, server_name="other.test")) as b,
    ):
        assert b.client.get("/").ok
        assert b.client.get(f"{elsewhere.url}/direct").ok

    assert names == ["localhost"]


def test_a_ca_may_be_a_path(ca: str) -> None:
    settings = ClientSettings(timeouts=Timeouts(5.0, 5.0, 5.0, 20.0), tls=TlsSettings(verify=Path(ca)))
    with serve(HELLO, tls=context()) as server, bench(server.url, settings) as b:
        assert b.client.get("/").ok
        assert b.client.get("/", verify=Path(ca)).ok


def test_a_ca_file_that_is_none_is_a_mistake_of_the_scenario(tmp_path: Path) -> None:
    with bench("https://127.0.0.1:9") as b, pytest.raises(ConfigError, match=r"nowhere\.pem"):
        b.client.get("/", verify=str(tmp_path / "nowhere.pem"))


def _closes(peer: Peer) -> None:
    peer.read_until(bool)


def _resets(peer: Peer) -> None:
    peer.read_until(bool)
    peer.reset()


def _speaks_plainly(peer: Peer) -> None:
    peer.sock.recv(10)
    peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")


BEFORE: dict[str, tuple[Handler, str]] = {
    "closed in the handshake": (_closes, "tls_closed"),
    "reset in the handshake": (_resets, "reset"),
    "plain HTTP": (_speaks_plainly, "tls_not_tls"),
    "silence": (lambda peer: peer.wait_closed(), "connect_timeout"),
}


@pytest.mark.parametrize(("handler", "category"), BEFORE.values(), ids=BEFORE)
def test_a_handshake_that_gets_nowhere(handler: Handler, category: str) -> None:
    settings = ClientSettings(timeouts=Timeouts(0.3, 5.0, 5.0, 20.0))
    with serve(handler) as server, bench(server.url.replace("http:", "https:"), settings) as b:
        response = b.client.get("/")

    assert response.status_code == 0
    assert [(f.category, f.phase) for f in b.books.failures] == [(category, "tls")]
    assert not b.engine.connections


def test_a_user_stopped_in_the_handshake_leaves_a_cancelled_record() -> None:
    with serve(lambda peer: peer.wait_closed()) as server, bench(server.url.replace("http:", "https:")) as b:
        user = gevent.spawn(b.client.get, "/")
        while not server.connections:
            gevent.sleep(0.001)
        user.kill()

        assert b.books.records == (0, 0, 1)
        assert not b.engine.connections


HEAD = b"HTTP/1.1 200 OK\r\n"


def _ends(raw: bytes, politely: bool) -> Handler:
    """Sends `raw` and ends the stream, with close_notify or without."""

    def handle(peer: Peer) -> None:
        peer.read_request()
        peer.send(raw)
        if politely and isinstance(peer.sock, ssl.SSLSocket):
            try:
                peer.sock.unwrap()
            except ssl.SSLError:
                pass
        peer.sock.shutdown(socket.SHUT_RDWR)

    return handle


@pytest.mark.parametrize("politely", [True, False])
@pytest.mark.parametrize(
    ("raw", "category"),
    [
        (ok(), ""),
        (HEAD + b"\r\nuntil close", ""),
        (HEAD + b"Content-Length: 10\r\n\r\nabc", "truncated"),
        (HEAD + b"Content-", "truncated"),
        (b"", "closed"),
    ],
)
def test_the_end_of_a_tls_stream_is_judged_like_the_end_of_a_plain_one(
    ca: str, raw: bytes, category: str, politely: bool
) -> None:
    with serve(_ends(raw, politely), tls=context()) as server, bench(server.url, trusting(ca)) as b:
        b.client.post("/", data=b"x")

    assert [f.category for f in b.books.failures] == ([category] if category else [])


def test_garbage_after_the_handshake_is_a_tls_error(ca: str) -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        with socket.socket(fileno=peer.sock.detach()) as raw:
            raw.sendall(b"\x17\x03\x03\x00\x20" + b"x" * 32)

    with serve(handle, tls=context()) as server, bench(server.url, trusting(ca)) as b:
        b.client.post("/", data=b"x")

    assert [(f.category, f.phase) for f in b.books.failures] == [("tls_error", "wait")]


@pytest.mark.parametrize("resume", [True, False])
def test_a_user_resumes_its_own_session_and_nobody_elses(ca: str, resume: bool) -> None:
    resumed: list[bool | None] = []

    def handle(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        resumed.append(peer.sock.session_reused)
        says(ok(b"", "Connection: close"))(peer)

    settings = ClientSettings(tls=TlsSettings(verify=ca), resume_tls=resume)
    with serve(handle, tls=context()) as server, bench(server.url, settings) as b:
        for _ in range(3):
            assert b.client.get("/").ok
        with bench(server.url, settings) as other:
            assert other.client.get("/").ok

    assert resumed == [False, resume, resume, False]


def test_a_target_that_never_resumes_is_soon_offered_no_more_sessions(ca: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "REFUSALS", 3)

    def forget(made: ssl.SSLContext) -> None:
        made.num_tickets = 0

    kept = []
    close = answers(lambda request: ok(b"", "Connection: close"))
    with serve(close, tls=context(change=forget)) as server, bench(server.url, trusting(ca)) as b:
        for _ in range(9):
            assert b.client.get("/").ok
            kept.append(bool(b.client._sessions))

    assert kept == [True, True, True, False, False, True, False, True, False]


@given(st.lists(st.booleans(), max_size=40), st.integers(1, 5))
def test_a_target_that_resumes_again_is_offered_every_session_again(takes: list[bool], limit: int) -> None:
    route = Route(Target("https", "shop.test", 443), TlsSettings())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(plans, "REFUSALS", limit)
        for accepted in takes:
            asked = 0
            while not route.keeps_session():
                asked += 1
            assert asked < limit or not asked
            route.note_resumption(accepted)
            assert not accepted or route.keeps_session()


def test_a_tls_connection_closed_while_idle_is_noticed_and_replaced(ca: str) -> None:
    with serve(says(ok()), tls=context()) as server, bench(server.url, trusting(ca)) as b:
        b.client.get("/")
        while b.engine.connections:
            gevent.sleep(0.001)
        b.client.post("/", data=b"x")

    assert b.books.records == (2, 0, 0)
    assert server.connections == 2


def test_bytes_after_the_end_in_a_record_of_their_own_are_never_fed_to_the_next_request(ca: str) -> None:
    """Both records arrive in one segment, so the second is inside TLS when the first response is complete."""

    def handle(peer: Peer) -> None:
        assert isinstance(peer.sock, ssl.SSLSocket)
        peer.read_request()
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
        peer.send(ok(b"first"))
        peer.send(ok(b"stolen"))
        peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)
        peer.read_request()
        peer.send(ok(b"second"))

    with serve(handle, tls=context()) as server, bench(server.url, trusting(ca)) as b:
        first = b.client.get("/").content
        assert not b.engine.connections
        second = b.client.get("/").content

    assert (first, second) == (b"first", b"first")
    assert server.connections == 2
    assert list(b.books.notes.counters.values()) == [2]


def test_a_response_in_many_records_is_read_to_its_end(ca: str) -> None:
    def handle(peer: Peer) -> None:
        for _ in range(3):
            peer.read_request()
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 1)
            for piece in (HEAD, b"Content-Length: 30\r\n\r\n", b"x" * 10, b"y" * 10, b"z" * 10):
                peer.send(piece)
            peer.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_CORK, 0)

    with serve(handle, tls=context()) as server, bench(server.url, trusting(ca)) as b:
        bodies = [b.client.get("/").content for _ in range(2)]
        with b.client.get("/", stream=True) as response:
            bodies.append(b"".join(response.iter_content()))

    assert bodies == [b"x" * 10 + b"y" * 10 + b"z" * 10] * 3
    assert server.connections == 1
