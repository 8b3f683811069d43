"""The command line: one file for each subcommand, which parses, calls one public function and prints."""

import os
import signal
import sys
from functools import partial
from typing import Any

__all__ = ["INTERRUPTED", "TERMINATED", "Terminated", "main"]

INTERRUPTED, TERMINATED = 130, 143


class Terminated(KeyboardInterrupt):
    """SIGTERM: the work ends as at Ctrl-C."""


def main() -> None:
    """Run the program `unseen`."""
    before = signal.signal(signal.SIGTERM, partial(_terminate, os.getpid()))
    # By default, idle threads of OpenBLAS spin for 2^26 cycles, while the threads that work between two products need
    # the processors. OpenBLAS reads this when NumPy is loaded.
    os.environ.setdefault("OPENBLAS_THREAD_TIMEOUT", "8")
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # see `unseen.core.machine.short_spins`
    try:
        from unseen.cli._app import run  # takes a second, in which Ctrl-C should show no traceback

        run()
    except Terminated:
        sys.exit(TERMINATED)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    finally:  # a caller in Python goes on, and its forked processes may lose a SIGTERM to a handler written in Python
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _terminate(program: int, number: int, frame: Any) -> None:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the program at once
    if os.getpid() != program:
        os.kill(os.getpid(), number)  # a forked child, such as a data loader's, has no run to keep
    raise Terminated
