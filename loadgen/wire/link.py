"""A worker's connection to its master: a DEALER socket, one greenlet that reads and one that writes.

zmq.green allows one waiting greenlet per direction, hence the queue. A third greenlet watches the
socket's monitor, the only place where a finished handshake, a lost connection and a wrong secret show.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gevent
import zmq.green as zmq
from gevent.queue import Queue
from zmq.utils.monitor import parse_monitor_message

from loadgen.waiting import wait_until
from loadgen.wire.keys import CurveKeys
from loadgen.wire.messages import Header, MessageType, encode_header
from loadgen.wire.sockets import LINGER_MS, configure_dealer

_CONNECTED = zmq.EVENT_CONNECTED
_SUCCEEDED = zmq.EVENT_HANDSHAKE_SUCCEEDED
_FAILED = (
    zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
)
_DISCONNECTED = zmq.EVENT_DISCONNECTED
_QUEUE_LIMIT = 64  # frames waiting for a dead connection; deltas are kept by the outbox anyway


class Link:
    """Connect with `open`; `on_frames`, `on_connected` and `on_refused` are called on the hub."""

    def __init__(
        self,
        endpoint: str,
        keys: CurveKeys,
        on_frames: Callable[[list[bytes]], None],
        on_connected: Callable[[], None],
        on_refused: Callable[[], None],
    ) -> None:
        self._endpoint = endpoint
        self._keys = keys
        self._on_frames = on_frames
        self._on_connected = on_connected
        self._on_refused = on_refused
        self._context = zmq.Context()
        self._socket: Any = self._context.socket(zmq.DEALER)
        self._queue: Queue[list[bytes]] = Queue()
        self._greenlets: list[gevent.Greenlet[[], None]] = []
        self._monitor: Any = None

    def open(self) -> None:
        configure_dealer(self._socket, self._keys)
        self._monitor = self._socket.get_monitor_socket(_CONNECTED | _SUCCEEDED | _FAILED | _DISCONNECTED)
        self._socket.connect(self._endpoint)
        self._greenlets = [gevent.spawn(loop) for loop in (self._read, self._write, self._watch)]

    def send(self, header: Header, body: bytes) -> None:
        """Queue one frame. A heartbeat is dropped when the connection does not take what is queued."""
        if header.type is MessageType.HEARTBEAT and self._queue.qsize() >= _QUEUE_LIMIT:
            return
        self._queue.put([encode_header(header), body])

    def flush(self, timeout_s: float) -> None:
        """Wait until the queue was handed to the socket, at most so long."""
        wait_until(self._queue.empty, timeout_s, pause_s=0.002)

    def close(self) -> None:
        """End the greenlets and close the socket; what it holds is still sent for LINGER_MS."""
        gevent.killall(self._greenlets)
        if self._monitor is not None:
            self._socket.disable_monitor()
            self._monitor.close(0)
        self._socket.close(LINGER_MS)
        self._context.term()

    def _read(self) -> None:
        while True:
            self._on_frames(self._socket.recv_multipart())

    def _write(self) -> None:
        while True:
            self._socket.send_multipart(self._queue.peek())
            self._queue.get()

    def _watch(self) -> None:
        """A connection that ends before its handshake did was refused: with another secret the master
        cannot even read our first frame, so it says nothing and hangs up."""
        in_handshake = False
        while True:
            event = parse_monitor_message(self._monitor.recv_multipart())["event"]
            if event == _SUCCEEDED:
                self._on_connected()
            elif event != _CONNECTED and in_handshake:
                self._on_refused()
            in_handshake = event == _CONNECTED
