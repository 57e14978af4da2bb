"""What a run file survives, whom it refuses, and the facts it keeps beside measurements."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from loadgen.errors import RunFileError, StoreError, StoreFull
from loadgen.master import store_file, store_sqlite
from loadgen.master.ledger import Ledger
from loadgen.master.store_records import MemberRecord, RunRecord
from loadgen.master.store_schema import MIGRATIONS, migrate, version_of
from loadgen.master.store_sqlite import SqliteStore
from tests.store.histories import Sender, deliver, what_it_shows

RECORD = RunRecord(
    run_id="shop-1",
    scenario_name="shop",
    scenario_path="scenarios/shop.py",
    scenario_sha256="ab" * 32,
    plan={"classes": [["Shopper", 10, False]], "spawn_rate_per_s": 1.5, "duration_s": None},
    settings={"host": "http://shop.test", "seed": 7},
    listen="0.0.0.0:5557",
    started_at_s=1_700_000_000.25,
    state="running",
    command="loadgen run shop.py",
)
MEMBERS = [
    MemberRecord(bytes([1] * 16), "w1", 0, 3, [[0, 0, 2, 5]], "running"),
    MemberRecord(bytes([2] * 16), "w2", 1, 0, [], "joined"),
]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs" / "shop-1.db"


@pytest.fixture
def store(path: Path) -> Iterator[SqliteStore]:
    store = SqliteStore.create(path, RECORD)
    yield store
    store.close()


def measured(store: SqliteStore, deltas: int = 3) -> tuple[Ledger, Sender]:
    """A ledger whose one worker has delivered so many deltas; nothing is committed."""
    ledger, sender = store.ledger(), Sender()
    ledger.join("w1")
    for number in range(deltas):
        for us in range(100):
            sender.record("ok", ("GET", f"/{us % 3}"), us * 1_000)
        sender.record("failed", ("GET", "/"), number)
        sender.seal(number)
        deliver(ledger, "w1", sender)
    return ledger, sender


# Facts


def test_the_record_comes_back_as_it_was_saved(store: SqliteStore, path: Path) -> None:
    store.save_run(state="stopping", listen="0.0.0.0:6000")
    store.close()
    store = SqliteStore.open(path)

    assert store.record == replace(RECORD, state="stopping", listen="0.0.0.0:6000")
    assert [store.raise_epoch(), store.raise_epoch()] == [1, 2]
    store.close()


def test_members_come_back_in_the_order_of_joining(store: SqliteStore) -> None:
    store.save_members(reversed(MEMBERS))
    store.save_members([MemberRecord(bytes([1] * 16), "w1", 0, 4, [[0, 0, 1, 10]], "final")])

    assert store.members() == [MemberRecord(bytes([1] * 16), "w1", 0, 4, [[0, 0, 1, 10]], "final"), MEMBERS[1]]


def test_blobs_are_kept_by_name(store: SqliteStore) -> None:
    store.save_blob("bundle", b"\0" * 100_000)
    store.save_blob("bundle", b"\1" * 100_000)

    assert store.blob("bundle") == b"\1" * 100_000
    assert store.blob("rows") is None


def test_only_runs_that_others_can_go_on_with_wait_for_the_disk(tmp_path: Path) -> None:
    for listen, synchronous in (("", 1), ("10.0.0.1:5557", 2)):  # NORMAL, FULL
        store = SqliteStore.create(tmp_path / f"{synchronous}.db", RunRecord("r", listen=listen))
        assert store._db.execute("PRAGMA synchronous").fetchone() == (synchronous,)
        store.close()


# Who may write


def test_a_run_has_one_writer(store: SqliteStore, path: Path) -> None:
    with pytest.raises(RunFileError, match=f"in use by process {os.getpid()}") as refused:
        SqliteStore.open(path)

    assert refused.value.code == "LG614"
    reader = SqliteStore.open(path, read_only=True)
    assert reader.record == RECORD
    reader.close()


def test_the_next_writer_may_come_after_the_first(store: SqliteStore, path: Path) -> None:
    store.close()
    store.close()
    second = SqliteStore.open(path)
    second.close()

    assert [file.name for file in path.parent.iterdir()] == [path.name]  # one file, nothing beside it


def test_a_run_file_is_never_written_over(store: SqliteStore, path: Path) -> None:
    with pytest.raises(RunFileError, match="exists already") as refused:
        SqliteStore.create(path, RECORD)

    assert refused.value.code == "LG615"


KILLED = """
import os, signal, sys
from pathlib import Path
from loadgen.master.store_sqlite import SqliteStore
from tests.store.test_run_file import RECORD, measured
store = SqliteStore.create(Path(sys.argv[1]), RECORD)
ledger, sender = measured(store)
ledger.commit(store)
sender.record("ok", ("GET", "/later"), 5)
sender.seal(1)
ledger.apply("w1", 4, sender.bodies[3])
store._db.execute("BEGIN IMMEDIATE")  # in the middle of the next commit
store._db.execute("UPDATE ledger SET commits = 99")
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_process_loses_nothing_that_was_committed(path: Path, tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, str(path)], timeout=60, check=False)
    assert done.returncode == -signal.SIGKILL
    expected = SqliteStore.create(tmp_path / "other.db", RECORD)
    ledger, _ = measured(expected)

    reader = SqliteStore.open(path, read_only=True)
    assert what_it_shows(reader.ledger(), ("w1",)) == what_it_shows(ledger, ("w1",))
    reader.close()
    resumed = SqliteStore.open(path)  # the lock of the dead does not count
    assert what_it_shows(resumed.ledger(), ("w1",)) == what_it_shows(ledger, ("w1",))
    resumed.close()
    expected.close()


