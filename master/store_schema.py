"""The tables of a run file, and how a file of an older version becomes one of this version.

The schema is public: docs/run-file.md describes it. Once released, a migration is never changed; a
new version is a new entry in MIGRATIONS.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

APPLICATION_ID = 0x4C47524E  # "LGRN", in the header of the file: what tells a run file from any other SQLite file

_VERSION_1 = """
CREATE TABLE meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;

CREATE TABLE run (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    run_id TEXT NOT NULL, scenario_name TEXT NOT NULL, scenario_path TEXT NOT NULL, scenario_sha256 TEXT NOT NULL,
    plan TEXT NOT NULL, settings TEXT NOT NULL, listen TEXT NOT NULL, started_at_s REAL NOT NULL,
    epoch INTEGER NOT NULL, state TEXT NOT NULL, command TEXT NOT NULL
);
CREATE TABLE members (
    uid BLOB PRIMARY KEY, worker TEXT NOT NULL, position INTEGER NOT NULL, last_command INTEGER NOT NULL,
    share TEXT NOT NULL, state TEXT NOT NULL
);
CREATE TABLE blobs (name TEXT PRIMARY KEY, data BLOB NOT NULL);

CREATE TABLE ledger (
    id INTEGER PRIMARY KEY CHECK (id = 1),
    commits INTEGER NOT NULL, logs_dropped INTEGER NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE names (number INTEGER PRIMARY KEY, method TEXT NOT NULL, name TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE slots (
    number INTEGER PRIMARY KEY, name INTEGER NOT NULL REFERENCES names, kind TEXT NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE seconds (
    id INTEGER PRIMARY KEY,
    first_s INTEGER NOT NULL, last_s INTEGER NOT NULL, slot INTEGER NOT NULL REFERENCES slots,
    count INTEGER NOT NULL, bytes INTEGER NOT NULL, sum_us INTEGER NOT NULL,
    min_us INTEGER NOT NULL, max_us INTEGER NOT NULL,
    indexes BLOB NOT NULL, counts BLOB NOT NULL, crc INTEGER NOT NULL,
    UNIQUE (first_s, last_s, slot)
);
CREATE TABLE outcomes (
    name INTEGER NOT NULL REFERENCES names, outcome TEXT NOT NULL, count INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (name, outcome)
) WITHOUT ROWID;
CREATE TABLE phases (
    name INTEGER NOT NULL REFERENCES names, phase TEXT NOT NULL,
    count INTEGER NOT NULL, sum_us INTEGER NOT NULL, max_us INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (name, phase)
) WITHOUT ROWID;
CREATE TABLE errors (
    name INTEGER NOT NULL REFERENCES names, category TEXT NOT NULL, signature TEXT NOT NULL, phase TEXT NOT NULL,
    fault TEXT NOT NULL, count INTEGER NOT NULL, first_ms INTEGER NOT NULL, first_sample TEXT NOT NULL,
    last_ms INTEGER NOT NULL, latest_sample TEXT NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (name, category, signature, phase, fault)
);
CREATE TABLE task_errors (
    user_class TEXT NOT NULL, origin TEXT NOT NULL, count INTEGER NOT NULL, first_ms INTEGER NOT NULL,
    message TEXT NOT NULL, traceback TEXT NOT NULL, last_ms INTEGER NOT NULL, crc INTEGER NOT NULL,
    PRIMARY KEY (user_class, origin)
);
CREATE TABLE checks (
    name TEXT PRIMARY KEY, passed INTEGER NOT NULL, failed INTEGER NOT NULL, crc INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE counters (name TEXT PRIMARY KEY, value REAL NOT NULL, crc INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE warnings (number INTEGER PRIMARY KEY, text TEXT NOT NULL, crc INTEGER NOT NULL);
CREATE TABLE workers (
    worker TEXT PRIMARY KEY, last_seq INTEGER NOT NULL, end_ms INTEGER NOT NULL, final INTEGER NOT NULL,
    requests INTEGER NOT NULL, cpu_percent_max REAL NOT NULL, saturated_ms INTEGER NOT NULL,
    generator_errors INTEGER NOT NULL, throttled_us INTEGER NOT NULL,
    saved_by INTEGER NOT NULL, state BLOB NOT NULL, crc INTEGER NOT NULL
);
CREATE TABLE journal (number INTEGER PRIMARY KEY, sessions BLOB NOT NULL, crc INTEGER NOT NULL);

CREATE VIEW latencies AS
    SELECT first_s, last_s, method, names.name AS name, kind,
           kind IN ('ok', 'failed', 'cancelled', 'ok_waited_service', 'failed_waited_service') AS is_request,
           count, bytes, sum_us, min_us, max_us, indexes, counts
    FROM seconds JOIN slots ON slots.number = seconds.slot JOIN names ON names.number = slots.name;
"""

MIGRATIONS: tuple[str, ...] = (_VERSION_1,)  # number n makes version n of n - 1


def version_of(db: sqlite3.Connection) -> int:
    """The schema version of an open run file; 0 for one without tables."""
    if not db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'meta'").fetchone()[0]:
        return 0
    return int(db.execute("SELECT value FROM meta WHERE key = 'schema_version'").fetchone()[0])


def migrate(db: sqlite3.Connection, migrations: Sequence[str] = MIGRATIONS) -> None:
    """Bring an open file to the newest version, in one transaction: all of it, or nothing.

    Raises sqlite3.Error. Must not be called on a file of a newer version.
    """
    version = version_of(db)
    if version == len(migrations):
        return
    db.execute("BEGIN IMMEDIATE")
    try:
        for script in migrations[version:]:
            for statement in _statements(script):
                db.execute(statement)
        db.execute("INSERT OR REPLACE INTO meta VALUES ('schema_version', ?)", (len(migrations),))
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _statements(script: str) -> list[str]:
    """One by one: sqlite3's executescript would commit what is open before it starts."""
    statements, pending = [], ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending.strip())
            pending = ""
    return statements
