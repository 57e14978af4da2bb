"""Where rows come from when no row may be used twice: what a worker asks, what it is granted, and by whom.

A worker leases row *numbers*; the rows themselves it reads from its own copy of the file. The port of a
process is attached to its environment. Without one (a single process, `run_single_user`) LocalRows
hands the rows out by itself.

Invariant: the requests of one source are numbered 1, 2, 3, … and the next is made only when the one
before was answered, so that one which is repeated can be told from a new one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol
from weakref import WeakKeyDictionary

from loadgen.errors import Malformed

if TYPE_CHECKING:
    from loadgen.environment import Environment

MAX_BATCH = 10_000  # rows in one grant
MAX_RANGES = 1_000  # pieces in one grant
MAX_ROWS = 1 << 40
MAX_NAME = 512
MAX_TEXT = 1_000


class OnEnd(StrEnum):
    """What happens when all rows were used."""

    STOP = "stop"  # the user that asks for one ends
    RECYCLE = "recycle"  # the rows start over
    WAIT = "wait"  # the user waits for rows to come back, if need be until the run stops


class RowRange(NamedTuple):
    """The rows first, first + 1, … of which there are `size`; the first row of a source is 0."""

    first: int
    size: int


class Place(NamedTuple):
    """This worker is number `worker` (from 0) of `workers`."""

    worker: int
    workers: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """One request for rows of a source. At least one row must be asked for.

    `count` rows are needed now, `ahead` more would spare the next request. `used` is how many of the
    rows granted so far were handed to users, in the order they were granted.
    """

    source: str  # the same name for the same source on every worker
    rows: int
    on_end: OnEnd
    number: int
    count: int
    ahead: int = 0
    used: int = 0

    def to_wire(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in self.__slots__} | {"on_end": self.on_end.value}

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> Wanted:
        """The request in a decoded body. Raises Malformed; unknown keys are ignored."""
        count, ahead = _number(body, "count", 0, MAX_BATCH), _number(body, "ahead", 0, MAX_BATCH)
        if not count + ahead:
            raise Malformed("rows wanted: none")
        return cls(
            source=_text(body, "source", MAX_NAME),
            rows=_number(body, "rows", 1, MAX_ROWS),
            on_end=_on_end(body.get("on_end")),
            number=_number(body, "number", 1, 1 << 62),
            count=count,
            ahead=ahead,
            used=_number(body, "used", 0, 1 << 62),
        )


@dataclass(frozen=True, slots=True)
class Grant:
    """The answer: rows to use, or why there are none.

    `end` is "recycle" in the one grant that begins a new lap, "stop" or "wait" where no row is left,
    else "". `refused` says why this worker gets no rows at all; otherwise it is "".
    """

    ranges: tuple[RowRange, ...] = ()
    end: OnEnd | None = None
    refused: str = ""

    def to_wire(self) -> dict[str, Any]:
        """The grant as plain data; the sender adds the request's source and number."""
        return {"rows": [list(one) for one in self.ranges], "end": self.end or "", "refused": self.refused}

    @classmethod
    def from_wire(cls, body: Mapping[str, Any]) -> Grant:
        """The grant in a decoded body. Raises Malformed; unknown keys are ignored."""
        pieces, end = body.get("rows"), body.get("end")
        if not isinstance(pieces, list) or len(pieces) > MAX_RANGES:
            raise Malformed("rows granted: no list of ranges")
        ranges = tuple(_range(piece) for piece in pieces)
        if sum(one.size for one in ranges) > 2 * MAX_BATCH:
            raise Malformed("rows granted: too many")
        return cls(ranges, _on_end(end) if end else None, _text(body, "refused", MAX_TEXT))


class RowPort(Protocol):
    """What a data source may ask of the process it is used in."""

    def want(self, wanted: Wanted) -> Grant:
        """The answer to this request. Blocks the greenlet until there is one, however often it is sent again."""
        ...

    def place(self) -> Place:
        """Which worker this is, of how many; it does not change during a run."""
        ...


class LocalRows:
    """The port of a process that has no master: all rows are its own, in the order of the file."""

    def __init__(self) -> None:
        self._next: dict[str, int] = {}

    def want(self, wanted: Wanted) -> Grant:
        first = self._next.get(wanted.source, 0)
        end = None
        if first >= wanted.rows:
            if wanted.on_end is not OnEnd.RECYCLE:
                return Grant(end=wanted.on_end)
            first, end = 0, OnEnd.RECYCLE
        count = min(wanted.count + wanted.ahead, wanted.rows - first)
        self._next[wanted.source] = first + count
        return Grant((RowRange(first, count),), end)

    def place(self) -> Place:
        return Place(0, 1)


_ports: WeakKeyDictionary[Environment, RowPort] = WeakKeyDictionary()


def attach(environment: Environment, port: RowPort) -> None:
    """Let the data sources used in `environment` ask `port`. To be called before its users start."""
    _ports[environment] = port


def port_of(environment: Environment) -> RowPort:
    """The port of this environment; if none was attached, one of its own."""
    port = _ports.get(environment)
    if port is None:
        port = _ports[environment] = LocalRows()
    return port


def ranges_text(ranges: tuple[RowRange, ...], most: int = 20) -> str:
    """ "1–20, 31": rows counted from 1, as a reader of the file counts them."""
    texts = [f"{first + 1:,}–{first + size:,}" if size > 1 else f"{first + 1:,}" for first, size in ranges[:most]]
    return ", ".join([*texts, "…"] if len(ranges) > most else texts)


def _number(body: Mapping[str, Any], key: str, least: int, most: int) -> int:
    value = body.get(key)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise Malformed(f"rows: {key} is {str(value)[:40]}, not {least} … {most}")
    return value


def _text(body: Mapping[str, Any], key: str, longest: int) -> str:
    value = body.get(key)
    if not isinstance(value, str) or len(value) > longest:
        raise Malformed(f"rows: {key} is no text of at most {longest} characters")
    return value


def _on_end(value: object) -> OnEnd:
    try:
        return OnEnd(str(value))
    except ValueError:
        raise Malformed(f"rows: unknown end {str(value)[:40]!r}") from None


def _range(piece: object) -> RowRange:
    if not isinstance(piece, list) or len(piece) != 2:
        raise Malformed("rows granted: a range is no pair")
    pair = {"first": piece[0], "rows in a range": piece[1]}
    return RowRange(_number(pair, "first", 0, MAX_ROWS), _number(pair, "rows in a range", 1, 2 * MAX_BATCH))
