"""The settings of both sockets, each with its reason. Made once, before bind or connect."""

from __future__ import annotations

import random
from typing import Any

import zmq

from loadgen.wire.keys import ZAP_DOMAIN, CurveKeys
from loadgen.wire.messages import BODY_MAX_BYTES, HEADER_MAX_BYTES, MASTER_BODY_MAX_BYTES

LINGER_MS = 1_000  # never hang at exit: what must not be lost is protected by acknowledgements
_HEARTBEAT_MS = 5_000  # ZMTP pings find half-open TCP connections; they say nothing about Python
_HEARTBEAT_TIMEOUT_MS = 15_000


def configure_router(socket: zmq.Socket[Any], keys: CurveKeys) -> None:
    """The master's end."""
    _configure_common(socket)
    socket.router_mandatory = True  # an unroutable or full peer is an error, not a silent drop
    socket.sndhwm = 100  # per peer: 10,000 peers times the default of 1,000 would be gigabytes
    socket.rcvhwm = 32
    socket.maxmsgsize = BODY_MAX_BYTES + HEADER_MAX_BYTES
    socket.backlog = 4096  # a thousand workers may join at once
    socket.curve_server = True
    socket.curve_publickey = keys.master_public
    socket.curve_secretkey = keys.master_secret
    socket.zap_domain = ZAP_DOMAIN


def configure_dealer(socket: zmq.Socket[Any], keys: CurveKeys) -> None:
    """A worker's end. Its routing id stays unset: identity is in the header, so no peer can be taken over."""
    _configure_common(socket)
    socket.immediate = True  # do not queue to a dead connection: the outbox owns what is unsent
    socket.sndhwm = 16
    socket.rcvhwm = 1_000
    socket.maxmsgsize = MASTER_BODY_MAX_BYTES + HEADER_MAX_BYTES
    socket.connect_timeout = 5_000
    socket.reconnect_ivl = random.randint(500, 1_500)
    socket.reconnect_ivl_max = 0  # the only mode in which libzmq adds jitter
    socket.curve_serverkey = keys.master_public
    socket.curve_publickey = keys.worker_public
    socket.curve_secretkey = keys.worker_secret


def _configure_common(socket: zmq.Socket[Any]) -> None:
    socket.linger = LINGER_MS
    socket.ipv6 = True
    socket.tcp_keepalive = 1
    socket.tcp_keepalive_idle = 30
    socket.heartbeat_ivl = _HEARTBEAT_MS
    socket.heartbeat_timeout = _HEARTBEAT_TIMEOUT_MS
    socket.heartbeat_ttl = _HEARTBEAT_TIMEOUT_MS
