"""Content codings: the same bytes at any split, errors for broken data, bombs stopped before they fill memory."""

from __future__ import annotations

import contextlib
import gzip
import tracemalloc
import zlib
from collections.abc import Callable

import brotli
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from loadgen.http.decoding import MAX_BYTES, MAX_RATIO, PIECE, RATIO_JUDGED_FROM, Decoder, charset_of
from loadgen.http.errors import DecodeError


def raw_deflate(data: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return compressor.compress(data) + compressor.flush()


ENCODERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "x-gzip": gzip.compress,
    "deflate": zlib.compress,
    "raw deflate": raw_deflate,
    "br": lambda data: bytes(brotli.compress(data, quality=1)),
    "zstd": lambda data: zstandard.ZstdCompressor(level=1).compress(data),
}
CODINGS = st.sampled_from(sorted(ENCODERS))
CONTENTS = st.binary(max_size=2000) | st.builds(
    lambda piece, n: piece * n, st.binary(max_size=20), st.integers(0, 20_000)
)


def encode(data: bytes, *codings: str) -> tuple[str, bytes]:
    """(Content-Encoding, body) with the codings applied in this order."""
    for coding in codings:
        data = ENCODERS[coding](data)
    return ", ".join(coding.removeprefix("raw ") for coding in codings), data


def decode(coding: str, *parts: bytes, max_bytes: int = MAX_BYTES, max_ratio: float = MAX_RATIO) -> bytes:
    decoder = Decoder(coding, max_bytes, max_ratio)
    return b"".join([*(decoder.feed(part) for part in parts), decoder.finish()])


@given(CONTENTS, CODINGS, st.data())
def test_the_same_bytes_come_out_however_the_input_is_split(content: bytes, coding: str, data: st.DataObject) -> None:
    header, body = encode(content, coding)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=8)))

    parts = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]

    assert decode(header, *parts) == content


@pytest.mark.parametrize("coding", ENCODERS)
def test_byte_by_byte_is_a_split_too(coding: str) -> None:
    header, body = encode(b"hello hello hello" * 50, coding)

    assert decode(header, *(body[i : i + 1] for i in range(len(body)))) == b"hello hello hello" * 50


@given(CONTENTS, CODINGS, CODINGS)
def test_two_codings_come_off_in_reverse_order(content: bytes, first: str, second: str) -> None:
    header, body = encode(content, first, second)

    assert decode(header, body) == content


@pytest.mark.parametrize("coding", ["", "identity", " Identity , "])
def test_no_coding_leaves_the_body_alone(coding: str) -> None:
    assert decode(coding, b"as ", b"it is") == b"as it is"


@pytest.mark.parametrize("coding", ["GZIP", " gzip ", "identity, gzip", ",gzip"])
def test_names_are_read_without_regard_to_case_and_spaces(coding: str) -> None:
    assert decode(coding, gzip.compress(b"x")) == b"x"


@pytest.mark.parametrize("coding", ["compress", "utf-8", "gzip, br, zstd", "gzip;q=1"])
def test_a_coding_that_cannot_be_undone_is_an_error(coding: str) -> None:
    with pytest.raises(DecodeError) as caught:
        Decoder(coding)

    assert (caught.value.category, caught.value.phase) == ("decode_error", "body")


@pytest.mark.parametrize("coding", [*ENCODERS, "gzip, br"])
def test_a_body_of_no_bytes_at_all_is_fine(coding: str) -> None:
    assert decode(coding.removeprefix("raw ")) == b""
    assert decode(coding.removeprefix("raw "), b"") == b""


