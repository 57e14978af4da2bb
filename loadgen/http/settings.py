"""What can be set per client: deadlines, TLS, default headers, limits. Values only, no behaviour.

All are frozen and hashable, so that clients with equal settings share request heads and TLS contexts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from loadgen.errors import ConfigError
from loadgen.http.tls import TlsSettings

NEVER_S = 100 * 365 * 86_400.0  # "no limit" as a number, so that the hot path has no branch for it


@dataclass(frozen=True, slots=True)
class Timeouts:
    """Deadlines of one request, in seconds; None means no limit.

    `connect_s` covers name, TCP and TLS together. `first_byte_s` runs from sending to the first byte,
    `idle_s` between any two moments at which bytes moved, `total_s` over everything, redirects included.
    `total_s` is not applied by default to `stream=True`, where a response may be endless by intent.
    """

    connect_s: float | None = 10.0
    first_byte_s: float | None = 60.0
    idle_s: float | None = 60.0
    total_s: float | None = 300.0
    connect_ns: int = field(init=False, repr=False, compare=False)
    first_ns: int = field(init=False, repr=False, compare=False)  # never above the total
    idle_ns: int = field(init=False, repr=False, compare=False)
    total_ns: int = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        total_ns = _ns(self.total_s, "total")
        for name, value in (
            ("connect_ns", _ns(self.connect_s, "connect")),
            ("first_ns", min(_ns(self.first_byte_s, "first byte"), total_ns)),
            ("idle_ns", _ns(self.idle_s, "idle")),
            ("total_ns", total_ns),
        ):
            object.__setattr__(self, name, value)

    @property
    def endless(self) -> Timeouts:
        """The same without a limit of the whole."""
        return replace(self, total_s=None)

    @property
    def shortest_ns(self) -> int:
        """The soonest any of the deadlines can expire after it was set."""
        return min(self.connect_ns, self.first_ns, self.idle_ns)


def _ns(seconds: float | None, what: str) -> int:
    if seconds is None:
        return int(NEVER_S * 1e9)
    if not 0 < seconds <= NEVER_S:
        raise ConfigError(f"{what} timeout of {seconds} s: it must be above 0", hints=("None means no limit.",))
    return int(seconds * 1e9)


def timeouts_from(value: object, defaults: Timeouts) -> Timeouts:
    """The deadlines meant by a request's `timeout=`.

    A number is the limit of the whole request, and the only one once it is connected; a pair is
    (connect, read), as in requests, where read bounds the first byte and every pause; a Timeouts is
    taken as it is. Raises ConfigError.
    """
    if isinstance(value, Timeouts):
        return value
    if isinstance(value, int | float):
        return Timeouts(defaults.connect_s, float(value), float(value), float(value))
    if isinstance(value, tuple) and len(value) == 2:
        connect_s, read_s = value
        return Timeouts(connect_s, read_s, read_s, None)
    raise ConfigError(
        f"timeout={value!r} is no timeout", hints=("Write a number of seconds, (connect, read), or a Timeouts.",)
    )


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """Everything a client can be told when it is made."""

    timeouts: Timeouts = Timeouts()
    tls: TlsSettings = TlsSettings()  # noqa: RUF009 - frozen
    default_headers: tuple[tuple[str, str], ...] = (
        ("User-Agent", "loadgen"),
        ("Accept", "*/*"),
        ("Accept-Encoding", "gzip, deflate, br, zstd"),
    )
    max_redirects: int = 30
    max_body_bytes: int = 256 * 1024 * 1024  # on the wire
    max_idle_connections: int = 8  # kept open per client, beyond what is in use
    resume_tls: bool = True  # a user resumes its own TLS sessions when it reconnects, as browsers do


DEFAULTS = ClientSettings()