def test_a_commit_of_another_ledger_is_refused(store: SqliteStore) -> None:
    ledger, _ = measured(store)
    ledger.commit(store)
    stranger = Ledger()
    stranger.join("w1")

    with pytest.raises(ValueError, match="another ledger"):
        stranger.commit(store)


# What goes wrong


def fill_the_disk(store: SqliteStore) -> None:
    [pages] = store._db.execute("PRAGMA page_count").fetchone()
    store._db.execute(f"PRAGMA max_page_count = {pages}")


def test_a_full_disk_acknowledges_nothing_and_loses_nothing(store: SqliteStore) -> None:
    ledger, sender = measured(store, deltas=60)
    fill_the_disk(store)
    with pytest.raises(StoreFull, match="is full"):
        ledger.commit(store)
    with pytest.raises(StoreFull):
        store.save_blob("bundle", bytes(1 << 20))
    assert store.ledger().view(detailed=True).totals.requests == 0
    sender.record("ok", ("GET", "/late"), 7)
    sender.seal(5)
    deliver(ledger, "w1", sender)
    store._db.execute("PRAGMA max_page_count = 1000000")

    assert ledger.commit(store) == {"w1": 61}
    assert what_it_shows(store.ledger(), ("w1",)) == what_it_shows(ledger, ("w1",))


def test_another_program_that_writes_makes_a_commit_wait_for_later(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _ = measured(store)
    store._db.execute("PRAGMA busy_timeout = 0")
    meddler = sqlite3.connect(path, isolation_level=None)
    meddler.execute("BEGIN IMMEDIATE")
    with pytest.raises(StoreError, match="locked") as refused:
        ledger.commit(store)
    meddler.close()

    assert refused.value.code == "LG616"
    assert ledger.commit(store) == {"w1": 3}


def test_a_number_no_database_can_hold_does_not_stop_the_run(store: SqliteStore) -> None:
    ledger, _ = measured(store)
    ledger._notes.checks.add("huge", 1 << 70, 1)
    ledger._sessions["w1"].throttled_us = 1 << 70
    ledger.commit(store)
    restored = store.ledger()

    assert restored.view(detailed=False).checks[0].passed == (1 << 63) - 1
    assert restored.report("w1").throttled_us == (1 << 63) - 1


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "there is no run file"),
        (b"", "is empty"),
        (b"users,passwords\n" * 100, "is not a run file"),
    ],
)
def test_a_file_that_is_no_run_is_refused(tmp_path: Path, content: bytes | None, message: str) -> None:
    path = tmp_path / "x.db"
    if content is not None:
        path.write_bytes(content)
    for read_only in (True, False):
        with pytest.raises(RunFileError, match=message) as refused:
            SqliteStore.open(path, read_only=read_only)
        assert refused.value.code == "LG611"

    assert len(list(tmp_path.iterdir())) == (content is not None)  # no lock is left beside it


