"""Opening a connection: name, TCP, TLS. Each step is a phase with its own time, all share one deadline.

Addresses are tried in the order the resolver gives, the next one when one refuses. An address of another
family behind it bounds the first attempt to FALLBACK_S: where IPv6 is broken (packets vanish) the user does
not wait for the whole deadline; what was cut short so is tried again, with all the time left, if nothing else works.
"""

from __future__ import annotations

import _socket
import errno
from collections.abc import Sequence
from time import monotonic_ns
from typing import TYPE_CHECKING, Any

from loadgen.http import tls
from loadgen.http.connection import READ, WRITE, Connection
from loadgen.http.errors import HttpError, from_os_error
from loadgen.http.resolver import Address, is_literal
from loadgen.http.tls_stream import TlsStream

if TYPE_CHECKING:
    import ssl

    from loadgen.http.engine import HttpEngine
    from loadgen.http.plans import Route
    from loadgen.http.settings import Timeouts
    from loadgen.metrics.recorder import Series

FALLBACK_S = 0.25  # RFC 8305 §5: the recommended delay before the next attempt
_PENDING = frozenset({errno.EINPROGRESS, errno.EALREADY})
_OPEN = frozenset({0, errno.EISCONN})
_NONBLOCK = getattr(_socket, "SOCK_NONBLOCK", 0)
new_socket = _socket.socket


def dial(
    engine: HttpEngine,
    route: Route,
    timeouts: Timeouts,
    begun_ns: int,
    series: Series,
    session: ssl.SSLSession | None = None,
) -> Connection:
    """An open connection, ready for its first exchange. Raises an HttpError.

    The time of each phase goes to `series`. `begun_ns` is when the request began that needs the connection.
    """
    connection = Connection(engine, route, timeouts, begun_ns)
    try:
        addresses = _resolve(engine, connection, series)
        socket = _connect(engine, connection, addresses, series)
        if route.tls is not None:
            _handshake(connection, socket, route.tls, session, series)
        connection.phase = ""
        connection.served = 0
    except BaseException as exc:  # noqa: BLE001 - GreenletExit too: nobody else would close it
        connection.give_up(exc)
    engine.recorder.connections_opened += 1
    return connection


def _resolve(engine: HttpEngine, connection: Connection, series: Series) -> Sequence[Address]:
    route = connection.route
    if route.literal is not None:
        return route.literal
    host = route.target.host
    if is_literal(host):
        route.literal = engine.resolver.resolve(host)
        return route.literal
    begun_ns = monotonic_ns()
    if begun_ns >= connection.deadline_ns:
        raise connection.timeout(begun_ns)  # earlier hops took it all: the name service is not to blame
    connection.phase = "dns"
    addresses = engine.resolver.resolve(host, (connection.deadline_ns - begun_ns) / 1e9)
    connection.phase = "connect"
    series.phase("dns", (monotonic_ns() - begun_ns) // 1000)
    return addresses


def _connect(engine: HttpEngine, connection: Connection, addresses: Sequence[Address], series: Series) -> Any:
    begun_ns = monotonic_ns()
    hurried: list[Address] = []
    failed: HttpError | None = None
    for position, address in enumerate(addresses):
        behind = addresses[position + 1 :]
        others = behind and any(other.family != address.family for other in behind)
        try:
            socket = _attempt(connection, address, FALLBACK_S if others else None)
        except _TooSlow:
            hurried.append(address)
        except OSError as exc:
            failed = from_os_error(exc, "connect", connection.route.target.where)
            failed.__cause__ = exc
        else:
            if len(addresses) > 1:
                engine.resolver.connected(connection.route.target.host, address)
            break
    else:
        if not hurried:
            assert failed is not None
            raise failed
        socket = _attempt(connection, hurried[0], None)
    series.phase("connect", (monotonic_ns() - begun_ns) // 1000)
    return socket


def _attempt(connection: Connection, address: Address, limit_s: float | None) -> Any:
    """A connected socket, with the connection's watcher armed on it. Raises OSError."""
    socket = new_socket(address.family, _socket.SOCK_STREAM | _NONBLOCK, 0)
    connection.stream = socket
    if not _NONBLOCK:
        socket.setblocking(False)
    socket.setsockopt(_socket.IPPROTO_TCP, _socket.TCP_NODELAY, 1)
    sockaddr = address.sockaddr(connection.route.target.port)
    try:
        code = socket.connect_ex(sockaddr)
        if code in _PENDING:
            code = socket.connect_ex(sockaddr)  # on loopback it is there by now: saves a wait
        if code in _PENDING:
            code = _wait_connected(connection, socket, limit_s)
        if code not in _OPEN:
            raise OSError(code, _strerror(code))
    except (OSError, _TooSlow):
        connection.drop_stream()
        raise
    connection.watch(socket.fileno(), READ)
    return socket


def _wait_connected(connection: Connection, socket: Any, limit_s: float | None) -> int:
    timer = None
    connection.watch(socket.fileno(), WRITE)
    try:
        if limit_s is not None:
            timer = connection.home.hub.loop.timer(limit_s, ref=False)
            timer.start(connection.interrupt, _TooSlow())
        connection.pause()
    finally:
        if timer is not None:
            timer.stop()
            timer.close()
        connection.unwatch()
    code: int = socket.getsockopt(_socket.SOL_SOCKET, _socket.SO_ERROR)
    return code


def _handshake(
    connection: Connection,
    socket: Any,
    settings: tls.TlsSettings,
    session: ssl.SSLSession | None,
    series: Series,
) -> None:
    begun_ns = monotonic_ns()
    connection.phase = "tls"
    name = tls.server_hostname(settings, connection.route.target)
    stream = TlsStream(socket, tls.context_for(settings), name, session)
    connection.stream = connection.secured = stream
    while True:
        try:
            if stream.handshake():
                break
        except BlockingIOError:
            connection.pause()
    if session is not None:
        connection.route.note_resumption(bool(stream.tls.session_reused))
    series.phase("tls", (monotonic_ns() - begun_ns) // 1000)


def _strerror(code: int) -> str:
    import os

    return os.strerror(code)


class _TooSlow(Exception):
    """This attempt had its FALLBACK_S."""
