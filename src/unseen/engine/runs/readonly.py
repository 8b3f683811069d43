"""Reading a run without changing it, and opening a run by what a user passes as `out`.

`Looking` compares a configuration with a run and finds out which parts are finished. `results_of` reads the results of
finished fits, and `load_file` reads one table or coreset.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy.typing as npt

from unseen.core.arrays import Arrays
from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.engine.runs.base import MemoryRun, Output, Run, check_name
from unseen.engine.runs.directory import RunDirectory, owner_of, read_arrays
from unseen.engine.runs.files import file_digest, read_whole, understood
from unseen.engine.runs.manifest import differences, digest_of, normal, unseal
from unseen.errors import ArgumentError, CorruptFileError, RunError

T = TypeVar("T")


class Looking(RunDirectory):
    """A read-only run directory, for a verb that stops before its work begins.

    It takes no lock and changes nothing. Where `open` of a run directory refuses another configuration, this one stores
    the differences. Damaged files count as absent, and their names are stored.

    Args:
        path: the directory of the run.

    Attributes:
        differences: the lines of `unseen.engine.runs.manifest.differences`; None before `open`.
        damaged: the paths of damaged files that were found.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.differences: list[str] | None = None
        self.damaged: list[str] = []
        self._above: Looking | None = None

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Compare with the configuration of the run; a run that has not begun yet differs in nothing."""
        now = normal(manifest)
        raw = self._raw_manifest()
        found = now if raw is None else unseal(raw)
        if found is None:
            raise CorruptFileError(f"{self._manifest_path} is damaged or was edited: nothing can be compared with it")
        self._digest = digest_of(found)
        self.differences = differences(found, now)
        above = self._above
        while above is not None:  # the differences of a run inside another count for both
            above.differences = [*(above.differences or []), *self.differences]
            above = above._above

    def result(self, fit: str) -> dict[str, npt.NDArray[Any]] | None:
        """Return the result of a finished fit, or None."""
        path = self._fit_path(fit, "result.npz")
        return self._read_or_none(path, read_arrays) if self._is_own(path) else None

    def finished(self) -> int:
        """Count the finished fits, including those of runs inside this one."""
        owners = {path.parent: self._owner_in(path.parent) for path in self.path.rglob("manifest.json")}
        found = 0
        for path in self.path.rglob("result.npz"):
            owner = self._read_or_none(path, owner_of)
            found += owner is not None and owner == owners.get(path.parents[2])
        return found

    def under_way(self) -> list[str]:
        """List the fits that have begun and are not finished."""
        paths = sorted(self.path.rglob("checkpoint.npz"))
        return [path.parent.name for path in paths if not path.with_name("result.npz").exists()]

    def holds(self, name: str) -> bool:
        """Return whether the run holds a whole output of that name, of its own configuration.

        The answer is no where a later command asked for more, such as more seeds of an evaluation.
        """
        if name.endswith(".json"):
            return self.read_json(name) is not None
        path, listed, owner = self.path / name, self.outputs(), self._owner_in(self.path)
        if listed is None or listed["manifest"] != owner or name not in listed["digests"] or listed.get("more"):
            return False
        if path.exists() and file_digest(path) == listed["digests"][name]:
            return True
        self.damaged.append(name)
        return False

    def part(self, name: str) -> Looking:
        """Return a read-only run inside this one."""
        inside = Looking(self.path / "parts" / check_name(name))
        inside._above, inside.damaged = self, self.damaged
        return inside

    def event(self, kind: str, **fields: object) -> None:
        """Log nothing."""

    def save_result(self, fit: str, arrays: Arrays) -> NoReturn:
        """Refuse to write."""
        raise RunError(f"{self.path} is only looked at")

    def save_output(self, name: str, output: Output) -> NoReturn:
        """Refuse to write."""
        raise RunError(f"{self.path} is only looked at")

    def write_json(self, name: str, content: Mapping[str, Any]) -> NoReturn:
        """Refuse to write."""
        raise RunError(f"{self.path} is only looked at")

    def _owner_in(self, folder: Path) -> str | None:
        path = folder / "manifest.json"
        found = unseal(read_whole(path)) if path.exists() else None
        return None if found is None else digest_of(found)

    def _read_or_none(self, path: Path, read: Callable[[Path], T | None]) -> T | None:
        try:
            return super()._read_or_none(path, read)
        except CorruptFileError:
            name = str(path.relative_to(self.path))
            if name not in self.damaged:
                self.damaged.append(name)
            return None


# ---- results, and what a path or an `out` names --------------------------------------------------------------------


def results_of(run: Path) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    """Yield the name and the arrays of each finished fit of this configuration, sorted by name.

    Raises:
        RunError: there is no run.
        CorruptFileError: a result is damaged.
    """
    owner = digest_of(RunDirectory(run).manifest())
    for path in sorted(run.glob("fits/*/result.npz")):
        if owner_of(path) == owner:
            yield path.parent.name, read_arrays(path)


def open_run(out: str | Path | Run | None) -> Run:
    """Return the run directory of that name, or a run in memory for None; return a run as it is."""
    if out is None:
        return MemoryRun()
    if isinstance(out, str) and (not out.strip() or "\0" in out):
        raise ArgumentError(f"out must name a directory, got {out!r}; '.' is this one")
    return RunDirectory(out) if isinstance(out, (str, Path)) else out


def seed_of(out: str | Path | Run | None, seed: int | None) -> int:
    """Return the seed; for None the seed of the run in `out`, or else a random one."""
    if seed is not None:
        return seed
    if isinstance(out, (str, Path)) and Path(out).is_dir():
        with suppress(RunError):
            kept = RunDirectory(out).manifest().get("seed")
            if isinstance(kept, int):
                return kept
    return secrets.randbelow(2**31)


def load_file(path: Path) -> ScoreTable | Coreset:
    """Read the table or the coreset in one parquet file."""
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
