import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ConfigError, Incompatible, Malformed
from loadgen.wire.keys import derive_keys, new_secret, parse_secret
from loadgen.wire.messages import (
    FROM_MASTER,
    FROM_WORKER,
    HEADER_MAX_BYTES,
    MAGIC,
    MAJOR,
    MINOR,
    Header,
    MessageType,
    decode,
    decode_header,
    decode_map,
    encode,
    encode_header,
)

UID = bytes(range(16))
ids = st.binary(min_size=16, max_size=16)
numbers = st.integers(0, (1 << 63) - 1)
headers = st.builds(Header, st.sampled_from(sorted(FROM_WORKER)), ids, ids, numbers, numbers, numbers)


@given(headers)
def test_a_header_survives_the_wire_within_its_size(header: Header) -> None:
    packed = encode_header(header)

    assert decode_header(packed, FROM_WORKER) == header
    assert len(packed) <= HEADER_MAX_BYTES


@given(st.binary(max_size=300))
def test_random_bytes_are_malformed_and_nothing_else(data: bytes) -> None:
    with pytest.raises((Malformed, Incompatible)):
        decode_header(data, FROM_WORKER)


@given(headers, st.integers(0, 80), st.integers(0, 255))
def test_a_damaged_header_never_raises_anything_unexpected(header: Header, place: int, value: int) -> None:
    data = bytearray(encode_header(header))
    data[place % len(data)] = value

    try:
        decode_header(bytes(data), FROM_WORKER)
    except (Malformed, Incompatible):
        pass


def frame(**changes: object) -> bytes:
    fields: dict[str, object] = {
        "magic": MAGIC,
        "major": MAJOR,
        "minor": MINOR,
        "type": 3,
        "uid": UID,
        "run": UID,
        "seq": 1,
        "ack": 0,
        "t": 5,
    }
    packed: bytes = msgpack.packb(list({**fields, **changes}.values()))
    return packed


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"magic": "XX"}, id="magic"),
        pytest.param({"type": 99}, id="unknown type"),
        pytest.param({"type": 20}, id="a type only a master sends"),
        pytest.param({"uid": b"short"}, id="short uid"),
        pytest.param({"uid": "0123456789abcdef"}, id="text uid"),
        pytest.param({"seq": -1}, id="negative number"),
        pytest.param({"seq": True}, id="a flag for a number"),
        pytest.param({"ack": 1 << 63}, id="huge number"),
        pytest.param({"t": 1.5}, id="fractional time"),
        pytest.param({"extra": [1]}, id="ten fields"),
    ],
)
def test_a_header_with_a_wrong_field_is_malformed(changes: dict[str, object]) -> None:
    with pytest.raises(Malformed):
        decode_header(frame(**changes), FROM_WORKER)


def test_another_major_version_is_told_apart() -> None:
    with pytest.raises(Incompatible, match="peer speaks protocol 9"):
        decode_header(frame(major=9), FROM_WORKER)


def test_deep_and_oversized_bodies_are_malformed() -> None:
    for body in (b"\x91" * 2_000, b"\xc1", b"", msgpack.packb(1) + b"x", b"\xdd\xff\xff\xff\xff", b"\xc7\x01\x05a"):
        with pytest.raises(Malformed):
            decode(body)


def test_a_map_body_has_text_keys() -> None:
    assert decode_map(encode({"a": 1})) == {"a": 1}
    for body in (encode([1]), encode(7)):
        with pytest.raises(Malformed):
            decode_map(body)


def test_every_message_type_has_a_direction() -> None:
    assert set(MessageType) == FROM_WORKER | FROM_MASTER


def test_one_secret_gives_the_same_distinct_keys_everywhere() -> None:
    secret = bytes(range(32))
    keys = derive_keys(secret)

    assert derive_keys(secret) == keys
    assert len(set(keys)) == 4
    assert {len(key) for key in keys} == {40}
    assert derive_keys(new_secret()) != keys


def test_a_secret_that_is_none_says_how_to_make_one() -> None:
    assert parse_secret("ab" * 32 + "\n") == b"\xab" * 32
    with pytest.raises(ConfigError) as caught:
        parse_secret("hunter2")
    assert "loadgen keygen" in caught.value.render()
