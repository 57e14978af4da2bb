from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.target import Target

ROOT = Path(__file__).resolve().parents[2]

GOOD = '''"""A small shop."""
from loadgen import HttpUser, SequentialTaskSet, events, tag, task

thresholds = ["p95 < 300ms"]

@events.init_command_line_parser.add_listener
def declare(parser, **kwargs):
    parser.add_argument("--tenant", default="green", help="whose shop")
    parser.add_argument("--api-key", default="s3cret", is_secret=True)

class Shopper(HttpUser):
    def on_start(self):
        self.client.get("/start")

    @task(3)
    def item(self):
        self.client.get("/item/81723")

    @tag("slow")
    @task
    class Buy(SequentialTaskSet):
        @task
        def pay(self):
            self.client.post("/pay", json={})
            self.interrupt()

class Admin(HttpUser):
    fixed_count = 2

    @task
    def page(self):
        self.client.get(f"/{self.environment.parsed_options.tenant}")
'''


def check(tmp_path: Path, source: str, *options: str) -> subprocess.CompletedProcess[str]:
    file = tmp_path / "shop.py"
    file.write_text(source)
    command = [sys.executable, "-m", "loadgen", "check", str(file), *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def user_with(body: str) -> str:
    head = "from loadgen import HttpUser, task\nclass Shopper(HttpUser):\n    @task\n    def only(self):\n"
    return f"{head}        {body}\n"


def test_each_task_is_run_once(tmp_path: Path, counting_target: Target) -> None:
    done = check(tmp_path, GOOD, "-H", counting_target.url)

    assert done.returncode == 0, done.stdout + done.stderr
    requests = counting_target.stats()["requests"]
    assert requests == {"/start": 1, "/item/81723": 1, "/pay": 1, "/green": 1}


def test_what_stands_in_the_scenario_is_listed(tmp_path: Path) -> None:
    out = check(tmp_path, GOOD, "--no-requests").stdout

    for text in ("A small shop.", "Shopper", "item", "75 %", "Buy", "[slow]", "2 users", "p95 < 300ms", "shop.py:4"):
        assert text in out
    assert "whose shop, default green" in out
    assert "s3cret" not in out


def test_a_name_with_an_id_is_pointed_out(tmp_path: Path, counting_target: Target) -> None:
    assert 'name="/item/[id]"' in check(tmp_path, GOOD, "-H", counting_target.url).stdout


def test_the_scenario_gets_its_own_options_and_tags_are_heeded(tmp_path: Path, counting_target: Target) -> None:
    done = check(tmp_path, GOOD, "--tenant", "blue", "-H", counting_target.url, "--exclude-tags", "slow")

    assert done.returncode == 0, done.stdout + done.stderr
    assert set(counting_target.stats()["requests"]) == {"/start", "/item/81723", "/blue"}


@pytest.mark.parametrize(
    ("body", "code", "text"),
    [
        ("self.client.get('/status/503')", 7, "503"),
        ("self.client.get('/status/503').json()['id']", 7, "503"),
        ("self.nothing()", 4, "AttributeError"),
        ("pass", 0, "no request"),
    ],
)
def test_the_exit_code_tells_the_scenario_from_the_target(
    tmp_path: Path, counting_target: Target, body: str, code: int, text: str
) -> None:
    done = check(tmp_path, user_with(body), "-H", counting_target.url)

    assert done.returncode == code, done.stdout + done.stderr
    assert text in done.stdout
    assert "Traceback" not in done.stderr


def test_a_target_that_is_not_there_gives_exit_code_7(tmp_path: Path) -> None:
    done = check(tmp_path, user_with("self.client.get('/')"), "-H", "http://127.0.0.1:9")

    assert done.returncode == 7, done.stdout + done.stderr


def test_the_line_of_an_exception_is_named_and_v_shows_the_traceback(tmp_path: Path) -> None:
    done = check(tmp_path, user_with("self.nothing()"), "-H", "http://127.0.0.1:9", "-v")

    assert "shop.py:5" in done.stdout
    assert "Traceback" in done.stderr


@pytest.mark.parametrize(
    ("source", "options", "text"),
    [
        ("x = 1\n", (), "LG101"),
        ("class A(:\n", (), "error["),
        (user_with("self.client.get('/')"), (), "no host"),
        (GOOD, ("--tennant", "blue"), "--tenant"),
    ],
)
def test_a_wrong_scenario_gives_exit_code_4(tmp_path: Path, source: str, options: tuple[str, ...], text: str) -> None:
    done = check(tmp_path, source, *options)

    assert done.returncode == 4, done.stdout + done.stderr
    assert text in done.stderr
