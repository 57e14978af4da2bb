"""The simulated cluster under everything that can go wrong. `make soak` looks at many more seeds."""

import os

import pytest

from tests.core.nemesis import run_seed

SEEDS = int(os.environ.get("LOADGEN_TEST_SEEDS", "120"))


@pytest.mark.parametrize("block", range(4))
def test_no_law_is_broken_whatever_happens(block: int) -> None:
    """A failing seed is in the message; `python -m tests.core.nemesis --seeds 1 --first SEED` replays it."""
    for seed in range(block * SEEDS // 4, (block + 1) * SEEDS // 4):
        try:
            simulation = run_seed(seed)
        except AssertionError as exc:
            raise AssertionError(f"seed {seed}: {exc}") from exc
        assert simulation.recorded > 0
