"""The seams between the rooms: what data sets, learners, sinks and stores of checkpoints promise each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Arrays, FloatArray, IdArray, IntArray
from unseen.core.exposure import Fit
from unseen.core.observation import Observation, Side

__all__ = ["CheckpointStore", "Data", "Learner", "PartedLearner", "Parts", "Sink", "check_unchanged"]


class Data(Protocol):
    """A labelled data set. Rows are positions in dataset order."""

    ids: IdArray
    labels: IntArray
    class_names: tuple[str, ...]
    kind: Literal["image", "vector", "table", "text"]
    sample_shape: tuple[int, ...]  # of one input: (H, W, channels), (d,) or () for text
    dtype: np.dtype[Any]
    groups: IntArray | None  # (n,) groups that the user gave: they never part
    targets: FloatArray | None  # (n,) regression targets; `labels` are then their bins

    def __len__(self) -> int: ...

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """The inputs of these rows, in that order: images uint8 (m, H, W, 3 or 1), vectors float32 (m, d), ...

        A data set may also have `as_kept`, which gives float16 vectors where these are what it keeps;
        `label_values`, (C,): the label of each class as the user gave it, which estimators see;
        `as_frame(rows)`, which gives these rows as the frame that the user gave, or None; and `check_unchanged()`,
        which refuses files that are read again and have changed.
        """

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Content and order as JSON; cheap unless `full`."""

    def duplicate_groups(self) -> IntArray | None:
        """int64 (n,) group of each sample, exact copies sharing one; None where content is not hashed."""


def check_unchanged(data: Data) -> None:
    """Refuse a data set whose files have changed since they were opened, where it can tell.

    Raises:
        DataError: a file has changed; the message names it.

    """
    check = getattr(data, "check_unchanged", None)
    if check is not None:
        check()


class Learner(Protocol):
    """Fits on `fit.train`, and says what it then makes of the watch sets."""

    name: str
    epochs: int | None  # None: no epochs, one observation a fit
    provides: frozenset[str]  # the fields of an Observation that it can fill
    closed_form: bool  # whether it does the fits of leave_one_out and of folds at once, told by `Fit.apart`

    def describe(self) -> dict[str, object]:
        """Everything that changes its numbers, as JSON: compared when a run is resumed."""

    def check(self, data: Data) -> None:
        """Refuse data that it cannot learn from, before any training."""

    def fit(
        self,
        data: Data,
        fit: Fit,
        sink: Sink,
        checkpoints: CheckpointStore,
        *,
        seed: int,
        report: Callable[..., None],
    ) -> None:
        """Train once, pushing observations into the sink; continue from the checkpoint if there is one.

        `report(kind, **fields)` tells progress, such as `report("epoch", epoch=3, epochs=10, seconds=1.2)`.
        """


class Parts(Protocol):
    """A fit of many models as two passes: sums over each part of the data, then what is said of each part.

    Which parts there are and in which order their sums are added depends on the fit and the data alone, so the numbers
    are the same wherever the parts are done. Picklable, without the data and without the two lists of parts: who does
    a part is told of that one.
    """

    fan: int  # sums that are added at a time in each node of the tree, the lowest over consecutive parts
    summed: Sequence[Any]  # each part of the first pass, as `sums` takes it
    judged: Sequence[Sequence[IntArray]]  # the blocks of rows of each part of the second

    def give(self, data: Data) -> None:
        """Give it the data set again, in another process."""

    def sums(self, part: Any) -> Any:
        """The sums over one part."""

    def added(self, sums: Sequence[Any]) -> Any:
        """Sums added one after another; they are left as they are."""

    def packed(self, sums: Any) -> dict[str, npt.NDArray[Any]]:
        """Sums as arrays for a checkpoint; nothing if they are too large to be kept."""

    def unpacked(self, held: Arrays) -> Any:
        """What was packed."""

    def solved(self, sums: Any) -> Any:
        """What the second pass needs of the sums over all parts."""

    def judge(self, blocks: Sequence[IntArray], solution: Any, sink: Sink) -> Iterator[int]:
        """Push the observations of these blocks; yields how many rows are done so far."""


class PartedLearner(Learner, Protocol):
    """A learner with a closed form that can do a fit of many models in parts."""

    def in_parts(self, data: Data, fit: Fit, wanted: frozenset[str], seed: int) -> Parts:
        """The fit as passes; `wanted` is what the sink wants of it. Refuses what cannot be learned."""


class Sink(Protocol):
    """Where a learner pushes observations. What becomes of them is not its business."""

    def wants(self, side: Side, epoch: int, last: int) -> frozenset[str]:
        """What to observe on this side after this epoch (of `last`); empty: no forward pass is needed.

        The words are the fields of an `Observation`: `"logits"`, `"features"`, `"grad_norm"`,
        `"leverage"`, `"cooks_distance"`.
        """

    def observe(self, side: Side, observation: Observation) -> None:
        """Take one batch of observations, in any batch size; of different rows also from several threads at a time."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Everything taken so far, as named arrays, for the checkpoint of the same epoch."""

    def restore(self, state: Arrays) -> None:
        """Go back to a saved state."""


class CheckpointStore(Protocol):
    """Keeps the latest checkpoint of one fit: model, optimiser, random state and sink in one atomic commit."""

    def load(self) -> dict[str, npt.NDArray[Any]] | None:
        """The latest checkpoint, or None."""

    def save(self, arrays: Arrays) -> None:
        """Replace it, atomically."""

    def part(self, name: str) -> CheckpointStore:
        """Where a part of the fit keeps its own; dropped with the fit's."""
