from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.errors import ConfigError
from loadgen.wire.address import Address, parse_address, parse_bind_address


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("10.0.0.5:5557", Address("10.0.0.5", 5557)),
        ("master.load_test.svc:80", Address("master.load_test.svc", 80)),
        ("[::1]:5557", Address("::1", 5557)),
        ("[fe80::1%eth0]:1", Address("fe80::1%eth0", 1)),
        (" localhost:65535 ", Address("localhost", 65535)),
    ],
)
def test_an_address_is_a_host_and_a_port(text: str, expected: Address) -> None:
    assert parse_address(text) == expected
    assert str(expected) == text.strip()


@pytest.mark.parametrize(
    "text",
    [
        *("", "5557", ":5557", "host", "host:", "host:0", "host:65536", "host:-1", "host:٣", "host:5 57"),
        *("::1:5557", "[]:1", "[host]:1", "a b:1", "*:1", "tcp://host:1", "host/path:1", "host:1:2"),
    ],
)
def test_anything_else_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse_address(text)

    assert "10.0.0.5:5557" in raised.value.render()


def test_only_who_listens_may_leave_the_port_open() -> None:
    assert parse_bind_address("0.0.0.0:0") == Address("0.0.0.0", 0)


@given(st.text(max_size=30))
def test_no_text_makes_it_fail_otherwise(text: str) -> None:
    try:
        address = parse_bind_address(text)
    except ConfigError:
        return
    assert parse_bind_address(str(address)) == address
