"""multipart/form-data (RFC 7578), with the forms of `files=` that requests made familiar.

A file is `content`, `(name, content)`, `(name, content, type)` or `(name, content, type, headers)`;
content is bytes, str or an open file. Files are read while they are sent, never into memory.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping

from loadgen.http.sources import BytesSource, ChainSource, FileSource, Source, name_of, to_bytes
from loadgen.http.urls import each_field

Fields = Mapping[str, object] | Iterable[tuple[str, object]]
Files = Mapping[str, object] | Iterable[tuple[str, object]]

# As browsers do it (WHATWG HTML, "multipart/form-data"): exactly these three are escaped, the rest is UTF-8.
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
_LINE_END = re.compile(r"[\r\n\0]")


def encode_multipart(fields: Fields, files: Files) -> tuple[ChainSource | bytes, str]:
    """(body, its content type). The body is bytes when every part is in memory. Fields come before files."""
    boundary = os.urandom(16).hex()
    sources: list[Source] = []
    for name, value in each_field(fields):
        sources += _part(boundary, _head(name), BytesSource(_text(value)))
    for name, spec in files.items() if isinstance(files, Mapping) else files:
        sources += _file_part(boundary, name, spec)
    sources.append(BytesSource(f"--{boundary}--\r\n".encode()))
    content_type = f"multipart/form-data; boundary={boundary}"
    if all(isinstance(source, BytesSource) for source in sources):
        return b"".join(chunk for source in sources for chunk in source), content_type
    return ChainSource(sources), content_type


def _part(boundary: str, head: str, content: Source) -> list[Source]:
    return [BytesSource(f"--{boundary}\r\n{head}\r\n\r\n".encode()), content, BytesSource(b"\r\n")]


def _file_part(boundary: str, name: str, spec: object) -> list[Source]:
    filename, content, content_type, headers = _unpack(name, spec)
    lines = [_head(name, filename)]
    if content_type:
        lines.append(_header_line("Content-Type", content_type))
    lines += [_header_line(key, value) for key, value in (headers or {}).items()]
    source = FileSource(content) if hasattr(content, "read") else BytesSource(to_bytes(content))
    return _part(boundary, "\r\n".join(lines), source)


def _unpack(name: str, spec: object) -> tuple[str | None, object, str | None, Mapping[str, str] | None]:
    """(file name or None, content, content type, headers); a file without a name is called as its field."""
    if not isinstance(spec, tuple | list):
        return name_of(spec) or name, spec, None, None
    if not 2 <= len(spec) <= 4:
        raise ValueError(f"files[{name!r}] is (name, content[, type[, headers]]), not {len(spec)} values")
    filename, content, content_type, headers = (*spec, None, None)[:4]
    return filename, content, content_type, headers


def _head(name: str, filename: str | None = None) -> str:
    line = f'Content-Disposition: form-data; name="{str(name).translate(_ESCAPES)}"'
    return line if filename is None else f'{line}; filename="{str(filename).translate(_ESCAPES)}"'


def _header_line(key: str, value: str) -> str:
    line = f"{key}: {value}"
    if _LINE_END.search(line):
        raise ValueError(f"a header of a part contains a line end: {line!r}")
    return line


def _text(value: object) -> bytes:
    return to_bytes(value) if isinstance(value, bytes | bytearray | memoryview) else str(value).encode()
