from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from loadgen.master.assign import assign
from loadgen.plan import ClassCount, ClassDemand, Share, UserPlan, schedule, share_out

counts = st.lists(st.tuples(st.integers(0, 40), st.booleans()), min_size=1, max_size=5)


def plan_of(rows: list[tuple[int, bool]], rate: float = 10.0) -> UserPlan:
    return UserPlan(tuple(ClassCount(f"C{i}", n, fixed) for i, (n, fixed) in enumerate(rows)), rate)


def everyone(plan: UserPlan) -> list[Share]:
    return [Share(i, 0, 1, item.count) for i, item in enumerate(plan.classes)]


@given(counts)
def test_the_order_of_starts_is_a_permutation_of_all_users(rows: list[tuple[int, bool]]) -> None:
    plan = plan_of(rows)

    indexes = [plan.start_index(c, j) for c, item in enumerate(plan.classes) for j in range(item.count)]

    assert sorted(indexes) == list(range(plan.users))


@given(counts)
def test_fixed_users_start_before_weighted_ones(rows: list[tuple[int, bool]]) -> None:
    plan = plan_of(rows)

    order = [plan.classes[c].fixed for _, c, _ in schedule(plan, everyone(plan))]

    assert order == sorted(order, reverse=True)


@given(st.lists(st.integers(1, 40), min_size=1, max_size=4))
def test_the_mix_of_classes_stays_even_during_the_ramp(sizes: list[int]) -> None:
    plan = plan_of([(n, False) for n in sizes])
    seen: Counter[int] = Counter()

    for started, (_, class_index, _) in enumerate(schedule(plan, everyone(plan)), start=1):
        seen[class_index] += 1
        for index, item in enumerate(plan.classes):
            assert abs(seen[index] - started * item.count / plan.users) <= len(sizes)


@given(counts, st.integers(1, 7))
def test_every_user_is_assigned_exactly_once_and_evenly(rows: list[tuple[int, bool]], workers: int) -> None:
    plan = plan_of(rows)
    shares = assign(plan, [f"w{i}" for i in range(workers)])

    users = [(s.class_index, j) for share in shares.values() for s in share for j in s.ordinals()]
    totals = [sum(s.count for s in share) for share in shares.values()]

    assert sorted(users) == [(c, j) for c, item in enumerate(plan.classes) for j in range(item.count)]
    assert max(totals) - min(totals) <= 1
    for c in range(len(plan.classes)):
        per_class = [sum(s.count for s in share if s.class_index == c) for share in shares.values()]
        assert max(per_class) - min(per_class) <= 1


@given(st.integers(0, 500), st.lists(st.tuples(st.floats(0.1, 50), st.integers(0, 9)), min_size=1, max_size=6))
def test_counts_add_up_to_the_users(users: int, rows: list[tuple[float, int]]) -> None:
    demands = [ClassDemand(f"C{i}", weight, fixed) for i, (weight, fixed) in enumerate(rows)]
    fixed_total = sum(d.fixed_count for d in demands)
    only_fixed = all(d.fixed_count for d in demands)

    total = sum(item.count for item in share_out(users, demands))

    assert total == (min(users, fixed_total) if only_fixed else users)


def test_weights_share_by_largest_remainder() -> None:
    shared = share_out(10, [ClassDemand("A", 3), ClassDemand("B", 1), ClassDemand("C", 1, fixed_count=2)])

    assert [(item.name, item.count) for item in shared] == [("A", 6), ("B", 2), ("C", 2)]


def test_users_due_follows_the_spawn_rate() -> None:
    plan = plan_of([(5, False)], rate=2.0)

    assert [plan.users_due(t) for t in (-1, 0, 0.4, 0.5, 2.0, 9.0)] == [0, 1, 1, 2, 5, 5]
    assert plan.ramp_s == 2.0
    assert UserPlan.from_wire(plan.to_wire()) == plan
