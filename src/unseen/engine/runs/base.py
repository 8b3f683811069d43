"""What a run is, wherever it is kept: its manifest, its events, and `Run`, which keeps it in memory.

A manifest is the configuration of a run. It is written as sealed JSON, which carries its own digest, and compared with
the configuration of a call that would continue the run.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from hashlib import blake2b
from itertools import zip_longest
from pathlib import Path
from shlex import quote
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from unseen.core.arrays import Arrays, Named
from unseen.core.coreset import Coreset
from unseen.core.files import make_plain, storage_error
from unseen.core.protocols import CheckpointStore
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, CorruptFileError, RunError, RunMismatchError, StorageError

# ---- the manifest: sealed JSON, and the comparison of two configurations --------------------------------------------

FORMAT = 1  # of the files of a run

_SEAL = "seal"
_ABSENT = object()
_MOST = 20
_OBJECTS = ("versions", "plan", "learner", "settings", "scores", "fingerprint")  # in a manifest


def normalise(content: Mapping[str, Any]) -> dict[str, Any]:
    """Return the object as JSON gives it back: NumPy numbers and arrays become numbers and lists, tuples lists."""
    read: dict[str, Any] = json.loads(_canonical(content))
    return read


def digest_of(content: Mapping[str, Any]) -> str:
    """Return a digest of 32 hexadecimal digits; equal objects have equal digests, whatever the order of their keys."""
    return blake2b(_canonical(content), digest_size=16).hexdigest()


def seal(content: Mapping[str, Any]) -> bytes:
    """Return canonical JSON (sorted keys, two spaces, a newline at the end) with the digest of its content.

    >>> print(seal({"seed": 0}).decode(), end="")
    {
      "seal": "4186abf3a14d61a8812e2fb2f2d46c69",
      "seed": 0
    }
    """
    if _SEAL in content:
        raise ArgumentError(f"the key {_SEAL!r} is taken: it holds the digest of the rest")
    return _canonical({**content, _SEAL: digest_of(content)})


def unseal(raw: bytes) -> dict[str, Any] | None:
    """Return the object that `seal` wrote, or None if a single bit of it was changed.

    >>> unseal(seal({"seed": 0})), unseal(seal({"seed": 0}).replace(b"0", b"1"))
    ({'seed': 0}, None)
    """
    content = parse_object(raw)
    if content is None or content.pop(_SEAL, None) is None:
        return None
    try:
        return content if seal(content) == raw else None
    except (ArgumentError, RecursionError):  # such as JSON with NaN
        return None


def parse_object(raw: bytes) -> dict[str, Any] | None:
    """Parse a JSON object; return None if the bytes are not one."""
    try:
        content = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def differences(run: Mapping[str, Any], now: Mapping[str, Any]) -> list[str]:
    """List the values that differ, one line each, with their places written with dots; the first 20.

    >>> differences({"seed": 0, "plan": {"k": 5}}, {"seed": 0, "plan": {"k": 4}, "jobs": 2})
    ['jobs: absent (run) != 2 (now)', 'plan.k: 5 (run) != 4 (now)']
    """
    lines = [f"{place}: {_show(a)} (run) != {_show(b)} (now)" for place, a, b in _compare("", run, now)]
    return lines if len(lines) <= _MOST else [*lines[:_MOST], f"... ({len(lines)} in all)"]


def differ_in_labels(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Tell whether two fingerprints have the same classes, but other labels."""
    return one.get("classes") == other.get("classes") and one.get("labels") != other.get("labels")


