"""A network namespace with one link to this machine, for tests that cut that link. Needs root.

::

    with namespace() as there:
        command = [*there.prefix, "loadgen", …]  # runs there and is reached at there.address
        with there.link_down(): ...              # nothing passes
        with there.answers_lost(): ...           # what is sent from there vanishes, what is sent to it arrives
        with there.requests_lost(): ...          # the other way round
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Namespace:
    """`address` is its end of the link, `ours` this machine's."""

    name: str
    address: str
    ours: str

    @property
    def prefix(self) -> list[str]:
        """What to put before a command that is to run there."""
        return ["ip", "netns", "exec", self.name]

    @contextmanager
    def link_down(self) -> Iterator[None]:
        _ip("-n", self.name, "link", "set", _far(self.name), "down")
        try:
            yield
        finally:
            _ip("-n", self.name, "link", "set", _far(self.name), "up")

    @contextmanager
    def answers_lost(self) -> Iterator[None]:
        """An established connection there only sees that nobody acknowledges what it sends."""
        with _blackhole(self.ours, "-n", self.name):
            yield

    @contextmanager
    def requests_lost(self) -> Iterator[None]:
        with _blackhole(self.address):
            yield


def why_not() -> str:
    """Why no namespace can be made here; "" if one can."""
    if os.geteuid() != 0:
        return "network namespaces need root"
    if shutil.which("ip") is None:
        return "network namespaces need the command ip (iproute2)"
    try:
        with namespace():
            return ""
    except subprocess.CalledProcessError as exc:
        return f"this machine makes no network namespaces: {exc.stderr.strip()}"


@contextmanager
def namespace() -> Iterator[Namespace]:
    """A namespace of its own, gone with its link at the end of the block."""
    number = os.getpid()
    net = f"10.213.{number // 64 % 256}.{number % 64 * 4}".rsplit(".", 1)
    ours, address = (f"{net[0]}.{int(net[1]) + host}" for host in (1, 2))
    name = f"lg{number}"
    _ip("netns", "add", name)
    try:
        _ip("link", "add", _near(name), "type", "veth", "peer", "name", _far(name), "netns", name)
        _ip("address", "add", f"{ours}/30", "dev", _near(name))
        _ip("link", "set", _near(name), "up")
        _ip("-n", name, "address", "add", f"{address}/30", "dev", _far(name))
        _ip("-n", name, "link", "set", "lo", "up")
        _ip("-n", name, "link", "set", _far(name), "up")
        yield Namespace(name, address, ours)
    finally:
        with suppress(subprocess.CalledProcessError):
            _ip("link", "del", _near(name))  # its peer goes with it, at once
        _ip("netns", "del", name)


@contextmanager
def _blackhole(address: str, *where: str) -> Iterator[None]:
    _ip(*where, "route", "add", "blackhole", f"{address}/32")
    try:
        yield
    finally:
        _ip(*where, "route", "del", "blackhole", f"{address}/32")


def _near(name: str) -> str:
    return f"{name}a"


def _far(name: str) -> str:
    return f"{name}b"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True, text=True)
