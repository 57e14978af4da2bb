"""Request bodies: from what a scenario passes as `data`, `json` or `files` to bytes on the wire.

What is in memory becomes `content`; files and iterators become `chunks`, read only while they are
sent. A replayable body gives the same bytes each time it is iterated, so it can follow a redirect
or be sent again on a fresh connection; an iterator can be sent once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from json import JSONEncoder
from typing import Any, NamedTuple

from loadgen.http.multipart import Files, encode_multipart
from loadgen.http.sources import FileSource, IteratorSource, to_bytes
from loadgen.http.urls import form_encode

FORM = "application/x-www-form-urlencoded"
JSON = "application/json"

# Made once: json.dumps with other than its default arguments makes an encoder per call.
_json = JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class Body(NamedTuple):
    """Either `content` (in memory), or `chunks` (to iterate while sending), or neither: no body at all.

    `length` is in bytes, None when only sending tells (then chunked coding is due). `content_type`
    is None where the scenario has to say it. Iterating `chunks` again starts again if `replayable`.
    """

    content: bytes | None = None
    chunks: Iterable[bytes] | None = None
    length: int | None = 0
    content_type: str | None = None
    replayable: bool = True


NO_BODY = Body()


def encode_body(data: object = None, json: Any = None, files: Files | None = None) -> Body:
    """The body for a scenario's arguments; json=None and empty data mean no body.

    `data` is bytes, str (UTF-8), a mapping or list of pairs (a form), an open file, or any iterable of
    bytes or str. With `files` it must be a form. Raises TypeError or ValueError naming the argument.
    """
    if json is not None:
        if data or files:
            raise ValueError("json= cannot be combined with data= or files=")
        return _in_memory(_json(json).encode(), JSON)
    if files:
        return _multipart(data, files)
    if data is None:
        return NO_BODY
    if isinstance(data, bytes | str | bytearray | memoryview):
        return _in_memory(to_bytes(data), None)
    if isinstance(data, Mapping | list | tuple):
        return _in_memory(_form(data).encode(), FORM)
    if hasattr(data, "read"):
        return _streamed(FileSource(data))
    if isinstance(data, Iterable):
        return _streamed(IteratorSource(data))
    raise TypeError(f"data= is bytes, str, a form, a file or an iterable, not {type(data).__name__}")


def _in_memory(content: bytes, content_type: str | None) -> Body:
    return Body(content, None, len(content), content_type) if content else NO_BODY


def _streamed(source: FileSource | IteratorSource) -> Body:
    return Body(None, source, source.length, None, source.replayable)


def _form(data: Any) -> str:
    try:
        return form_encode(data)
    except (TypeError, ValueError) as exc:
        raise TypeError("data= as a list must hold (name, value) pairs") from exc


def _multipart(data: Any, files: Files) -> Body:
    if data is not None and not isinstance(data, Mapping | list | tuple):
        raise TypeError(f"data= must be a form beside files=, not {type(data).__name__}")
    body, content_type = encode_multipart(data or (), files)
    if isinstance(body, bytes):
        return _in_memory(body, content_type)
    return Body(None, body, body.length, content_type, body.replayable)
