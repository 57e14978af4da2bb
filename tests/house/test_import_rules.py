"""Who may import whom. The rules are those of ARCHITECTURE.md; a named exception stands in a table here."""

from __future__ import annotations

import os

import pytest

from tests.house.sources import ROLES, ROOT, Import, all_imports, imports_of, modules, within

# The outermost layer: what a user types, and the demo that is shown with it.
OUTER = ("loadgen.cli", "loadgen.demo")

# What each part must not know. The command line starts the roles, so none of them knows it.
FORBIDDEN = {
    "loadgen.worker": ("loadgen.master", "loadgen.web", *OUTER),
    "loadgen.master": ("loadgen.worker", "loadgen.web", *OUTER),
    "loadgen.web": ("loadgen.worker", "loadgen.master", *OUTER),
    "loadgen.demo": ("loadgen.worker", "loadgen.master", "loadgen.web"),
}
ROLE_PACKAGES = tuple(f"loadgen.{role}" for role in ROLES)

# What web may know of the master: its read model is loadgen.metrics.snapshot, so nothing yet.
WEB_MAY_IMPORT: tuple[str, ...] = ()

# (importer, function, package): the imports that break a rule on purpose.
EXCEPTIONS = {
    ("loadgen.debugging", "run_single_user", "loadgen.worker"),
    ("loadgen.__main__", "main", "loadgen.cli"),
}

# Deciding parts: the same input gives the same answer, so they know no socket, no clock, no chance.
PURE = (
    "loadgen.plan",
    "loadgen.http.bodies",
    "loadgen.http.redirects",
    "loadgen.http.urls",
    "loadgen.metrics.decoding",
    "loadgen.metrics.delta",
    "loadgen.metrics.histogram",
    "loadgen.metrics.recorder",
    "loadgen.metrics.snapshot",
    "loadgen.wire.messages",
    "loadgen.master.assign",
    "loadgen.master.cluster",
    "loadgen.master.ledger",
    "loadgen.master.members",
    "loadgen.master.outcome",
    "loadgen.master.run",
    "loadgen.master.snapshots",
    "loadgen.master.thresholds",
    "loadgen.master.totals",
    "loadgen.master.verdict",
    "loadgen.worker.agent",
    "loadgen.worker.clocksync",
    "loadgen.worker.outbox",
)
IMPURE = ("gevent", "zmq", "socket", "subprocess", "threading", "time", "random", "secrets")


def excused(found: Import) -> bool:
    return any(
        found.importer == importer and found.inside == function and found.reaches(package)
        for importer, function, package in EXCEPTIONS
    )


def in_core(module: str) -> bool:
    """Whether a module is shared by every process: in loadgen, but neither a role nor the outermost layer."""
    return within(module, "loadgen") and not any(within(module, package) for package in (*OUTER, *ROLE_PACKAGES))


def breaks(found: Import) -> bool:
    """Whether this import breaks a rule."""
    if found.relative or any(found.reaches(role) for role in ROLES):
        return True
    if excused(found):
        return False
    if in_core(found.importer):
        return any(found.reaches(package) for package in (*OUTER, *ROLE_PACKAGES))
    if found.importer.startswith("loadgen.web") and any(found.reaches(allowed) for allowed in WEB_MAY_IMPORT):
        return False
    return any(
        within(found.importer, role) and found.reaches(package)
        for role, packages in FORBIDDEN.items()
        for package in packages
    )


def test_every_import_keeps_the_rules() -> None:
    assert [str(found) for found in all_imports() if breaks(found)] == []


def test_the_deciding_parts_know_no_socket_no_clock_and_no_chance() -> None:
    impure = [
        str(found)
        for found in all_imports()
        if found.importer in PURE and any(found.reaches(module) for module in IMPURE)
    ]

    assert impure == []
    assert [module for module in PURE if module not in modules()] == []  # renamed: keep the table true


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("loadgen.users", "import loadgen.worker.swarm"),
        ("loadgen.users", "from loadgen import master"),
        ("loadgen.users", "def late():\n    from loadgen.web.app import make"),
        ("loadgen.users", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import loadgen.master.ledger"),
        ("loadgen.users", "import loadgen.cli.run"),
        ("loadgen.users", "import loadgen.demo.target"),
        ("loadgen.demo.lesson", "import loadgen.master.run"),
        ("loadgen.worker.agent", "from loadgen.master.ledger import Ledger"),
        ("loadgen.master.run", "import loadgen.worker"),
        ("loadgen.master.run", "from loadgen.cli import running"),
        ("loadgen.web.app", "from loadgen.master.ledger import Ledger"),
        ("loadgen.web.app", "from loadgen.worker import swarm"),
        ("loadgen.debugging", "import loadgen.worker.swarm"),
        ("loadgen.master.run", "from . import ledger"),
        ("loadgen.master.run", "import worker"),
    ],
)
def test_a_planted_import_is_found(importer: str, source: str) -> None:
    assert any(breaks(found) for found in imports_of(importer, source))


@pytest.mark.parametrize(
    ("importer", "source"),
    [
        ("loadgen.cli.run", "import loadgen.master.run, loadgen.worker.agent, loadgen.web.app"),
        ("loadgen.demo.lesson", "from loadgen.cli.screen import Screen"),
        ("loadgen.master.run", "from loadgen.metrics.snapshot import Snapshot"),
        ("loadgen.web.app", "from loadgen.metrics.snapshot import Snapshot"),
        ("loadgen.debugging", "def run_single_user():\n    from loadgen.worker.swarm import Swarm"),
        ("loadgen.users", "import workerpool"),
    ],
)
def test_an_allowed_import_is_left_alone(importer: str, source: str) -> None:
    assert not any(breaks(found) for found in imports_of(importer, source))


def test_the_roles_are_reached_through_links() -> None:
    links = {role: os.readlink(ROOT / "loadgen" / role) for role in ROLES}

    assert links == {role: f"../{role}" for role in ROLES}


def test_the_rules_see_every_role() -> None:
    assert {"loadgen.master", "loadgen.worker", "loadgen.web", "loadgen.cli"} <= set(modules())
