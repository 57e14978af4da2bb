from hypothesis import given
from hypothesis import strategies as st

from loadgen.master.assign import assign
from loadgen.master.reassign import Holdings, adopt, level, orphans
from loadgen.plan import ClassCount, UserPlan, to_shares, users_of

plans = st.lists(st.integers(0, 30), min_size=1, max_size=4).map(
    lambda counts: UserPlan(tuple(ClassCount(f"C{i}", n) for i, n in enumerate(counts)), 10.0)
)
keys = st.sets(st.tuples(st.integers(0, 3), st.integers(0, 60)), max_size=60)


def first(plan: UserPlan, workers: int) -> Holdings:
    shares = assign(plan, [f"w{i + 1}" for i in range(workers)])
    return {worker: users_of(its) for worker, its in shares.items()}


def spread(held: dict[str, set[tuple[int, int]]]) -> int:
    sizes = [len(users) for users in held.values()]
    return max(sizes) - min(sizes)


@given(plans, st.integers(2, 6), st.data())
def test_users_of_the_lost_go_to_the_others_and_nobody_else_moves(
    plan: UserPlan, workers: int, data: st.DataObject
) -> None:
    held = first(plan, workers)
    lost = data.draw(st.sets(st.sampled_from(sorted(held)), min_size=1, max_size=workers - 1))
    left = {worker: users for worker, users in held.items() if worker not in lost}

    after = adopt(left, orphans(plan, left))

    assert orphans(plan, after) == []
    assert sum(len(users) for users in after.values()) == plan.users
    assert all(left[worker] <= after[worker] for worker in left)
    assert spread(after) <= 1


@given(plans, st.integers(1, 5), st.integers(1, 3))
def test_workers_that_come_late_end_up_with_an_even_share(plan: UserPlan, workers: int, late: int) -> None:
    before = first(plan, workers)
    held = {**before, **{f"x{i}": set[tuple[int, int]]() for i in range(late)}}

    released = level(held)
    after = adopt(released, orphans(plan, released))

    assert all(released[worker] <= held[worker] for worker in held)
    assert orphans(plan, after) == []
    assert sum(len(users) for users in after.values()) == plan.users
    assert spread(after) <= 1


@given(keys)
def test_progressions_hold_exactly_the_users_they_were_made_of(users: set[tuple[int, int]]) -> None:
    assert users_of(to_shares(users)) == users


def test_an_assignment_stays_a_handful_of_progressions() -> None:
    plan = UserPlan((ClassCount("A", 1_000), ClassCount("B", 501)), 10.0)
    held = first(plan, 3)
    left = {worker: held[worker] for worker in ("w1", "w2")}

    after = adopt(left, orphans(plan, left))

    assert {worker: len(to_shares(users)) for worker, users in held.items()} == {"w1": 2, "w2": 2, "w3": 2}
    assert sum(len(users) for users in after.values()) == 1_501
