"""The law of every store: a ledger restored from it is the ledger that saw the committed deltas, and no other."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadgen.master.folding import Folding
from loadgen.master.ledger import Applied, Ledger
from loadgen.master.store import MemoryStore, ReplayStore, Store
from loadgen.master.store_records import RunRecord
from loadgen.master.store_sqlite import SqliteStore
from tests.store.histories import WORKERS, Operation, Sender, deliver, histories, second, what_it_shows


class Crashing:
    """A master that dies now and then, beside one that never does but sees only what was committed."""

    def __init__(self, whole_sessions_per_commit: int) -> None:
        self.per_commit = whole_sessions_per_commit
        self.senders = {worker: Sender() for worker in WORKERS}
        self.ledger = self.joined()
        self.reference = self.joined()
        self.uncommitted: list[tuple[str, int]] = []

    def joined(self) -> Ledger:
        ledger = Ledger(self.per_commit)
        for worker in WORKERS:
            ledger.join(worker)
        return ledger

    def act(self, operation: Operation) -> None:
        """Anything but commit and crash."""
        kind, worker, key, number = operation
        sender = self.senders[worker]
        if kind == "deliver":
            self.deliver(worker)
        elif kind == "second":
            second(sender, key, number)
            self.deliver(worker)
        elif kind in ("seal", "late seal"):
            sender.seal(number, seconds=1 if kind == "seal" else 1 + number % 90)
        else:
            sender.record(kind, key, number)

    def deliver(self, worker: str) -> bool:
        delivered = deliver(self.ledger, worker, self.senders[worker])
        if delivered:
            self.uncommitted.append((worker, self.ledger.report(worker).last_seq))
        return delivered

    def commit(self, store: Store) -> None:
        acknowledged = self.ledger.commit(store)
        for worker, seq in self.uncommitted:
            assert self.reference.apply(worker, seq, self.senders[worker].bodies[seq - 1]) is Applied.APPLIED
            assert acknowledged[worker] >= seq
        self.uncommitted.clear()

    def check(self, restored: Ledger) -> None:
        """The restored ledger is the reference; it goes on in place of the one that died."""
        for worker in WORKERS:
            restored.join(worker)
        assert what_it_shows(restored) == what_it_shows(self.reference)
        self.ledger = restored
        self.uncommitted.clear()

    def finish(self, store: Store) -> None:
        """Nobody fails any more: all of it arrives, and every name is used once more."""
        for worker, sender in self.senders.items():
            for series in sender.recorder.all_series:
                sender.record("ok", (series.method, series.name), 1)
            sender.seal(1, final=True)
            while self.deliver(worker):
                pass
        self.commit(store)
        assert what_it_shows(self.ledger) == what_it_shows(self.reference)


@settings(max_examples=150)
@given(histories, st.integers(0, 4))
def test_a_ledger_replayed_from_memory_is_the_one_that_died(history: list[Operation], per_commit: int) -> None:
    run, store = Crashing(per_commit), ReplayStore()
    for operation in history:
        if operation[0] == "commit":
            run.commit(store)
        elif operation[0] == "crash":
            run.check(Ledger.restore(store.load(), per_commit))
        else:
            run.act(operation)
    run.finish(store)
    run.check(Ledger.restore(store.load(), per_commit))


@settings(max_examples=100)
@given(histories, st.integers(0, 4))
def test_a_ledger_from_a_run_file_is_the_one_that_died(history: list[Operation], per_commit: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "run.db"
        run, store = Crashing(per_commit), SqliteStore.create(path, RunRecord("r1"))
        try:
            for operation in history:
                if operation[0] == "commit":
                    run.commit(store)
                elif operation[0] == "crash":
                    store = crashed(store)
                    run.check(store.ledger())
                    run.ledger._folding = Folding(per_commit)
                else:
                    run.act(operation)
            run.finish(store)
            reader = SqliteStore.open(path, read_only=True)
            with_journal = what_it_shows(reader.ledger())
            reader.close()
            store.close()
            store = SqliteStore.open(path)
            assert what_it_shows(store.ledger()) == with_journal
            run.check(store.ledger())
        finally:
            store.close()


def crashed(store: SqliteStore) -> SqliteStore:
    """The file as a process that was killed leaves it, opened by the next one."""
    store._db.close()
    assert store._lock is not None
    store._lock.release()
    return SqliteStore.open(store.path)


def test_the_next_delta_is_accepted_and_an_old_one_is_not() -> None:
    run, store = Crashing(0), ReplayStore()
    sender = run.senders["w1"]
    for number in range(3):
        sender.record("ok", ("GET", "/"), number)
        sender.seal(number)
    deliver(run.ledger, "w1", sender)
    deliver(run.ledger, "w1", sender)
    run.ledger.commit(store)
    restored = Ledger.restore(store.load())

    assert restored.apply("w1", 2, sender.bodies[1]) is Applied.DUPLICATE
    assert restored.apply("w1", 3, sender.bodies[2]) is Applied.APPLIED
    assert restored.view(detailed=True).warnings == ()  # and it adds up with what was committed before


class Refusing(MemoryStore):
    """Refuses every commit."""

    def commit(self, batch: object) -> None:
        raise OSError("disk full")


def test_what_a_store_refused_comes_again_with_the_rest() -> None:
    run, store = Crashing(1), ReplayStore()
    for worker, sender in run.senders.items():
        for number in range(4):
            sender.record("failed", ("GET", "/"), number)
            sender.record("note", ("GET", "/"), number)
            sender.seal(number)
            deliver(run.ledger, worker, sender)
            with pytest.raises(OSError, match="disk full"):
                run.ledger.commit(Refusing())

    assert run.ledger.commit(store) == dict.fromkeys(WORKERS, 4)
    assert what_it_shows(Ledger.restore(store.load())) == what_it_shows(run.ledger)
