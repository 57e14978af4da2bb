"""What nginx served is what the summary says was sent, to the last request."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.command import Finished, run_loadgen, wait_until
from tests.support.nginx import WHY_NOT, Nginx, nginx, nginx_is_here

pytestmark = pytest.mark.skipif(not nginx_is_here(), reason=WHY_NOT)

SCENARIO = """\
from loadgen import HttpUser, task

class Asker(HttpUser):
    @task
    def ask(self):
        self.client.get("/")
"""


@pytest.fixture
def server() -> Iterator[Nginx]:
    with nginx() as running:
        yield running


@pytest.fixture
def scenario(tmp_path: Path) -> Path:
    path = tmp_path / "asker.py"
    path.write_text(SCENARIO)
    return path


def options(server: Nginx, workers: int) -> tuple[str, ...]:
    return ("-H", server.http_url, "-u", "64", "-r", "1000", "-t", "10s", "--workers", str(workers))


def assert_the_books_close(result: Finished, server: Nginx) -> None:
    """Requests by nginx's log, by its counter and by our summary; and our own sums."""
    wait_until(lambda: server.served() == server.begun(), 10)  # the log line follows the answer
    totals, books = result.summary["totals"], result.summary["accounting"]

    assert server.served() == totals["requests"], result.explain()
    assert sum(row["requests"] for row in result.summary["endpoints"]) == totals["requests"]
    assert totals["failures"] == 0
    assert books["started"] == books["ok"] + books["failed"] + books["cancelled"] + books["in_flight"]
    assert books["in_flight"] == 0


@pytest.mark.parametrize("workers", [1, 2])
def test_ten_seconds_are_counted_to_the_last_request(server: Nginx, scenario: Path, workers: int) -> None:
    result = run_loadgen(scenario, *options(server, workers))

    assert result.code == 0, result.explain()
    assert_the_books_close(result, server)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_run_stopped_in_the_middle_is_counted_to_the_last_request(
    server: Nginx, scenario: Path, workers: int
) -> None:
    result = run_loadgen(scenario, *options(server, workers), interrupt_when=lambda: server.begun() > 5_000)

    assert result.code == 2, result.explain()
    assert result.summary["run"]["duration_s"] < 10
    assert_the_books_close(result, server)
