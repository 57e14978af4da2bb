"""Names to addresses, through the system's resolver, remembered for a while.

- A look-up runs in a native thread: the hub, and with it every other user, goes on.
- Many users asking for one name at once make one look-up.
- An answer is kept for `ttl_s` (the system does not tell the record's own), a failure for at most 1 s.
- Addresses are used in turn within a family. The families alternate, beginning with the one the
  system prefers, or else the one that last worked; so whoever tries them in order falls back to
  IPv4 where IPv6 is broken, and later connections begin with IPv4.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Sequence
from time import monotonic
from typing import Any, NamedTuple

import gevent
from gevent.monkey import get_original

from loadgen.clock import Clock, SystemClock
from loadgen.http.errors import DnsError, GeneratorLimit, HttpError

DEFAULT_TTL_S = 30.0
FAILURE_TTL_S = 1.0  # an unknown name costs one look-up a second, not one per request
MAX_NAMES = 4096
MAX_LOOK_UPS = 5  # by one who waits, if they are killed under way

AddrInfo = tuple[Any, ...]
Lookup = Callable[[str], Sequence[AddrInfo]]
"""A host name to rows as socket.getaddrinfo returns them; raises socket.gaierror."""

_log = logging.getLogger(__name__)
_getaddrinfo = get_original("socket", "getaddrinfo")  # blocks, also where gevent has patched the other one


class Address(NamedTuple):
    """One address of a host, for any port."""

    family: int
    ip: str
    scope_id: int = 0

    def sockaddr(self, port: int) -> tuple[str, int] | tuple[str, int, int, int]:
        """What socket.connect wants."""
        return (self.ip, port) if self.family == socket.AF_INET else (self.ip, port, 0, self.scope_id)


class _Entry:
    """What is known of one name. `failure` makes a new exception for each who asks."""

    __slots__ = ("expires_ns", "failure", "families", "turn")

    def __init__(self, families: list[list[Address]], failure: Callable[[], HttpError] | None, expires_ns: int) -> None:
        self.families = families
        self.failure = failure
        self.expires_ns = expires_ns
        self.turn = 0

    def in_turn(self) -> list[Address]:
        turn, self.turn = self.turn, self.turn + 1
        return interleave(self.families, turn)


class Resolver:
    """The addresses of a host; one per process. `lookup` may block its greenlet, not the hub."""

    def __init__(self, ttl_s: float = DEFAULT_TTL_S, lookup: Lookup | None = None, clock: Clock | None = None) -> None:
        self._ttl_s = ttl_s
        self._lookup: Lookup = lookup or system_lookup
        self._clock: Clock = clock or SystemClock()
        self._entries: dict[str, _Entry] = {}
        self._pending: dict[str, gevent.Greenlet[[str], _Entry]] = {}
        self._logged: dict[str, frozenset[Address]] = {}

    def resolve(self, host: str, timeout_s: float | None = None) -> list[Address]:
        """The addresses to try, in this order; at least one. IP literals need no look-up.

        Waits, letting others run, at most `timeout_s`. Raises DnsError (dns_not_found, dns_failed,
        dns_timeout) or GeneratorLimit. A caller that gives up or is killed disturbs nobody else who waits.
        """
        if is_literal(host):
            return _literal(host)
        entry = self._entries.get(host)
        if entry is None or entry.expires_ns <= self._clock.now_ns():
            entry = self._wait_for(host, timeout_s)
        if entry.failure is not None:
            raise entry.failure()
        return entry.in_turn()

    def connected(self, host: str, address: Address) -> None:
        """Say that `address` worked: its family goes first until the name is looked up again."""
        entry = self._entries.get(host)
        if entry is not None and len(entry.families) > 1 and entry.families[0][0].family != address.family:
            entry.families.reverse()

    def forget(self, host: str | None = None) -> None:
        """Forget one name, or all of them: the next request looks it up again."""
        if host is None:
            self._entries.clear()
        else:
            self._entries.pop(host, None)

    def _wait_for(self, host: str, timeout_s: float | None) -> _Entry:
        """The answer of the look-up under way, or of a new one.

        The look-up is a greenlet of its own, so that the end of any one who asked does not end it. Should
        somebody end it all the same, even before it began, those who wait begin another one.
        """
        ends_s = None if timeout_s is None else monotonic() + timeout_s
        for _ in range(MAX_LOOK_UPS):
            look_up = self._pending.get(host)
            if look_up is None or look_up.ready():
                look_up = self._pending[host] = gevent.spawn(self._look_up, host)
            look_up.join(None if ends_s is None else max(ends_s - monotonic(), 0.0))
            if not look_up.ready():
                raise DnsError(
                    f"no answer for {host!r} from the name service in {timeout_s:.3g} s", category="dns_timeout"
                )
            if isinstance(look_up.value, _Entry):  # a GreenletExit if it was killed
                return look_up.value
        raise DnsError(f"the look-up of {host!r} was stopped again and again", category="dns_failed")

    def _look_up(self, host: str) -> _Entry:
        """The body of that greenlet."""
        try:
            entry = self._ask(host)
            self._keep(host, entry)
            return entry
        finally:
            if self._pending.get(host) is gevent.getcurrent():
                del self._pending[host]

    def _ask(self, host: str) -> _Entry:
        try:
            rows = self._lookup(host)
        except (OSError, UnicodeError) as exc:
            return failure_of(host, exc)
        except (MemoryError, RuntimeError) as exc:  # "can't start new thread"
            return _failed(GeneratorLimit, f"no thread or memory to look up {host!r}: {exc!r}", "generator_limit")
        except Exception as exc:  # noqa: BLE001 - the top of a greenlet: whatever broke, those who wait must hear of it
            return _failed(DnsError, f"the look-up of {host!r} broke: {exc!r}", "dns_failed")
        families = by_family(rows)
        if not families:
            return _failed(DnsError, f"the name {host!r} has no IPv4 or IPv6 address", "dns_not_found")
        self._log_change(host, families)
        return _Entry(families, None, 0)

    def _keep(self, host: str, entry: _Entry) -> None:
        if len(self._entries) >= MAX_NAMES:
            self._entries.clear()
        ttl_s = self._ttl_s if entry.failure is None else min(self._ttl_s, FAILURE_TTL_S)
        entry.expires_ns = self._clock.now_ns() + round(ttl_s * 1e9)
        self._entries[host] = entry

    def _log_change(self, host: str, families: list[list[Address]]) -> None:
        found = frozenset(address for family in families for address in family)
        if self._logged.get(host) == found:
            return
        if len(self._logged) >= MAX_NAMES:
            self._logged.clear()
        self._logged[host] = found
        counts = ", ".join(f"{len(family)} {_family_name(family[0].family)}" for family in families)
        shown = " ".join(address.ip for family in families for address in family[:4])
        _log.info("%s resolves to %s: %s", host, counts, shown)


def system_lookup(host: str) -> Sequence[AddrInfo]:
    """The system's answer (hosts file, DNS, whatever nsswitch says), both families, from gevent's thread pool."""
    answer: Sequence[AddrInfo] | Exception = gevent.get_hub().threadpool.apply(_blocking_lookup, (host,))
    if isinstance(answer, Exception):
        raise answer
    return answer


def _blocking_lookup(host: str) -> Sequence[AddrInfo] | Exception:
    """Runs in a native thread. An exception is returned: of one that is raised there gevent prints a traceback."""
    try:
        rows: Sequence[AddrInfo] = _getaddrinfo(host, None, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except Exception as exc:  # noqa: BLE001 - the top of a thread; it is raised again on the other side
        return exc.with_traceback(None)
    return rows


def by_family(rows: Sequence[AddrInfo]) -> list[list[Address]]:
    """The IPv4 and IPv6 addresses, each once, grouped by family, all in the order given."""
    groups: dict[int, dict[Address, None]] = {}
    for family, _, _, _, sockaddr in rows:
        if family in (socket.AF_INET, socket.AF_INET6):
            scope_id = sockaddr[3] if family == socket.AF_INET6 else 0
            address = Address(int(family), sockaddr[0].partition("%")[0], scope_id)
            groups.setdefault(int(family), {})[address] = None
    return [list(group) for group in groups.values()]


def interleave(families: Sequence[Sequence[Address]], turn: int) -> list[Address]:
    """All addresses, each family rotated by `turn`, the families alternating (as RFC 8305 §4 orders them)."""
    rotated = [[*family[turn % len(family) :], *family[: turn % len(family)]] for family in families]
    longest = max(map(len, rotated))
    return [family[index] for index in range(longest) for family in rotated if index < len(family)]


def is_literal(host: str) -> bool:
    """Whether the host is an IP address already (also short forms such as "127.1")."""
    return ":" in host or host.replace(".", "").isdigit()


def failure_of(host: str, exc: OSError | UnicodeError) -> _Entry:
    """What a failed look-up means."""
    code = exc.errno if isinstance(exc, socket.gaierror) else None
    text = getattr(exc, "strerror", None) or str(exc)
    if code == socket.EAI_MEMORY:
        return _failed(GeneratorLimit, f"no memory to look up {host!r}", "generator_limit")
    if code in (socket.EAI_NONAME, getattr(socket, "EAI_NODATA", None)) and code is not None:
        return _failed(DnsError, f"the name {host!r} was not found ({text})", "dns_not_found")
    return _failed(DnsError, f"the name {host!r} could not be looked up ({text})", "dns_failed")


def _failed(kind: type[HttpError], message: str, category: str) -> _Entry:
    return _Entry([], lambda: kind(message, category=category, phase="dns"), 0)


def _literal(host: str) -> list[Address]:
    try:  # AI_NUMERICHOST: never asks anybody, so it cannot block
        rows = _getaddrinfo(host, None, socket.AF_UNSPEC, socket.SOCK_STREAM, 0, socket.AI_NUMERICHOST)
    except OSError as exc:
        raise DnsError(f"{host!r} is no usable IP address ({exc.strerror})", category="dns_not_found") from exc
    return interleave(by_family(rows), 0)


def _family_name(family: int) -> str:
    return "IPv4" if family == socket.AF_INET else "IPv6"