def test_a_database_of_another_program_is_refused(tmp_path: Path) -> None:
    db = sqlite3.connect(tmp_path / "x.db")
    db.execute("CREATE TABLE users (name)")
    db.close()

    with pytest.raises(RunFileError, match="not a run file of loadgen"):
        SqliteStore.open(tmp_path / "x.db")


def test_a_file_of_a_newer_version_is_refused(store: SqliteStore, path: Path) -> None:
    store._db.execute("UPDATE meta SET value = 99 WHERE key = 'schema_version'")
    store.close()

    with pytest.raises(RunFileError, match=r"newer loadgen \(schema 99; this one knows 1\)") as refused:
        SqliteStore.open(path)
    assert refused.value.code == "LG613"


DAMAGE = {
    "a latency": "UPDATE seconds SET sum_us = sum_us + 1 WHERE id = 1",
    "a bucket": "UPDATE seconds SET indexes = x'0100' WHERE id = 1",
    "an error": "UPDATE errors SET count = count + 1",
    "a worker": "UPDATE workers SET last_seq = 2",
    "a name": "UPDATE names SET name = 'other' WHERE number = 1",
    "the ledger": "UPDATE ledger SET commits = 7",
}


@pytest.mark.parametrize("statement", DAMAGE.values(), ids=DAMAGE)
def test_a_changed_number_never_looks_like_a_right_one(store: SqliteStore, path: Path, statement: str) -> None:
    ledger, _ = measured(store)
    ledger.commit(store)
    store._db.execute(statement)
    reader = SqliteStore.open(path, read_only=True)

    with pytest.raises(RunFileError, match=r"damaged.*checksum") as refused:
        reader.ledger()
    reader.close()
    assert refused.value.code == "LG612"


def test_pages_of_garbage_are_damage(store: SqliteStore, path: Path) -> None:
    ledger, _ = measured(store, deltas=30)
    ledger.commit(store)
    store.close()
    data = bytearray(path.read_bytes())
    data[store_file.PAGE_BYTES :] = os.urandom(len(data) - store_file.PAGE_BYTES)
    path.write_bytes(data)

    with pytest.raises(RunFileError, match="damaged"):
        SqliteStore.open(path)


# Migrations


def test_an_older_file_is_migrated_when_it_is_opened(
    store: SqliteStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger, _ = measured(store)
    ledger.commit(store)
    store.close()
    newer = (*MIGRATIONS, "CREATE TABLE verdicts (level TEXT);\nINSERT INTO verdicts VALUES ('valid;\nor not');\n")
    for module in (store_file, store_sqlite):
        monkeypatch.setattr(module, "MIGRATIONS", newer)
    monkeypatch.setattr(store_file, "migrate", lambda db: migrate(db, newer))
    reader = SqliteStore.open(path, read_only=True)

    assert version_of(reader._db) == 2
    assert reader._db.execute("SELECT level FROM verdicts").fetchall() == [("valid;\nor not",)]
    assert what_it_shows(reader.ledger(), ("w1",)) == what_it_shows(ledger, ("w1",))
    reader.close()


def test_a_migration_that_fails_leaves_the_file_as_it_was(store: SqliteStore) -> None:
    with pytest.raises(sqlite3.OperationalError):
        migrate(store._db, (*MIGRATIONS, "CREATE TABLE verdicts (level TEXT);\nCREATE TABLE run (again);\n"))

    assert version_of(store._db) == 1
    assert not store._db.execute("SELECT * FROM sqlite_master WHERE name = 'verdicts'").fetchall()
    assert store.record == RECORD


IN_A_NATIVE_THREAD = """
from gevent import monkey
monkey.patch_all()
import sys
from pathlib import Path
import gevent
from loadgen.master.store_sqlite import SqliteStore
from tests.store.test_run_file import RECORD, measured
store = SqliteStore.create(Path(sys.argv[1]), RECORD)
ledger, _ = measured(store)
done = []
def work():
    try:
        done.append(ledger.commit(store))
        store.save_run(state="finished")
    except BaseException as exc:
        done.append(exc)
    done.append(None)
monkey.get_original("_thread", "start_new_thread")(work, ())
while len(done) < 2:
    gevent.sleep(0.01)
print(done, store.record.state)
store.close()
"""


def test_the_native_thread_of_a_patched_process_may_commit(path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_A_NATIVE_THREAD, str(path)], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.stdout, done.stderr) == ("[{'w1': 3}, None] finished\n", "")
