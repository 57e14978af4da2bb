"""What the run promises when a worker, the master, the disk or the network fails: served against counted.

Each test is one row of the fault matrix and prints its two figures (`pytest -rP`). Real processes, leases of 2 s.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path

import msgpack
import psutil
import pytest
import zmq

from loadgen.wire.keys import derive_keys
from loadgen.wire.messages import MAGIC, MAJOR, MINOR, Header, MessageType, encode, encode_header
from tests.support import netns
from tests.support.cluster import USERS, Cluster, Machine
from tests.support.command import Background, wait_until
from tests.support.netns import Namespace, namespace
from tests.support.target import Target

LEASE_S = 2.0
TAIL = 20  # requests that a worker serves after its last acknowledged delta, before it is killed


@pytest.fixture
def cluster(tmp_path: Path, counting_target: Target) -> Cluster:
    return Cluster(tmp_path, counting_target, LEASE_S)


def assert_exact(cluster: Cluster, row: str) -> None:
    served, counted = cluster.account(row)
    assert served == counted
    assert cluster.difference_by_worker() == {}
    assert cluster.summary["run"]["complete"] is True, cluster.summary["run"]
    assert cluster.summary["accounting"]["in_flight"] == 0


def kill_after_a_commit(cluster: Cluster, machine: Machine) -> int:
    """Kill it -9; how much it had served when its delta before the newest was committed.

    The newest, sealed a second later, holds all of that but what was being answered at the time.
    """
    name = cluster.name_of(machine)
    seq = cluster.last_seq(name)
    wait_until(lambda: cluster.last_seq(name) > seq, 20)
    seq = cluster.last_seq(name)
    acknowledged = cluster.served_by_worker()[name]
    wait_until(lambda: cluster.last_seq(name) > seq, 20)
    at_commit = cluster.served_by_worker()[name]
    wait_until(lambda: cluster.served_by_worker()[name] >= at_commit + TAIL, 20)
    machine.signal(signal.SIGKILL)
    return acknowledged


def assert_only_its_tail_is_missing(cluster: Cluster, row: str, name: str, acknowledged: int) -> None:
    served, counted = cluster.account(row)
    tail = cluster.served_by_worker()[name] - acknowledged
    print(f"{row}: {name} served {tail} after its last second but one was acknowledged")
    assert 0 <= served - counted <= tail + USERS
    assert set(cluster.difference_by_worker()) <= {name}
    assert cluster.summary["run"]["complete"] is False
    assert any(name in reason for reason in cluster.summary["run"]["incomplete_reasons"]), cluster.summary["run"]


def test_of_a_killed_worker_only_the_unacknowledged_tail_is_missing(cluster: Cluster) -> None:
    with cluster.master(2) as master, cluster.worker() as killed, cluster.worker():
        cluster.wait_for_everybody(2)
        name = cluster.name_of(killed)
        acknowledged = kill_after_a_commit(cluster, killed)
        cluster.wait_for_all_users(but_not_from=name)
        cluster.end(master)

    assert_only_its_tail_is_missing(cluster, "1 worker killed", name, acknowledged)


def test_a_worker_paused_within_its_lease_loses_nothing(cluster: Cluster) -> None:
    with cluster.master(2) as master, cluster.worker() as paused, cluster.worker():
        cluster.wait_for_everybody(2)
        paused.signal(signal.SIGSTOP)
        time.sleep(1)  # the fault
        paused.signal(signal.SIGCONT)
        cluster.wait_for_all_users()
        cluster.end(master)

    assert "lost" not in master.output
    assert_exact(cluster, "2 worker paused 1 s")


def test_a_worker_paused_longer_than_its_lease_comes_back_and_loses_nothing(cluster: Cluster) -> None:
    with cluster.master(2) as master, cluster.worker() as paused, cluster.worker():
        cluster.wait_for_everybody(2)
        name = cluster.name_of(paused)
        paused.signal(signal.SIGSTOP)
        master.wait_for(f"worker {name} was lost")
        cluster.wait_for_all_users(but_not_from=name)
        since = len(cluster.ids())
        paused.signal(signal.SIGCONT)
        wait_until(lambda: len(cluster.users_of(name, since)) >= USERS // 2, 20)  # it has its share again
        cluster.wait_for_all_users()
        cluster.end(master)

    assert_exact(cluster, "2 worker paused beyond its lease")


def test_a_master_killed_and_resumed_loses_nothing(cluster: Cluster) -> None:
    with cluster.worker(), cluster.worker():
        with cluster.master(2) as master:
            cluster.wait_for_everybody(2)
            master.process.kill()
            master.finish()
        with cluster.resumed() as master:
            cluster.wait_for_a_delta("w1", "w2")
            cluster.wait_for_all_users()
            cluster.end(master)

    assert_exact(cluster, "3 master killed and resumed")


def test_a_paused_master_loses_nothing(cluster: Cluster) -> None:
    with cluster.master(2) as master, cluster.worker(), cluster.worker():
        cluster.wait_for_everybody(2)
        master.process.send_signal(signal.SIGSTOP)
        time.sleep(2)  # the fault
        master.process.send_signal(signal.SIGCONT)
        cluster.wait_for_all_users()
        cluster.end(master)

    assert_exact(cluster, "5 master paused 2 s")


# -- full disk


def why_no_mount() -> str:
    if os.geteuid() != 0:
        return "a small file system needs root"
    if shutil.which("unshare") is None:
        return "a small file system needs the command unshare (util-linux)"
    tried = subprocess.run(
        ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True, text=True, check=False
    )
    return f"nothing can be mounted here: {tried.stderr.strip()}" if tried.returncode else ""


def test_with_a_full_disk_the_load_goes_on_and_later_everything_is_counted(cluster: Cluster) -> None:
    if reason := why_no_mount():
        pytest.skip(reason)
    mount = f'mount -t tmpfs -o size=1m none "{cluster.runs}" && exec "$@"'
    with (
        cluster.master(2, prefix=["unshare", "-m", "sh", "-c", mount, "sh"]) as master,
        cluster.worker(),
        cluster.worker(),
    ):
        cluster.wait_for_everybody(2)
        filler = Path(f"/proc/{master.process.pid}/root{cluster.runs}/filler")
        fill(filler)
        master.wait_for("measurements wait with the workers")
        cluster.wait_for_more(500)
        filler.unlink()
        cluster.wait_for_all_users()
        cluster.end(master)

    assert_exact(cluster, "18 disk full")


def fill(file: Path) -> None:
    """Until nothing goes into its file system any more."""
    with file.open("wb", buffering=0) as stream, suppress(OSError):
        while True:
            stream.write(bytes(512))


# -- hostile bytes

DEEP = b"\x91" * 200_000
HUGE_CLAIMS = (b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\xff\xff\xff\xff")
OVERSIZED = bytes(4 << 20)


def test_hostile_bytes_harm_nobody_but_their_sender(cluster: Cluster) -> None:
    with cluster.master(2) as master, cluster.worker(), cluster.worker():
        cluster.wait_for_everybody(2)
        process = psutil.Process(master.process.pid)
        before = process.memory_info().rss
        peak = before
        for attack in (throw_bytes, throw_frames, throw_forgeries):
            for _ in range(3):
                attack(cluster)
                peak = max(peak, process.memory_info().rss)
        cluster.wait_for_all_users()
        peak = max(peak, process.memory_info().rss)
        assert master.process.poll() is None, master.output
        cluster.end(master)

    print(f"12, 13 hostile bytes: the master's memory grew by {(peak - before) / 1e6:.1f} MB")
    assert peak - before < 50e6
    assert len(cluster.summary["workers"]) == 2
    assert_exact(cluster, "12, 13 hostile bytes")


def throw_bytes(cluster: Cluster) -> None:
    """On plain TCP: what any passer-by can send."""
    noise = random.Random(7)
    host, port = cluster.address.split(":")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x01CURVE" + bytes(15) + b"\0" + bytes(31)
    http = f"GET / HTTP/1.1\r\nHost: {cluster.address}\r\n\r\n".encode()
    for data in (noise.randbytes(1 << 20), http, greeting + noise.randbytes(1 << 20), b"\x01\x00", OVERSIZED):
        with suppress(OSError), socket.create_connection((host, int(port)), timeout=5) as stream:
            stream.sendall(data)


def throw_frames(cluster: Cluster) -> None:
    """On a connection with the right secret: frames that are none."""
    hello = encode_header(Header(MessageType.HELLO, bytes(16), bytes(16), 0, 0, 1))
    noise = random.Random(7)
    bodies = (DEEP, *HUGE_CLAIMS, noise.randbytes(900_000), b"", msgpack.packb({1: 2}), msgpack.packb([[]] * 99_999))
    with peer(cluster) as send:
        for body in bodies:
            send(body, body)
            send(hello, body)
            send(body)
            send(hello, body, body)
        send(msgpack.packb([MAGIC, MAJOR + 1, MINOR]), b"\x80")
    with peer(cluster) as send:
        send(hello, OVERSIZED)


def throw_forgeries(cluster: Cluster) -> None:
    """In the name of a worker, from another connection: repeats and inventions."""
    uid = cluster.ask("SELECT uid FROM members ORDER BY position")[0][0]
    named: str = cluster.ask("SELECT run_id FROM run")[0][0]
    run_id = blake2b(named.encode(), digest_size=len(uid)).digest()
    for known_run in (run_id, bytes(16)):
        with peer(cluster) as send:
            for kind in (MessageType.DELTA, MessageType.HEARTBEAT, MessageType.BYE, MessageType.ASK_STOP):
                send(encode_header(Header(kind, uid, known_run, 1, 0, 1)), encode({"users": 0, "state": "suspended"}))
            send(encode_header(Header(MessageType.HELLO, uid, known_run, 0, 0, 1)), encode({"pid": -1, "shares": 3}))
            for seq in (0, 1, 2, 1 << 40):
                send(encode_header(Header(MessageType.DELTA, uid, known_run, seq, 0, 1)), DEEP)


@contextmanager
def peer(cluster: Cluster) -> Iterator[Callable[..., None]]:
    """A connection with the run's secret."""
    keys = derive_keys(cluster.secret)
    with zmq.Context() as context, context.socket(zmq.DEALER) as dealer:
        dealer.linger, dealer.sndtimeo = 2_000, 5_000
        dealer.curve_serverkey = keys.master_public
        dealer.curve_publickey, dealer.curve_secretkey = keys.worker_public, keys.worker_secret
        dealer.connect(f"tcp://{cluster.address}")

        def send(*frames: bytes) -> None:
            dealer.send_multipart(frames)

        yield send


