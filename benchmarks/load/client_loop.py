"""The HTTP client alone: greenlets that ask in a loop, without users, tasks, worker or master.

    python -m benchmarks.load.client_loop URL USERS

The difference to `loadgen run` is what a scenario, its measuring worker and the messages to the master cost.
"""

from __future__ import annotations

import os
import sys

import gevent

from loadgen.http.client import HttpClient
from loadgen.http.engine import HttpEngine
from loadgen.http.owner import NoOwner
from loadgen.http.settings import ClientSettings
from loadgen.http.tls import TlsSettings
from loadgen.metrics.recorder import Recorder

PATH = os.environ.get("BENCH_PATH", "/")
HEADERS = {"Connection": "close"} if os.environ.get("BENCH_CLOSE") else None


def ask_forever(client: HttpClient) -> None:
    if HEADERS:
        while True:
            client.get(PATH, headers=HEADERS)
    get = client.get
    while True:
        get(PATH)


def main(base_url: str, users: int) -> None:
    engine = HttpEngine(Recorder())
    settings = ClientSettings(tls=TlsSettings(verify=os.environ.get("BENCH_CA") or True))
    for _ in range(users):
        gevent.spawn(ask_forever, HttpClient(engine, base_url, NoOwner(), settings))
    gevent.wait()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
