from hypothesis import given
from hypothesis import strategies as st

from loadgen.worker.clocksync import ClockSync
from loadgen.worker.outbox import WINDOW, Outbox


def test_deltas_are_numbered_from_one_and_kept_until_acknowledged() -> None:
    outbox = Outbox()

    assert [outbox.add(b"a"), outbox.add(b"b"), outbox.add(b"c")] == [1, 2, 3]
    assert outbox.acknowledge(2)
    assert outbox.unacknowledged() == [(3, b"c")]
    assert not outbox.acknowledge(2)
    assert outbox.acknowledge(3)
    assert outbox.is_empty
    assert outbox.last_seq == 3


def test_no_more_than_the_window_is_in_flight() -> None:
    outbox = Outbox()
    for _ in range(WINDOW):
        outbox.add(b"x")

    assert not outbox.has_room
    outbox.acknowledge(1)
    assert outbox.has_room


@given(st.integers(-(10**12), 10**12), st.lists(st.tuples(st.integers(0, 10**9), st.integers(0, 10**9)), min_size=1))
def test_the_clock_offset_is_within_its_stated_error(offset: int, delays: list[tuple[int, int]]) -> None:
    sync = ClockSync()
    now = 10**13
    for there, back in delays:
        received = now + there + offset
        sync.add(now, received, received, now + there + back)
        now += there + back

    assert abs(sync.offset_ns - offset) <= sync.error_ns + 1


def test_an_impossible_exchange_is_ignored() -> None:
    sync = ClockSync()
    sync.add(100, 0, 500, 200)

    assert sync.offset_ns == 0
