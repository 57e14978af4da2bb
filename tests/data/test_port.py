"""Requests and grants on the wire, and the port of a process without a master."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.data_port import (
    MAX_BATCH,
    MAX_RANGES,
    Grant,
    LocalRows,
    OnEnd,
    RowRange,
    Wanted,
    attach,
    port_of,
    ranges_text,
)
from loadgen.errors import Malformed
from tests.scenario_api.helpers import make_environment

WANTED: dict[str, Any] = {
    "source": "shop:users.csv#1",
    "rows": 10,
    "on_end": "stop",
    "number": 1,
    "count": 1,
    "ahead": 0,
    "used": 0,
}
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.binary(), st.lists(st.integers()))


def on_wire(value: dict[str, Any]) -> dict[str, Any]:
    unpacked: dict[str, Any] = msgpack.unpackb(msgpack.packb(value))
    return unpacked


@given(
    st.builds(
        Wanted,
        source=st.text(max_size=100),
        rows=st.integers(1, 1 << 40),
        on_end=st.sampled_from(OnEnd),
        number=st.integers(1, 1 << 60),
        count=st.integers(1, MAX_BATCH),
        ahead=st.integers(0, MAX_BATCH),
        used=st.integers(0, 1 << 60),
    )
)
def test_a_request_arrives_as_it_was_sent(request: Wanted) -> None:
    assert Wanted.from_wire(on_wire(request.to_wire())) == request


@given(
    st.builds(
        Grant,
        ranges=st.lists(st.builds(RowRange, st.integers(0, 1 << 40), st.integers(1, 100)), max_size=9).map(tuple),
        end=st.sampled_from([None, *OnEnd]),
        refused=st.text(max_size=100),
    )
)
def test_a_grant_arrives_as_it_was_sent(grant: Grant) -> None:
    assert Grant.from_wire(on_wire(grant.to_wire())) == grant


@given(st.dictionaries(st.sampled_from(sorted(WANTED)), ODD, min_size=1))
def test_a_request_with_anything_else_in_it_is_malformed_or_valid_but_nothing_worse(odd: dict[str, Any]) -> None:
    try:
        request = Wanted.from_wire(WANTED | odd)
    except Malformed:
        return
    assert request.count + request.ahead > 0
    assert request.rows > 0


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"rows": 3, "end": "", "refused": ""},
        {"rows": [[1]], "end": "", "refused": ""},
        {"rows": [[-1, 1]], "end": "", "refused": ""},
        {"rows": [[0, 0]], "end": "", "refused": ""},
        {"rows": [[0, True]], "end": "", "refused": ""},
        {"rows": [[0, MAX_BATCH * 2], [0, 1]], "end": "", "refused": ""},
        {"rows": [[0, 1]] * (MAX_RANGES + 1), "end": "", "refused": ""},
        {"rows": [], "end": "perhaps", "refused": ""},
        {"rows": [], "end": "", "refused": "x" * 1_001},
    ],
)
def test_a_grant_that_makes_no_sense_is_malformed(body: dict[str, Any]) -> None:
    with pytest.raises(Malformed):
        Grant.from_wire(body)


def test_a_process_without_a_master_gives_the_rows_in_their_order() -> None:
    port = LocalRows()

    assert port.want(Wanted("a", 5, OnEnd.STOP, 1, 2, 1)).ranges == (RowRange(0, 3),)
    assert port.want(Wanted("a", 5, OnEnd.STOP, 2, 2, 1)).ranges == (RowRange(3, 2),)
    assert port.want(Wanted("a", 5, OnEnd.STOP, 3, 2, 1)) == Grant(end=OnEnd.STOP)
    assert port.want(Wanted("a", 5, OnEnd.RECYCLE, 4, 2)) == Grant((RowRange(0, 2),), OnEnd.RECYCLE)
    assert port.want(Wanted("b", 5, OnEnd.STOP, 1, 1)).ranges == (RowRange(0, 1),)


def test_an_environment_has_the_port_that_was_attached_or_one_of_its_own() -> None:
    environment, port = make_environment(), LocalRows()
    attach(environment, port)

    assert port_of(environment) is port
    assert port_of(make_environment()) is not port


def test_rows_are_shown_as_a_reader_counts_them() -> None:
    assert ranges_text((RowRange(0, 20), RowRange(30, 1))) == "1–20, 31"
    assert ranges_text((RowRange(0, 1), RowRange(5, 1), RowRange(7, 1)), most=2) == "1, 6, …"
