"""Run by test_full_disk on a disk of its own: commits go on after a full disk has been freed, and nothing is wrong.

python -m tests.store.full_disk FOLDER
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from loadgen.errors import StoreFull
from loadgen.master.store_records import RunRecord
from loadgen.master.store_sqlite import SqliteStore
from tests.store.histories import Sender, deliver, what_it_shows

DELTAS = 120
REFUSALS = 20  # then the disk is freed


def main(folder: Path) -> None:
    store = SqliteStore.create(folder / "run.db", RunRecord("r", listen="127.0.0.1:5557"))
    filler = os.open(folder / "filler", os.O_CREAT | os.O_WRONLY)
    fill(filler)
    ledger, sender = store.ledger(), Sender()
    ledger.join("w1")
    committed = refused = 0
    for number in range(DELTAS):
        for us in range(50):
            sender.record("ok", ("GET", "/"), us * (number + 1) * 97)
        sender.seal(number)
        deliver(ledger, "w1", sender)
        try:
            assert ledger.commit(store) == {"w1": number + 1}
            committed += 1
        except StoreFull:
            refused += 1
            if refused == REFUSALS:
                os.ftruncate(filler, 0)
    assert refused == REFUSALS, (committed, refused)
    assert what_it_shows(store.ledger(), ("w1",)) == what_it_shows(ledger, ("w1",))
    store.close()
    print(f"{committed} commits, {refused} refused")


def fill(descriptor: int) -> None:
    try:
        while True:
            os.write(descriptor, bytes(4096))
    except OSError:
        pass


if __name__ == "__main__":
    main(Path(sys.argv[1]))
