"""docs/run-file.md: its queries run, and it names what there is."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from loadgen.master.store_sqlite import SqliteStore
from loadgen.metrics.histogram import Histogram
from tests.store.histories import Sender, deliver
from tests.store.test_run_file import RECORD

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "run-file.md").read_text(encoding="utf-8")
PER_SECOND, SLOWEST = re.findall(r"```sql\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    """Three seconds of one worker: 1, 2, 3 requests to /fast, one failure in each, two slow ones at the end."""
    store = SqliteStore.create(tmp_path / "run.db", RECORD)
    ledger, sender = store.ledger(), Sender()
    ledger.join("w1")
    for number in range(3):
        for _ in range(number + 1):
            sender.record("ok", ("GET", "/fast"), 1_000)
        sender.record("failed", ("GET", "/fast"), 9)
        if number == 2:
            sender.record("ok", ("POST", "/slow"), 10_000)
            sender.record("waited", ("POST", "/slow"), 20_000)
        sender.seal(number, final=number == 2)
        deliver(ledger, "w1", sender)
        ledger.commit(store)
    yield store
    store.close()


def test_requests_and_failures_per_second(store: SqliteStore) -> None:
    assert store._db.execute(PER_SECOND).fetchall() == [(0, 2, 1), (1, 3, 1), (2, 6, 1)]


def test_the_slowest_endpoints(store: SqliteStore) -> None:
    assert store._db.execute(SLOWEST).fetchall() == [("POST", "/slow", 2, 15.0, 20.0), ("GET", "/fast", 6, 1.0, 1.0)]


def test_a_histogram_is_read_as_described(store: SqliteStore) -> None:
    indexes, counts, low, high = store._db.execute(
        "SELECT indexes, counts, min_us, max_us FROM latencies WHERE kind = 'ok_waited_response'"
    ).fetchone()

    assert Histogram.from_blobs(indexes, counts).percentile(0.99, low, high) == 50_000


def test_a_worker_has_its_state_in_columns(store: SqliteStore) -> None:
    [row] = store._db.execute("SELECT worker, last_seq, end_ms, final, requests FROM workers").fetchall()

    assert row == ("w1", 3, 3_000, 1, 11)
    assert store._db.execute("SELECT count(*) FROM journal").fetchone() == (0,)


def test_every_table_and_column_is_described(store: SqliteStore) -> None:
    described = dict(re.findall(r"^\| `(\w+)` (?:\(view\) )?\| ([^|]+) \|", PAGE, re.MULTILINE))
    tables = store._db.execute("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    for (table,) in tables.fetchall():
        columns = [row[1] for row in store._db.execute(f"PRAGMA table_info({table})")]
        named = [column for column in columns if column not in ("id", "crc")]
        assert described[table].split(", ") == named, table


@pytest.mark.parametrize("code", ["LG611", "LG612", "LG613", "LG614", "LG615", "LG616", "LG621", "LG622"])
def test_every_code_is_described(code: str) -> None:
    assert code in PAGE
