"""The master: knows who the workers are, what they run, and what they measured.

Pure deciders: `cluster` (members and messages), `assign` (who runs what), `ledger` (exactly once, merge),
`run` (state machine), `thresholds`, `verdict`, `outcome`. Shells: `service` (the native thread with the
sockets), `local` (worker processes on this machine), `conductor` (one run from start to end).
"""

if __name__ != "loadgen.master":  # the same module under two names would break every type check
    raise ImportError("import loadgen.master, not master")
