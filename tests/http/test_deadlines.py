"""When the reaper looks, and whom it wakes: pure arithmetic, then a real event loop."""

from __future__ import annotations

import socket
from time import monotonic_ns
from typing import Any

import gevent
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.http.connection import Connection
from loadgen.http.deadlines import GRAIN_NS, LONGEST_SLEEP_NS, Reaper, next_look_ns
from loadgen.http.dialing import dial
from loadgen.http.errors import HttpError
from loadgen.http.plans import Route
from loadgen.http.resolver import Resolver
from loadgen.http.settings import Timeouts
from loadgen.http.urls import Target
from tests.support.badserver import Peer, ok, serve
from tests.support.clients import PATIENT, bench

times = st.integers(0, 10**15)


@given(times, st.lists(times), st.integers(1, 10**12))
def test_no_deadline_is_overlooked_by_more_than_a_grain(now: int, running: list[int], shortest: int) -> None:
    look = next_look_ns(now, running, shortest)

    assert look >= now + GRAIN_NS
    for deadline in [*running, now + shortest]:
        assert look <= max(deadline, now + GRAIN_NS)


@given(times)
def test_with_nothing_to_wait_for_it_sleeps_long(now: int) -> None:
    assert next_look_ns(now, [], 10**15) == now + LONGEST_SLEEP_NS


def test_a_short_deadline_is_kept_though_the_reaper_sleeps_for_a_long_one() -> None:
    def handle(peer: Peer) -> None:
        peer.read_request()
        if peer.number:
            peer.wait_closed()
        peer.send(ok())

    with serve(handle) as server, bench(server.url, PATIENT) as b:
        patient = gevent.spawn(b.client.get, "/", timeout=20)
        gevent.sleep(0)
        hasty = b.client.get("/", timeout=0.1)
        patient.join()

    assert {patient.get().status_code, hasty.status_code} == {200, 0}


def test_requests_that_end_in_time_are_left_alone() -> None:
    """Deadlines of earlier exchanges on a connection must not strike later ones, nor idle connections."""

    def handle(peer: Peer) -> None:
        while peer.read_request():
            peer.send(ok())

    with serve(handle) as server, bench(server.url) as b:
        for _ in range(3):
            assert b.client.get("/", timeout=0.06).ok
            looks: list[Any] = []
            while len(looks) < 5:
                gevent.sleep(0.02)
                looks.append(None)
        assert len(b.engine.connections) == 1

    assert b.books.records == (3, 0, 0)


SECOND_NS = 1_000_000_000
TIMEOUTS = Timeouts(connect_s=10.0, total_s=300.0)


def local(host: str) -> Any:
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]


def test_a_connection_has_its_whole_time_though_the_hops_before_took_longer() -> None:
    """The request began 20 s ago, and its last redirect leads to a name that is not connected yet."""
    with serve(lambda peer: peer.wait_closed()) as server, bench(server.url, resolver=Resolver(lookup=local)) as b:
        route = Route(Target("http", "elsewhere.test", server.port), None)
        before_ns = monotonic_ns()
        connection = dial(b.engine, route, TIMEOUTS, before_ns - 20 * SECOND_NS, b.books.series("GET", "/"))
        connection.close()

    assert before_ns + 10 * SECOND_NS <= connection.deadline_ns <= monotonic_ns() + 10 * SECOND_NS


def test_a_connection_has_no_more_time_than_is_left_of_the_total() -> None:
    with bench("http://elsewhere.test") as b:
        begun_ns = monotonic_ns() - 295 * SECOND_NS
        connection = Connection(b.engine, Route(Target("http", "elsewhere.test", 80), None), TIMEOUTS, begun_ns)
        connection.close()

    assert connection.deadline_ns == begun_ns + 300 * SECOND_NS


def test_the_name_service_is_not_blamed_where_the_hops_before_left_no_time() -> None:
    asked: list[str] = []

    def lookup(host: str) -> Any:
        asked.append(host)
        return local(host)

    with bench("http://elsewhere.test", resolver=Resolver(lookup=lookup)) as b:
        route = Route(Target("http", "elsewhere.test", 80), None)
        with pytest.raises(HttpError) as caught:
            dial(b.engine, route, TIMEOUTS, monotonic_ns() - 301 * SECOND_NS, b.books.series("GET", "/"))

    assert (caught.value.category, caught.value.phase) == ("total_timeout", "connect")
    assert not asked


def test_the_reaper_remembers_whom_nobody_waits_on_just_now() -> None:
    """While a name is looked up nobody waits on the connection; its deadline counts all the same."""
    with bench("http://elsewhere.test") as b:
        timeouts = Timeouts(connect_s=5.0)
        connection = Connection(b.engine, Route(Target("http", "elsewhere.test", 80), None), timeouts, monotonic_ns())
        hub = FakeHub()
        reaper = Reaper(hub, b.engine.connections)
        reaper.expect(20 * SECOND_NS)
        hub.look()
        connection.close()

    assert hub.delays[0] == 20
    assert hub.delays[1] <= 5


class FakeHub:
    """A hub whose timers fire when told."""

    def __init__(self) -> None:
        self.loop = self
        self.delays: list[float] = []
        self.look: Any = None

    def timer(self, delay_s: float, ref: bool) -> FakeHub:
        self.delays.append(delay_s)
        return self

    def start(self, callback: Any, update: bool) -> None:
        self.look = callback

    def stop(self) -> None:
        pass

    def close(self) -> None:
        pass
