"""The reader of responses alone, without any socket: what ends a response does not depend on how it arrives."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.http.errors import HttpError
from loadgen.http.headers import Headers
from loadgen.http.reader import HeadReader, ResponseReader, StreamReader

HEAD = b"HTTP/1.1 200 OK\r\nServer: x\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\n"
RESPONSES = {
    "length": HEAD + b"Content-Length: 11\r\n\r\nhello\r\n\r\n!!",
    "no body": HEAD + b"Content-Length: 0\r\n\r\n",
    "chunked": HEAD + b"Transfer-Encoding: chunked\r\n\r\n5;x=y\r\nhello\r\n6\r\n\r\n\r\n!!\r\n0\r\nT: 1\r\n\r\n",
    "until close": HEAD + b"\r\nhello\r\n\r\n!!",
    "interim first": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: a\r\n\r\n"
    + HEAD
    + b"Content-Length: 2\r\n\r\nhi",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 6\n\n\r\n\r\nhi",
    "empty lines first": b"\r\n\r\n" + HEAD + b"Content-Length: 6\r\n\r\n\r\n\r\nhi",
    "204": b"HTTP/1.1 204 No\r\nContent-Length: 3\r\n\r\n",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi",
    "excess": HEAD + b"Content-Length: 2\r\n\r\nhiHTTP/1.1 200",
}


def read(reader: ResponseReader, pieces: Sequence[bytes]) -> tuple[object, ...]:
    """What the reader makes of the pieces: everything a client can see, or the error's category."""
    body = b""
    try:
        for piece in pieces:
            reader.feed(piece)
            if isinstance(reader, StreamReader):
                body += b"".join(reader.take())
            if reader.done:
                break
        else:
            reader.eof()
            if isinstance(reader, StreamReader):
                body += b"".join(reader.take())
    except HttpError as error:
        return error.category, error.phase
    head = Headers(reader.head)
    return (
        reader.status,
        head.status_line,
        tuple(head.items()),
        body if isinstance(reader, StreamReader) else reader.body,
        reader.size,
        reader.keep_alive or reader.excess,
    )


@pytest.mark.parametrize("raw", RESPONSES.values(), ids=RESPONSES)
@pytest.mark.parametrize("kind", [ResponseReader, StreamReader])
def test_a_response_split_at_any_byte_is_the_same_response(raw: bytes, kind: type[ResponseReader]) -> None:
    whole = read(kind(), [raw])

    assert isinstance(whole[0], int)
    for cut in range(1, len(raw)):
        assert read(kind(), [raw[:cut], raw[cut:]]) == whole, raw[:cut]
    assert read(kind(), [raw[i : i + 1] for i in range(len(raw))]) == whole


@pytest.mark.parametrize("raw", RESPONSES.values(), ids=RESPONSES)
def test_a_response_cut_off_is_never_a_success(raw: bytes) -> None:
    """Except where closing the connection is what ends it, and where what is missing is excess."""
    whole = read(ResponseReader(), [raw])
    for cut in range(len(raw)):
        got = read(ResponseReader(), [raw[:cut]])
        if isinstance(got[0], int):
            assert raw in (RESPONSES["until close"], RESPONSES["excess"])
        else:
            assert got[0] == ("closed" if cut == 0 else "truncated")
    assert isinstance(whole[0], int)


def test_a_reader_can_be_used_again_after_a_clean_end() -> None:
    reader = ResponseReader()
    for raw in (RESPONSES["length"], RESPONSES["chunked"], RESPONSES["204"], RESPONSES["length"]):
        fresh = read(ResponseReader(), [raw])
        assert read(reader, [raw]) == fresh
        reader.reset()


@pytest.mark.parametrize("cut", range(1, 60))
def test_an_answer_to_head_ends_with_its_head_however_it_arrives(cut: int) -> None:
    raw = HEAD + b"Content-Length: 500\r\n\r\n"
    reader = HeadReader()
    reader.feed(raw[:cut])
    assert not reader.done
    reader.feed(raw[cut:])

    assert (reader.status, reader.done, reader.keep_alive, reader.size) == (200, True, True, 0)
    assert Headers(reader.head)["content-length"] == "500"


mutations = st.tuples(
    st.sampled_from(sorted(RESPONSES.values())),
    st.lists(
        st.tuples(st.integers(0, 200), st.sampled_from(["flip", "drop", "insert"]), st.integers(0, 255)), max_size=4
    ),
    st.lists(st.integers(0, 200), max_size=3),
)


@settings(max_examples=400, deadline=None)
@given(mutations, st.sampled_from([ResponseReader, HeadReader, StreamReader]))
def test_a_mutated_response_is_read_or_refused_but_never_crashes(
    case: tuple[bytes, list[tuple[int, str, int]], list[int]], kind: type[ResponseReader]
) -> None:
    raw, changes, cuts = case
    data = bytearray(raw)
    for position, change, byte in changes:
        at = position % (len(data) + 1)
        if change == "insert":
            data.insert(at, byte)
        elif at < len(data) and change == "drop":
            del data[at]
        elif at < len(data):
            data[at] ^= byte
    edges = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    pieces = [bytes(data[a:b]) for a, b in itertools.pairwise(edges)]

    result = read(kind(), [piece for piece in pieces if piece])

    assert isinstance(result[0], int) or result[0] in {"closed", "truncated", "protocol_error"}


@settings(max_examples=300, deadline=None)
@given(st.lists(st.binary(min_size=1, max_size=80), max_size=5))
def test_arbitrary_bytes_are_read_or_refused(pieces: list[bytes]) -> None:
    result = read(ResponseReader(), pieces)

    assert isinstance(result[0], int) or result[0] in {"closed", "truncated", "protocol_error"}


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=2000), st.lists(st.integers(1, 300), max_size=10), st.booleans())
def test_any_body_comes_through_unchanged(body: bytes, sizes: list[int], chunked: bool) -> None:
    if chunked:
        raw, rest = HEAD + b"Transfer-Encoding: chunked\r\n\r\n", body
        for size in [*sizes, len(body)]:
            piece, rest = rest[:size], rest[size:]
            raw += b"%x\r\n%b\r\n" % (len(piece), piece) if piece else b""
        raw += b"0\r\n\r\n"
    else:
        raw = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    pieces, rest = [], raw
    for size in [*sizes, len(raw)]:
        pieces.append(rest[:size])
        rest = rest[size:]
    reader = ResponseReader()
    for piece in filter(None, pieces):
        reader.feed(piece)

    assert (reader.done, reader.body, reader.size, reader.keep_alive) == (True, body, len(body), True)