# -- the network

CUTS: dict[str, Callable[[Namespace], AbstractContextManager[None]]] = {
    "7 link down": Namespace.link_down,
    "8 nothing from the master": Namespace.answers_lost,
    "8 nothing to the master": Namespace.requests_lost,
}


@pytest.mark.parametrize("row", CUTS)
def test_a_cut_network_heals_and_nothing_is_lost(row: str, tmp_path: Path, counting_target: Target) -> None:
    if reason := netns.why_not():
        pytest.skip(reason)
    most = 0
    with namespace() as there:
        cluster = Cluster(tmp_path, counting_target, LEASE_S, host=there.address)
        with cluster.master(2, prefix=there.prefix) as master, cluster.worker() as one, cluster.worker() as two:
            cluster.wait_for_everybody(2)
            with CUTS[row](there):
                wait_until(lambda: connections(one, two, to=counting_target) == 0, 10)  # the lease is out
                at_cut = counting_target.count()
                time.sleep(1)  # nobody may begin again
                assert counting_target.count() == at_cut
            ends = time.monotonic() + 12
            since, healed = len(cluster.ids()), False
            while not healed:
                assert time.monotonic() < ends, master.output
                most = max(most, connections(one, two, to=counting_target))
                healed = len({user for _, _, user, _ in cluster.ids()[since:]}) == USERS
            cluster.end(master)

    print(f"{row}: at most {most} connections for {USERS} users")
    assert most <= USERS
    assert_exact(cluster, row)


