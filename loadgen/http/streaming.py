"""`stream=True`: the body is read while the scenario iterates over it.

The request is recorded when the body ends, or when the response is closed before (then with the
time until that moment, and its connection is dropped); one that is neither read nor closed counts as
cancelled. A slow reader stops the connection's watcher, so an unread body waits in the kernel and the
server feels it.
"""

from __future__ import annotations

from codecs import getincrementaldecoder
from collections.abc import Iterator
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from gevent import GreenletExit

from loadgen.http.response import Response
from loadgen.http.verdicts import CaughtResponse

if TYPE_CHECKING:
    from loadgen.http.connection import Connection
    from loadgen.http.measurement import Measurement
    from loadgen.http.reader import StreamReader
    from loadgen.http.sender import Sender


class StreamedResponse(Response):
    """A response whose body is still to come. Use it as a context manager, or read it to its end, or close it."""

    _sender: Sender | None = None  # None once the body is over
    _connection: Connection
    _reader: StreamReader
    _transfer: Measurement

    def attach(self, sender: Sender, measurement: Measurement, connection: Connection, reader: StreamReader) -> None:
        """Take over the connection until the body is over."""
        self._sender = sender
        self._connection = connection
        self._reader = reader
        self._transfer = measurement

    def iter_content(self, chunk_size: int | None = None, decode_unicode: bool = False) -> Iterator[Any]:
        """The decoded body: as it comes, or in pieces of `chunk_size` bytes. Raises an HttpError when it breaks."""
        pieces = self._decoded_pieces()
        if chunk_size:
            pieces = _of_size(pieces, chunk_size)
        if not decode_unicode:
            yield from pieces
            return
        decoder = getincrementaldecoder(self.encoding)("replace")
        for piece in pieces:
            if text := decoder.decode(piece):
                yield text
        if text := decoder.decode(b"", final=True):
            yield text

    def iter_lines(self, decode_unicode: bool = False) -> Iterator[Any]:
        """The body line by line, each as soon as it is complete, without line ends (LF or CRLF)."""
        begun: list[bytes] = []  # of a line whose end has not come
        for piece in self._decoded_pieces():
            first, newline, rest = piece.partition(b"\n")
            begun.append(first)
            if newline:
                yield self._line(b"".join(begun), decode_unicode)
                *lines, last = rest.split(b"\n")
                for line in lines:
                    yield self._line(line, decode_unicode)
                begun = [last]
        if last := b"".join(begun):
            yield self._line(last, decode_unicode)

    @property
    def content(self) -> bytes:
        """The whole body."""
        try:
            return self._content
        except AttributeError:
            self._content = b"".join(self._decoded_pieces())
            return self._content

    def close(self) -> None:
        """Stop reading. The request is recorded; an unfinished body costs its connection."""
        sender, self._sender = self._sender, None
        if sender is None:
            return
        self._connection.close()
        self._over()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> Any:
        if isinstance(error, GreenletExit):
            self._cancel()
        self.close()

    def __del__(self) -> None:
        """Dropped in the middle, most likely because its user was stopped."""
        self._cancel()
        self.close()

    def _line(self, line: bytes, decode: bool) -> bytes | str:
        line = line.removesuffix(b"\r")
        return line.decode(self.encoding, "replace") if decode else line

    def _decoded_pieces(self) -> Iterator[bytes]:
        coding = self.headers.get("content-encoding")
        decoder = None
        if coding:
            from loadgen.http.decoding import Decoder

            decoder = Decoder(coding)
        try:
            for piece in self._pieces():
                if decoder is not None:
                    piece = decoder.feed(piece)
                if piece:
                    yield piece
            if decoder is not None and (piece := decoder.finish()):
                yield piece
        except GeneratorExit:
            raise
        except BaseException as exc:
            self._fail(exc)
            raise

    def _pieces(self) -> Iterator[bytes]:
        """What comes over the wire, until the body is over."""
        while self._sender is not None:
            yield from self._reader.take()
            if self._sender is None:
                return
            if self._reader.done:
                self._connection.finish()
                sender, self._sender = self._sender, None
                self._over()
                sender.release(self._connection, self._reader)
                return
            self._connection.receive(self._reader)

    def _over(self) -> None:
        """The transfer is over: record it, unless that is left to the end of a catch_response block."""
        transfer = self._transfer
        transfer.end()
        transfer.size += self._reader.size
        self.elapsed_ns = transfer.elapsed_ns
        if not transfer.catch:
            transfer.settle(self)

    def _fail(self, error: BaseException) -> None:
        """The transfer broke, or decoding did, or the user was stopped."""
        if self._sender is not None:
            self._sender = None
            self._connection.close()
            self._transfer.end()
            self._transfer.size += self._reader.size
        if isinstance(error, GreenletExit):
            self._transfer.settle_cancelled()
        elif not self._transfer.catch:
            self._transfer.settle_failed(error, self)
        else:
            self.error = error

    def _cancel(self) -> None:
        if self._sender is not None:
            self._transfer.settle_cancelled()


class CaughtStream(StreamedResponse, CaughtResponse):
    """Both: the record waits for the end of the `with` block, which also ends the transfer."""

    def __enter__(self) -> Self:
        CaughtResponse.__enter__(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> Any:
        return CaughtResponse.__exit__(self, kind, error, tb)

    def __del__(self) -> None:
        StreamedResponse.__del__(self)
        CaughtResponse.__del__(self)


def _of_size(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    rest = b""
    for piece in pieces:
        data = rest + piece
        whole = len(data) - len(data) % size
        for start in range(0, whole, size):
            yield data[start : start + size]
        rest = data[whole:]
    if rest:
        yield rest
