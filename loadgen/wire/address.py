"""Where a master listens: `HOST:PORT`, read and written in one way everywhere."""

from __future__ import annotations

import re
from typing import NamedTuple

from loadgen.errors import ConfigError

_HINT = "write it like 10.0.0.5:5557, master.internal:5557 or [::1]:5557"
_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9.])?")
_IPV6 = re.compile(r"[0-9A-Fa-f:.]+(%[\w.-]+)?")


class Address(NamedTuple):
    """A host (an IPv6 address without its brackets) and a port."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_address(text: str) -> Address:
    """The address of a master to connect to. Raises ConfigError."""
    address = parse_bind_address(text)
    if address.port == 0:
        raise ConfigError(f'"{text}" has no port', hints=(_HINT,))
    return address


def parse_bind_address(text: str) -> Address:
    """The address to listen at, where port 0 means any free one. Raises ConfigError."""
    host, colon, port = text.strip().rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    name = host[1:-1] if bracketed else host
    is_host = _IPV6.fullmatch(name) and ":" in name if bracketed else _NAME.fullmatch(name)
    if not colon or not is_host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ConfigError(f'"{text}" is not HOST:PORT', hints=(_HINT,))
    return Address(name, int(port))
