"""From what a user passes as `out` to the store of the run, and back from a path to what it holds."""

from __future__ import annotations

import secrets
from contextlib import suppress
from pathlib import Path

from unseen.errors import ArgumentError, CorruptFileError, RunError
from unseen.runs.base import Run
from unseen.runs.directory import RunDirectory
from unseen.runs.files import understood
from unseen.runs.memory import MemoryRun
from unseen.types import Coreset, ScoreTable

__all__ = ["load_file", "open_run", "seed_of"]


def open_run(out: str | Path | Run | None) -> Run:
    """The directory of that name, or memory for None; what is a run already is taken as it is."""
    if out is None:
        return MemoryRun()
    if isinstance(out, str) and (not out.strip() or "\0" in out):
        raise ArgumentError(f"out must name a directory, got {out!r}; '.' is this one")
    return RunDirectory(out) if isinstance(out, (str, Path)) else out


def seed_of(out: str | Path | Run | None, seed: int | None) -> int:
    """The seed; for None that of the run which `out` keeps, else one that is drawn."""
    if seed is not None:
        return seed
    if isinstance(out, (str, Path)) and Path(out).is_dir():
        with suppress(RunError):
            kept = RunDirectory(out).manifest().get("seed")
            if isinstance(kept, int):
                return kept
    return secrets.randbelow(2**31)


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
