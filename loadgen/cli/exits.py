"""The exit codes in words, for `--help`, the summary's last line and docs/cli.md.

The numbers are those of loadgen.master.outcome.ExitCode; a test compares the two.
"""

from __future__ import annotations

EXIT_CODES = {
    0: "passed",
    1: "a threshold failed",
    2: "interrupted (partial results written)",
    3: "internal error",
    4: "usage, config or scenario error",
    5: "nothing measured",
    6: "generator invalid or run incomplete (with --strict-generator)",
    7: "the target failed the dry run",
    8: "too few workers joined",
}
PASSED, THRESHOLD_FAILED, INTERRUPTED, INTERNAL_ERROR, USAGE_ERROR = 0, 1, 2, 3, 4
NOTHING_MEASURED, GENERATOR_INVALID, TARGET_FAILED, TOO_FEW_WORKERS = 5, 6, 7, 8
ORDER = (3, 4, 8, 7, 2, 6, 5, 1, 0)  # the first that applies
