"""The bytes of a bundle: a compressed table of contents, then the contents of its files.

::

    data = b"LGB1" + zlib stream of (length of the table: 4 bytes, big-endian | table | contents, in its order)

Whoever reads one believes nothing: sizes and counts are checked before any content is inflated, never more than
announced is inflated, in blocks of 64 KiB, and every file must have its hash. Whatever is wrong raises Malformed.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator, Mapping

from loadgen.errors import Malformed
from loadgen.wire.bundle_format import HARD_LIMITS, TABLE_MAX_BYTES, BundleFile, Limits, Table

MAGIC = b"LGB1"
_BLOCK_BYTES = 64 << 10
_LEVEL = 6


def pack(entry: str, contents: Mapping[str, bytes]) -> tuple[Table, bytes]:
    """The table of these files (path → content) and the archive's bytes."""
    paths = sorted(contents, key=str.encode)
    table = Table(
        entry,
        tuple(BundleFile(path, len(contents[path]), hashlib.sha256(contents[path]).hexdigest()) for path in paths),
    )
    encoded = table.encode()
    deflate = zlib.compressobj(_LEVEL)
    parts = [MAGIC, deflate.compress(len(encoded).to_bytes(4, "big")), deflate.compress(encoded)]
    parts += [deflate.compress(contents[path]) for path in paths]
    return table, b"".join((*parts, deflate.flush()))


class Archive:
    """A bundle being read: its checked table at once, then the files' contents, block by block, once."""

    def __init__(self, data: bytes, limits: Limits = HARD_LIMITS) -> None:
        if len(data) > limits.data_bytes:
            raise Malformed(f"bundle of {len(data)} bytes")
        if not data.startswith(MAGIC):
            raise Malformed("not a bundle")
        self._inflater = _Inflater(memoryview(data)[len(MAGIC) :])
        length = int.from_bytes(b"".join(self._inflater.blocks(4)), "big")
        if length > TABLE_MAX_BYTES:
            raise Malformed(f"bundle: a table of {length} bytes")
        self.table = Table.parse(b"".join(self._inflater.blocks(length)), limits)

    def blocks(self) -> Iterator[tuple[BundleFile, bytes]]:
        """Each file's content in blocks, in the order of the table; an empty file gives one empty block.

        Raises Malformed after the last block of a file that has not its hash, and after the last file if
        anything follows: nothing that was read counts before this iterator has ended.
        """
        for file in self.table.files:
            digest = hashlib.sha256()
            if not file.size:
                yield file, b""
            for block in self._inflater.blocks(file.size):
                digest.update(block)
                yield file, block
            if digest.hexdigest() != file.sha256:
                raise Malformed(f"bundle: {file.path} has not its hash")
        self._inflater.finish()


class _Inflater:
    """Inflates just as much as is asked for. Its input goes in by slices: zlib copies what it leaves over."""

    def __init__(self, data: memoryview) -> None:
        self._data = data
        self._position = 0
        self._left_over = b""
        self._zlib = zlib.decompressobj()

    def blocks(self, size: int) -> Iterator[bytes]:
        """Exactly `size` bytes in blocks of at most 64 KiB. Raises Malformed if there are fewer."""
        while size:
            block = self._inflate(min(size, _BLOCK_BYTES))
            if not block:
                raise Malformed("bundle: it ends too early")
            size -= len(block)
            yield block

    def finish(self) -> None:
        """Raise Malformed unless the stream ends here, checksum and all."""
        if self._inflate(1):
            raise Malformed("bundle: larger than its table says")
        if not self._zlib.eof or self._zlib.unused_data or self._position < len(self._data):
            raise Malformed("bundle: it does not end where it should")

    def _inflate(self, most: int) -> bytes:
        """At least one byte; none only at the end."""
        while True:
            if not self._left_over:
                self._left_over = bytes(self._data[self._position : self._position + _BLOCK_BYTES])
                self._position += len(self._left_over)
            had_input = bool(self._left_over)  # without any, zlib may still hold the rest of a repetition
            try:
                block = self._zlib.decompress(self._left_over, most)
            except zlib.error as exc:
                raise Malformed(f"bundle: {exc}") from exc
            self._left_over = self._zlib.unconsumed_tail
            if block or not had_input or self._zlib.eof:
                return block


def verify(data: bytes, sha256: str, limits: Limits = HARD_LIMITS) -> Table:
    """The table of the bundle of this name, every file's hash checked. Raises Malformed; 64 KiB of memory."""
    archive = Archive(data, limits)
    if archive.table.sha256 != sha256:
        raise Malformed(f"bundle {archive.table.sha256[:12]} came in place of {sha256[:12]}")
    for _ in archive.blocks():
        pass
    return archive.table
