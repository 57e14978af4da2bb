"""A bundle in pieces: whatever arrives, in whatever order, the whole is right or is not taken."""

from __future__ import annotations

import functools
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.bundle import CHUNK_BYTES, HARD_LIMITS, WINDOW, BundleStore, Receiver, chunks
from loadgen.errors import Malformed
from loadgen.wire.bundle_archive import pack
from loadgen.wire.messages import decode_map


@functools.cache
def bundle(pieces: int = 6, seed: int = 1) -> tuple[str, bytes]:
    """(name, data) of a bundle of that many chunks; what is in it cannot be compressed."""
    noise = random.Random(seed).randbytes((pieces - 1) * CHUNK_BYTES + 1_000)
    table, data = pack("shop.py", {"shop.py": b"", "noise": noise})
    return table.sha256, data


SHA256, DATA = bundle()
PIECES = chunks(DATA)
TOTAL = len(PIECES)


@given(st.lists(st.integers(0, TOTAL - 1), max_size=30), st.permutations(range(TOTAL)))
def test_any_order_and_any_repetition_gives_the_bundle(repeated: list[int], order: list[int]) -> None:
    receiver = Receiver(SHA256, len(DATA))

    for index in [*repeated, *order]:
        complete = receiver.add(index, TOTAL, PIECES[index])
        assert complete == receiver.is_complete == (receiver.received == TOTAL)

    assert receiver.data == DATA
    assert len(receiver.missing()) == 0


@given(st.lists(st.integers(0, TOTAL - 1), max_size=30))
def test_what_is_asked_for_is_missing_and_fits_the_window(arrived: list[int]) -> None:
    receiver = Receiver(SHA256, len(DATA))
    for index in arrived:
        receiver.add(index, TOTAL, PIECES[index])

    missing = receiver.missing()

    assert len(missing) <= WINDOW
    assert not set(missing) & set(arrived)
    assert bool(missing) == (not receiver.is_complete)
    assert set(range(missing.start)) <= set(arrived)


@given(st.data())
def test_over_a_network_that_loses_and_repeats_it_arrives(data: st.DataObject) -> None:
    receiver, store = Receiver(SHA256, len(DATA)), BundleStore()
    store.put(SHA256, DATA)

    asked = 0
    while not receiver.is_complete:
        asked += 1
        bodies = store.answer(receiver.wanted())
        kept = data.draw(st.lists(st.sampled_from(bodies), max_size=2 * WINDOW)) if asked < 20 else bodies
        for body in kept:
            receiver.on_body(decode_map(body))

    assert receiver.data == DATA
    assert asked >= -(-TOTAL // WINDOW)


@given(st.integers(0, TOTAL - 1), st.integers(0, 1_000), st.integers(1, 255), st.permutations(range(TOTAL)))
def test_a_wrong_byte_is_noticed_and_everything_asked_for_again(
    index: int, place: int, bits: int, order: list[int]
) -> None:
    wrong = bytearray(PIECES[index])
    wrong[place % len(wrong)] ^= bits
    receiver = Receiver(SHA256, len(DATA))
    sent = [bytes(wrong) if one == index else PIECES[one] for one in range(TOTAL)]

    *others, last = order
    for one in others:
        assert not receiver.add(one, TOTAL, sent[one])
    try:
        receiver.add(last, TOTAL, sent[last])
    except Malformed:
        assert receiver.failures == 1
        assert (receiver.data, receiver.received) == (b"", 0)
        assert receiver.missing() == range(WINDOW)
        for one in order:
            receiver.add(one, TOTAL, PIECES[one])
        assert receiver.data == DATA
    else:
        assert index == 0  # bits of zlib's header that mean nothing
        assert place % len(wrong) == 5


@pytest.mark.parametrize(
    ("index", "total", "data"),
    [
        (-1, TOTAL, PIECES[0]),
        (TOTAL, TOTAL, PIECES[0]),
        (0, TOTAL + 1, PIECES[0]),
        (0, TOTAL, PIECES[0] + b"x"),
        (0, TOTAL, PIECES[0][:-1]),
        (0, TOTAL, b""),
        (TOTAL - 1, TOTAL, PIECES[0]),
        (0.0, TOTAL, PIECES[0]),
        (False, TOTAL, PIECES[0]),
        ("0", TOTAL, PIECES[0]),
        (None, None, None),
        (0, TOTAL, "text"),
        (0, TOTAL, [1]),
        (10**30, TOTAL, PIECES[0]),
    ],
)
def test_a_chunk_that_cannot_be_part_of_it_changes_nothing(index: Any, total: Any, data: Any) -> None:
    receiver = Receiver(SHA256, len(DATA))
    receiver.add(1, TOTAL, PIECES[1])

    with pytest.raises(Malformed):
        receiver.add(index, total, data)
    assert receiver.received == 1
    assert receiver.missing() == range(1)
    assert receiver.failures == 0


def test_a_chunk_of_another_bundle_is_ignored() -> None:
    name, data = bundle(2, seed=2)
    store, receiver = BundleStore(), Receiver(SHA256, len(DATA))
    store.put(name, data)

    (body, _) = store.answer({"sha256": name, "first": 0, "count": 2})

    assert receiver.on_body(decode_map(body)) is False
    assert receiver.received == 0


def test_a_whole_bundle_of_another_name_is_refused() -> None:
    name, _ = bundle(2, seed=2)
    receiver = Receiver(name, len(DATA))

    for index in range(TOTAL - 1):
        receiver.add(index, TOTAL, PIECES[index])
    with pytest.raises(Malformed, match="in place of"):
        receiver.add(TOTAL - 1, TOTAL, PIECES[-1])


def test_what_comes_after_the_end_is_ignored() -> None:
    receiver = Receiver(SHA256, len(DATA))
    for index, piece in enumerate(PIECES):
        receiver.add(index, TOTAL, piece)

    assert receiver.add(0, TOTAL, b"later")
    assert receiver.wanted() == {"sha256": SHA256, "first": 0, "count": 0}
    assert receiver.data == DATA


@pytest.mark.parametrize("size", [0, -1, HARD_LIMITS.data_bytes + 1, 10**30, True, 1.5, "1", None])
def test_an_impossible_size_is_refused(size: Any) -> None:
    with pytest.raises(Malformed):
        Receiver(SHA256, size)


@pytest.mark.parametrize("name", ["", SHA256[:-1], SHA256.upper(), SHA256 + "\n", "../" + SHA256, None, 7])
def test_an_impossible_name_is_refused(name: Any) -> None:
    with pytest.raises(Malformed):
        Receiver(name, 1)


def test_a_small_bundle_is_one_chunk() -> None:
    table, data = pack("shop.py", {"shop.py": b""})
    receiver = Receiver(table.sha256, len(data))

    assert receiver.missing() == range(1)
    assert receiver.add(0, 1, data)