def check_same(name: str, run: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """Refuse to continue the run `name` with another configuration; the message lists what differs."""
    if differing := differences(run, now):
        head = f"{name} is a run of another configuration; repeat its options, or choose another out=:"
        if all(line.startswith("fingerprint.") for line in differing):
            head = (
                f"{name} began with other data than this, or read it with other options; give the same, or choose "
                "another out=:"
            )
        if all(line.startswith("fingerprint.stamps:") for line in differing):
            head = (
                f"{name} began with other files than these, by their names, sizes or times; give those, or choose "
                "another out=:"
            )
            if "scores" in run:
                again = f"unseen select {quote(name)} --out NEW"
                differing.append(f"if their content is the same, its scores hold: {again}")
        if all(line.startswith("scores.") for line in differing):
            differing.append(f"to choose from its scores by another rule: unseen select {quote(name)} --out NEW")
        raise RunMismatchError("\n  ".join([head, *differing]))


def refuse_newer(name: str, manifest: Mapping[str, Any]) -> None:
    """Refuse a run whose files have a newer format than this version reads.

    >>> refuse_newer("runs/x", {"format": 2, "versions": {"unseen": "9.0"}})  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    unseen.errors.RunError: runs/x is a run of format 2, written by unseen 9.0, but ... up to 1; upgrade unseen
    """
    found = manifest.get("format", FORMAT)
    if not isinstance(found, int) or found > FORMAT:
        versions = manifest.get("versions")
        writer = versions.get("unseen", "?") if isinstance(versions, Mapping) else "?"
        raise RunError(
            f"{name} is a run of format {found}, written by unseen {writer}, but this version reads formats up to "
            f"{FORMAT}; upgrade unseen"
        )


def find_malformed(manifest: Mapping[str, Any]) -> str | None:
    """Describe the first value of a manifest that has not the type that unseen writes, or return None."""
    seed = manifest.get("seed", 0)
    if not isinstance(seed, int) or isinstance(seed, bool):
        return f"seed must be an integer, got {_show(seed)}"
    wrong = (name for name in _OBJECTS if not isinstance(manifest.get(name, {}), dict))
    return next((f"{name} must be an object, got {_show(manifest[name])}" for name in wrong), None)


def _compare(place: str, a: Any, b: Any) -> Iterator[tuple[str, Any, Any]]:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        kind = place.rpartition(".")[2]
        if kind and a.get(kind) != b.get(kind):  # another learner or plan: its own options say nothing
            yield f"{place}.{kind}", a.get(kind, _ABSENT), b.get(kind, _ABSENT)
            return
        for key in sorted({*a, *b}):
            yield from _compare(f"{place}.{key}" if place else key, a.get(key, _ABSENT), b.get(key, _ABSENT))
    elif isinstance(a, list) and isinstance(b, list):
        for i, (x, y) in enumerate(zip_longest(a, b, fillvalue=_ABSENT)):
            yield from _compare(f"{place}[{i}]", x, y)
    elif type(a) is not type(b) or a != b:
        yield place, a, b


def _show(value: Any) -> str:
    if value is _ABSENT:
        return "absent"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _canonical(content: Mapping[str, Any]) -> bytes:
    try:
        text = json.dumps(content, sort_keys=True, indent=2, allow_nan=False, ensure_ascii=True, default=make_plain)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"what a run keeps as JSON must be JSON with text keys and finite numbers: {error}"
        ) from error
    return text.encode() + b"\n"


# ---- reading the files of a run, and its log of events ------------------------------------------------------------


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turn the errors of reading a file of a run into errors of unseen; FileNotFoundError stays.

    A folder, a pipe or a device in its place is a CorruptFileError, what cannot be read a StorageError.
    """
    try:
        if path.exists() and not path.is_file():  # to read from a pipe would wait forever
            kind = "folder" if path.is_dir() else "pipe or device"
            raise CorruptFileError(f"{path} must be a file of the run, but it is a {kind}; move it away")
        yield
    except (FileNotFoundError, CorruptFileError, StorageError):
        raise
    except NotADirectoryError:
        raise RunError(f"{path.parent} holds no run: it is a file, and a run is a directory") from None
    except OSError as error:
        raise StorageError(f"cannot read {path}: {error.strerror or error}; mend it, or move the run") from error


@contextmanager
def interpreting(path: Path) -> Iterator[None]:
    """Raise a CorruptFileError for a whole file that does not hold what unseen writes, such as text for a number."""
    try:
        yield
    except RunError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        what = f"{type(error).__name__}: {error}".splitlines()[0]
        raise CorruptFileError(
            f"{path} does not hold what unseen writes there ({what}); repeat the original command with the same --out"
        ) from error


def read_whole(path: Path) -> bytes | None:
    """Return the bytes of a file, or None where there is no file; raise the errors of `reading`."""
    with reading(path), suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def file_digest(path: Path) -> str:
    """Return a digest of all bytes of a file, as 32 hexadecimal digits; raise the errors of `reading`."""
    with reading(path), path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def move_aside(path: Path) -> None:
    """Rename a damaged file to `<file>.damaged`; do nothing where there is no file."""
    try:
        with suppress(FileNotFoundError):
            os.replace(path, path.with_name(f"{path.name}.damaged"))  # noqa: PTH105 - fault tests stop at this name
    except OSError as error:
        raise storage_error(path, error) from error


def remove(path: Path) -> None:
    """Remove a file; do nothing where there is no file."""
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise storage_error(path, error) from error


# The fields of an event that are read back, by its kind.
_NEEDED = {
    "epoch": ("fit", "epoch"),
    "fit_end": ("fit", "seconds"),
    "choosing": ("arm", "trainings", "seconds", "samples"),
}


def make_event(kind: str, fields: Mapping[str, object]) -> dict[str, Any]:
    """Return an event as it is kept, with time, process and host."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "kind": kind,
        **fields,
    }


