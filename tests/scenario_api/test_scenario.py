"""Loading scenario files: what comes out of good ones, and what is said about bad ones."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from loadgen.errors import ScenarioError
from loadgen.hooks import events
from loadgen.nearness import distance, nearest
from loadgen.scenario import Scenario, load_scenario, task_tree
from loadgen.scenario_checks import SETTINGS

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes files into a folder that is the current one; takes back what loading did to the process."""
    monkeypatch.chdir(tmp_path)
    path, modules = list(sys.path), set(sys.modules)

    def write(source: str, name: str = "loadtest.py") -> Path:
        file = tmp_path / name
        file.parent.mkdir(exist_ok=True, parents=True)
        file.write_text(dedent(source).lstrip("\n"))
        return file

    yield write
    sys.path[:] = path
    for name in set(sys.modules) - modules:
        file = getattr(sys.modules[name], "__file__", None) or ""
        if file.startswith(str(tmp_path)):
            del sys.modules[name]


GOOD = """
    '''Buys things.

    Slowly.
    '''
    from loadgen import HttpUser, User, between, task

    thresholds = [
        "p95 < 300ms",
        "errors < 1%",
    ]

    class Base(HttpUser):
        abstract = True
        wait_time = between(1, 2)

    class Shopper(Base):
        @task(3)
        def browse(self): ...

        @task
        def buy(self): ...

    class Idle(User):
        weight = 0

        @task
        def nothing(self): ...

    class Admin(User):
        fixed_count = 1

        @task
        def look(self): ...
"""


def error_of(path: Path, *only: str) -> str:
    """The message as the user sees it."""
    with pytest.raises(ScenarioError) as caught:
        load_scenario(path, only)
    return caught.value.render()


def test_a_scenario_says_what_it_holds(write: Write) -> None:
    file = write(GOOD)
    scenario = load_scenario("loadtest.py")

    assert isinstance(scenario, Scenario)
    assert (scenario.path, scenario.name, scenario.module.__name__) == (file, "loadtest", "loadtest")
    assert scenario.doc == "Buys things.\n\nSlowly."
    assert [cls.__name__ for cls in scenario.user_classes] == ["Shopper", "Admin"]
    assert scenario.thresholds == (("p95 < 300ms", "loadtest.py:8"), ("errors < 1%", "loadtest.py:9"))
    assert len(scenario.sha256) == 64


def test_a_scenario_can_be_restricted_to_some_classes(write: Write) -> None:
    file = write(GOOD)

    assert [cls.__name__ for cls in load_scenario(file, ["Admin"]).user_classes] == ["Admin"]
    assert error_of(file, "Amdin") == 'error[LG112]: no user class Amdin in loadtest.py\n  Did you mean "Admin"?'


def test_the_tasks_of_a_class_can_be_listed_as_a_tree(write: Write) -> None:
    write(
        """
        from loadgen import TaskSet, User, tag, task

        class Cart(TaskSet):
            @tag("slow")
            @task
            def pay(self): ...

        class Shopper(User):
            tasks = {Cart: 1}

            @task(3)
            def browse(self): ...
        """
    )
    cart, browse = task_tree(load_scenario("loadtest.py").user_classes[0])

    assert (cart.name, cart.share, browse.name, browse.share) == ("Cart", 0.25, "browse", 0.75)
    assert [(child.name, set(child.tags)) for child in cart.children] == [("pay", {"slow"})]
    assert browse.children == ()


def test_each_load_is_a_fresh_import_of_the_file_and_of_its_neighbours(write: Write) -> None:
    write("VALUE = 1\n", "neighbour_module.py")
    write(
        """
        import neighbour_module
        from loadgen import User, events, task

        @events.test_start.add_listener
        def begin(**_): ...

        class Shopper(User):
            host = f"http://{neighbour_module.VALUE}"
            @task
            def browse(self): ...
        """
    )
    listeners = len(events.test_start.listeners)
    first = load_scenario("loadtest.py")
    write("VALUE = 2\n", "neighbour_module.py")
    second = load_scenario("loadtest.py")

    assert first.user_classes[0].host == "http://1"
    assert second.user_classes[0].host == "http://2"
    assert sys.modules["loadtest"] is second.module
    assert len(events.test_start.listeners) == listeners + 1
    assert first.sha256 == second.sha256


