"""The command line: one file a subcommand; each parses, calls one public function and prints."""

from unseen.cli._app import main

__all__ = ["main"]
