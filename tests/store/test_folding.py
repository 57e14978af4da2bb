"""Each commit saves a few sessions whole; the journal holds the others, and no longer than it takes to come round."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadgen.master.folding import Folding

WORKERS = [f"w{number}" for number in range(30)]


def test_a_small_cluster_has_no_journal() -> None:
    folding = Folding(per_commit=5)
    for number in range(1, 20):
        whole, journaled = folding.choose(WORKERS[:5])

        assert (whole, journaled) == (WORKERS[:5], [])
        assert folding.journal_from(number, whole) == number
        folding.settle(number, whole, journaled)


@given(st.lists(st.sets(st.sampled_from(WORKERS)), max_size=60), st.integers(1, 10))
def test_everybody_is_saved_whole_in_turn(commits: list[set[str]], per_commit: int) -> None:
    folding = Folding(per_commit)
    journal: dict[str, list[int]] = {worker: [] for worker in WORKERS}  # since it was last saved whole
    for number, changed in enumerate(commits, start=1):
        whole, journaled = folding.choose(sorted(changed))
        assert len(whole) <= per_commit
        assert set(whole) | set(journaled) >= changed
        assert not set(whole) & set(journaled)
        for worker in whole:
            journal[worker].clear()
        for worker in journaled:
            journal[worker].append(number)
        needed = min([entries[0] for entries in journal.values() if entries], default=number)
        assert min(needed, number) == folding.journal_from(number, whole)
        folding.settle(number, whole, journaled)
        assert number - needed <= len(WORKERS) // per_commit + 1
