"""Add to a run what its workers could not deliver, by the rules under which deltas are taken live."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from loadgen.errors import Malformed
from loadgen.master.ledger import Applied, Ledger
from loadgen.master.members import MemberState
from loadgen.master.store_records import MemberRecord
from loadgen.master.store_sqlite import SqliteStore
from loadgen.unacked import Unacked, read


@dataclass(frozen=True, slots=True)
class ImportedFile:
    """What became of the deltas of one file. Those that are neither added nor repeated are not counted anywhere."""

    path: Path
    worker: str = ""  # "w3"; "" if the run does not know it
    deltas: int = 0  # in the file
    added: int = 0
    repeated: int = 0  # the run had them already
    problems: tuple[str, ...] = ()  # why there is no more
    final: bool = False  # nothing of this worker is missing any more


@dataclass(frozen=True, slots=True)
class ImportReport:
    """The whole import, and the number of requests of the run before and after it."""

    files: tuple[ImportedFile, ...]
    requests_before: int
    requests_after: int


def import_unacked(run: Path, files: Sequence[Path]) -> ImportReport:
    """Add the files to a run that has ended, all in one commit. Adding a file again changes nothing.

    Raises RunFileError, having changed nothing, if the run or one of the files cannot be read or the
    run is going on; StoreError if the run cannot be written.
    """
    contents = [read(path) for path in files]
    store = SqliteStore.open(run)
    try:
        ledger = store.ledger()
        members = {member.uid: member for member in store.members()}
        before = ledger.view(detailed=False).totals.requests
        imported = [
            _add(ledger, members.get(content.uid), path, content) for path, content in zip(files, contents, strict=True)
        ]
        ledger.commit(store)
        complete = {file.worker for file in imported if file.final}
        store.save_members(
            replace(member, state=MemberState.FINAL.value) for member in members.values() if member.worker in complete
        )
        return ImportReport(tuple(imported), before, ledger.view(detailed=False).totals.requests)
    finally:
        store.close()


def _add(ledger: Ledger, member: MemberRecord | None, path: Path, content: Unacked) -> ImportedFile:
    if member is None:
        stranger = f"worker {content.uid.hex()} never took part in this run"
        return ImportedFile(path, deltas=len(content.deltas), problems=(stranger,))
    ledger.join(member.worker)
    added = repeated = 0
    problems = [content.torn] if content.torn else []
    for seq, body in content.deltas:
        try:
            applied = ledger.apply(member.worker, seq, body)
        except Malformed as exc:
            problems.insert(0, f"delta {seq} is none: {exc}")
            break
        if applied is Applied.GAP:
            last = ledger.report(member.worker).last_seq
            problems.insert(0, f"delta {last + 1} is missing, so those from {seq} on cannot be added")
            break
        added += applied is Applied.APPLIED
        repeated += applied is Applied.DUPLICATE
    final = ledger.report(member.worker).final
    return ImportedFile(path, member.worker, len(content.deltas), added, repeated, tuple(problems), final)
