"""The master's side: answers to what is asked, and whose turn it is when ten thousand ask."""

from __future__ import annotations

from collections import deque
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.bundle import CHUNK_BYTES, WINDOW, BundleSender, BundleStore, Receiver
from loadgen.errors import Malformed
from loadgen.wire.bundle_archive import pack
from loadgen.wire.bundle_store import BURST_BYTES, PATIENCE_S
from loadgen.wire.messages import decode_map

from .test_chunks import DATA, PIECES, SHA256, TOTAL

MIB = 1 << 20
LATER_NS = int((PATIENCE_S + 1) * 1e9)


@pytest.fixture(scope="module")
def store() -> BundleStore:
    made = BundleStore()
    made.put(SHA256, DATA)
    return made


def wanted(first: int = 0, count: int = WINDOW) -> dict[str, Any]:
    return {"sha256": SHA256, "first": first, "count": count}


@given(st.integers(0, 2**63), st.integers(0, 2**63))
def test_the_answer_is_the_window_from_there_on(first: int, count: int) -> None:
    store = BundleStore()
    store.put(SHA256, DATA)

    bodies = [decode_map(body) for body in store.answer(wanted(first, count))]

    indexes = range(min(first, TOTAL), min(first + min(count, WINDOW), TOTAL))
    assert [(one["index"], one["total"], one["data"]) for one in bodies] == [
        (index, TOTAL, PIECES[index]) for index in indexes
    ]


def test_a_bundle_that_is_not_here_gives_no_answer(store: BundleStore) -> None:
    other = {**wanted(), "sha256": "0" * 64}

    assert SHA256 in store
    assert store.answer(other) == []
    assert store.announce(SHA256) == {"sha256": SHA256, "size": len(DATA)}


def test_a_bundle_can_be_dropped() -> None:
    store = BundleStore()
    table, data = pack("shop.py", {"shop.py": b""})
    store.put(table.sha256, data)
    store.put(table.sha256, data)
    store.drop(table.sha256)
    store.drop(table.sha256)

    assert table.sha256 not in store


def test_what_is_not_the_bundle_of_its_name_is_not_taken() -> None:
    with pytest.raises(Malformed):
        BundleStore().put("0" * 64, DATA)


@pytest.mark.parametrize(
    "body",
    [
        None,
        [],
        {},
        wanted(-1),
        wanted(count=-1),
        wanted(first=1.0),  # type: ignore[arg-type]
        wanted(first=True),
        {**wanted(), "sha256": 7},
        {**wanted(), "sha256": "../../x"},
        {**wanted(), "count": None},
    ],
)
def test_a_question_that_makes_no_sense_is_malformed(store: BundleStore, body: Any) -> None:
    sender = BundleSender(store)

    with pytest.raises(Malformed):
        store.answer(body)
    with pytest.raises(Malformed):
        sender.want(b"peer", body)
    assert sender.is_idle


def test_ten_thousand_who_ask_at_once_all_get_everything(store: BundleStore) -> None:
    """And never is more on the way than was allowed; who asked first is served first."""
    sender = BundleSender(store, on_the_way_bytes=32 * MIB)
    asking = deque((str(number).encode(), 0) for number in range(10_000))
    got: dict[bytes, int] = {}
    while asking or not sender.is_idle:
        while asking:
            peer, first = asking.popleft()
            sender.want(peer, wanted(first))
        sent = sender.due(now_ns=0)
        assert sender.on_the_way_bytes <= 32 * MIB
        assert sum(len(body) for _, body in sent) <= BURST_BYTES + WINDOW * (CHUNK_BYTES + 200)
        for peer in dict.fromkeys(peer for peer, _ in sent):
            got[peer] = got.get(peer, 0) + sum(one == peer for one, _ in sent)
            if got[peer] < TOTAL:
                asking.append((peer, got[peer]))
            else:
                sender.done(peer)

    assert set(got.values()) == {TOTAL}
    assert len(got) == 10_000
    assert sender.on_the_way_bytes == 0


def test_nobody_waits_for_a_peer_that_fell_silent(store: BundleStore) -> None:
    sender = BundleSender(store, on_the_way_bytes=MIB)
    for peer in (b"silent", b"next"):
        sender.want(peer, wanted())

    assert {peer for peer, _ in sender.due(0)} == {b"silent"}
    assert sender.due(0) == []
    assert {peer for peer, _ in sender.due(LATER_NS)} == {b"next"}


@pytest.mark.parametrize("end", ["gone", "done", "could_not_send"])
def test_whoever_leaves_makes_room(store: BundleStore, end: str) -> None:
    sender = BundleSender(store, on_the_way_bytes=MIB)
    for peer in (b"first", b"next"):
        sender.want(peer, wanted())
    sender.due(0)

    getattr(sender, end)(b"first")

    assert {peer for peer, _ in sender.due(0)} == {b"next"}


def test_whoever_asks_for_nothing_costs_nothing(store: BundleStore) -> None:
    sender = BundleSender(store)
    sender.want(b"done", wanted(TOTAL, 0))

    assert sender.due(0) == []
    assert sender.on_the_way_bytes == 0


def test_asking_twice_is_answered_once(store: BundleStore) -> None:
    sender = BundleSender(store)
    sender.want(b"peer", wanted(0))
    sender.want(b"peer", wanted(4))

    indexes = [decode_map(body)["index"] for _, body in sender.due(0)]

    assert indexes == [4, 5]
    assert sender.is_idle


def test_a_window_larger_than_the_allowance_is_sent_all_the_same(store: BundleStore) -> None:
    sender = BundleSender(store, on_the_way_bytes=1)
    sender.want(b"peer", wanted())

    assert len(sender.due(0)) == WINDOW


def test_what_is_sent_is_what_a_receiver_takes(store: BundleStore) -> None:
    sender, receiver = BundleSender(store), Receiver(**store.announce(SHA256))

    while not receiver.is_complete:
        sender.want(b"peer", receiver.wanted())
        for _, body in sender.due(0):
            receiver.on_body(decode_map(body))

    assert receiver.data == DATA
