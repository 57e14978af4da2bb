"""The entry point of the `loadgen` command and of `python -m loadgen`.

gevent patches the standard library before anything else is imported, and only for the verbs that
run load or serve: `--help`, `--version` and a mistyped verb never load gevent.
"""

import sys

_PATCHED_VERBS = frozenset({"run", "worker", "demo", "quick", "check", "doctor"})
_ASKS_ONLY = frozenset({"--help", "-h", "--version"})
_INTERRUPTED = 2


def needs_gevent(argv: list[str]) -> bool:
    """Whether this command line runs load or serves, rather than prints something and ends."""
    verb = next((word for word in argv if not word.startswith("-")), "")
    return verb in _PATCHED_VERBS and _ASKS_ONLY.isdisjoint(argv)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    argv = sys.argv[1:]
    try:
        if needs_gevent(argv):
            from gevent import monkey

            monkey.patch_all()
        from loadgen.cli.main import invoke

        sys.exit(invoke(argv))
    except KeyboardInterrupt:  # so early that no run had begun
        sys.stderr.write("interrupted\n")
        sys.exit(_INTERRUPTED)


if __name__ == "__main__":
    main()
