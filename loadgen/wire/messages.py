"""The frames of the protocol: a header that is always checked, and a body decoded only after it.

::

    header = [magic, major, minor, type, worker_uid, run_id, seq, ack, t_ns]      msgpack array, <= 256 B
    body   = one msgpack value; its shape depends on the type

    type         way    seq               ack                     body
    HELLO        W->M   0                 last command applied    {version, pid, host, features, state, wave, shares}
    WELCOME      M->W   0                 last delta committed    {worker, index, epoch, settings, start_ns, lease_s, …}
    REJECT       M->W   0                 0                       {code, text}
    READY        W->M   0                 last command applied    {classes: [[name, weight, fixed_count], …]}
    FAILED       W->M   0                 0                       {code, text, traceback}
    ASSIGN       M->W   command number    last delta committed    {epoch, plan, shares, start_ns, wave, rate_per_s}
    STOP         M->W   command number    last delta committed    {epoch, timeout_s}
    QUIT         M->W   command number    last delta committed    {epoch}
    DELTA        W->M   delta number      last command applied    loadgen.metrics.delta
    RESYNC       M->W   0                 0                       {}   (we do not know this connection: say hello)
    HEARTBEAT    both   0                 as above                {echo_ns, received_ns} | {users, surplus, state, deaf}
    CUSTOM       both   0                 as above                {type, data}
    BYE          W->M   0                 last command applied    {reason}
    ASK_STOP     W->M   0                 last command applied    {}   (the scenario wants the run to end)
    BUNDLE_WANTED, BUNDLE_CHUNK           0, as above             {sha256, first, count} | {sha256, index, total, data}
    ROWS_WANTED, ROWS_GRANTED             0, as above             {source, number, count} | {source, number, rows, end}

Deltas and commands are numbered 1, 2, 3, … and acknowledged cumulatively by the `ack` of any frame
going the other way, so a lost frame is sent again and a repeated one is recognised. The same major
version is required; unknown map keys are ignored; unknown types are counted and dropped.
Everything a peer sends is decoded under caps and checked by hand: bad bytes raise Malformed and
nothing else.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Any, NamedTuple

import msgpack

from loadgen.errors import Incompatible, Malformed

MAGIC = "LG"
MAJOR = 1
MINOR = 0
HEADER_MAX_BYTES = 256
BODY_MAX_BYTES = 1 << 20  # what a master accepts; a worker accepts MASTER_BODY_MAX_BYTES
MASTER_BODY_MAX_BYTES = 16 << 20
UID_BYTES = 16
_MAX_COUNTER = 1 << 63


class MessageType(IntEnum):
    HELLO = 1
    READY = 2
    FAILED = 3
    DELTA = 4
    HEARTBEAT = 5
    CUSTOM = 6
    BYE = 7
    ASK_STOP = 8
    BUNDLE_WANTED = 9
    ROWS_WANTED = 10
    WELCOME = 20
    REJECT = 21
    ASSIGN = 22
    STOP = 23
    QUIT = 24
    BUNDLE_CHUNK = 25
    ROWS_GRANTED = 26
    RESYNC = 27


FROM_WORKER = frozenset(kind for kind in MessageType if kind < MessageType.WELCOME)
FROM_MASTER = frozenset(
    {
        MessageType.WELCOME,
        MessageType.REJECT,
        MessageType.ASSIGN,
        MessageType.STOP,
        MessageType.QUIT,
        MessageType.HEARTBEAT,
        MessageType.CUSTOM,
        MessageType.BUNDLE_CHUNK,
        MessageType.ROWS_GRANTED,
        MessageType.RESYNC,
    }
)


class Header(NamedTuple):
    """The checked header of one frame. `worker_uid` names the process, not the connection."""

    type: MessageType
    worker_uid: bytes
    run_id: bytes
    seq: int
    ack: int
    t_ns: int  # the sender's monotonic clock at sending


def encode_header(header: Header) -> bytes:
    packed: bytes = msgpack.packb([MAGIC, MAJOR, MINOR, *header])
    return packed


def decode_header(data: bytes, accepted: frozenset[MessageType]) -> Header:
    """The header in `data`. Raises Incompatible for another major version, Malformed for anything else."""
    if len(data) > HEADER_MAX_BYTES:
        raise Malformed(f"header of {len(data)} bytes")
    fields = decode(data, max_items=9)
    if not isinstance(fields, list) or len(fields) < 3 or fields[0] != MAGIC:
        raise Malformed("not a loadgen frame")
    if fields[1] != MAJOR:
        raise Incompatible(f"peer speaks protocol {fields[1]!r}, this is {MAJOR}")
    if len(fields) != 9:
        raise Malformed(f"header of {len(fields)} fields")
    kind, uid, run_id, seq, ack, t_ns = fields[3:]
    if kind not in accepted:
        raise Malformed(f"unknown message type {kind!r}")
    if not (_is_id(uid) and _is_id(run_id) and _is_count(seq) and _is_count(ack) and _is_count(t_ns)):
        raise Malformed("a header field has the wrong type or range")
    return Header(MessageType(kind), uid, run_id, seq, ack, t_ns)


def encode(body: Any) -> bytes:
    packed: bytes = msgpack.packb(body)
    return packed


def decode(data: bytes, max_items: int = 100_000) -> Any:
    """One msgpack value, with no more than `max_items` in one container. Raises Malformed."""
    try:
        return msgpack.unpackb(
            data,
            raw=False,
            strict_map_key=True,
            max_array_len=max_items,
            max_map_len=max_items,
            max_str_len=BODY_MAX_BYTES,
            max_bin_len=MASTER_BODY_MAX_BYTES,
            max_ext_len=0,
        )
    except Exception as exc:
        raise Malformed(f"not msgpack: {exc!r}"[:200]) from exc


def decode_map(data: bytes) -> dict[str, Any]:
    """A body that must be a map with text keys. Raises Malformed."""
    body = decode(data)
    if not isinstance(body, dict) or not all(isinstance(key, str) for key in body):
        raise Malformed("the body is not a map with text keys")
    return body


def _is_id(value: object) -> bool:
    return isinstance(value, bytes) and len(value) == UID_BYTES


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MAX_COUNTER
