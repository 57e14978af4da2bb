"""Every example in scenarios/ runs as its reader would run it, and what it reports is what the target saw."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.support.command import ROOT, run_loadgen
from tests.support.target import Target

FOLDER = ROOT / "scenarios"
EXAMPLES = sorted(FOLDER.glob("*.py"))
HTTP_EXAMPLES = [path for path in EXAMPLES if path.name != "custom_protocol.py"]
SHORT = ("-u", "3", "-r", "10", "-t", "2s", "--workers", "1")
OWN_OPTIONS = {"custom_arguments.py": ("--tenant", "blue", "--basket-size", "3")}


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_is_short_and_begins_by_saying_its_idea(path: Path) -> None:
    lines = path.read_text().splitlines()

    assert lines[0].startswith('"""')
    assert 15 <= len(lines) <= 50


@pytest.mark.parametrize("path", HTTP_EXAMPLES, ids=lambda path: path.stem)
def test_an_example_reports_exactly_what_the_target_counted(path: Path, counting_target: Target) -> None:
    result = run_loadgen(path, "-H", counting_target.url, *SHORT, *OWN_OPTIONS.get(path.name, ()))

    assert result.code == 0, result.explain()
    assert result.http_requests == result.requests == counting_target.count() > 0, result.explain()


def test_the_arguments_of_a_scenario_reach_its_users(counting_target: Target) -> None:
    path = FOLDER / "custom_arguments.py"

    result = run_loadgen(path, "-H", counting_target.url, *SHORT, "--basket-size", "4")

    assert result.code == 0, result.explain()
    assert counting_target.count("/basket") >= 4
    assert result.summary["accounting"]["ok"] * 4 <= counting_target.count("/basket")


def test_only_the_tagged_tasks_run(counting_target: Target) -> None:
    path = FOLDER / "weights_and_tags.py"

    result = run_loadgen(path, "-H", counting_target.url, *SHORT, "--tags", "health")

    assert result.code == 0, result.explain()
    assert set(counting_target.stats()["requests"]) == {"/health"}


def test_the_login_is_sent_once_a_user_and_its_token_with_every_request(counting_target: Target) -> None:
    result = run_loadgen(FOLDER / "login_flow.py", "-H", counting_target.url, *SHORT)

    assert result.code == 0, result.explain()
    assert counting_target.count("/login") == counting_target.count("/logout") == 3
    assert counting_target.stats()["statuses"] == {"200": counting_target.count()}


def test_the_custom_protocol_is_measured_line_by_line() -> None:
    with echo_server() as (port, lines):
        result = run_loadgen(FOLDER / "custom_protocol.py", "-H", f"tcp://127.0.0.1:{port}", *SHORT)

    assert result.code == 0, result.explain()
    sent = {row["name"]: row["requests"] for row in result.summary["endpoints"]}
    assert sent["connect"] == 3
    assert sent["ping"] == len(lines) > 0


@contextmanager
def echo_server() -> Iterator[tuple[int, list[bytes]]]:
    """A server that sends every line back; its port, and the lines it has seen."""
    lines: list[bytes] = []

    class Echo(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            for line in self.rfile:
                lines.append(line)
                self.wfile.write(line)

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Echo) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_address[1], lines
        finally:
            server.shutdown()
            thread.join()
