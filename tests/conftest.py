"""Fixtures every area may use."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.target import Target, target

# A law is a law on a slow machine too: no deadlines. `make soak` looks at many more examples.
settings.register_profile("default", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("soak", parent=settings.get_profile("default"), max_examples=5_000)
settings.load_profile("default")


@pytest.fixture(scope="session")
def shared_target() -> Iterator[Target]:
    """One counting server for all tests that need no empty books at their start."""
    with target() as running:
        yield running


@pytest.fixture
def counting_target(shared_target: Target) -> Target:
    """A counting server whose books are empty."""
    shared_target.reset()
    return shared_target