def spent(events: Iterable[Mapping[str, Any]]) -> dict[str, float]:
    """Return the seconds of each fit, including epochs that were lost by a kill.

    >>> epochs = [{"kind": "epoch", "fit": "r0f0", "seconds": 1.5, "observe_seconds": 0.25}] * 2
    >>> spent([*epochs, {"kind": "fit_end", "fit": "r0f0", "seconds": 4.0}])
    {'r0f0': 4.0}
    """
    epochs: dict[str, float] = defaultdict(float)
    whole: dict[str, float] = defaultdict(float)
    for event in events:
        if event["kind"] == "epoch" and "seconds" in event:
            epochs[event["fit"]] += event["seconds"] + event.get("observe_seconds", 0.0)
        elif event["kind"] == "fit_end":
            whole[event["fit"]] += event["seconds"]
    # An unbroken fit took longer than the sum of its epochs; for a broken fit only the epochs count all its time.
    return {fit: max(epochs[fit], whole[fit]) for fit in {**epochs, **whole}}


class EventLog:
    """Events appended to a file, each in one write, so that a kill can only damage the last line."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: Mapping[str, Any]) -> None:
        """Add one line; raise a StorageError where that fails, and leave the log as it was."""
        line = json.dumps(event, default=str).encode() + b"\n"
        try:
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                before = os.fstat(handle).st_size
                try:
                    while line:
                        line = line[os.write(handle, line) :]
                except OSError:
                    with suppress(OSError):
                        os.ftruncate(handle, before)
                    raise
            finally:
                os.close(handle)
        except OSError as error:
            raise storage_error(self.path, error) from error

    def repair(self) -> None:
        """Cut off a last line that a kill left unfinished."""
        raw = read_whole(self.path)
        if raw and not raw.endswith(b"\n"):
            os.truncate(self.path, raw.rfind(b"\n") + 1)

    def read(self) -> list[dict[str, Any]]:
        """Return all readable events, oldest first; leave out damaged lines."""
        found = []
        for line in (read_whole(self.path) or b"").split(b"\n"):
            with suppress(ValueError, RecursionError):  # a line that is empty or no JSON
                event = json.loads(line)
                if isinstance(event, dict) and _is_sound(event):
                    found.append(event)
        return found


def _is_sound(event: Mapping[str, Any]) -> bool:
    """Return whether the fields that are read back exist and have their types; another program may write here too."""
    texts = [event.get("kind"), event.get("fit", "")]
    numbers = [event.get(name, 0.0) for name in ("seconds", "observe_seconds", "epoch", "trainings")]
    numbers += [] if event.get("samples") is None else [event["samples"]]
    return (
        all(name in event for name in _NEEDED.get(str(event.get("kind")), ()))
        and all(isinstance(text, str) for text in texts)
        and all(isinstance(number, (int, float)) and not isinstance(number, bool) for number in numbers)
    )


# ---- a run ----------------------------------------------------------------------------------------------------------

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Saved(Protocol):
    """An output that writes itself to one file, atomically."""

    def save(self, path: str | Path) -> Path:
        """Write the file."""


Output = TypeVar("Output", bound=Saved)


def check_name(name: str) -> str:
    """Refuse a name that is not one plain file name; return it."""
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"a name in a run must be letters, digits, '_', '.' and '-', got {name!r}")
    return name


def plain_arrays(arrays: Arrays) -> Named:
    """Return the arrays as NumPy arrays of numbers, truth values, dates or text; refuse any other array by its name."""
    plain = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in plain.items():
        if values.dtype.kind not in "biufcmMUS":
            raise ArgumentError(
                f"array {name!r} must hold numbers, truth values, dates or text, got dtype {values.dtype}"
            )
    return plain


class MemoryCheckpoints:
    """The latest checkpoint of one fit. In another process it is a copy, and what is saved there stays there."""

    def __init__(self) -> None:
        self._latest: Named | None = None
        self._parts: dict[str, MemoryCheckpoints] = {}

    def load(self) -> Named | None:
        """Return the latest checkpoint, or None."""
        return None if self._latest is None else _copy(self._latest)

    def save(self, arrays: Arrays) -> None:
        """Replace the checkpoint."""
        self._latest = _copy(plain_arrays(arrays))

    def part(self, name: str) -> MemoryCheckpoints:
        """Return the checkpoint store of a part of the fit."""
        return self._parts.setdefault(name, MemoryCheckpoints())


class Run:
    """A run: its manifest, the state and result of each fit, the score table, the coreset, other outputs and events.

    This class keeps the run in memory, as long as the object lives. `RunDirectory` keeps it in a directory. Call `open`
    before anything that writes. Leaving the `with` block closes the run.

    >>> with Run() as run:
    ...     run.open({"seed": 0})
    ...     run.result("r0f0") is None
    True
    """

    def __init__(self) -> None:
        self._manifest: dict[str, Any] | None = None
        self._checkpoints: dict[str, MemoryCheckpoints] = {}
        self._results: dict[str, Named] = {}
        self._json: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, Run] = {}
        self._events: list[dict[str, Any]] = []
        self._outputs: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Begin the run of this configuration (JSON), or continue it.

        Raises:
            RunMismatchError: the run has another configuration; the message lists what differs.
        """
        now = normalise(manifest)
        if self._manifest is not None:
            check_same("this run in memory", self._manifest, now)
        self._manifest = now

    def close(self) -> None:
        """Release the run; what was saved stays. Closing twice does nothing."""

    def manifest(self) -> dict[str, Any]:
        """Return the configuration that the run was opened with."""
        return normalise(self._open_manifest)

    def checkpoints(self, fit: str) -> CheckpointStore:
        """Return the store for the latest checkpoint of a fit; it may be sent to a worker process."""
        return self._checkpoints.setdefault(check_name(fit), MemoryCheckpoints())

    def result(self, fit: str) -> Named | None:
        """Return the result of a finished fit, or None where the fit is still to be done."""
        return _copy(self._results[fit]) if fit in self._results else None

    def save_result(self, fit: str, arrays: Arrays) -> None:
        """Keep the result of a finished fit, and drop its checkpoint."""
        self._results[check_name(fit)] = _copy(plain_arrays(arrays))
        self._checkpoints.pop(fit, None)

    def save_table(self, table: ScoreTable) -> ScoreTable:
        """Keep the score table, and return it."""
        return self.save_output("scores.parquet", table)

    def table(self) -> ScoreTable | None:
        """Return the score table, or None."""
        return self.output("scores.parquet", ScoreTable.load)

    def save_coreset(self, coreset: Coreset) -> Coreset:
        """Keep the coreset, and return it."""
        return self.save_output("coreset.parquet", coreset)

    def coreset(self) -> Coreset | None:
        """Return the coreset, or None."""
        return self.output("coreset.parquet", Coreset.load)

    def save_output(self, name: str, output: Output) -> Output:
        """Keep an output under a file name such as `"history.parquet"`, and return it."""
        self._open_manifest  # noqa: B018 - only an open run may be written
        self._outputs[check_name(name)] = output
        return output

    def output(self, name: str, load: Callable[[Path], Output]) -> Output | None:
        """Return the output of that name, or None; `load` reads the file of a run in a directory."""
        kept: Output | None = self._outputs.get(name)
        return kept

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a JSON object under a file name such as `"command.json"`."""
        self._json[check_name(name)] = normalise(content)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object of that name, or None."""
        return normalise(self._json[name]) if name in self._json else None

    def part(self, name: str) -> Run:
        """Return a run inside this one, such as a step of a growth; it is opened by itself."""
        return self._parts.setdefault(check_name(name), Run())

    def event(self, kind: str, **fields: object) -> None:
        """Log an event, with time, process and host."""
        self._events.append(make_event(kind, fields))

    def events(self) -> list[dict[str, Any]]:
        """Return all events, oldest first."""
        return [dict(event) for event in self._events]

    @property
    def _open_manifest(self) -> dict[str, Any]:
        if self._manifest is None:
            raise RunError("the run is not open: call open(manifest) first")
        return self._manifest


def _copy(arrays: Named) -> Named:
    return {name: values.copy() for name, values in arrays.items()}
