"""The bytes of a bundle: what goes in comes out, and nothing hostile gets far."""

from __future__ import annotations

import hashlib
import os
import stat
import tracemalloc
import zlib
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen.bundle import HARD_LIMITS, Limits, extract, verify
from loadgen.errors import Malformed
from loadgen.wire.bundle_archive import MAGIC, Archive, pack
from loadgen.wire.bundle_format import TABLE_MAX_BYTES, BundleFile, Table, path_problem

HASH = hashlib.sha256(b"").hexdigest()
LETTERS = st.characters(codec="utf-8", min_codepoint=32, exclude_characters="/\\\x7f")
PARTS = st.text(LETTERS, min_size=1, max_size=8).filter(lambda name: name not in (".", ".."))
PATHS = st.lists(PARTS, min_size=1, max_size=4).map("/".join)


@st.composite
def contents(draw: st.DrawFn) -> dict[str, bytes]:
    """Files of which none is a folder of another, and one is `shop.py`."""
    files = {"shop.py": b"x = 1\n"}
    for path, content in draw(st.dictionaries(PATHS, st.binary(max_size=300), max_size=8)).items():
        if not any(f"{path}/".startswith(f"{one}/") or f"{one}/".startswith(f"{path}/") for one in files):
            files[path] = content
    return files


def unpacked(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    for file, block in Archive(data).blocks():
        files[file.path] = files.get(file.path, b"") + block
    return files


def archive(table: bytes, body: bytes = b"", length: int | None = None) -> bytes:
    """An archive with any table at all."""
    return MAGIC + zlib.compress((len(table) if length is None else length).to_bytes(4, "big") + table + body)


def table_of(*files: tuple[str, int, str], entry: str = "shop.py") -> bytes:
    return Table(entry, tuple(BundleFile(*file) for file in files)).encode()


@given(contents())
def test_what_goes_in_comes_out(files: Mapping[str, bytes]) -> None:
    table, data = pack("shop.py", files)

    assert unpacked(data) == files
    assert verify(data, table.sha256) == table
    assert Table.parse(table.encode(), HARD_LIMITS) == table
    assert table.total_bytes == sum(map(len, files.values()))


@given(contents(), st.data())
def test_the_order_of_the_files_changes_nothing(files: dict[str, bytes], data: st.DataObject) -> None:
    shuffled = data.draw(st.permutations(list(files.items())))

    assert pack("shop.py", dict(shuffled)) == pack("shop.py", files)


@given(contents(), st.data())
def test_the_name_tells_any_two_bundles_apart(files: dict[str, bytes], data: st.DataObject) -> None:
    other = dict(files)
    path = data.draw(st.sampled_from(sorted(files)))
    other[path] = data.draw(st.binary(max_size=20).filter(lambda content: content != files[path]))

    assert pack("shop.py", other)[0].sha256 != pack("shop.py", files)[0].sha256


@given(contents(), st.data())
def test_one_wrong_byte_anywhere_is_noticed(files: dict[str, bytes], data: st.DataObject) -> None:
    table, packed = pack("shop.py", files)
    place = data.draw(st.integers(0, len(packed) - 1))
    wrong = bytearray(packed)
    wrong[place] ^= data.draw(st.integers(1, 255))

    try:
        verify(bytes(wrong), table.sha256)
    except Malformed:
        return
    assert unpacked(bytes(wrong)) == files  # bits of zlib's header that mean nothing


@given(contents(), st.data())
def test_an_archive_that_is_cut_or_goes_on_is_refused(files: dict[str, bytes], data: st.DataObject) -> None:
    table, packed = pack("shop.py", files)
    cut = packed[: data.draw(st.integers(0, len(packed) - 1))]

    for wrong in (cut, packed + data.draw(st.binary(min_size=1, max_size=9))):
        with pytest.raises(Malformed):
            verify(wrong, table.sha256)


@given(st.binary(max_size=300), st.booleans())
def test_garbage_is_malformed_and_nothing_else(garbage: bytes, is_compressed: bool) -> None:
    for wrong in (garbage, MAGIC + garbage, archive(garbage), MAGIC + zlib.compress(garbage)):
        with pytest.raises(Malformed):
            verify(wrong, HASH)


def test_a_repetition_that_zlib_still_holds_at_the_end_is_not_lost() -> None:
    """With blocks of 64 KiB zlib may have read all its input and still owe output."""
    files = {"shop.py": b"", **{f"{size}.bin": b"\0" * size for size in range(65_530, 65_800, 7)}}

    table, data = pack("shop.py", files)

    assert verify(data, table.sha256) == table
    assert unpacked(data) == files


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd",
        "../up.py",
        "a/../../up.py",
        "a/..",
        "..",
        ".",
        "",
        "a//b",
        "./a",
        "a/",
        "a\\..\\b",
        "nul\0byte",
        "line\rend",
        "x" * 256,
        "/".join("x" * 100 for _ in range(6)),
        "/".join("x" * 40),
    ],
)
def test_a_path_that_leads_elsewhere_is_refused(path: str, tmp_path: Path) -> None:
    assert path_problem(path)
    data = archive(table_of(("shop.py", 0, HASH), (path, 0, HASH)))

    with pytest.raises(Malformed):
        extract(data, tmp_path / "inside")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "table",
    [
        b"",
        b"loadgen-bundle 2\nentry shop.py\n" + f"{HASH} 0 shop.py\n".encode(),
        b"loadgen-bundle 1\nentry shop.py\n",
        table_of(("shop.py", 0, HASH), entry="other.py"),
        table_of(("shop.py", 0, HASH))[:-1],
        table_of(("shop.py", 0, HASH)) + b"\n",
        table_of(("shop.py", 0, HASH)).replace(b" 0 ", b" 00 "),
        table_of(("shop.py", 0, HASH)).replace(b" 0 ", b" -1 "),
        table_of(("shop.py", 0, HASH)).replace(b" 0 ", b" +0 "),
        table_of(("shop.py", 0, HASH)).replace(b" 0 ", " ٣ ".encode()),
        table_of(("shop.py", 0, HASH.upper())),
        table_of(("shop.py", 0, HASH), ("shop.py", 0, HASH)),
        table_of(("shop.py", 0, HASH), ("app.py", 0, HASH)),
        table_of(("shop.py", 0, HASH), ("shop.py/inner.py", 0, HASH)),
        b"\xff" + table_of(("shop.py", 0, HASH)),
    ],
    ids=range(15),
)
def test_a_table_written_in_any_other_way_is_refused(table: bytes) -> None:
    with pytest.raises(Malformed):
        Archive(archive(table))