def test_what_is_hashed_is_what_runs_even_if_the_time_of_the_file_does_not_change(write: Write) -> None:
    source = "from loadgen import User, task\nclass A(User):\n    host = '{}'\n    @task\n    def t(self): ...\n"
    file = write(source.format("one"))
    first = load_scenario(file)
    times = (file.stat().st_atime, file.stat().st_mtime)
    file.write_text(source.format("two"))
    __import__("os").utime(file, times)
    second = load_scenario(file)

    assert (first.user_classes[0].host, second.user_classes[0].host) == ("one", "two")
    assert first.sha256 != second.sha256


@pytest.mark.parametrize(
    "name", ["load-test.v2.py", "2024.run.py", "json.py", "class.py", "test.py", "läst.py", "noext"]
)
def test_a_scenario_may_have_any_file_name(write: Write, name: str) -> None:
    before = sys.modules.get("json")
    scenario = load_scenario(write(GOOD, name))

    assert [cls.__name__ for cls in scenario.user_classes] == ["Shopper", "Admin"]
    assert sys.modules[scenario.module.__name__] is scenario.module
    assert sys.modules.get("json") is before


def test_the_folder_of_the_scenario_comes_first_on_the_path(write: Write) -> None:
    file = write(GOOD, "deep/loadtest.py")
    load_scenario(file)

    assert sys.path[0] == str(file.parent)


def test_user_classes_may_come_from_a_neighbour(write: Write) -> None:
    write(GOOD, "shop_users.py")
    write("from shop_users import Admin, Base, Shopper\n", "entry.py")

    assert [cls.__name__ for cls in load_scenario("entry.py").user_classes] == ["Admin", "Shopper"]


# -- LG109, LG102, LG103: the file itself


def test_a_missing_file_is_named_with_one_that_is_near(write: Write) -> None:
    write(GOOD)

    assert error_of(Path("loadtst.py")) == "error[LG109]: there is no file loadtst.py\n  Did you mean:  loadtest.py"
    assert "Python files there: loadtest.py" in error_of(Path("other.py"))


def test_a_folder_is_no_scenario(write: Write) -> None:
    write(GOOD, "folder/loadtest.py")

    assert error_of(Path("folder")) == (
        "error[LG109]: folder is a folder, not a scenario\n  Python files there: loadtest.py"
    )


def test_a_syntax_error_shows_its_line_and_place(write: Write) -> None:
    file = write("from loadgen import User\n\nclass A(User):\n    x = (1 +\n    y = 2\n    def\n")
    lines = error_of(file).splitlines()

    assert lines[0].startswith("error[LG102]: syntax error in loadtest.py:")
    assert lines[-1].strip() == "^"


def test_the_caret_stands_below_the_wrong_character(write: Write) -> None:
    message = error_of(write("class A:\n    x = $5\n")).splitlines()

    assert message[0] == "error[LG102]: syntax error in loadtest.py:2: invalid syntax"
    assert message[1] == "  x = $5"
    assert message[2].index("^") == message[1].index("$")


