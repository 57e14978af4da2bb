"""The master's native thread with real sockets: who gets in, and what garbage on the port does."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import zmq

from loadgen.clock import SystemClock
from loadgen.master.cluster import Cluster
from loadgen.master.ledger import Ledger
from loadgen.master.members import MemberState
from loadgen.master.service import Service
from loadgen.master.store import MemoryStore
from loadgen.waiting import wait_until
from loadgen.wire.keys import CurveKeys, derive_keys
from loadgen.wire.link import Link
from loadgen.wire.messages import Header, MessageType, encode
from tests.core.simulation import RUN_ID, SETTINGS

SECRET = bytes(range(32))


class Master:
    """A service on a free port."""

    def __init__(self) -> None:
        self.service = Service(derive_keys(SECRET), SystemClock())
        self.port = self.service.listen("127.0.0.1", 0)
        self.service.start(Cluster(RUN_ID, SETTINGS.to_wire(), Ledger(), MemoryStore()))

    def states(self) -> list[MemberState]:
        view = self.service.view
        return [member.state for member in view.members] if view else []

    def rejected(self) -> dict[str, int]:
        view = self.service.final_view()
        return view.rejected if view else {}


@pytest.fixture
def master() -> Iterator[Master]:
    running = Master()
    yield running
    assert running.service.crashed is None
    running.service.close()


class Peer:
    """A worker's end of the connection, and what happened on it."""

    def __init__(self, port: int, keys: CurveKeys) -> None:
        self.uid = os.urandom(16)
        self.frames: list[list[bytes]] = []
        self.connected = 0
        self.refused = 0
        self.link = Link(f"tcp://127.0.0.1:{port}", keys, self.frames.append, self._connected, self._refused)
        self.link.open()

    def _connected(self) -> None:
        self.connected += 1

    def _refused(self) -> None:
        self.refused += 1

    def hello(self) -> None:
        header = Header(MessageType.HELLO, self.uid, bytes(16), 0, 0, 1)
        self.link.send(header, encode({"version": "0", "pid": 1, "host": "h"}))


@pytest.fixture
def join(master: Master) -> Iterator[Callable[[bytes], Peer]]:
    peers: list[Peer] = []

    def connect(secret: bytes) -> Peer:
        peers.append(Peer(master.port, derive_keys(secret)))
        return peers[-1]

    yield connect
    for peer in peers:
        peer.link.close()


def test_a_worker_with_the_secret_is_welcomed(master: Master, join: Callable[[bytes], Peer]) -> None:
    peer = join(SECRET)
    peer.hello()

    assert wait_until(lambda: len(peer.frames) > 0 and len(master.states()) == 1, 10)
    assert master.states() == [MemberState.JOINED]


def test_a_wrong_secret_is_refused_and_shows_on_the_worker(master: Master, join: Callable[[bytes], Peer]) -> None:
    peer = join(bytes(32))
    peer.hello()

    assert wait_until(lambda: peer.refused > 0, 20)
    assert peer.connected == 0
    assert master.states() == []


def test_the_masters_public_key_alone_does_not_let_anybody_in(master: Master, join: Callable[[bytes], Peer]) -> None:
    """CURVE by itself accepts any client that knows the server's key; ZAP must not."""
    public, secret = zmq.curve_keypair()
    keys = derive_keys(SECRET)._replace(worker_public=public, worker_secret=secret)
    peer = Peer(master.port, keys)
    peer.hello()

    assert wait_until(lambda: peer.refused > 0, 20)
    assert master.states() == []
    peer.link.close()


def test_garbage_on_the_port_harms_nobody(master: Master, join: Callable[[bytes], Peer]) -> None:
    for noise in (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", os.urandom(4096), b"\xff" + bytes(8) + b"\x7f\x03" + bytes(60)):
        with socket.create_connection(("127.0.0.1", master.port), timeout=5) as connection:
            connection.sendall(noise)
    peer = join(SECRET)
    peer.link.send(Header(MessageType.DELTA, peer.uid, RUN_ID, 1, 0, 1), b"no hello before it")
    peer.hello()

    assert wait_until(lambda: len(peer.frames) > 0, 20)
    assert master.rejected() == {"stranger": 1}


def test_the_service_leaves_no_socket_and_no_thread_behind() -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").exists() else 0
    for _ in range(3):
        master = Master()
        assert master.rejected() == {}
        master.service.close()

    if before:
        assert wait_until(lambda: len(os.listdir("/proc/self/fd")) <= before + 3, 10)
