"""A run in memory, for a call from Python without an output directory, and for tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt

from unseen.core.arrays import Arrays
from unseen.core.protocols import CheckpointStore
from unseen.engine.runs.base import Output, Run, check_name, plain_arrays
from unseen.engine.runs.files import record
from unseen.engine.runs.manifest import check_same, normal
from unseen.errors import RunError

Named = dict[str, npt.NDArray[Any]]


class MemoryCheckpoints:
    """The latest checkpoint of one fit. In another process it is a copy, and what is saved there stays there.

    >>> store = MemoryCheckpoints()
    >>> store.load() is None
    True
    """

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


class MemoryRun(Run):
    """A run that lives as long as the object.

    >>> with MemoryRun() as run:
    ...     run.open({"seed": 0})
    ...     run.result("r0f0") is None
    True
    """

    def __init__(self) -> None:
        self._manifest: dict[str, Any] | None = None
        self._checkpoints: dict[str, MemoryCheckpoints] = {}
        self._results: dict[str, Named] = {}
        self._json: dict[str, dict[str, Any]] = {}
        self._parts: dict[str, MemoryRun] = {}
        self._events: list[dict[str, Any]] = []
        self._outputs: dict[str, Any] = {}

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Begin or continue the run of this configuration; refuse another one by a RunMismatchError."""
        now = normal(manifest)
        if self._manifest is not None:
            check_same("this run in memory", self._manifest, now)
        self._manifest = now

    def close(self) -> None:
        """Do nothing; what was saved stays."""

    def manifest(self) -> dict[str, Any]:
        """Return the configuration that the run was opened with."""
        return normal(self._open_manifest)

    def checkpoints(self, fit: str) -> CheckpointStore:
        """Return the store for the latest checkpoint of a fit."""
        return self._checkpoints.setdefault(check_name(fit), MemoryCheckpoints())

    def result(self, fit: str) -> Named | None:
        """Return the result of a finished fit, or None where the fit is still to be done."""
        return _copy(self._results[fit]) if fit in self._results else None

    def save_result(self, fit: str, arrays: Arrays) -> None:
        """Keep the result of a finished fit, and drop its checkpoint."""
        self._results[check_name(fit)] = _copy(plain_arrays(arrays))
        self._checkpoints.pop(fit, None)

    def save_output(self, name: str, output: Output) -> Output:
        """Keep an output under a file name, and return it."""
        self._open_manifest  # noqa: B018 - only an open run may be written
        self._outputs[check_name(name)] = output
        return output

    def output(self, name: str, load: Callable[[Path], Output]) -> Output | None:
        """Return the output of that name, or None; it is the object itself, so `load` is not called."""
        kept: Output | None = self._outputs.get(name)
        return kept

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a JSON object under a file name such as `"command.json"`."""
        self._json[check_name(name)] = normal(content)

    def read_json(self, name: str) -> dict[str, Any] | None:
        """Return the JSON object of that name, or None."""
        return normal(self._json[name]) if name in self._json else None

    def part(self, name: str) -> MemoryRun:
        """Return a run inside this one."""
        return self._parts.setdefault(check_name(name), MemoryRun())

    def event(self, kind: str, **fields: object) -> None:
        """Log an event, with time, process and host."""
        self._events.append(record(kind, fields))

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