@pytest.mark.parametrize("content", [b"x = '\xff\xfe'\n", b"x = 1\0\n"])
def test_a_file_that_is_no_text_is_no_scenario(write: Write, tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "binary.py"
    file.write_bytes(content)

    assert "LG102" in error_of(file)


def test_a_syntax_error_in_a_neighbour_names_the_neighbour(write: Write) -> None:
    write("def broken(:\n", "neighbour_broken.py")
    file = write("import neighbour_broken\n")

    assert error_of(file).startswith("error[LG102]: syntax error in neighbour_broken.py:1")


def test_an_exception_at_import_shows_only_frames_of_the_scenario(write: Write) -> None:
    write("import json\n\n\ndef read():\n    return json.loads('{')\n", "settings_reader.py")
    file = write("from settings_reader import read\n\nDATA = read()\n")
    message = error_of(file).splitlines()

    assert message[0].startswith("error[LG103]: importing loadtest.py failed: JSONDecodeError: ")
    assert [line.strip() for line in message[1:]] == [
        "loadtest.py:3 in <module>:  DATA = read()",
        "settings_reader.py:5 in read:  return json.loads('{')",
    ]


def test_a_missing_module_says_for_which_python(write: Write) -> None:
    message = error_of(write("import no_such_module_at_all\n"))

    assert "ModuleNotFoundError" in message
    assert sys.executable in message
    assert 'Did you mean "json"?' in error_of(write("import jsn\n"))


def test_a_scenario_that_ends_the_process_at_import_is_an_error(write: Write) -> None:
    message = error_of(write("import sys\nsys.exit(3)\n"))

    assert "LG103" in message
    assert "__main__" in message


def test_a_failed_import_leaves_no_module_behind(write: Write) -> None:
    error_of(write("1 / 0\n", "half_way.py"))

    assert "half_way" not in sys.modules


def test_errors_of_our_own_classes_get_their_place(write: Write) -> None:
    message = error_of(
        write(
            """
            from loadgen import MarkovTaskSet, User, transition

            class Visit(MarkovTaskSet):
                @transition("nowhere")
                def enter(self): ...
            """
        )
    )

    assert message.startswith("error[LG115]: Visit.enter leads to 'nowhere', which Visit does not have (loadtest.py:3)")


# -- LG107, LG108: imports


def test_a_file_that_hides_an_installed_package_is_named(write: Write) -> None:
    write("", "click.py")
    file = write("import os\nfrom click import command\n")

    assert error_of(file) == (
        'error[LG107]: ./click.py hides the installed package "click". Rename it (import came from loadtest.py:2).'
    )


def test_a_file_that_hides_a_standard_module_is_named(write: Write) -> None:
    write("", "queue.py")

    assert './queue.py hides the standard module "queue"' in error_of(write("import queue\n"))


def test_a_scenario_that_imports_what_it_hides_itself_is_named(write: Write) -> None:
    assert './click.py hides the installed package "click"' in error_of(write("import click\n", "click.py"))
    assert './loadgen.py hides the installed package "loadgen"' in error_of(
        write("from loadgen import User\n", "loadgen.py")
    )


def test_a_hidden_module_that_breaks_another_import_is_found(write: Write) -> None:
    write("raise ImportError('not the real one')\n", "colorsys.py")
    write("import colorsys\n", "painter_module.py")

    assert './colorsys.py hides the standard module "colorsys"' in error_of(write("import painter_module\n"))


def test_a_neighbour_that_hides_nothing_is_fine(write: Write) -> None:
    write("X = 1\n", "my_own_helpers.py")
    write("from my_own_helpers import X\n" + dedent(GOOD).replace("'''", "#", 0))

    assert load_scenario("loadtest.py").user_classes


@pytest.mark.parametrize(
    ("line", "hint"),
    [
        ("from locust import HttpUser, task", "by       from loadgen import HttpUser, task"),
        ("from locust import LoadTestShape, task", "Not in loadgen: LoadTestShape"),
        ("import locust", "from loadgen import"),
        ("from locust.contrib.fasthttp import FastHttpUser", "from loadgen import"),
    ],
)
def test_a_locust_file_is_told_what_to_replace(write: Write, line: str, hint: str) -> None:
    message = error_of(write(f"import os\n{line}\n"))

    assert message.startswith("error[LG108]: loadtest.py:2 imports locust")
    assert hint in message


def test_a_file_for_both_tools_is_fine(write: Write) -> None:
    write(
        """
        try:
            from loadgen import User, task
        except ImportError:
            from locust import User, task

        class Shopper(User):
            @task
            def browse(self): ...
        """
    )

    assert load_scenario("loadtest.py").user_classes


def test_a_neighbour_written_for_locust_is_found_too(write: Write) -> None:
    write("def users():\n    from locust_not_here import x\n    import locust\n\nimport locust\n", "common_users.py")
    if "locust" in sys.modules:
        pytest.skip("Locust is loaded here")
    message = error_of(write("import common_users\n"))

    assert message.startswith(("error[LG108]: common_users.py:5 imports locust", "error[LG101]"))


# -- LG101: no user class


def test_no_user_class_shows_the_class_that_is_close(write: Write) -> None:
    file = write(
        """
        from loadgen import task, HttpUser


        class WebsiteUser:
            @task
            def look(self): ...
        """
    )

    assert error_of(file) == dedent(
        """\
        error[LG101]: no user class found in loadtest.py
          I found 1 class that is close: `WebsiteUser` has no base class.
          Did you mean:  class WebsiteUser(HttpUser):      loadtest.py:4"""
    )


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("x = 1\n", "class Shopper(HttpUser):"),
        ("from loadgen import HttpUser\n", "class Shopper(HttpUser):"),
        ("class A(dict):\n    tasks = []\n", "`A` derives from dict, not from a user class."),
        ("from loadgen import *\nclass Flow(TaskSet):\n    @task\n    def a(self): ...\n", "tasks = [Flow]"),
        ("from loadgen import *\nclass A(User):\n    abstract = True\n", "`A` takes no part: abstract = True."),
        ("from loadgen import *\nclass A(User):\n    weight = 0\n", "`A` takes no part: weight = 0."),
    ],
)
def test_no_user_class_says_why(write: Write, source: str, expected: str) -> None:
    message = error_of(write(source))

    assert message.startswith("error[LG101]: no user class found in loadtest.py")
    assert expected in message


