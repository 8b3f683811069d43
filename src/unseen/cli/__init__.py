"""The command line: one file a subcommand; each parses, calls one public function and prints."""

import sys

__all__ = ["main"]

INTERRUPTED = 130


def main() -> None:
    """Run the program `unseen`."""
    try:
        from unseen.cli._app import run  # takes a second, in which Ctrl-C should not show a traceback either
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    run()
