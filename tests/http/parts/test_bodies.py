"""From data=, json= and files= to bytes."""

from __future__ import annotations

import io
import json
import os
from email import message_from_bytes
from email.policy import HTTP
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import FileStorage, MultiDict
from werkzeug.formparser import parse_form_data

from loadgen.http.bodies import NO_BODY, Body, encode_body

JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=10,
)
# werkzeug (like PHP) reads backslashes as escapes and the browsers' %22 as a quote; line ends become %0D%0A
FIELD_NAMES = st.text(st.characters(codec="utf-8", exclude_characters="\\%\r\n\0"), min_size=1, max_size=12)


def sent(body: Body) -> bytes:
    """What goes over the wire for this body, framing aside."""
    if body.content is not None:
        return body.content
    chunks = list(body.chunks or ())
    assert all(chunks), "an empty chunk would end a chunked body"
    return b"".join(chunks)


Uploads = list[tuple[str, tuple[str | None, bytes]]]


def parsed(body: Body) -> tuple[MultiDict[str, str], Uploads]:
    """(fields, files) as a Flask server would see them."""
    content = sent(body)
    environ = {
        "REQUEST_METHOD": "POST",
        "CONTENT_TYPE": body.content_type,
        "CONTENT_LENGTH": str(len(content)),
        "wsgi.input": io.BytesIO(content),
    }
    _, form, files = parse_form_data(environ, silent=False)
    return form, [(name, (upload.filename, read_and_close(upload))) for name, upload in files.items(multi=True)]


def read_and_close(upload: FileStorage) -> bytes:
    with upload.stream:
        return upload.stream.read()


@pytest.mark.parametrize(
    ("data", "content", "content_type"),
    [
        (b"raw\xff", b"raw\xff", None),
        ("täxt", "täxt".encode(), None),
        (bytearray(b"ab"), b"ab", None),
        (memoryview(b"ab"), b"ab", None),
        ({"a": 1, "b": ["x y", None, "ä"]}, b"a=1&b=x+y&b=%C3%A4", "application/x-www-form-urlencoded"),
        ([("a", 1), ("a", b"\xff")], b"a=1&a=%FF", "application/x-www-form-urlencoded"),
    ],
)
def test_data_in_memory_is_sent_as_it_is_or_as_a_form(data: object, content: bytes, content_type: str | None) -> None:
    assert encode_body(data) == Body(content, None, len(content), content_type, True)


@pytest.mark.parametrize("data", [None, b"", "", {}, [], {"a": None}])
def test_nothing_is_no_body(data: object) -> None:
    assert encode_body(data) is NO_BODY


@given(JSON_VALUES.filter(lambda value: value is not None))
def test_json_is_read_back_as_it_was_given(value: object) -> None:
    body = encode_body(json=value)

    assert body.content_type == "application/json"
    assert body.length == len(sent(body))
    assert json.loads(sent(body)) == value


@pytest.mark.parametrize("value", [0, False, "", [], {}])
def test_a_falsy_json_value_is_still_a_body(value: object) -> None:
    assert json.loads(sent(encode_body(json=value))) == value


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"json": float("nan")}, ValueError),
        ({"json": object()}, TypeError),
        ({"json": 1, "data": "x"}, ValueError),
        ({"json": 1, "files": {"f": "x"}}, ValueError),
        ({"data": 5}, TypeError),
        ({"data": ["abc"]}, TypeError),
        ({"data": "raw", "files": {"f": "x"}}, TypeError),
        ({"files": {"f": ("name",)}}, ValueError),
        ({"files": {"f": ("name", 5)}}, TypeError),
        ({"files": {"f": ("name", "x", "text/plain\r\nX: y")}}, ValueError),
        ({"files": {"f": ("name", "x", None, {"X": "a\nb"})}}, ValueError),
    ],
)
def test_arguments_that_make_no_body_are_refused_by_name(arguments: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        encode_body(**arguments)  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.text(), st.text()), min_size=1))
def test_a_form_is_read_back_as_it_was_given(pairs: list[tuple[str, str]]) -> None:
    assert parse_qsl(sent(encode_body(pairs)).decode(), keep_blank_values=True) == pairs


def test_an_iterator_is_sent_once_in_chunks_of_unknown_length() -> None:
    body = encode_body(part for part in (b"a", "", b"", "ä"))

    assert (body.content, body.length, body.replayable) == (None, None, False)
    assert list(body.chunks or ()) == [b"a", "ä".encode()]
    assert list(body.chunks or ()) == []


