"""From what a user passes as `out` to the store of the run, and back from a path to what it holds."""

from __future__ import annotations

from pathlib import Path

from unseen.errors import ArgumentError, CorruptFileError, RunError
from unseen.runs.base import Run
from unseen.runs.directory import RunDirectory
from unseen.runs.files import understood
from unseen.runs.memory import MemoryRun
from unseen.types import Coreset, ScoreTable

__all__ = ["load_file", "open_run"]


def open_run(out: str | Path | Run | None) -> Run:
    """The directory of that name, or memory for None; what is a run already is taken as it is."""
    if out is None:
        return MemoryRun()
    if isinstance(out, str) and (not out.strip() or "\0" in out):
        raise ArgumentError(f"out must name a directory, got {out!r}; '.' is this one")
    return RunDirectory(out) if isinstance(out, (str, Path)) else out


def load_file(path: Path) -> ScoreTable | Coreset:
    """The table or coreset in one parquet file."""
    if not path.exists():
        raise RunError(f"there is no run or file {path}")
    if not path.is_file():
        raise RunError(f"{path} cannot be read: it is a pipe, a socket or a device, not a file")
    try:
        with understood(path):
            return ScoreTable.load(path)
    except CorruptFileError as error:
        if "it holds 'coreset'" not in str(error):
            raise
        with understood(path):
            return Coreset.load(path)
