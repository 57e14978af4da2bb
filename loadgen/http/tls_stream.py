"""TLS over a raw non-blocking socket, through two memory buffers: it looks like the socket itself.

Nothing here waits: `send`, `recv` and `handshake` raise BlockingIOError where they would have to.
A connection closed without close_notify ends like one without TLS: `recv` gives b"" and the rules of
loadgen.http.reader decide whether the response was complete.
"""

from __future__ import annotations

import ssl
from typing import Any

MAX_PIECE = 65_536  # plaintext encrypted at once, so that a long body does not stand twice in memory
CIPHERTEXT_BYTES = 65_536
_ENDED = (ssl.SSLZeroReturnError, ssl.SSLEOFError)


class TlsStream:
    """One TLS connection. After BlockingIOError, `send` is called again with the same data."""

    __slots__ = ("_incoming", "_outgoing", "_owed", "_read", "_socket", "_unsent", "_write", "has_more", "tls")

    def __init__(
        self, socket: Any, context: ssl.SSLContext, server_hostname: str, session: ssl.SSLSession | None
    ) -> None:
        self._socket = socket
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        self.tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=server_hostname, session=session)
        self._read = self.tls.read
        self._write = self.tls.write
        self._unsent = b""  # ciphertext the socket did not take yet
        self.has_more = False  # something was received that is not read yet
        self._owed = 0  # how much plaintext is encrypted but not reported as sent

    def handshake(self) -> bool:
        """Go on with the handshake; False: more of it has to arrive, or to leave, first.

        Raises ssl.SSLError or OSError. What is to be sent is sent even then: the alert tells the server why.
        """
        try:
            self.tls.do_handshake()
            done = True
        except ssl.SSLWantReadError:
            done = False
        finally:
            self._flush()
        if done:
            self.has_more = self._incoming.pending > 0
            return True
        data = self._socket.recv(CIPHERTEXT_BYTES)  # BlockingIOError: nothing there yet
        self._take(data)
        return False

    def send(self, data: Any, /) -> int:
        """How much of `data` was sent."""
        if not self._owed:
            piece = data if len(data) <= MAX_PIECE else memoryview(data)[:MAX_PIECE]
            self._owed = self._write(piece)
            unsent = self._unsent + self._outgoing.read()
        else:
            unsent = self._unsent
        try:
            sent = self._socket.send(unsent) if unsent else 0
        except BlockingIOError:
            sent = 0
        if sent != len(unsent):
            self._unsent = unsent[sent:]
            raise BlockingIOError
        self._unsent = b""
        owed, self._owed = self._owed, 0
        return owed

    def recv(self, size: int, /) -> bytes:
        """What the server said, b"" when it has said all. `size` should be above a record's 16 KiB.

        While `has_more`, call it again before waiting for the socket: what is left may be here already.
        """
        incoming = self._incoming
        try:
            if self.has_more:
                self.has_more = False
                try:
                    data = self._read(size)
                except ssl.SSLWantReadError:  # part of a record only
                    pass
                else:
                    self.has_more = incoming.pending > 0
                    return data
            self._take(self._socket.recv(CIPHERTEXT_BYTES))
            data = self._read(size)
            self.has_more = incoming.pending > 0
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except _ENDED:
            return b""
        finally:
            if self._outgoing.pending:
                self._flush()
        return data

    def _take(self, data: bytes) -> None:
        if data:
            self._incoming.write(data)
        else:
            self._incoming.write_eof()

    def _flush(self) -> None:
        """Send what TLS itself has to say; what the socket does not take goes with the next `send`."""
        unsent = self._unsent + self._outgoing.read()
        self._unsent = b""
        if unsent:
            try:
                self._unsent = unsent[self._socket.send(unsent) :]
            except BlockingIOError:
                self._unsent = unsent

    def fileno(self) -> int:
        number: int = self._socket.fileno()
        return number

    def close(self) -> None:
        """Say goodbye if that is possible without waiting, and close."""
        try:
            self.tls.unwrap()
        except (ssl.SSLError, OSError, ValueError):
            pass
        try:
            self._flush()
        except OSError:
            pass
        self._socket.close()