# -- LG104: misspelt attributes


@pytest.mark.parametrize(
    ("line", "name", "meant"),
    [
        ("taks = []", "taks", "tasks"),
        ("wait_tme = between(1, 2)", "wait_tme", "wait_time"),
        ("wait_tiem = lambda self: 1", "wait_tiem", "wait_time"),
        ("def on_strat(self): ...", "on_strat", "on_start"),
        ("def onstop(self): ...", "onstop", "on_stop"),
        ("fixed_cout = 3", "fixed_cout", "fixed_count"),
        ("weigth = 3", "weigth", "weight"),
        ("hots = 'http://x'", "hots", "host"),
        ("abstrct = True", "abstrct", "abstract"),
        ("conection_timeot = 3.0", "conection_timeot", "connection_timeout"),
        ("Host = 'http://x'", "Host", "host"),
    ],
)
def test_a_misspelt_attribute_is_named_with_its_line(write: Write, line: str, name: str, meant: str) -> None:
    file = write(f"from loadgen import *\n\nclass Shopper(HttpUser):\n    {line}\n    @task\n    def t(self): ...\n")

    assert error_of(file) == (
        f'error[LG104]: "{name}" is not a user attribute of Shopper (loadtest.py:4). Did you mean "{meant}"?'
    )


def test_waits_of_old_locust_files_are_not_ignored_silently(write: Write) -> None:
    file = write("from loadgen import *\nclass U(User):\n    min_wait = 1000\n    @task\n    def t(self): ...\n")

    assert error_of(file) == (
        'error[LG104]: "min_wait" of U (loadtest.py:3) does nothing here\n'
        "  Write, in seconds:  wait_time = between(1, 3)"
    )


def test_a_misspelt_attribute_of_a_task_set_is_found(write: Write) -> None:
    file = write(
        "from loadgen import *\nclass F(TaskSet):\n    def on_strt(self): ...\nclass U(User):\n    tasks = [F]\n"
    )

    assert '"on_strt" is not a task set attribute of F (loadtest.py:3). Did you mean "on_start"?' in error_of(file)


@pytest.mark.parametrize(
    "line",
    [
        "def test(self): ...",
        "def hosts(self): ...",
        "hosts = ['a', 'b']",
        "weights = {'a': 1}",
        "tags = ['a']",
        "def post(self): ...",
        "def on_stats(self): ...",
        "def wait_for(self): ...",
        "client_id = 3",
        "_taks = []",
        "host = 'x'\n    host2 = 'y'",
        "@task\n    def on_strat(self): ...",
    ],
)
def test_names_of_the_scenario_itself_are_left_alone(write: Write, line: str) -> None:
    file = write(f"from loadgen import *\nclass Shopper(HttpUser):\n    {line}\n    @task\n    def t(self): ...\n")

    assert load_scenario(file).user_classes


def test_settings_that_can_be_misspelt_exist() -> None:
    from loadgen import HttpUser, TaskSet

    assert all(hasattr(HttpUser, name) or hasattr(TaskSet, name) for name in SETTINGS)


# -- LG105, LG110, LG111, LG113, LG114, LG116, LG117


