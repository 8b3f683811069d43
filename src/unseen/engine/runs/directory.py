"""A run in a directory, which survives a kill at any moment and continues to the same numbers.

    manifest.json                 the configuration, sealed; no times, hosts or retries
    events.jsonl                  the events with their times
    lock                          held by the process that works here
    fits/<name>/checkpoint.npz    the latest state of a fit under way; of its parts, checkpoint-<part>.npz
    fits/<name>/result.npz        the result of a finished fit
    scores.parquet, coreset.parquet, and other outputs
    outputs.json                  the digests of these files, and the manifest that they belong to
    parts/<name>/                 runs inside this one

Every file is written whole or not at all. Damage can be detected in each file, and each names the manifest that it
belongs to. A damaged file is moved aside (`<file>.damaged`) with an event, and its part is done again.

Arrays are in uncompressed `.npz` files. The comment at the end of the zip file holds the digest of the manifest, then
the digest of every byte before it. `numpy.load` reads such a file too. Arrays of objects are refused, so nothing is
ever unpickled.
"""

from __future__ import annotations

import os
import secrets
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, NoReturn, TypeVar

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Arrays, Named
from unseen.core.coreset import Coreset
from unseen.core.files import Lock, replace_file, storage_error
from unseen.core.protocols import CheckpointStore
from unseen.core.table import ScoreTable
from unseen.engine.runs.base import (
    EventLog,
    Output,
    Run,
    check_name,
    check_same,
    differences,
    digest_of,
    file_digest,
    find_malformed,
    interpreting,
    make_event,
    move_aside,
    normalise,
    parse_object,
    plain_arrays,
    read_whole,
    refuse_newer,
    remove,
    seal,
    unseal,
)
from unseen.errors import ArgumentError, CorruptFileError, RunError, RunMismatchError, StorageError, some

_DIGEST = 32  # hexadecimal digits
_CHUNK = 1 << 20


def write_arrays(path: Path, arrays: Arrays, owner: str) -> None:
    """Write arrays atomically, with the digest of their manifest; equal arrays and owners give equal bytes."""
    plain = plain_arrays(arrays)

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as members:
            for name, values in plain.items():
                # A ZipInfo made by hand has a fixed date: equal arrays give equal bytes.
                with members.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, values, allow_pickle=False)
            members.comment = owner.encode() + b"0" * _DIGEST
        end = file.seek(-_DIGEST, 2)
        digest = _digest(file, end)
        file.seek(end)
        file.write(digest)

    replace_file(path, write)


def owner_of(path: Path) -> str | None:
    """Check every byte of a file and return the digest of its manifest; None if there is no such file."""
    try:
        with path.open("rb") as file:
            size = file.seek(0, 2)
            if size < 2 * _DIGEST:
                raise CorruptFileError(f"{path} is damaged: it was cut off after {size} bytes")
            file.seek(-2 * _DIGEST, 2)
            owner, found = file.read(_DIGEST), file.read(_DIGEST)
            if found != _digest(file, size - _DIGEST):
                raise CorruptFileError(f"{path} is damaged: its content does not match its digest")
            return owner.decode()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}") from error


def read_arrays(path: Path) -> Named:
    """Read the arrays of a file that `owner_of` has checked."""
    try:
        with zipfile.ZipFile(path) as members:
            arrays = {}
            for info in members.infolist():
                with members.open(info) as member:
                    values = np.lib.format.read_array(member, allow_pickle=False)
                arrays[info.filename.removesuffix(".npy")] = values
            return arrays
    except Exception as error:  # NumPy raises anything from MemoryError to TokenError for a wrong header
        raise CorruptFileError(f"{path} is damaged: {error}") from error


