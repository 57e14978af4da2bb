"""Reading CSV and JSON: what is accepted, and what is said about the rest."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.data_files import CsvFile, JsonFile
from loadgen.errors import ScenarioError

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Write:
    monkeypatch.chdir(tmp_path)

    def write(text: str | bytes, name: str = "users.csv") -> Path:
        path = tmp_path / name
        path.write_bytes(text.encode() if isinstance(text, str) else text)
        return path

    return write


def rows_of(reader: CsvFile | JsonFile) -> list[Any]:
    table = reader.read()
    return [table.row(index) for index in range(len(table.rows))]


def error_of(reader: CsvFile | JsonFile) -> str:
    with pytest.raises(ScenarioError) as caught:
        reader.read()
    return caught.value.render()


def test_a_row_of_a_csv_file_is_a_dict_of_texts(write: Write) -> None:
    path = write('name, city\nada,London\n\n"Hopper, Grace","New\nYork"\n')

    assert rows_of(CsvFile(path)) == [
        {"name": "ada", "city": "London"},
        {"name": "Hopper, Grace", "city": "New\nYork"},
    ]


def test_a_file_of_excel_is_read_as_it_is(write: Write) -> None:
    path = write("\ufeffname;city\r\nZoë;Köln\r\n")

    assert rows_of(CsvFile(path, ";")) == [{"name": "Zoë", "city": "Köln"}]
    write("name\nZoë\n".encode("cp1252"))
    assert "no text in utf-8" in error_of(CsvFile(path))
    assert rows_of(CsvFile(path, encoding="cp1252")) == [{"name": "Zoë"}]


def test_the_columns_may_be_named_by_the_scenario(write: Write) -> None:
    assert rows_of(CsvFile(write("ada,1\ngrace,2\n"), columns=("name", "id")))[1] == {"name": "grace", "id": "2"}


@given(st.lists(st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0")), min_size=2)))
def test_what_was_written_is_read(tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]) -> None:
    rows = [row[:2] for row in rows]
    text = io.StringIO(newline="")
    csv.writer(text).writerows([["a", "b"], *rows, ["last", "row"]])
    path = tmp_path_factory.mktemp("csv") / "x.csv"
    path.write_bytes(text.getvalue().encode())

    assert [list(row) for row in CsvFile(path).read().rows] == [*rows, ["last", "row"]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "users.csv cannot be used as test data: it is empty"),
        ("\n\n", "users.csv cannot be used as test data: it is empty"),
        ("name,city\n", "users.csv cannot be used as test data: it has no rows, only the names of the columns"),
        ("name,city\nada,London\n\ngrace\n", "users.csv:4 cannot be used as test data: 1 fields where there are 2"),
        ("name\nada,London\n", "users.csv:2 cannot be used as test data: 2 fields where there are 1 columns"),
        ("name,city,name\na,b,c\n", 'users.csv:1 cannot be used as test data: two columns are called "name"'),
        ("name,\na,b\n", "users.csv:1 cannot be used as test data: column 2 has no name"),
        ('name\n"ada\n', "users.csv:2 cannot be used as test data: unexpected end of data"),
        ("name\n" + "x" * 200_000, "users.csv:2 cannot be used as test data: field larger than field limit"),
    ],
)
def test_what_is_wrong_with_a_csv_file_is_said_with_its_line(write: Write, text: str, message: str) -> None:
    assert error_of(CsvFile(write(text))).startswith(f"error[LG702]: {message}")


def test_checking_a_csv_file_reads_its_first_lines_only(write: Write) -> None:
    CsvFile(write("name,city\nada,London\nragged\n")).check()

    with pytest.raises(ScenarioError, match="two columns"):
        CsvFile(write("name,name\n")).check()


def test_a_missing_file_is_named_with_the_one_that_may_be_meant(write: Write) -> None:
    path = write("name\nada\n")

    for reader in (CsvFile(path.with_name("user.csv")), JsonFile(path.with_name("user.csv"))):
        assert error_of(reader) == "error[LG701]: there is no file user.csv\n  Did you mean  users.csv  ?"
    assert "cannot read" in error_of(CsvFile(path.parent))


def test_a_json_array_and_json_lines_are_rows_of_any_value(write: Write) -> None:
    values = [{"id": 1}, [2, 3], "four", None]

    assert rows_of(JsonFile(write(json.dumps(values, indent=2), "x.json"))) == values
    assert rows_of(JsonFile(write("\n".join(map(json.dumps, values)) + "\n\n", "x.jsonl"))) == values


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("x.json", "[]", "x.json cannot be used as test data: it has no rows"),
        ("x.json", "{}", "x.json:1 cannot be used as test data: it holds no JSON array"),
        ("x.json", "[1,\n2,,]", "x.json:2 cannot be used as test data: it is no JSON"),
        ("x.json", b"[\xff]", "x.json cannot be used as test data: it is no text in utf-8"),
        ("x.jsonl", "1\n2\n{\n", "x.jsonl:3 cannot be used as test data: this line is no JSON"),
        ("x.jsonl", "\n", "x.jsonl cannot be used as test data: it has no rows"),
    ],
)
def test_what_is_wrong_with_a_json_file_is_said(write: Write, name: str, text: str | bytes, message: str) -> None:
    assert error_of(JsonFile(write(text, name))).startswith(f"error[LG702]: {message}")


def test_a_map_is_the_callers_own(write: Write) -> None:
    for table in (CsvFile(write("id\n1\n")).read(), JsonFile(write('[{"id": "1"}]', "x.json")).read()):
        table.row(0)["token"] = "secret"

        assert table.row(0) == {"id": "1"}