def test_huge_claims_are_refused_before_anything_is_inflated() -> None:
    limits = Limits(files=3, file_bytes=1_000, total_bytes=1_500)
    wrong = [
        table_of(*((f"{number}.py", 0, HASH) for number in range(4)), entry="0.py"),
        table_of(("shop.py", 1_001, HASH)),
        table_of(("a.py", 800, HASH), ("shop.py", 800, HASH)),
        table_of(("shop.py", 10**11, HASH)),
        b"\n" * 1_000_000,
    ]

    for table in wrong:
        with pytest.raises(Malformed):
            Archive(archive(table), limits)
    for length in (TABLE_MAX_BYTES + 1, 2**32 - 1):
        with pytest.raises(Malformed):
            Archive(archive(b"", length=length))
    with pytest.raises(Malformed):
        Archive(MAGIC + bytes(limits.data_bytes), limits)


def bombs() -> dict[str, bytes]:
    """Archives of a few KiB that would become 256 MiB, or keep a careless reader's memory."""
    deflate = zlib.compressobj(9)
    block = b"\0" * (1 << 20)
    table = table_of(("shop.py", 10, HASH))
    body = deflate.compress(len(table).to_bytes(4, "big") + table)
    bomb = body + b"".join(deflate.compress(block) for _ in range(256)) + deflate.flush()
    return {
        "more than the table says": MAGIC + bomb,
        "a table of newlines": archive(b"\n" * TABLE_MAX_BYTES),
        "a table that is one line": archive(b"x" * TABLE_MAX_BYTES),
        "many bytes after the end": archive(table, b"x" * 10) + b"\0" * (16 << 20),
    }


BOMBS = bombs()


@pytest.mark.parametrize("kind", BOMBS)
def test_a_bomb_is_refused_in_bounded_memory(kind: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(Malformed):
            unpacked(BOMBS[kind])
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 4 * TABLE_MAX_BYTES


def test_a_large_file_is_read_in_little_memory() -> None:
    table, data = pack("shop.py", {"shop.py": b"", "users.csv": os.urandom(1 << 20) * 16})
    tracemalloc.start()
    try:
        verify(data, table.sha256)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak < 1 << 20


# -- on the disk


@given(files=contents())
def test_every_file_is_written_as_it_was(files: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("unpacked") / "new"
    _, data = pack("shop.py", files)

    entry = extract(data, folder)

    assert entry == folder / "shop.py"
    assert {str(one.relative_to(folder)): one.read_bytes() for one in folder.rglob("*") if one.is_file()} == files


def test_files_are_for_their_owner_only_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        extract(pack("shop.py", {"shop.py": b"", "data/a": b""})[1], tmp_path / "new")
    finally:
        os.umask(before)

    modes = {str(one.relative_to(tmp_path)): stat.S_IMODE(one.lstat().st_mode) for one in tmp_path.rglob("*")}
    assert modes == {"new": 0o700, "new/shop.py": 0o600, "new/data": 0o700, "new/data/a": 0o600}


def test_a_wrong_bundle_leaves_nothing_behind(tmp_path: Path) -> None:
    table = table_of(("a.py", 0, HASH), ("shop.py", 3, HASH))

    for wrong in (archive(table, b"abc"), archive(table, b"ab"), archive(table, b"abcd")):
        with pytest.raises(Malformed):
            extract(wrong, tmp_path / "new")
    with pytest.raises(Malformed, match="in place of"):
        extract(pack("shop.py", {"shop.py": b""})[1], tmp_path / "new", sha256=HASH)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine").write_text("mine")

    with pytest.raises(FileExistsError):
        extract(pack("shop.py", {"shop.py": b""})[1], tmp_path)
    assert [one.name for one in tmp_path.iterdir()] == ["mine"]


def test_names_that_the_file_system_takes_for_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann.csv and ann.csv where upper and lower case are the same."""
    opened = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest, **named: opened(str(path).lower(), *rest, **named))
    folder = Path(str(tmp_path).lower())
    folder.mkdir(parents=True, exist_ok=True)

    with pytest.raises(Malformed, match="is the same as another"):
        extract(pack("shop.py", {"shop.py": b"", "Ann.csv": b"", "ann.csv": b""})[1], folder / "new")
