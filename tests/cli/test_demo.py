from __future__ import annotations

import http.client
import json
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from loadgen.demo.service import BURST_ENDS_S, BURST_STARTS_S, MEAN_SERVICE_S, SLOTS, Service, kind_of
from loadgen.demo.shop import running_shop

ROOT = Path(__file__).resolve().parents[2]


def waits_s(rate_per_s: float, seconds: float = 10.0) -> list[float]:
    """How long each of evenly spaced requests is in the shop."""
    service, found = Service(), []
    for number in range(int(rate_per_s * seconds)):
        now_s = number / rate_per_s
        found.append(service.answer("/item/1", now_s).at_s - now_s)
    return found


def capacity_per_s() -> float:
    return SLOTS / MEAN_SERVICE_S["/item"]


def test_below_its_capacity_the_shop_hardly_lets_anybody_wait() -> None:
    assert max(waits_s(0.8 * capacity_per_s())) < 3 * MEAN_SERVICE_S["/item"]


def test_past_its_capacity_the_wait_grows_with_every_request() -> None:
    waits = waits_s(1.2 * capacity_per_s())

    assert waits[-1] > 20 * MEAN_SERVICE_S["/item"]
    assert waits[len(waits) // 2] < waits[-1]


def test_orders_fail_during_the_burst_and_only_then() -> None:
    service = Service()
    failed = [
        second / 10 for second in range(400) for _ in range(5) if service.answer("/order", second / 10).status == 503
    ]

    assert failed
    assert min(failed) >= BURST_STARTS_S
    assert max(failed) < BURST_ENDS_S


def test_the_same_seed_answers_the_same() -> None:
    first, second = Service(seed=3), Service(seed=3)

    assert [first.answer("/", n / 10) for n in range(300)] == [second.answer("/", n / 10) for n in range(300)]


def test_paths_fall_into_kinds() -> None:
    assert [kind_of(path) for path in ("/", "/item/7?x=1", "/search?q=a", "/nowhere/else")] == [
        "/",
        "/item",
        "/search",
        "/nowhere",
    ]


def test_the_shop_serves_as_a_process_and_ends_with_its_block() -> None:
    with running_shop() as url:
        place = urlsplit(url).netloc
        assert get(place, "/item/7") == 200
        assert get(place, "/nowhere") == 404

    with pytest.raises(ConnectionRefusedError):
        get(place, "/")


def get(place: str, path: str) -> int:
    """The status of one GET; its answer must be JSON."""
    connection = http.client.HTTPConnection(place, timeout=10)
    with closing(connection):
        connection.request("GET", path)
        reply = connection.getresponse()
        json.load(reply)
        return reply.status


def test_the_shop_does_not_outlive_who_started_it() -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "loadgen.demo.target"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with process:
        assert process.stdout is not None
        assert process.stdin is not None
        assert json.loads(process.stdout.readline())["port"] > 0
        process.stdin.close()

        assert process.wait(timeout=20) == 0


def test_a_short_demo_passes_and_explains_itself() -> None:
    command = [sys.executable, "-m", "loadgen", "demo", "-u", "40", "-t", "2s", "--workers", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[1] for line in lines[lines.index("What you saw") + 1 :]] == [
        "Knee",
        "Burst",
        "Verdict",
        "Next",
    ]
