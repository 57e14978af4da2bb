"""Who answers where a master should be: one look, which says what is wrong when nobody usable does.

It goes up step by step, as a worker does: the name, the port, the key, the protocol. It joins nothing: its
hello names a run that does not exist, so a master answers with a reject and forgets us.
"""

from __future__ import annotations

import errno
import os
import socket
from dataclasses import dataclass
from enum import IntEnum

from gevent.event import AsyncResult

import loadgen
from loadgen.errors import Incompatible, Malformed
from loadgen.wire.address import Address
from loadgen.wire.keys import CurveKeys
from loadgen.wire.link import Link
from loadgen.wire.messages import FROM_MASTER, UID_BYTES, Header, MessageType, decode_header, encode

TIMEOUT_S = 5.0


class Step(IntEnum):
    """What must be right for a worker to join, in this order."""

    NOTHING = 0
    NAME = 1
    PORT = 2
    KEY = 3
    PROTOCOL = 4


@dataclass(frozen=True, slots=True)
class Finding:
    """How far a look got: to `passed`; what came next is wrong as `text` says, "" if nothing was.

    `text` is one sentence, `hint` what to do about it.
    """

    passed: Step
    text: str = ""
    hint: str = ""
    addresses: tuple[str, ...] = ()

    @property
    def failed(self) -> Step | None:
        return Step(self.passed + 1) if self.text else None


def look(address: Address, keys: CurveKeys | None, timeout_s: float = TIMEOUT_S) -> Finding:
    """One look at `address`, at most `timeout_s` a step; without keys only at its name and port."""
    try:
        found = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        text = f"the name {address.host} cannot be resolved ({getattr(exc, 'strerror', None) or exc})"
        return Finding(Step.NOTHING, text, "is it spelt right, and known to this machine's resolver?")
    addresses = tuple(dict.fromkeys(str(row[4][0]) for row in found))
    refusals = []
    for family, _, _, _, place in found:
        wrong = _connect(family, place, timeout_s)
        if wrong is None:
            break
        refusals.append(wrong)
    else:
        return _no_port(address, refusals[0], addresses)
    if keys is None:
        return Finding(Step.PORT, addresses=addresses)
    return _shake_hands(address, keys, timeout_s, addresses)


def _connect(family: int, place: tuple[object, ...], timeout_s: float) -> OSError | None:
    with socket.socket(family, socket.SOCK_STREAM) as attempt:
        attempt.settimeout(timeout_s)
        try:
            attempt.connect(place)
        except OSError as exc:
            return exc
    return None


def _no_port(address: Address, exc: OSError, addresses: tuple[str, ...]) -> Finding:
    if exc.errno == errno.ECONNREFUSED:
        text = f"nothing listens at {address} (connection refused)"
        hint = "is the master started, with --listen at this port and at an address that others reach?"
    else:
        text = f"{address} cannot be reached ({exc.strerror or 'timed out'})"
        hint = "is the address right, and does a firewall or a network policy let this port through?"
    return Finding(Step.NAME, text, hint, addresses)


def _shake_hands(address: Address, keys: CurveKeys, timeout_s: float, addresses: tuple[str, ...]) -> Finding:
    accepted: AsyncResult[bool] = AsyncResult()
    answer: AsyncResult[str] = AsyncResult()
    link = Link(
        f"tcp://{address}",
        keys,
        on_frames=lambda frames: answer.set(_what_is_wrong(frames)),
        on_connected=lambda: accepted.set(True),
        on_refused=lambda: accepted.set(False),
    )
    link.open()
    try:
        is_accepted = accepted.wait(timeout_s)
        if is_accepted is None:
            text = f"{address} takes connections but says nothing"
            hint = "it is a master that is stopped or overloaded, or another program: look at that machine"
            return Finding(Step.PORT, text, hint, addresses)
        if not is_accepted:
            text = f"{address} answers, but refuses our key"
            hint = "give both sides the same secret; or it is another program than a loadgen master"
            return Finding(Step.PORT, text, hint, addresses)
        link.send(_stranger_header(), encode({"version": loadgen.__version__}))
        wrong = answer.wait(timeout_s)
    finally:
        link.close()
    if wrong is None:
        text = f"{address} accepts our key, but did not answer within {timeout_s:g} s"
        return Finding(Step.KEY, text, "is the master overloaded, or just ending its run?", addresses)
    if wrong:
        return Finding(Step.KEY, wrong, "install the same major version on both sides", addresses)
    return Finding(Step.PROTOCOL, addresses=addresses)


def _stranger_header() -> Header:
    return Header(MessageType.HELLO, os.urandom(UID_BYTES), os.urandom(UID_BYTES), 0, 0, 0)


def _what_is_wrong(frames: list[bytes]) -> str:
    """Why we cannot speak with who sent this; "" if we can."""
    try:
        decode_header(frames[0], FROM_MASTER)
    except (Incompatible, Malformed) as exc:
        return f"the master speaks another protocol than loadgen {loadgen.__version__} ({exc})"
    return ""
