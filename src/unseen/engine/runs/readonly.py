"""A run that is only read: what differs from a configuration, and which parts are finished."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NoReturn, TypeVar

from unseen.engine.runs.base import check_name, differences, digest_of, normal, unseal
from unseen.engine.runs.directory import RunDirectory, owner_of
from unseen.engine.runs.files import file_digest, read_whole
from unseen.errors import CorruptFileError, RunError

T = TypeVar("T")


class ReadOnlyRun(RunDirectory):
    """A read-only run directory, for a verb that stops before its work begins.

    It takes no lock and changes nothing. Where `open` of a run directory refuses another configuration, this one stores
    the differences. Damaged files count as absent, and their names are stored.

    Attributes:
        differences: the lines of `unseen.engine.runs.base.differences`; None before `open`.
        damaged: the paths of damaged files that were found.
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__(path)
        self.differences: list[str] | None = None
        self.damaged: list[str] = []
        self._above: ReadOnlyRun | None = None

    def __fspath__(self) -> str:
        return str(self.path)

    def __str__(self) -> str:
        return str(self.path)

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Compare with the configuration of the run; a run that has not begun yet differs in nothing."""
        now = normal(manifest)
        raw = read_whole(self._manifest_path)
        found = now if raw is None else unseal(raw)
        if found is None:
            raise CorruptFileError(f"{self._manifest_path} is damaged or was edited: nothing can be compared with it")
        self._digest = digest_of(found)
        self.differences = differences(found, now)
        above = self._above
        while above is not None:  # the differences of a run inside another count for both
            above.differences = [*(above.differences or []), *self.differences]
            above = above._above

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

    def part(self, name: str) -> ReadOnlyRun:
        """Return a read-only run inside this one."""
        inside = ReadOnlyRun(self.path / "parts" / check_name(name))
        inside._above, inside.damaged = self, self.damaged
        return inside

    def event(self, kind: str, **fields: object) -> None:
        """Log nothing."""

    def _refuse(self, *_: Any, **__: Any) -> NoReturn:
        raise RunError(f"{self.path} is only read")

    save_result = save_output = write_json = _refuse

    def _owner_in(self, folder: Path) -> str | None:
        raw = read_whole(folder / "manifest.json")
        found = None if raw is None else unseal(raw)
        return None if found is None else digest_of(found)

    def _read_or_none(self, path: Path, read: Callable[[Path], T | None]) -> T | None:
        try:
            return super()._read_or_none(path, read)
        except CorruptFileError:
            name = str(path.relative_to(self.path))
            if name not in self.damaged:
                self.damaged.append(name)
            return None
