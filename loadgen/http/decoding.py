"""Content codings of responses, undone piece by piece with bounded memory.

A hostile or broken target must not be able to fill the generator's memory with a few kilobytes: no
more than PIECE bytes (zstd: a few MiB, it has no smaller step) exist beyond what is within the caps.
The same bytes come out however the input is split.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

from loadgen.http.errors import DecodeError

MAX_BYTES = 64 * 1024 * 1024
MAX_RATIO = 1100.0  # above what deflate can do (1032): it stops bombs of br and zstd, not a page of zeros in gzip
RATIO_JUDGED_FROM = 1024 * 1024  # a small answer may be as dense as it likes
MAX_STACKED = 2
PIECE = 64 * 1024
ZSTD_WINDOW = 8 * 1024 * 1024  # what RFC 9659 allows for content codings
ZSTD_SLICE = 128  # 4 bytes of zstd can mean a block of 128 KiB: so one slice is at most 4 MiB

_CHARSET = re.compile(r""";\s*charset\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s;,"']+))""", re.IGNORECASE)


class Stage(Protocol):
    """One coding: `pieces` gives what can be decoded now, `is_complete` whether the data ended well."""

    @property
    def broken(self) -> type[Exception]: ...  # what the library raises for data it cannot read

    def pieces(self, data: bytes) -> Iterator[bytes]: ...

    @property
    def is_complete(self) -> bool: ...


class Decoder:
    """Undoes a Content-Encoding. Raises DecodeError for unknown codings, broken data and bombs.

    Known are gzip, x-gzip, deflate (with and without zlib header), br, zstd and identity; at most two
    stacked. A body of no bytes at all is fine. Data after the end is an error, except zero bytes after gzip.
    """

    __slots__ = ("_coding", "_made", "_max_bytes", "_max_ratio", "_stages", "_taken")

    def __init__(self, coding: str, max_bytes: int = MAX_BYTES, max_ratio: float = MAX_RATIO) -> None:
        self._coding = coding
        self._max_bytes = max_bytes
        self._max_ratio = max_ratio
        self._stages = [_stage(name) for name in reversed(_names(coding))]  # the last applied comes off first
        self._taken = 0
        self._made = [0] * len(self._stages)

    def feed(self, data: bytes) -> bytes:
        """What can be decoded with this data too; together with earlier results at most `max_bytes`."""
        self._taken += len(data)
        return b"".join(self._through(0, data)) if data else b""

    def finish(self) -> bytes:
        """Check that the data ended where it says it ends; always b"", as everything was given before."""
        if self._taken and not all(stage.is_complete for stage in self._stages):
            raise DecodeError(f"the {self._coding} data ends too early")
        return b""

    def _through(self, depth: int, data: bytes) -> Iterator[bytes]:
        """The data after the stages from `depth` on, each output counted: an inner stage may be a bomb too."""
        if depth == len(self._stages):
            yield data
            return
        stage = self._stages[depth]
        try:
            for piece in stage.pieces(data):
                self._count(depth, len(piece))
                yield from self._through(depth + 1, piece)
        except stage.broken as exc:
            raise DecodeError(f"broken {self._coding} data: {exc}") from exc

    def _count(self, depth: int, size: int) -> None:
        self._made[depth] = made = self._made[depth] + size
        if made > self._max_bytes:
            raise DecodeError(f"{self._coding} data expands to more than {self._max_bytes:,} bytes")
        if made > RATIO_JUDGED_FROM and made > self._taken * self._max_ratio:
            raise DecodeError(f"{self._coding} data expands more than {self._max_ratio:g} times")


def charset_of(content_type: str | None) -> str | None:
    """The charset a Content-Type names, in lower case; None if it names none. It may be unknown to Python."""
    match = _CHARSET.search(content_type or "")
    if match is None:
        return None
    return (match.group(1) or match.group(2) or match.group(3) or "").strip().lower() or None


