"""When the reaper looks, and whom it wakes: pure arithmetic, then a real event loop."""

from __future__ import annotations

from typing import Any

import gevent
from hypothesis import given
from hypothesis import strategies as st

from loadgen.http.deadlines import GRAIN_NS, LONGEST_SLEEP_NS, next_look_ns
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