def connections(*machines: Machine, to: Target) -> int:
    """How many these workers have open."""
    return sum(
        [*its.raddr][1:] == [to.port] and its.status == psutil.CONN_ESTABLISHED
        for machine in machines
        for its in psutil.Process(machine.pid).net_connections("tcp")
    )


# -- all at once


def test_one_worker_killed_one_paused_and_the_master_restarted(tmp_path: Path, counting_target: Target) -> None:
    cluster = Cluster(tmp_path, counting_target, lease_s=3)
    with cluster.worker() as killed, cluster.worker() as paused, cluster.worker():
        with cluster.master(3) as master:
            cluster.wait_for_everybody(3)
            name = cluster.name_of(killed)
            acknowledged = kill_after_a_commit(cluster, killed)
            paused.signal(signal.SIGSTOP)
            time.sleep(5)  # the fault
            paused.signal(signal.SIGCONT)
            cluster.wait_for_all_users(but_not_from=name)
            kill(master)
        with cluster.resumed() as master:
            cluster.wait_for_a_delta(*{"w1", "w2", "w3"} - {name})
            cluster.wait_for_all_users(but_not_from=name)
            cluster.end(master)

    assert_only_its_tail_is_missing(cluster, "all at once", name, acknowledged)


def kill(master: Background) -> None:
    master.process.kill()
    master.finish()
