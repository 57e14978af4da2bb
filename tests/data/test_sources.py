"""Who gets which row by which strategy, and what a scenario may declare where."""

from __future__ import annotations

import gc
import textwrap
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import loadgen
from loadgen import StopUser, TaskSet, data
from loadgen.data_source import current
from loadgen.errors import ScenarioError
from loadgen.importing import forget
from loadgen.scenario import load_scenario
from tests.scenario_api.helpers import make_environment

from .users import make_user, take, worker_environment

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a file of the scenario's folder; what was imported from there is forgotten in the end."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(text: str, name: str = "loadtest.py") -> Path:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(textwrap.dedent(text))
        return path

    yield write
    for path in tmp_path.glob("*.py"):
        forget(path)


USERS = "name,city\nada,London\ngrace,New York\n"
SCENARIO = """
from loadgen import User, data, task

users = data.csv("users.csv", strategy="unique", on_end="wait")

class Member(User):
    @task
    def look(self):
        self.row = users.next(self)
"""


# -- strategies


@given(st.integers(0, 1 << 32), st.integers(0, 50), st.integers(1, 1_000), st.integers(1, 5))
def test_random_rows_follow_from_the_seed_and_the_user_on_any_number_of_workers(
    seed: int, ordinal: int, rows: int, workers: int
) -> None:
    source = data.rows(range(rows), strategy="random")
    alone = take(source, make_user(worker_environment(0, 1, seed=seed), ordinal), 20)
    environment = worker_environment(workers - 1, workers, seed=seed)
    take(source, make_user(environment, ordinal + 1), 3)  # another user of the same worker

    assert take(source, make_user(environment, ordinal), 20) == alone
    assert all(0 <= row < rows for row in alone)


def test_random_rows_are_each_about_as_likely() -> None:
    source = data.rows(range(10))
    counts = Counter(take(source, make_user(), 20_000))

    assert set(counts) == set(range(10))
    assert all(1_800 < count < 2_200 for count in counts.values())  # 4.7 standard deviations; the seed is fixed


@given(st.integers(1, 60), st.integers(1, 8))
def test_circular_rows_come_in_order_each_worker_from_its_own_offset(rows: int, workers: int) -> None:
    source = data.rows(range(rows), strategy="circular")
    taken = [take(source, make_user(worker_environment(worker, workers)), 2 * rows) for worker in range(workers)]

    for worker, mine in enumerate(taken):
        first = worker * rows // workers
        assert mine == [(first + step) % rows for step in range(2 * rows)]


@given(st.integers(1, 60), st.integers(1, 8))
def test_shards_are_a_partition_of_the_rows(rows: int, workers: int) -> None:
    source = data.rows(range(rows), strategy="shard")
    everything = []
    for worker in range(workers):
        user = make_user(worker_environment(worker, workers))
        mine = take(source, user, len(range(worker, rows, workers)))
        with pytest.raises(StopUser):
            source.next(user)
        assert mine == list(range(worker, rows, workers))
        everything += mine

    assert sorted(everything) == list(range(rows))


def test_a_shard_may_start_over_and_counts_how_often() -> None:
    source, environment = data.rows("abc", strategy="shard", on_end="recycle"), worker_environment(1, 2)

    assert take(source, make_user(environment), 3) == ["b", "b", "b"]
    assert environment.recorder.notes.counters == {"data.rows: times started over": 2}
    with pytest.raises(StopUser):
        data.rows("a", strategy="shard", on_end="recycle").next(make_user(environment))


def test_a_worker_that_came_too_late_has_no_shard() -> None:
    source = data.rows("abc", strategy="shard")

    with pytest.raises(ScenarioError, match="shared out to 2 workers") as caught:
        source.next(make_user(worker_environment(2, 2)))
    assert caught.value.code == "LG705"


def test_all_users_of_a_process_share_the_rows_and_each_run_begins_anew() -> None:
    source, environment = data.rows("abcd", strategy="circular"), make_environment()
    first, second = make_user(environment, 1), make_user(environment, 2)

    assert [source.next(first), source.next(second), source.next(first)] == ["a", "b", "c"]
    assert source.next(make_user()) == "a"


def test_rows_can_be_taken_in_a_task_set() -> None:
    class Visit(TaskSet):
        tasks = []

    assert data.rows([7]).next(Visit(make_user())) == 7


# -- declaring


def test_data_is_a_module_of_the_package() -> None:
    assert loadgen.data is data
    assert "data" in dir(loadgen)


