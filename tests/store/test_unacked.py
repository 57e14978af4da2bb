"""What a worker leaves behind comes into the run exactly once, whatever state the file is in."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadgen import unacked
from loadgen.cli.import_unacked import command, find_run
from loadgen.errors import RunFileError
from loadgen.master.store_records import MemberRecord, RunRecord
from loadgen.master.store_sqlite import SqliteStore
from loadgen.master.unacked_import import import_unacked
from loadgen.unacked import Unacked, read, write
from tests.store.histories import Sender, deliver, what_it_shows

UID = bytes(range(16))
RUN_ID = bytes(16)
SAMPLE = Unacked(RUN_ID, UID, "w1", ((3, b"three"), (4, b""), (5, b"5" * 1_000)))


def test_what_was_written_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, SAMPLE)

    assert path.name == f"unacked-{UID.hex()}.lg"
    assert read(path) == SAMPLE
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / unacked.file_name(UID)).mkdir()  # in its way

    with pytest.raises(OSError):  # noqa: PT011 - which one depends on the system
        write(tmp_path, SAMPLE)
    assert [found.name for found in tmp_path.iterdir()] == [unacked.file_name(UID)]


@given(st.data())
def test_a_cut_file_gives_the_deltas_before_the_cut(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("cut"), SAMPLE)
    whole = path.read_bytes()
    length = data.draw(st.integers(len(whole) - 1_030, len(whole) - 1))
    path.write_bytes(whole[:length])
    found = read(path)

    assert found.deltas == SAMPLE.deltas[: len(found.deltas)]
    assert len(found.deltas) < 3
    assert not found.torn or "cut off" in found.torn
    assert found.torn or length in _borders(whole)


def _borders(whole: bytes) -> set[int]:
    return {len(whole) - 1_016, len(whole) - 1_016 - 16}


@given(st.data())
def test_a_flipped_byte_never_gives_a_wrong_delta(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = write(tmp_path_factory.mktemp("flip"), SAMPLE)
    whole = bytearray(path.read_bytes())
    whole[data.draw(st.integers(0, len(whole) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(whole)
    try:
        found = read(path)
    except RunFileError:
        return  # it does not say any more what it is
    assert found.torn
    assert found.deltas == SAMPLE.deltas[: len(found.deltas)]


@pytest.mark.parametrize("content", [b"", b"PK\3\4", unacked.MAGIC, unacked.MAGIC + b"\xff" * 100])
def test_another_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.lg"
    path.write_bytes(content)

    with pytest.raises(RunFileError):
        read(path)


class Run:
    """A run that has ended; its worker could not deliver deltas 3 to 5."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "shop-1.db"
        self.sender = Sender()
        for number in range(5):
            self.sender.record("ok", ("GET", f"/{number}"), number)
            self.sender.record("raise", ("GET", "/"), number)
            self.sender.seal(number, final=number == 4)
        store = SqliteStore.create(self.path, RunRecord("shop-1"))
        store.save_members([MemberRecord(UID, "w1", 0, state="lost")])
        self.ledger = store.ledger()
        self.ledger.join("w1")
        self.deliver(2)
        self.ledger.commit(store)
        store.close()

    def deliver(self, deltas: int) -> None:
        for _ in range(deltas):
            deliver(self.ledger, "w1", self.sender)

    def left_behind(self, first: int = 3, last: int = 5) -> Unacked:
        return Unacked(RUN_ID, UID, "w1", tuple((seq, self.sender.bodies[seq - 1]) for seq in range(first, last + 1)))

    def shows(self) -> object:
        store = SqliteStore.open(self.path, read_only=True)
        try:
            return what_it_shows(store.ledger(), ("w1",))
        finally:
            store.close()


def test_what_a_worker_left_behind_is_added_once(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = write(tmp_path, run.left_behind(first=2))  # the acknowledgement of number 2 was lost
    first, second = import_unacked(run.path, [path]), import_unacked(run.path, [path])
    run.deliver(3)

    assert run.shows() == what_it_shows(run.ledger, ("w1",))
    assert (first.requests_before, first.requests_after) == (2, 5)
    assert (first.files[0].added, first.files[0].repeated, first.files[0].final) == (3, 1, True)
    assert (second.files[0].added, second.files[0].repeated, second.requests_after) == (0, 4, 5)
    assert first.files[0].problems == second.files[0].problems == ()
    store = SqliteStore.open(run.path, read_only=True)
    assert [member.state for member in store.members()] == ["final"]
    store.close()


def test_a_gap_is_named_and_nothing_after_it_is_added(tmp_path: Path) -> None:
    run = Run(tmp_path)
    before = run.shows()
    report = import_unacked(run.path, [write(tmp_path, run.left_behind(first=4))])

    assert report.files[0].problems == ("delta 3 is missing, so those from 4 on cannot be added",)
    assert (report.files[0].added, report.files[0].final) == (0, False)
    assert run.shows() == before


def test_a_torn_file_gives_what_it_has_and_says_so(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = write(tmp_path, run.left_behind())
    path.write_bytes(path.read_bytes()[:-3])
    [file] = import_unacked(run.path, [path]).files

    assert (file.added, file.final) == (2, False)
    assert "cut off" in file.problems[0]


def test_a_delta_that_is_none_stops_its_file_only(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = write(tmp_path, Unacked(RUN_ID, UID, "w1", ((3, run.sender.bodies[2]), (4, b"garbage"))))
    [file] = import_unacked(run.path, [path]).files

    assert (file.added, file.problems[0][:15]) == (1, "delta 4 is none")


def test_a_worker_of_another_run_is_refused(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = write(tmp_path, Unacked(RUN_ID, bytes(16), "w1", run.left_behind().deltas))
    report = import_unacked(run.path, [path])

    assert report.files[0].problems == (f"worker {bytes(16).hex()} never took part in this run",)
    assert report.requests_after == report.requests_before


def test_a_run_that_goes_on_is_left_alone(tmp_path: Path) -> None:
    run = Run(tmp_path)
    path = write(tmp_path, run.left_behind())
    living = SqliteStore.open(run.path)

    with pytest.raises(RunFileError, match="in use"):
        import_unacked(run.path, [path])
    living.close()


def test_the_verb_says_what_it_did(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = Run(tmp_path)
    path = write(tmp_path, run.left_behind())
    code = command.main(
        ["shop-1", str(path), "--runs-dir", str(tmp_path)], standalone_mode=False, prog_name="import-unacked"
    )
    said = capsys.readouterr().out

    assert code == 0
    assert said == (f"{path.name} (worker w1): 3 of 3 deltas added; nothing of it is missing now\n2 + 3 = 5 requests\n")


def test_a_run_nobody_knows_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(RunFileError, match='there is no run "shop-2"'):
        find_run("shop-2", tmp_path)
