"""One connection and one request on it: send, wait, receive. The engine's narrow, hot seam.

States: *opening* (`served` is -1), *idle* (`reader` is None), *busy* (`reader` is set), *closed* (`stream` is None).
One read watcher stays armed from opening to closing: while somebody waits it resumes them; while the
connection is idle it learns that the server closed it, or spoke unasked, and closes it.
A connection that is left in the middle of an exchange, for whatever reason, is closed and never used again.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterable
from time import monotonic_ns
from typing import TYPE_CHECKING, Any, NoReturn, Protocol

from gevent import getcurrent

from loadgen.http import tls
from loadgen.http.errors import (
    ConnectTimeout,
    FirstByteTimeout,
    HttpError,
    IdleTimeout,
    TotalTimeout,
    from_os_error,
)
from loadgen.http.reader import ResponseReader

if TYPE_CHECKING:
    from loadgen.http.plans import Route
    from loadgen.http.settings import Timeouts
    from loadgen.http.tls_stream import TlsStream

RECEIVE_BYTES = 65_536
READ, WRITE = 1, 2


class Stream(Protocol):
    """A raw non-blocking socket, or TLS over one. Both raise BlockingIOError where they would block;
    `send` is then called again with the same data."""

    def send(self, data: Any, /) -> int: ...
    def recv(self, size: int, /) -> bytes: ...
    def fileno(self) -> int: ...
    def close(self) -> None: ...


class Home(Protocol):
    """What a connection needs of its engine: the event loop, and the set of those that are open."""

    hub: Any
    connections: set[Connection]


class Connection:
    """A connection to one route (target and TLS settings)."""

    __slots__ = ("begun_ns", "deadline_ns", "greenlet", "home", "phase", "reader", "route", "secured", "served",
                 "stream", "timeouts", "watcher")  # fmt: skip

    def __init__(self, home: Home, route: Route, timeouts: Timeouts, begun_ns: int) -> None:
        """`begun_ns`: when the request began that this connection is opened for."""
        self.home = home
        self.route = route
        self.timeouts = timeouts
        self.begun_ns = begun_ns
        # Not from the start of the request: redirects before this hop may have taken longer than a connection may.
        self.deadline_ns = min(monotonic_ns() + timeouts.connect_ns, begun_ns + timeouts.total_ns)
        self.stream: Stream | None = None
        self.secured: TlsStream | None = None  # the same, if it is TLS
        self.watcher: Any = None
        self.greenlet: Any = None  # who waits here; None while nobody does
        self.reader: ResponseReader | None = None
        self.served = -1  # requests answered
        self.phase = "connect"  # then "tls", "send" while a long body goes out, "" when the reader knows it
        home.connections.add(self)

    # -- the exchange -------------------------------------------------------------------------

    def exchange(
        self, payload: bytes, reader: ResponseReader, timeouts: Timeouts, begun_ns: int, deadline_ns: int
    ) -> None:
        """Send `payload` and feed `reader` until it is done.

        Raises an HttpError for whatever goes wrong; after any exception the connection is closed.
        """
        self.reader = reader
        self.timeouts = timeouts
        self.begun_ns = begun_ns
        self.deadline_ns = deadline_ns
        stream = self.stream
        assert stream is not None
        try:
            try:
                sent = stream.send(payload)
            except OSError:
                sent = 0  # would block, or is broken: either is dealt with by the slower way
            if sent != len(payload):
                self._send_all(payload, sent)
            greenlet = getcurrent()
            wait = self.home.hub.switch
            recv = stream.recv
            secured = self.secured
            while not reader.done:
                if secured is None or not secured.has_more:
                    self.greenlet = greenlet
                    wait()
                    self.greenlet = None
                try:
                    data = recv(RECEIVE_BYTES)
                except BlockingIOError:
                    continue
                if data:
                    reader.feed(data)
                    if reader.done:
                        break
                    self.moved()
                else:
                    reader.eof()
            if secured is not None and secured.has_more:
                self._check_rest(secured, reader)
        except BaseException as exc:  # noqa: BLE001 - GreenletExit too: it ends the exchange, so the connection
            self.give_up(exc)
        self.reader = None
        self.served += 1

    def begin(
        self,
        payload: bytes,
        pieces: Iterable[bytes],
        reader: ResponseReader,
        timeouts: Timeouts,
        begun_ns: int,
        deadline_ns: int,
    ) -> None:
        """The first half of an exchange in steps: send `payload` and `pieces`. Then `receive`, then `finish`.

        Whatever the scenario's own `pieces` raise goes through. A server may refuse a body before it has all of
        it (413, 401): then the rest is not sent, the answer is read, and the connection not used again.
        """
        self.reader = reader
        self.timeouts = timeouts
        self.begun_ns = begun_ns
        self.deadline_ns = deadline_ns
        try:
            sending = self._send_all(payload)
            for piece in pieces:
                if not sending or self._is_refused():
                    break
                sending = self._send_all(piece)
        except BaseException as exc:  # noqa: BLE001 - as in exchange
            self.give_up(exc)

    def receive(self, reader: ResponseReader) -> None:
        """Feed `reader` once, with whatever comes next."""
        stream = self.stream
        assert stream is not None
        try:
            while True:
                if not self.watcher.active:
                    self.watcher.start(self._readable)  # a slow reader had made us stop it
                if self.secured is None or not self.secured.has_more:
                    self.pause()
                try:
                    data = stream.recv(RECEIVE_BYTES)
                    break
                except BlockingIOError:
                    continue
            if data:
                reader.feed(data)
            else:
                reader.eof()
            self.moved()
            if reader.done and self.secured is not None and self.secured.has_more:
                self._check_rest(self.secured, reader)
        except BaseException as exc:  # noqa: BLE001 - as in exchange
            self.give_up(exc)

    def finish(self) -> None:
        """The response is complete: the connection is idle again."""
        self.reader = None
        self.served += 1
        if self.watcher is not None and not self.watcher.active:
            self.watcher.start(self._readable)

    def _send_all(self, data: bytes, sent: int = 0) -> bool:
        """Send data[sent:], waiting where the server does not take it. False: it has refused already."""
        stream, reader = self.stream, self.reader
        assert stream is not None
        assert reader is not None
        view = memoryview(data)
        watcher = None
        self.phase = "send"
        try:
            while sent < len(view):
                try:
                    sent += stream.send(view[sent:])
                except BlockingIOError:
                    if watcher is None:
                        watcher = self.home.hub.loop.io(stream.fileno(), WRITE)
                        watcher.start(self._readable)
                    self.pause()
                    if self._is_refused():
                        return False
                except (BrokenPipeError, ConnectionResetError):
                    if not self._is_refused():
                        raise
                    return False
                self.moved()
        finally:
            if watcher is not None:
                watcher.stop()
                watcher.close()
        self.phase = ""
        self.deadline_ns = min(monotonic_ns() + self.timeouts.first_ns, self.begun_ns + self.timeouts.total_ns)
        return True

    def _is_refused(self) -> bool:
        """Take in what the server says while we still send. True: it has answered, the rest is pointless."""
        stream, reader = self.stream, self.reader
        assert stream is not None
        assert reader is not None
        if not reader.done:
            try:
                data = stream.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return False
            if data:
                reader.feed(data)
            else:
                reader.eof()
        if reader.refuses:
            reader.spoil()
            return True
        return False

    def _check_rest(self, secured: TlsStream, reader: ResponseReader) -> None:
        """The response is complete and TLS holds more: its own messages, the end of the stream, or excess."""
        try:
            reader.excess = bool(secured.recv(RECEIVE_BYTES)) or reader.excess
            reader.spoil()
        except BlockingIOError:
            pass

    # -- waiting ------------------------------------------------------------------------------

    def pause(self) -> None:
        """Wait until a watcher of this connection has something, or a deadline is thrown in here."""
        self.greenlet = getcurrent()
        try:
            self.home.hub.switch()
        finally:
            self.greenlet = None

    def moved(self) -> None:
        """Bytes moved: the idle deadline begins anew, the total one stays."""
        timeouts = self.timeouts
        self.deadline_ns = min(monotonic_ns() + timeouts.idle_ns, self.begun_ns + timeouts.total_ns)

    def watch(self, fileno: int, events: int) -> None:
        """Arm the connection's watcher for `events`."""
        self.watcher = self.home.hub.loop.io(fileno, events)
        self.watcher.start(self._readable)

    def unwatch(self) -> None:
        if self.watcher is not None:
            self.watcher.stop()
            self.watcher.close()
            self.watcher = None

    def _readable(self) -> None:
        """Called by the event loop."""
        greenlet = self.greenlet
        if greenlet is not None:
            greenlet.switch()
        elif self.reader is None:
            self._heard_while_idle()
        else:
            self.watcher.stop()  # a stream that its reader does not read from now; `receive` arms it again

    def _heard_while_idle(self) -> None:
        """The server closed, or said something nobody asked for: close. Only TLS may talk to itself (tickets)."""
        if self.secured is not None:
            try:
                self.secured.recv(RECEIVE_BYTES)
            except BlockingIOError:
                return
            except OSError:
                pass
        self.close()

    def interrupt(self, error: BaseException) -> None:
        """Throw `error` into whoever waits. Called by the event loop."""
        if self.greenlet is not None:
            self.greenlet.throw(error)

    # -- the end ------------------------------------------------------------------------------

    def timeout(self, now_ns: int) -> HttpError:
        """The error for the deadline that has passed."""
        timeouts = self.timeouts
        phase = self._phase()
        if now_ns >= self.begun_ns + timeouts.total_ns:
            return TotalTimeout(f"not finished within {timeouts.total_s:g} s", phase=phase)
        if self.served < 0:
            return ConnectTimeout(
                f"no connection to {self.route.target.where} within {timeouts.connect_s:g} s", phase=phase
            )
        if phase == "wait":
            return FirstByteTimeout(f"no byte of a response within {timeouts.first_byte_s:g} s", phase=phase)
        return IdleTimeout(f"nothing moved for {timeouts.idle_s:g} s", phase=phase)

    def _phase(self) -> str:
        return self.phase or (self.reader.phase if self.reader is not None else "wait")

    def give_up(self, exc: BaseException) -> NoReturn:
        """Close, and raise `exc` in the engine's own terms."""
        phase = self._phase()
        secured = self.secured
        self.close()
        if isinstance(exc, ssl.SSLError):
            raise tls.error_from(exc, phase, self.route.target.host, secured and secured.tls) from exc
        if isinstance(exc, OSError):
            raise from_os_error(exc, phase, self.route.target.where) from exc
        raise exc

    def close(self) -> None:
        """Close it, whatever it does. Closing twice is no error. Raises nothing, and lets nobody else run."""
        self.home.connections.discard(self)
        self.greenlet = None
        self.drop_stream()

    def drop_stream(self) -> None:
        """Close the socket alone, so that another address can be tried."""
        self.unwatch()
        stream = self.stream
        if stream is not None:
            self.stream = self.secured = None
            try:
                stream.close()
            except OSError:  # a reset that the system tells only now; the descriptor is gone all the same
                pass
