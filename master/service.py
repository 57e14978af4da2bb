"""The master's data path: one native thread that owns the sockets, the cluster and its ledger.

It is a native thread because a greenlet that receives never yields while frames are waiting: measured
with 4,000 workers the hub was late by 151 ms (p99), beside this thread by 2.7 ms. Under
monkey-patching a patched queue loses wake-ups there and a patched sleep starts a second hub, so this
file uses zmq, deques and nothing of logging, queue, threading, time.sleep or socket.

The hub speaks to it through `tell` (a deque, and one byte on an inproc pair to wake the poller); it speaks to
the hub through `async_().send()`, the one call of gevent that any thread may make.
"""

from __future__ import annotations

import sys
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

import gevent
import zmq
from gevent import monkey
from gevent.event import Event

from loadgen.clock import Clock
from loadgen.master.cluster import Cluster, ClusterEvent
from loadgen.master.cluster_view import ClusterView, view_of
from loadgen.master.ledger import LogRecord
from loadgen.waiting import wait_until
from loadgen.wire.keys import CurveKeys
from loadgen.wire.sockets import configure_router

VIEW_EVERY_S = 0.5
_POLL_MS = 50
_BATCH = 256  # frames taken before the tick gets its turn
_ZAP_VERSION = b"1.0"

Command = Callable[[Cluster, int], None]
_start_new_thread = monkey.get_original("_thread", "start_new_thread")