def test_a_path_is_relative_to_the_file_it_is_written_in(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(SCENARIO)
    write(USERS, "users.csv")
    monkeypatch.chdir("/")
    users = load_scenario(path).module.users

    assert len(users) == 2
    assert repr(users) == "<data users.csv unique>"
    assert users.next(make_user()) == {"name": "ada", "city": "London"}


def test_the_files_of_a_scenario_are_known_each_once(write: Write) -> None:
    write(USERS, "users.csv")
    write("[1]", "items.json")
    write('from loadgen import data\nitems = data.json("items.json")', "shop.py")
    path = write(SCENARIO + 'import shop\nagain = data.csv("users.csv")\nmade = data.rows([1])')
    module = load_scenario(path).module
    names = {"loadtest", "shop"}

    assert data.declared_files(names) == (path.with_name("users.csv"), path.with_name("items.json"))
    assert data.declared_files({"shop"}) == (path.with_name("items.json"),)
    assert set(data.declared_files(names)) <= set(data.declared_files())
    assert [module.users.key, module.again.key, module.made.key, module.shop.items.key] == [
        "loadtest:users.csv#1",
        "loadtest:users.csv#2",
        "loadtest:data.rows#1",
        "shop:items.json#1",
    ]


def test_a_scenario_imported_anew_declares_anew(write: Write) -> None:
    write(USERS, "users.csv")
    write(USERS, "members.csv")
    first = load_scenario(write(SCENARIO))
    second = load_scenario(write(SCENARIO.replace("users.csv", "members.csv")))

    assert [path.name for path in data.declared_files({"loadtest"})] == ["members.csv"]
    assert first.module.users.is_current is False
    assert second.module.users.key == "loadtest:members.csv#1"
    forget(second.path)
    assert data.declared_files({"loadtest"}) == ()


def test_the_same_scenario_has_the_same_keys_however_often_it_is_imported(write: Write) -> None:
    write(USERS, "users.csv")
    path = write(SCENARIO)

    assert load_scenario(path).module.users.key == load_scenario(path).module.users.key


def test_a_source_nobody_has_is_forgotten() -> None:
    gc.collect()  # sources of other tests
    before = len(list(current()))
    for _ in range(3):
        data.rows([1])
    gc.collect()

    assert len(list(current())) == before


def test_declared_data_can_be_read_before_users_start(write: Write) -> None:
    write(USERS + "ragged\n", "users.csv")
    load_scenario(write(SCENARIO))

    with pytest.raises(ScenarioError, match=r"users.csv:4 cannot be used"):
        data.load_declared({"loadtest"})


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (
            'data.csv("user.csv")',
            "error[LG701]: there is no file user.csv (loadtest.py:3)\n  Did you mean  users.csv  ?",
        ),
        ('data.csv("bad.csv")', 'error[LG702]: bad.csv:1 cannot be used as test data: two columns are called "a"'),
        ("data.rows([])", "error[LG702]: data.rows(…) was given no rows (loadtest.py:3)"),
        ('data.csv("users.csv", "uniqe")', "error[LG703]: strategy='uniqe' is unknown (loadtest.py:3)\n  Did you mean"),
        (
            'data.csv("users.csv", "unique", "halt")',
            "error[LG703]: on_end='halt' is unknown (loadtest.py:3)\n  There are",
        ),
        ('data.csv("users.csv", on_end="wait")', 'error[LG703]: strategy="random" has no end, so on_end="wait" would'),
        ('data.csv("users.csv", delimiter="::")', "error[LG703]: delimiter='::' is not one character"),
    ],
)
def test_what_is_declared_wrongly_is_said_when_the_scenario_is_imported(write: Write, line: str, message: str) -> None:
    write(USERS, "users.csv")
    write("a,a\n1,2\n", "bad.csv")
    path = write(f"from loadgen import User, data, task\n\nsource = {line}\n")
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path)

    assert caught.value.render().startswith(message)


@pytest.mark.parametrize("where", ["on_start", "__init__"])
def test_a_user_may_not_declare_data(write: Write, where: str) -> None:
    write(USERS, "users.csv")
    method = {"on_start": "def on_start(self):", "__init__": "def __init__(self, env):\n        super().__init__(env)"}
    text = f"""
from loadgen import User, data, task

class Member(User):
    {method[where]}
        self.rows = data.csv("users.csv", strategy="unique")

    @task
    def look(self): ...
"""
    (member,) = load_scenario(write(text)).user_classes
    with pytest.raises(ScenarioError, match=r'data.csv\("users.csv"\) is called by a running user') as caught:
        member(make_environment()).on_start()

    assert caught.value.code == "LG704"
