"""A run that is looked at and left as it is: what a configuration differs in from it, and what of it is finished.

What the finished fits of a run yielded, read without taking part in it.

From what a user passes as `out` to the store of the run, and back from a path to what it holds.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar
import numpy.typing as npt
from unseen.errors import CorruptFileError, RunError
from unseen.engine.runs.directory import owner_of, read_arrays
from unseen.engine.runs.base import Output, check_name
from unseen.engine.runs.directory import RunDirectory
from unseen.engine.runs.files import file_digest, read_whole
from unseen.engine.runs.manifest import differences, digest_of, normal, unseal
from unseen.core.arrays import Arrays
from collections.abc import Iterator
from pathlib import Path
from typing import Any
import numpy.typing as npt
from unseen.engine.runs.directory import owner_of, read_arrays
from unseen.engine.runs.directory import RunDirectory
from unseen.engine.runs.manifest import digest_of
import secrets
from contextlib import suppress
from pathlib import Path
from unseen.errors import ArgumentError, CorruptFileError, RunError
from unseen.engine.runs.base import Run
from unseen.engine.runs.directory import RunDirectory
from unseen.engine.runs.files import understood
from unseen.engine.runs.memory import MemoryRun
from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable

__all__ = ["Looking", "load_file", "open_run", "results_of", "seed_of"]


T = TypeVar("T")


class Looking(RunDirectory):
    """Takes the place of the directory in a verb, up to where its work would begin.

    It takes no lock and changes nothing. Where `open` of the directory refuses another configuration, this one keeps
    what differs; damaged files count as absent, and are kept by name.

    Args:
        path: the directory of the run.

    Attributes:
        differences: lines as of `unseen.engine.runs.manifest.differences`; None before `open`.
        damaged: paths of damaged files that were met.

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
        """Compare with what the run was begun with; a run that was not begun yet differs in nothing."""
        now = normal(manifest)
        raw = self._raw_manifest()
        found = now if raw is None else unseal(raw)
        if found is None:
            raise CorruptFileError(f"{self._manifest_path} is damaged or was edited: nothing can be compared with it")
        self._digest = digest_of(found)
        self.differences = differences(found, now)
        above = self._above
        while above is not None:  # what is inside a run counts as the run's
            above.differences = [*(above.differences or []), *self.differences]
            above = above._above

    def result(self, fit: str) -> dict[str, npt.NDArray[Any]] | None:
        """What a finished fit yielded, or None."""
        path = self._fit_path(fit, "result.npz")
        return self._whole(path, read_arrays) if self._own(path) else None

    def finished(self) -> int:
        """How many fits are finished, those in runs inside this one included."""
        owners = {path.parent: self._owner_in(path.parent) for path in self.path.rglob("manifest.json")}
        found = 0
        for path in self.path.rglob("result.npz"):
            owner = self._whole(path, owner_of)
            found += owner is not None and owner == owners.get(path.parents[2])
        return found

    def under_way(self) -> list[str]:
        """The fits that were begun and not finished."""
        paths = sorted(self.path.rglob("checkpoint.npz"))
        return [path.parent.name for path in paths if not path.with_name("result.npz").exists()]

    def holds(self, name: str) -> bool:
        """Whether a result of that name is there, whole, and of the configuration that the run was begun with.

        Not so where more was asked for since: more seeds of an evaluation, say.
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
        """A run inside this one, looked at likewise."""
        inside = Looking(self.path / "parts" / check_name(name))
        inside._above, inside.damaged = self, self.damaged
        return inside

    def event(self, kind: str, **fields: object) -> None:
        """Log nothing."""

    def save_result(self, fit: str, arrays: Arrays) -> NoReturn:
        """Refused."""
        raise RunError(f"{self.path} is only looked at")

    def save_output(self, name: str, output: Output) -> NoReturn:
        """Refused."""
        raise RunError(f"{self.path} is only looked at")

    def write_json(self, name: str, content: Mapping[str, Any]) -> NoReturn:
        """Refused."""
        raise RunError(f"{self.path} is only looked at")

    def _owner_in(self, folder: Path) -> str | None:
        path = folder / "manifest.json"
        found = unseal(read_whole(path)) if path.exists() else None
        return None if found is None else digest_of(found)

    def _whole(self, path: Path, read: Callable[[Path], T | None]) -> T | None:
        try:
            return super()._whole(path, read)
        except CorruptFileError:
            name = str(path.relative_to(self.path))
            if name not in self.damaged:
                self.damaged.append(name)
            return None


def results_of(run: Path) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    """Name and arrays of every finished fit of this configuration, by name, one at a time.

    Raises:
        RunError: there is no run.
        CorruptFileError: a result is damaged.

    """
    owner = digest_of(RunDirectory(run).manifest())
    for path in sorted(run.glob("fits/*/result.npz")):
        if owner_of(path) == owner:
            yield path.parent.name, read_arrays(path)


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