@pytest.mark.parametrize("coding", ENCODERS)
def test_data_that_ends_too_early_is_an_error(coding: str) -> None:
    header, body = encode(bytes(range(256)) * 4, coding)

    for length in (1, 2, len(body) // 2, len(body) - 1):
        with pytest.raises(DecodeError):
            decode(header, body[:length])


@pytest.mark.parametrize("coding", ENCODERS)
def test_junk_after_the_end_is_an_error(coding: str) -> None:
    header, body = encode(b"content", coding)

    for parts in ((body + b"junk",), (body, b"junk")):
        with pytest.raises(DecodeError):
            decode(header, *parts)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_several_members_in_a_row_are_one_body(coding: str) -> None:
    _, first = encode(b"one ", coding)
    _, second = encode(b"two", coding)

    assert decode(coding, first + second) == decode(coding, first, second) == b"one two"


def test_zero_bytes_after_gzip_are_padding() -> None:
    assert decode("gzip", gzip.compress(b"x") + bytes(10), bytes(600)) == b"x"


def test_a_flipped_checksum_is_an_error() -> None:
    body = bytearray(gzip.compress(b"content"))
    body[-5] ^= 1

    with pytest.raises(DecodeError, match="broken gzip data"):
        decode("gzip", bytes(body))


@given(st.binary(max_size=300), CODINGS)
def test_any_bytes_are_decoded_or_refused(body: bytes, coding: str) -> None:
    with contextlib.suppress(DecodeError):
        decode(coding.removeprefix("raw "), body)


def bomb(coding: str, size: int) -> tuple[str, bytes]:
    """A body of a few kilobytes that would expand to `size` zero bytes."""
    pieces = bytes(1 << 20)
    if coding == "br":
        compressor = brotli.Compressor(quality=9)
        packed = [compressor.process(pieces) for _ in range(size >> 20)]
        return "br", b"".join([*packed, compressor.finish()])
    if coding == "zstd":
        frames = zstandard.ZstdCompressor(level=3).compressobj()
        return "zstd", b"".join([*(frames.compress(pieces) for _ in range(size >> 20)), frames.flush()])
    wbits = {"gzip": 31, "deflate": 15, "raw deflate": -15}[coding]
    deflate = zlib.compressobj(9, wbits=wbits)
    body = b"".join([*(deflate.compress(pieces) for _ in range(size >> 20)), deflate.flush()])
    return coding.removeprefix("raw "), body


@pytest.mark.parametrize("coding", ["gzip", "deflate", "raw deflate", "br", "zstd"])
@pytest.mark.parametrize("limit", ["bytes", "ratio"])
def test_a_bomb_is_stopped_before_it_fills_memory(coding: str, limit: str) -> None:
    header, body = bomb(coding, 64 << 20)
    caps = {"max_bytes": 4 << 20, "max_ratio": 1e9} if limit == "bytes" else {"max_bytes": 1 << 40, "max_ratio": 100.0}
    tracemalloc.start()

    with pytest.raises(DecodeError, match="expands"):
        decode(header, body, **caps)  # type: ignore[arg-type]

    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    allowed = caps["max_bytes"] if limit == "bytes" else max(RATIO_JUDGED_FROM, 100.0 * len(body))
    assert peak < allowed * 2 + 6 * (1 << 20)


def test_a_bomb_inside_a_harmless_coding_is_stopped_too() -> None:
    _, inner = bomb("gzip", 16 << 20)

    with pytest.raises(DecodeError, match="expands"):
        decode("gzip, br", brotli.compress(inner), max_bytes=1 << 20)


def test_a_bomb_that_a_second_coding_would_swallow_is_stopped_by_its_first_one() -> None:
    empty = gzip.compress(b"") * 100_000

    with pytest.raises(DecodeError, match="expands"):
        decode("gzip, gzip", gzip.compress(empty), max_bytes=1 << 20)


@pytest.mark.parametrize("coding", ENCODERS)
def test_exactly_the_cap_is_allowed_and_one_byte_more_is_not(coding: str) -> None:
    header, body = encode(bytes(PIECE * 3), coding)

    assert len(decode(header, body, max_bytes=PIECE * 3)) == PIECE * 3
    with pytest.raises(DecodeError, match="expands"):
        decode(header, body, max_bytes=PIECE * 3 - 1)


def test_a_page_of_zeros_in_gzip_is_no_bomb_by_its_ratio() -> None:
    header, body = bomb("gzip", 8 << 20)

    assert decode(header, body) == bytes(8 << 20)


def test_a_zstd_window_beyond_what_http_allows_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=24)
    frames = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = frames.compress(b"x") + frames.flush()

    with pytest.raises(DecodeError):
        decode("zstd", body)


@pytest.mark.parametrize(
    ("content_type", "charset"),
    [
        (None, None),
        ("text/html", None),
        ("text/html; charset=UTF-8", "utf-8"),
        ('text/html;a=b; Charset = "Latin-1" ; c=d', "latin-1"),
        ("text/html; charset='utf-8'", "utf-8"),
        ("text/html; charset=", None),
        ("text/html; charset=;", None),
        ('text/html; charset=""', None),
        ("text/html; xcharset=utf-8", None),
    ],
)
def test_the_charset_is_the_one_the_content_type_names(content_type: str | None, charset: str | None) -> None:
    assert charset_of(content_type) == charset
