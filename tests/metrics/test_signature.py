"""Messages that differ only in numbers and ids form one group."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.metrics.signature import MAX_SIGNATURE, signature


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("order 17 not found", "order <n> not found"),
        ("took 10.5 s", "took <n> s"),
        ("item 6fa459ea-ee8a-3ca4-894e-db77e160355e gone", "item <uuid> gone"),
        ("commit deadbeef42 missing", "commit <hex> missing"),
        ("at 0x7f3a90", "at <hex>"),
        ("since 2026-11-20T14:03:22.123Z", "since <time>"),
        ("at 14:03:22", "at <time>"),
        ("refused by 10.0.0.7:443", "refused by <addr>"),
        ("refused by [::1]:8080", "refused by <addr>"),
        ("refused by [fe80::1%eth0]:80", "refused by <addr>"),
        ("user 'u-81' unknown", "user '<id>' unknown"),
        ('user "u-81" unknown', 'user "<id>" unknown'),
        ("can't find item 5 for Bob's list", "can't find item <n> for Bob's list"),
        ("HTTP 503", "HTTP 503"),
        ("status code 404 for id 404", "status code 404 for id <n>"),
        ("HTTP 5034", "HTTP <n>"),
        ("two\n  lines\tand  spaces ", "two lines and spaces"),
        ("", ""),
    ],
)
def test_what_varies_becomes_a_placeholder(message: str, expected: str) -> None:
    assert signature(message) == expected


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_numbers_never_tell_two_messages_apart(a: int, b: int) -> None:
    assert signature(f"order {a} timed out after {b} ms") == signature(f"order {b} timed out after {a} ms")


@given(st.uuids(), st.uuids())
def test_uuids_never_tell_two_messages_apart(a: object, b: object) -> None:
    assert signature(f"cart {a} is locked") == signature(f"cart {b} is locked")


@given(st.text(max_size=60))
def test_a_signature_is_its_own_signature(message: str) -> None:
    once = signature(message)

    assert signature(once) == once


@given(st.text(min_size=MAX_SIGNATURE, max_size=3 * MAX_SIGNATURE))
def test_signatures_are_short(message: str) -> None:
    assert len(signature(message)) <= MAX_SIGNATURE
