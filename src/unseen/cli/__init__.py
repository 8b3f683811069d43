"""The command line: one file a subcommand; each parses, calls one public function and prints."""

import os
import sys

__all__ = ["main"]

INTERRUPTED = 130


def main() -> None:
    """Run the program `unseen`."""
    # Threads of OpenBLAS that wait for work keep their processors busy, for 2^26 cycles if not told otherwise: work
    # between two products is done by threads too. Read when NumPy is loaded.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")
    try:
        from unseen.cli._app import run  # takes a second, in which Ctrl-C should not show a traceback either
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()