class Service:
    """Bind with `listen`, run with `start`, speak with `tell`, end with `close` (all on the hub)."""

    def __init__(self, keys: CurveKeys, clock: Clock) -> None:
        self.crashed: str | None = None  # the traceback, when the thread died of a bug of ours
        self.view: ClusterView | None = None
        self.news = Event()  # set whenever `view` or `take_events` has something new
        self._keys = keys
        self._clock = clock
        self._context = zmq.Context()
        self._router = self._context.socket(zmq.ROUTER)
        self._zap = self._context.socket(zmq.REP)
        self._alarm_in = self._context.socket(zmq.PAIR)
        self._alarm_out = self._context.socket(zmq.PAIR)
        self._commands: deque[Command] = deque()
        self._events: deque[ClusterEvent] = deque()
        self._logs: deque[LogRecord] = deque()
        self._closing = False
        self._detailed: deque[ClusterView] = deque()
        self._async: Any = None
        self._ended = Event()
        self._finished = True

    def listen(self, host: str, port: int) -> int:
        """Bind and give the port (for port 0 the one the system chose)."""
        configure_router(self._router, self._keys)
        self._zap.linger = 0
        self._zap.bind("inproc://zeromq.zap.01")
        self._alarm_out.bind("inproc://alarm")
        self._alarm_in.connect("inproc://alarm")
        literal = f"[{host}]" if ":" in host else host
        self._router.bind(f"tcp://{literal}:{port or '*'}")
        endpoint: bytes = self._router.getsockopt(zmq.LAST_ENDPOINT)  # type: ignore[assignment]
        return int(endpoint.decode().rstrip("\0").rpartition(":")[2])

    def start(self, cluster: Cluster) -> None:
        """Hand the sockets and `cluster` over to the thread; nobody else may touch them from here on."""
        self._async = gevent.get_hub().loop.async_()
        self._async.start(self._wake)
        self._finished = False
        _start_new_thread(self._run, (cluster,))

    def tell(self, command: Command) -> None:
        """Run `command(cluster, now_ns)` in the thread, soon."""
        self._commands.append(command)
        self._alarm_in.send(b"", zmq.DONTWAIT)

    def take_events(self) -> list[ClusterEvent]:
        events = []
        while self._events:
            events.append(self._events.popleft())
        return events

    def take_logs(self) -> list[LogRecord]:
        """Log records of the workers, in the order of their arrival."""
        records = []
        while self._logs:
            records.append(self._logs.popleft())
        return records

    def final_view(self, timeout_s: float = 30.0) -> ClusterView | None:
        """A view with every histogram, made after all commands told so far; None if the thread is gone."""
        self.tell(lambda cluster, now_ns: self._detailed.append(view_of(cluster, now_ns, detailed=True)))
        wait_until(lambda: bool(self._detailed) or self._finished, timeout_s)
        return self._detailed.pop() if self._detailed else None

    def close(self) -> None:
        """End the thread and close its sockets; blocks the calling greenlet until that has happened."""
        self._closing = True
        if not self._finished:
            self._alarm_in.send(b"", zmq.DONTWAIT)
            self._ended.wait(10)
        if self._async is not None:
            self._async.stop()
            self._async.close()
            self._async = None
        self._alarm_in.close(0)
        if self._finished:
            for socket in (self._router, self._zap, self._alarm_out):
                socket.close()
            self._context.term()

    def _wake(self) -> None:
        self.news.set()
        if self._finished:
            self._ended.set()

    # -- in the native thread

    def _run(self, cluster: Cluster) -> None:
        try:
            self._loop(cluster)
        except Exception:  # noqa: BLE001 - the top of the thread: the hub must learn of it
            self.crashed = traceback.format_exc()
        finally:
            self._finished = True
            self._async.send()

    def _loop(self, cluster: Cluster) -> None:
        poller = zmq.Poller()
        for socket in (self._router, self._zap, self._alarm_out):
            poller.register(socket, zmq.POLLIN)
        viewed_ns = 0
        while not self._closing:
            ready = dict(poller.poll(_POLL_MS))
            if self._zap in ready:
                self._answer_zap()
            if self._router in ready:
                self._receive(cluster)
            if self._alarm_out in ready:
                self._drain_alarm()
            while self._commands:
                self._commands.popleft()(cluster, self._clock.now_ns())
            now_ns = self._clock.now_ns()
            cluster.on_tick(now_ns)
            if cluster.events or now_ns - viewed_ns >= VIEW_EVERY_S * 1e9:
                viewed_ns = now_ns
                self._logs.extend(cluster.ledger.logs())
                self.view = view_of(cluster, now_ns, detailed=False)
                self._async.send()
            self._send_all(cluster)
            self._publish(cluster)

    def _receive(self, cluster: Cluster) -> None:
        for _ in range(_BATCH):
            try:
                peer, *frames = self._router.recv_multipart(zmq.DONTWAIT)
            except zmq.Again:
                return
            cluster.on_frames(peer, frames, self._clock.now_ns())

    def _send_all(self, cluster: Cluster) -> None:
        for peer, header, body in cluster.outgoing:
            try:
                self._router.send_multipart([peer, header, body], zmq.DONTWAIT)
            except zmq.ZMQError as exc:
                if exc.errno not in (zmq.EAGAIN, zmq.EHOSTUNREACH):
                    raise
                cluster.could_not_send(peer)
        cluster.outgoing.clear()

    def _publish(self, cluster: Cluster) -> None:
        if self._detailed:
            self._logs.extend(cluster.ledger.logs())
        if cluster.events or self._detailed:
            self._events.extend(cluster.events)
            cluster.events.clear()
            self._async.send()

    def _drain_alarm(self) -> None:
        while True:
            try:
                self._alarm_out.recv(zmq.DONTWAIT)
            except zmq.Again:
                return

    def _answer_zap(self) -> None:
        """Let in exactly the one client key that our secret gives (RFC 27/ZAP)."""
        _version, request, _domain, _address, _identity, mechanism, *credentials = self._zap.recv_multipart()
        known = mechanism == b"CURVE" and [zmq.utils.z85.encode(key) for key in credentials] == [
            self._keys.worker_public
        ]
        status, text = (b"200", b"OK") if known else (b"400", b"unknown key")
        self._zap.send_multipart([_ZAP_VERSION, request, status, text, b"worker" if known else b"", b""])


def set_switch_interval() -> None:
    """Let the hub and the thread take turns at 1 ms (the default of 5 ms shows as hub lag under load)."""
    sys.setswitchinterval(0.001)
