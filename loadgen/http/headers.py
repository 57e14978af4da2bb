"""Response headers, taken apart from the raw head when first asked for, and a client's own default headers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, MutableMapping


class Headers(Mapping[str, str]):
    """A response's headers: case-insensitive; repeated fields joined by ", " (`get_all` keeps them apart).

    Bytes are read as Latin-1, one character each, so nothing is ever lost or refused.
    """

    __slots__ = ("_fields", "_index", "status_line")

    def __init__(self, head: bytes) -> None:
        """`head`: status line and fields, without the blank line. It has been checked by the parser."""
        lines = head.decode("latin-1").split("\n")
        self.status_line = lines[0].rstrip("\r")
        self._fields: list[tuple[str, str]] = []
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if colon:
                self._fields.append((name, value.strip(" \t\r")))
        index: dict[str, str] = {}
        for name, value in self._fields:
            key = name.lower()
            index[key] = f"{index[key]}, {value}" if key in index else value
        self._index = index

    def __getitem__(self, name: str) -> str:
        return self._index[name.lower()]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def __iter__(self) -> Iterator[str]:
        seen: set[str] = set()
        for name, _ in self._fields:
            if name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"Headers({dict(self.items())!r})"

    def get_all(self, name: str) -> list[str]:
        """Every value of the field, one per line that came."""
        key = name.lower()
        return [value for field, value in self._fields if field.lower() == key]


class ClientHeaders(MutableMapping[str, str]):
    """The default headers of one client: case-insensitive, in order. `fields`: all of them."""

    __slots__ = ("_fields", "fields")

    def __init__(self, fields: Iterable[tuple[str, str]] = ()) -> None:
        self._fields: dict[str, tuple[str, str]] = {name.lower(): (name, value) for name, value in fields}
        self.fields = tuple(self._fields.values())

    def __getitem__(self, name: str) -> str:
        return self._fields[name.lower()][1]

    def __setitem__(self, name: str, value: str) -> None:
        self._fields[name.lower()] = (name, value)
        self.fields = tuple(self._fields.values())

    def __delitem__(self, name: str) -> None:
        del self._fields[name.lower()]
        self.fields = tuple(self._fields.values())

    def __iter__(self) -> Iterator[str]:
        return (name for name, _ in self._fields.values())

    def __len__(self) -> int:
        return len(self._fields)

    def __repr__(self) -> str:
        return f"ClientHeaders({dict(self.items())!r})"
