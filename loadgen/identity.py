"""Who a virtual user is, and the randomness that follows from it.

The same seed and identity give the same choices on any number of workers. A `random.Random` costs
2.9 KB per user [measured], so choosing tasks and waits uses a 64-bit linear congruential generator
whose whole state is one int on the user; only the high bits of it are used. `user.rng` is a real
`random.Random`, made when it is first touched.

Source of the multiplier: D. Knuth, MMIX.
"""

from __future__ import annotations

from hashlib import blake2b
from typing import NamedTuple

MASK = (1 << 64) - 1
MULTIPLIER = 6364136223846793005
INCREMENT = 1442695040888963407
CHOICE_BITS = 32  # how many of the highest bits choose a task
CHOICE_SHIFT = 64 - CHOICE_BITS


class UserIdentity(NamedTuple):
    """The `ordinal`-th user of its class in the whole run; `incarnation` counts its restarts."""

    class_name: str
    ordinal: int
    incarnation: int = 0


def state_for(seed: int, identity: UserIdentity, purpose: str = "choices") -> int:
    """A state in 1 … 2**64-1, the same for the same arguments on every machine and Python."""
    text = f"{purpose}\0{seed}\0{identity.class_name}\0{identity.ordinal}\0{identity.incarnation}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "big") or 1


def following(state: int) -> int:
    """The state after `state`."""
    return (state * MULTIPLIER + INCREMENT) & MASK


def fraction(state: int) -> float:
    """A float in [0, 1) from the 53 highest bits of `state`."""
    return (state >> 11) * 2.0**-53


def cut_points(weights: list[float]) -> list[int]:
    """Where [0, 2**32) is cut so that part i has the share weights[i] / sum(weights).

    One cut fewer than weights: `bisect_right(cuts, draw)` is the index of the part. Parts of
    weight 0 are empty. Raises ValueError when no weight is positive.
    """
    total = sum(weights)
    if not total > 0:
        raise ValueError("no weight is positive")
    size = 1 << CHOICE_BITS
    cuts: list[int] = []
    reached = 0.0
    for weight in weights[:-1]:
        reached += weight
        cuts.append(round(size * (reached / total)))
    return cuts