def test_a_file_is_sent_from_where_it_stands_and_can_be_sent_again(tmp_path: Path) -> None:
    content = os.urandom(200_000)
    path = tmp_path / "upload.bin"
    path.write_bytes(content)

    with path.open("rb") as file:
        file.seek(10)
        body = encode_body(file)

        assert (body.length, body.replayable) == (len(content) - 10, True)
        assert sent(body) == sent(body) == content[10:]


def test_a_text_file_is_sent_as_utf_8_without_a_length(tmp_path: Path) -> None:
    path = tmp_path / "latin.txt"
    path.write_bytes("ä\n".encode("latin-1"))

    with path.open(encoding="latin-1") as file:
        body = encode_body(file)

        assert (body.length, body.replayable) == (None, True)
        assert sent(body) == sent(body) == "ä\n".encode()


def test_a_pipe_is_sent_once_without_a_length() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"through a pipe")
    os.close(writer)

    with os.fdopen(reader, "rb") as file:
        body = encode_body(file)

        assert (body.length, body.replayable) == (None, False)
        assert sent(body) == b"through a pipe"


def test_a_file_that_grows_is_cut_at_the_announced_length_and_one_that_shrinks_is_an_error() -> None:
    file = io.BytesIO(b"12345")
    body = encode_body(file)

    file.write(b"1234567")
    assert sent(body) == b"12345"

    file.truncate(2)
    with pytest.raises(ValueError, match="3 bytes shorter"):
        sent(body)


@given(
    fields=st.lists(st.tuples(FIELD_NAMES, st.text(st.characters(codec="utf-8"))), max_size=4),
    files=st.lists(st.tuples(FIELD_NAMES, st.tuples(FIELD_NAMES, st.binary())), min_size=1, max_size=4),
    as_file=st.booleans(),
)
def test_a_multipart_form_is_read_back_by_a_server_as_it_was_given(
    fields: list[tuple[str, str]], files: list[tuple[str, tuple[str, bytes]]], as_file: bool
) -> None:
    specs = [(name, (filename, io.BytesIO(data) if as_file else data)) for name, (filename, data) in files]
    body = encode_body(fields, files=specs)

    form, uploads = parsed(body)

    assert list(form.items(multi=True)) == list(MultiDict(fields).items(multi=True))
    assert uploads == list(MultiDict(files).items(multi=True))
    assert body.length == len(sent(body))
    assert (body.content is None) == as_file


def test_the_parts_are_what_the_standard_library_reads_too(tmp_path: Path) -> None:
    path = tmp_path / 'we"ird.txt'
    path.write_bytes(b"from disk")
    with path.open("rb") as file:
        body = encode_body(
            {"plain": 1, "many": ["x", "y"], "raw": b"\xff"},
            files={
                "disk": file,
                "memory": "text",
                "typed": ("t.json", "{}", "application/json", {"X-Part": "7"}),
                "nameless": (None, "value"),
            },
        )
        raw = f"Content-Type: {body.content_type}\r\n\r\n".encode() + sent(body)

    parts = message_from_bytes(raw, policy=HTTP).get_payload()
    assert isinstance(parts, list)
    seen = [
        (
            part.get_param("name", header="content-disposition"),
            part.get_filename(),
            part.get_payload(decode=True),
        )
        for part in parts
        if not isinstance(part, str)
    ]
    assert seen == [
        ("plain", None, b"1"),
        ("many", None, b"x"),
        ("many", None, b"y"),
        ("raw", None, b"\xff"),
        ("disk", "we%22ird.txt", b"from disk"),
        ("memory", "memory", b"text"),
        ("typed", "t.json", b"{}"),
        ("nameless", None, b"value"),
    ]
    assert b"\r\nContent-Type: application/json\r\nX-Part: 7\r\n\r\n{}" in raw


def test_a_multipart_form_with_an_unsized_part_is_sent_chunked_and_once() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"piped")
    os.close(writer)

    with os.fdopen(reader, "rb") as file:
        body = encode_body(files={"f": ("f", file)})

        assert (body.length, body.replayable) == (None, False)
        assert parsed(body)[1] == [("f", ("f", b"piped"))]


def test_line_ends_in_names_cannot_forge_a_part() -> None:
    content = sent(encode_body(files={'a"\r\nX: y': ("f\r\n\r\n", b"x")}))

    assert b'name="a%22%0D%0AX: y"; filename="f%0D%0A%0D%0A"\r\n\r\nx\r\n' in content
