"""What every store of a run offers."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.core.protocols import CheckpointStore
from unseen.core.arrays import Arrays
from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable

__all__ = ["Output", "Run", "Saved", "check_name", "plain_arrays"]

_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class Saved(Protocol):
    """What can be kept as an output: it writes itself to one file, atomically."""

    def save(self, path: str | Path) -> Path:
        """Write the file."""


Output = TypeVar("Output", bound=Saved)


class Run(Protocol):
    """Keeps a run: its manifest, the state and result of each fit, the score table, the coreset and its events.

    A store derives from it and says how things are kept; under which names, is said here. `open` comes first;
    everything that writes needs it. Leaving the `with` block closes the run.
    """

    def open(self, manifest: Mapping[str, Any]) -> None:
        """Begin or continue the run of this configuration (JSON).

        Raises:
            RunLockedError: another process is working in it.
            RunMismatchError: it is the run of another configuration; the message lists what differs.
            StorageError: it cannot be written.

        """

    def close(self) -> None:
        """Let go of the run; what was saved stays. Closing twice does nothing."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def manifest(self) -> dict[str, Any]:
        """The configuration it was opened with."""

    def checkpoints(self, fit: str) -> CheckpointStore:
        """Where the fit of that name keeps its latest checkpoint; may be sent to a worker process."""

    def result(self, fit: str) -> dict[str, npt.NDArray[Any]] | None:
        """What the finished fit yielded, or None where it is still to be done."""

    def save_result(self, fit: str, arrays: Arrays) -> None:
        """Keep what a finished fit yielded, and drop its checkpoint."""

    def save_table(self, table: ScoreTable) -> ScoreTable:
        """Keep the score table; returns it."""
        return self.save_output("scores.parquet", table)

    def table(self) -> ScoreTable | None:
        """The score table, or None."""
        return self.output("scores.parquet", ScoreTable.load)

    def save_coreset(self, coreset: Coreset) -> Coreset:
        """Keep the coreset; returns it."""
        return self.save_output("coreset.parquet", coreset)

    def coreset(self) -> Coreset | None:
        """The coreset, or None."""
        return self.output("coreset.parquet", Coreset.load)

    def save_output(self, name: str, output: Output) -> Output:
        """Keep a result under a file name such as `"history.parquet"`; returns it."""

    def output(self, name: str, load: Callable[[Path], Output]) -> Output | None:
        """The result of that name, or None; `load` reads what its `save` wrote."""

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Keep a JSON object under a file name such as `"command.json"`."""

    def read_json(self, name: str) -> dict[str, Any] | None:
        """The JSON object of that name, or None."""

    def part(self, name: str) -> Run:
        """A run inside this one, to be opened by itself: a step, or a scoring that several cells share."""

    def event(self, kind: str, **fields: object) -> None:
        """Log what happened, with time, process and host."""

    def events(self) -> list[dict[str, Any]]:
        """Everything logged, oldest first."""


def check_name(name: str) -> str:
    """Refuse a name that would not be one plain file name.

    >>> check_name("r0f3")
    'r0f3'
    """
    if not _NAME.fullmatch(name):
        raise ArgumentError(f"a name in a run must be letters, digits, '_', '.' and '-', got {name!r}")
    return name


def plain_arrays(arrays: Arrays) -> dict[str, npt.NDArray[Any]]:
    """The same as NumPy arrays of numbers, truth values, dates or text; anything else is refused by name.

    >>> plain_arrays({"a": np.array([{}])})
    Traceback (most recent call last):
    unseen.errors.ArgumentError: array 'a' must hold numbers, truth values, dates or text, got dtype object

    """
    plain = {name: np.asarray(values) for name, values in arrays.items()}
    for name, values in plain.items():
        if values.dtype.kind not in "biufcmMUS":
            raise ArgumentError(
                f"array {name!r} must hold numbers, truth values, dates or text, got dtype {values.dtype}"
            )
    return plain
