"""`make bench`: our figures beside those of the peers on this machine, measured in one run.

    python -m benchmarks [--only requests,users,micro] [--rounds 3] [--seconds 3] [--users 10000] [--json FILE]

nginx has one core, the generator the other. Rounds are interleaved: each asks every tool once. Figures are medians,
ratios are medians of the ratios of each round. Exits 1 if a promise is broken.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from contextlib import ExitStack
from pathlib import Path

from benchmarks import micro, request_cost, user_cost
from benchmarks.machine import SERVER_CORE, born_on, describe, raise_file_limit
from benchmarks.results import Row, table
from benchmarks.tools import Tool, find_peers
from tests.support.nginx import WHY_NOT, nginx, nginx_is_here
from tests.support.priority import first_in_line

RESULTS = Path(__file__).parent / "results"
PARTS = ("requests", "users", "micro")
FILES_BESIDE_USERS = 500


def main() -> int:
    chosen = arguments()
    machine = {**describe(), "open_files": raise_file_limit()}
    peers = find_peers(say)
    rows: list[Row] = []
    if {"requests", "users"} & set(chosen.only):
        rows += with_nginx(chosen, peers, int(str(machine["open_files"])))
    if "micro" in chosen.only:
        rows += micro.measure(peers, chosen.rounds, say)
    say("")
    print(table(rows))
    print(f"\nmedians of {chosen.rounds} interleaved rounds; ratio = loadgen / peer; {machine}")
    write(chosen.json, machine, rows)
    return int(any(row.holds(bound) is False for row in rows for bound in row.bounds))


def with_nginx(chosen: argparse.Namespace, peers: list[Tool], open_files: int) -> list[Row]:
    """The rows that need a server."""
    if not nginx_is_here():
        say(f"requests and users are left out: {WHY_NOT}")
        return []
    rows: list[Row] = []
    with ExitStack() as stack:
        stack.enter_context(first_in_line())
        with born_on(SERVER_CORE):
            server = stack.enter_context(nginx(log_requests=False))
        if "requests" in chosen.only:
            rows += request_cost.measure(server, peers, chosen.rounds, chosen.seconds, say)
        if "users" in chosen.only:
            many = min(chosen.users, open_files - FILES_BESIDE_USERS)
            rows += user_cost.measure(server, peers, chosen.rounds, many, say)
    return rows


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(PARTS), help=", ".join(PARTS))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=3.0, help="length of one window")
    parser.add_argument("--users", type=int, default=user_cost.MANY, help="idle users")
    parser.add_argument("--json", type=Path, help="where to write the results (default: benchmarks/results/)")
    return parser.parse_args()


def write(path: Path | None, machine: dict[str, object], rows: list[Row]) -> None:
    if path is None:
        RESULTS.mkdir(exist_ok=True)
        path = RESULTS / time.strftime("%Y-%m-%d-%H%M%S.json")
    path.write_text(json.dumps({"machine": machine, "rows": [row.as_json() for row in rows]}, indent=1) + "\n")
    print(f"written to {path}")


def say(text: str) -> None:
    """Progress, on stderr, in place on a terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{text}", end="", file=sys.stderr, flush=True)
    elif text:
        print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
