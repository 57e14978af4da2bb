"""How a run looks on a terminal, in a log file, and at its end.

Pure functions make lists of lines from snapshots; loadgen.cli.terminal.screens writes them.
"""