def _digest(file: BinaryIO, end: int) -> bytes:
    digest = blake2b(digest_size=_DIGEST // 2)
    file.seek(0)
    while end > 0 and (chunk := file.read(min(end, _CHUNK))):
        digest.update(chunk)
        end -= len(chunk)
    return digest.hexdigest().encode()


# ---- checkpoints ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class DirectoryCheckpoints:
    """The latest checkpoint of one fit in a file. The object holds only the path, so it can go to worker processes."""

    path: Path
    owner: str
    spacing: ClassVar[float] = 1.0  # seconds between two; on little data, one may take as long as an epoch

    def load(self) -> Named | None:
        """Return the latest checkpoint, or None; move a damaged one aside and ignore one of another run."""
        try:
            return read_arrays(self.path) if owner_of(self.path) == self.owner else None
        except CorruptFileError:
            move_aside(self.path)
            return None

    def save(self, arrays: Arrays) -> None:
        """Replace the checkpoint atomically."""
        write_arrays(self.path, arrays, self.owner)

    def part(self, name: str) -> DirectoryCheckpoints:
        """Return the checkpoint store of a part of the fit, a file beside this one."""
        return replace(self, path=self.path.with_name(f"{self.path.stem}-{name}{self.path.suffix}"))

    def clear(self) -> None:
        """Remove the checkpoint and those of all parts."""
        for path in [self.path, *self.path.parent.glob(f"{self.path.stem}-*{self.path.suffix}")]:
            remove(path)


# ---- the run -------------------------------------------------------------------------------------------------------

T = TypeVar("T")

OUTPUTS = "outputs.json"
# What the commands write into a run by a fixed name.
_WRITTEN = (
    *("manifest.json", "events.jsonl", "command.json", OUTPUTS, "advice.json", "report.html", "sweep.md", "sweep.svg"),
    *(f"{name}.parquet" for name in ("scores", "coreset", "history", "evaluation", "sweep")),
)
_REPEAT = "repeat the original command with the same --out to rebuild it"


class RunDirectory(Run):
    """A run in a directory.

    Reading (`manifest`, `table`, `coreset`, `read_json`, `events`) needs no `open`. It then takes no lock and changes
    nothing, and a damaged file raises `CorruptFileError`.

    Args:
        path: the directory; made by `open`.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, RunDirectory(folder) as run:
    ...     run.open({"seed": 0})
    ...     run.result("r0f0") is None
    True
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._manifest_path = self.path / "manifest.json"
        self._lock: Lock | None = None
        self._digest: str | None = None
        self._log = EventLog(self.path / "events.jsonl")

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Take the lock, then begin or continue the run of this configuration.

        A damaged or lost manifest is written anew if every fit here belongs to this configuration. A run in which no
        work was begun takes any configuration.

        Raises:
            RunLockedError: another process is working here.
            RunMismatchError: it is the run of another configuration; nothing is changed.
            RunError: it is a folder whose files a new run would replace.
            StorageError: it is a file, or cannot be written.
        """
        now = normalise(manifest)
        self.refuse_occupied()
        lock = Lock(self.path / "lock")
        try:
            raw = read_whole(self._manifest_path)
            found = unseal(raw) if raw is not None else None
            if found is not None and self._is_unused():
                raw = found = None
            if found is not None:
                check_same(str(self.path), found, now)
            else:
                self._refuse_foreign(digest_of(now))
            self._lock, self._digest = lock, digest_of(now)
            try:
                for folder in (self.path, *self.path.glob("fits/*/")):
                    for left in folder.glob(".*.tmp"):  # by killed writers
                        left.unlink(missing_ok=True)
                self._log.repair()
            except OSError as error:
                raise storage_error(self.path, error) from error
            if found is None:
                replace_file(self._manifest_path, lambda file: file.write(seal(now)))
                if raw is not None:
                    self.event("damaged", file="manifest.json", remedy="written anew")
        except BaseException:
            self.close()
            lock.release()
            raise

    def _is_unused(self) -> bool:
        """Tell whether no work was begun here: it was refused, or the user declined."""
        names = [entry.name for entry in self.path.iterdir()]
        return all(name in ("lock", "manifest.json") or name.startswith("pixels-") for name in names)

    def refuse_occupied(self) -> None:
        """Refuse a file, and a folder that is no run but holds files that a new run would replace."""
        if self.path.exists() and not self.path.is_dir():
            raise StorageError(f"{self.path} is a file, and a run is a directory; choose another out=")
        taken = [name for name in ("lock", *_WRITTEN) if os.path.lexists(self.path / name)]
        # A run makes its lock before any other file, so it is looked for last: another process may begin right now.
        if not taken or _is_lock(self.path / "lock"):
            return
        # `--rule auto` keeps its command first. A copy of a run may lack the lock.
        if any(unseal(read_whole(self.path / name) or b"") is not None for name in ("manifest.json", "command.json")):
            return
        raise RunError(
            f"{self.path} holds no run, but {some(taken)}, which a run would replace; choose another out=, such as "
            f"{self.path / 'run'}"
        )

    def close(self) -> None:
        """Release the lock; what was saved stays."""
        if self._lock is not None:
            self._lock.release()
        self._lock = self._digest = None

    def manifest(self) -> dict[str, Any]:
        """Return the configuration of the run in this directory.

        Raises:
            RunError: there is no run here, or one in a newer format than this version of unseen reads.
            CorruptFileError: the manifest is damaged.
        """
        raw = read_whole(self._manifest_path)
        if raw is None:
            there = f"{self.path} holds no run: there is no manifest.json"
            raise RunError(there if self.path.exists() else f"there is no run {self.path}")
        manifest = unseal(raw)
        if manifest is None:
            raise CorruptFileError(f"{self._manifest_path} is damaged or was edited; {_REPEAT}")
        refuse_newer(str(self.path), manifest)
        if (wrong := find_malformed(manifest)) is not None:
            raise CorruptFileError(f"{self._manifest_path} does not hold what unseen writes there ({wrong}); {_REPEAT}")
        return manifest

    def checkpoints(self, fit: str) -> CheckpointStore:
        """Return the store for the latest checkpoint of a fit; move a damaged checkpoint aside at once."""
        store = self._store(fit)
        self._is_own(store.path)
        return store

    def result(self, fit: str) -> Named | None:
        """Return the result of a finished fit; None where it is missing, damaged or of another configuration."""
        path = self._fit_path(fit, "result.npz")
        if not self._is_own(path):
            return None
        arrays = self._read_or_none(path, read_arrays)
        if arrays is not None and self._lock is not None:
            self._store(fit).clear()  # a kill may have come before this was done
        return arrays

    def save_result(self, fit: str, arrays: Arrays) -> None:
        """Keep the result of a finished fit, and drop its checkpoint."""
        write_arrays(self._fit_path(fit, "result.npz"), arrays, self._owner)
        self._store(fit).clear()

    def save_output(self, name: str, output: Output) -> Output:
        """Keep an output under a file name and its digest in `outputs.json`; return the output."""
        owner, before = self._owner, self.outputs()
        output.save(self.path / check_name(name))
        kept: dict[str, Any] = {"manifest": owner, "digests": {}}
        if before is not None and before["manifest"] == owner:
            kept = {key: value for key, value in before.items() if key != "more"}
        self.write_json(OUTPUTS, {**kept, "digests": {**kept["digests"], name: file_digest(self.path / name)}})
        return output

    def output(self, name: str, load: Callable[[Path], Output]) -> Output | None:
        """Return the output of that name, or None."""
        path, listed = self.path / name, self.outputs()
        if listed is None or name not in listed["digests"]:
            return None  # never saved, or a kill came before its digest was kept
        if listed["manifest"] != (self._digest or digest_of(self.manifest())):
            if self._lock is not None:
                self._ignore(path)
            return None

        def check_and_load(path: Path) -> Output:
            # Readers of parquet do not notice damage in columns that they skip, but other readers may need these.
            if file_digest(path) != listed["digests"][name]:
                raise CorruptFileError(f"{path} is damaged or was replaced: its content does not match its digest")
            with interpreting(path):
                return load(path)

        return self._read_or_none(path, check_and_load)

    def outputs(self) -> dict[str, Any] | None:
        """Return the `"digests"` of the outputs by name, and their `"manifest"`; None before the first output."""
        return self._read_or_none(self.path / OUTPUTS, _read_outputs)

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a JSON object under a file name such as `"command.json"`."""
        self._owner  # noqa: B018 - only an open run may be written
        replace_file(self.path / check_name(name), lambda file: file.write(seal(content)))

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object of that name, or None."""
        return self._read_or_none(self.path / check_name(name), _read_sealed)

    def part(self, name: str) -> RunDirectory:
        """Return a run inside this one, in the folder `parts/<name>`."""
        return RunDirectory(self.path / "parts" / check_name(name))

    def event(self, kind: str, **fields: object) -> None:
        """Log an event, with time, process and host."""
        self._owner  # noqa: B018 - only an open run may be written
        self._log.append(make_event(kind, fields))

    def events(self) -> list[dict[str, Any]]:
        """Return all events, oldest first; leave out lines that a kill or damage made unreadable."""
        return self._log.read()

    @property
    def _owner(self) -> str:
        if self._digest is None:
            raise RunError(f"{self.path} is not open: call open(manifest) first")
        return self._digest

    def _store(self, fit: str) -> DirectoryCheckpoints:
        return DirectoryCheckpoints(self._fit_path(fit, "checkpoint.npz"), self._owner)

    def _fit_path(self, fit: str, file: str) -> Path:
        return self.path / "fits" / check_name(fit) / file

    def _refuse_foreign(self, digest: str) -> None:
        """Refuse a run without a readable manifest if one of its fits belongs to another configuration."""
        for path in sorted(self.path.glob("fits/*/*.npz")):
            try:
                owner = owner_of(path)
            except CorruptFileError:
                continue  # moved aside when its fit is read
            if owner != digest:
                raise RunMismatchError(
                    f"{self._manifest_path} is damaged or lost, and {path.relative_to(self.path)} belongs to another "
                    f"configuration than this one; {_REPEAT}, or choose another --out"
                )

    def _is_own(self, path: Path) -> bool:
        """Return whether the file exists, is whole and belongs to this run."""
        owner = self._read_or_none(path, owner_of)
        if owner is not None and owner != self._owner:
            self._ignore(path)
        return owner == self._owner

    def _read_or_none(self, path: Path, read: Callable[[Path], T | None]) -> T | None:
        try:
            return read(path)
        except FileNotFoundError:
            return None
        except CorruptFileError:
            if self._lock is None:
                raise
            move_aside(path)
            name = path.relative_to(self.path).as_posix()
            self.event("damaged", file=name, remedy="moved aside; its part is done again")
            return None

    def _ignore(self, path: Path) -> None:
        name = path.relative_to(self.path).as_posix()
        self.event("ignored", file=name, reason="it belongs to another configuration")


def _is_lock(path: Path) -> bool:
    """Return whether the file is the lock of a run: empty, or the name of its holder."""
    if not path.is_file():
        return False
    raw = read_whole(path)
    return not raw or parse_object(raw) is not None


def _read_sealed(path: Path) -> dict[str, Any] | None:
    raw = read_whole(path)
    content = None if raw is None else unseal(raw)
    if raw is not None and content is None:
        raise CorruptFileError(f"{path} is damaged or was edited; {_REPEAT}")
    return content


def _read_outputs(path: Path) -> dict[str, Any] | None:
    content = _read_sealed(path)
    if content is None:
        return None
    digests = content.get("digests")
    texts = [content.get("manifest"), *digests.values()] if isinstance(digests, dict) else [None]
    if not all(isinstance(text, str) for text in texts):
        raise CorruptFileError(f"{path} must hold the digest of the manifest, and one of each result; {_REPEAT}")
    return content


# ---- a run that is only read ---------------------------------------------------------------------------------------


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
        now = normalise(manifest)
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


# ---- what a path or an `out` names ---------------------------------------------------------------------------------


def results_of(run: Path) -> Iterator[tuple[str, dict[str, npt.NDArray[Any]]]]:
    """Yield the name and the arrays of each finished fit of this configuration, sorted by name."""
    owner = digest_of(RunDirectory(run).manifest())
    for path in sorted(run.glob("fits/*/result.npz")):
        if owner_of(path) == owner:
            yield path.parent.name, read_arrays(path)


def open_run(out: str | Path | Run | None) -> Run:
    """Return the run directory of that name, or a run in memory for None; return a run as it is."""
    if out is None:
        return Run()
    if isinstance(out, str) and (not out.strip() or "\0" in out):
        raise ArgumentError(f"out must name a directory, got {out!r}; '.' is this one")
    if not isinstance(out, (str, Path, Run)):
        raise ArgumentError(f"out must be a path, got an object of {type(out).__name__}")
    return out if isinstance(out, Run) else RunDirectory(out)


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
        raise RunError(f"{path} cannot be read: it is a folder, a pipe, a socket or a device, not a file")
    try:
        with interpreting(path):
            return ScoreTable.load(path)
    except CorruptFileError as error:
        if "it holds 'coreset'" not in str(error):
            raise
        with interpreting(path):
            return Coreset.load(path)