@pytest.mark.parametrize(
    ("body", "code", "where", "expected"),
    [
        ("tasks = [3]", "LG105", "3", "3 in `tasks` is not callable"),
        ("tasks = 'browse'", "LG105", "3", "must be a list or a dict, not str"),
        ("tasks = [(print, -1)]", "LG105", "3", "must be 0 or more"),
        ("tasks = [dict]", "LG105", "4", "class dict(TaskSet):"),
        ("@task\n    async def go(self): ...", "LG105", "5", "Write `def`"),
        ("@task\n    def run(self): ...", "LG105", "4", "rename it"),
        ("def browse(self): ...", "LG117", "3", "Is @task missing above  def browse(self):  ?"),
        ("pass", "LG117", "3", "@task"),
        ("tasks = {print: 0}", "LG117", "3", "has no tasks"),
        ("wait_time = 3\n    @task\n    def t(self): ...", "LG111", "4", "wait_time = constant(3)"),
        ("wait_time = 'x'\n    @task\n    def t(self): ...", "LG111", "4", "between(1, 3)"),
        ("weight = 'x'\n    @task\n    def t(self): ...", "LG113", "4", "weight of Shopper is 'x'"),
        ("weight = -1\n    @task\n    def t(self): ...", "LG113", "4", "0 or more"),
        ("fixed_count = 1.5\n    @task\n    def t(self): ...", "LG113", "4", "a whole number"),
        (
            "def __init__(self, e):\n        pass\n    @task\n    def t(self): ...",
            "LG116",
            "4",
            "super().__init__(environment)",
        ),
    ],
)
def test_what_cannot_work_is_refused_with_its_line(
    write: Write, body: str, code: str, where: str, expected: str
) -> None:
    message = error_of(write(f"from loadgen import *\n\nclass Shopper(User):\n    {body}\n"))

    assert message.startswith(f"error[{code}]: ")
    assert f"loadtest.py:{where}" in message
    assert expected in message


def test_a_nested_set_without_tasks_is_refused(write: Write) -> None:
    file = write("from loadgen import *\nclass Empty(TaskSet):\n    pass\nclass U(User):\n    tasks = [Empty]\n")

    assert "error[LG117]: the task set Empty has no tasks (loadtest.py:2)" in error_of(file)


@pytest.mark.parametrize(
    "body",
    [
        "def on_start(self):\n        self.tasks = [print]",
        "def __init__(self, environment):\n        super().__init__(environment)\n        self.tasks = [print]",
    ],
)
def test_tasks_given_later_are_fine(write: Write, body: str) -> None:
    assert load_scenario(write(f"from loadgen import *\nclass U(User):\n    {body}\n")).user_classes


def test_a_set_that_chooses_by_itself_needs_no_list(write: Write) -> None:
    file = write(
        "from loadgen import *\nclass F(TaskSet):\n    def get_next_task(self):\n        return print\n"
        "class U(User):\n    tasks = [F]\n"
    )

    assert load_scenario(file).user_classes


def test_two_classes_of_one_name_are_refused(write: Write) -> None:
    body = "class Shopper(User):\n    @task\n    def t(self): ...\n"
    message = error_of(write(f"from loadgen import *\n{body}\n{body}"))

    assert message.startswith("error[LG110]: two user classes are called Shopper (loadtest.py:2 and loadtest.py:6)")


def test_two_imported_classes_of_one_name_are_refused(write: Write) -> None:
    body = "from loadgen import *\nclass Shopper(User):\n    @task\n    def t(self): ...\n"
    write(body, "red_shop.py")
    write(body, "blue_shop.py")
    message = error_of(write("from red_shop import Shopper as A\nfrom blue_shop import Shopper as B\n"))

    assert "two user classes are called Shopper (red_shop.py:2 and blue_shop.py:2)" in message


@pytest.mark.parametrize("value", ["3", "{'p95': 300}", "[300]"])
def test_thresholds_must_be_texts(write: Write, value: str) -> None:
    message = error_of(write(dedent(GOOD) + f"\nthresholds = {value}\n"))

    assert message.startswith("error[LG114]: `thresholds` is not a list of texts (loadtest.py:")


def test_a_single_threshold_may_be_a_text(write: Write) -> None:
    scenario = load_scenario(write(dedent(GOOD) + "\nthresholds: str = 'errors < 5%'\n"))

    assert [one.text for one in scenario.thresholds] == ["errors < 5%"]


def test_loading_says_nothing_by_itself(write: Write, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        load_scenario(write(GOOD))

    assert not caplog.records


@pytest.mark.parametrize(
    ("left", "right", "slips"),
    [("", "", 0), ("taks", "tasks", 1), ("on_strat", "on_start", 1), ("abc", "xyz", 3), ("a", "", 1), ("ab", "ba", 1)],
)
def test_distance_counts_slips(left: str, right: str, slips: int) -> None:
    assert distance(left, right) == distance(right, left) == slips


def test_nearest_finds_only_what_is_near() -> None:
    assert nearest("taks", ["tasks", "host"]) == "tasks"
    assert nearest("tasks", ["tasks"]) is None
    assert nearest("banana", ["tasks", "host"]) is None
    assert nearest("x", []) is None