class _Inflate:
    """gzip (members in a row), zlib, or raw deflate, by `wbits`."""

    broken: type[Exception] = zlib.error

    def __init__(self, wbits: int) -> None:
        self._wbits = wbits
        self._inner = zlib.decompressobj(wbits)
        self._started = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        while data:
            if self._inner.eof:
                data = self._next_member(data)
                continue
            self._started = True
            yield from self._drain(data)
            data = self._inner.unused_data

    @property
    def is_complete(self) -> bool:
        return self._inner.eof or not self._started

    def _drain(self, data: bytes) -> Iterator[bytes]:
        inner = self._inner
        out = inner.decompress(data, PIECE)
        while out:
            yield out
            # A full piece may have more behind it even when all input is consumed.
            out = inner.decompress(inner.unconsumed_tail, PIECE) if not inner.eof else b""

    def _next_member(self, data: bytes) -> bytes:
        if self._wbits != _GZIP:
            raise DecodeError("data after the end of the deflate data")
        data = data.lstrip(b"\0")  # some servers pad to a block size
        if data:
            self._inner = zlib.decompressobj(self._wbits)
        return data


_GZIP = 16 + zlib.MAX_WBITS


class _Deflate:
    """HTTP's "deflate": zlib by the book, raw deflate by many servers; the first two bytes tell."""

    broken: type[Exception] = zlib.error

    def __init__(self) -> None:
        self._held = b""
        self._inner: _Inflate | None = None

    def pieces(self, data: bytes) -> Iterator[bytes]:
        if self._inner is None:
            data = self._held + data
            if len(data) < 2:
                self._held = data
                return
            is_zlib = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._inner = _Inflate(zlib.MAX_WBITS if is_zlib else -zlib.MAX_WBITS)
        yield from self._inner.pieces(data)

    @property
    def is_complete(self) -> bool:
        return not self._held if self._inner is None else self._inner.is_complete


class _Brotli:
    def __init__(self) -> None:
        import brotli  # only who needs it pays for it

        self.broken: type[Exception] = brotli.error
        self._inner = brotli.Decompressor()
        self._started = False

    def pieces(self, data: bytes) -> Iterator[bytes]:
        self._started = True
        inner = self._inner
        out = inner.process(data, output_buffer_limit=PIECE)
        # Output may wait inside although all input is taken, so ask until nothing more comes.
        while out or not inner.can_accept_more_data():
            yield out
            if inner.is_finished():
                return
            out = inner.process(b"", output_buffer_limit=PIECE)

    @property
    def is_complete(self) -> bool:
        return not self._started or bool(self._inner.is_finished())


class _Zstd:
    """zstd frames in a row. The library has no limit on output, so the input is given in small slices."""

    def __init__(self) -> None:
        import zstandard

        self.broken: type[Exception] = zstandard.ZstdError
        self._inner: Any = None
        self._make = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW).decompressobj

    def pieces(self, data: bytes) -> Iterator[bytes]:
        for start in range(0, len(data), ZSTD_SLICE):
            part = data[start : start + ZSTD_SLICE]
            while part:
                if self._inner is None or self._inner.eof:
                    self._inner = self._make()
                yield self._inner.decompress(part)
                part = self._inner.unused_data if self._inner.eof else b""

    @property
    def is_complete(self) -> bool:
        return self._inner is None or bool(self._inner.eof)


def _names(coding: str) -> list[str]:
    names = [name for name in (part.strip().lower() for part in coding.split(",")) if name not in ("", "identity")]
    if len(names) > MAX_STACKED:
        raise DecodeError(f"{len(names)} content codings stacked: {MAX_STACKED} are the most")
    return names


def _stage(name: str) -> Stage:
    if name in ("gzip", "x-gzip"):
        return _Inflate(_GZIP)
    if name == "deflate":
        return _Deflate()
    if name == "br":
        return _Brotli()
    if name == "zstd":
        return _Zstd()
    raise DecodeError(f"unknown content coding {name[:40]!r}")
