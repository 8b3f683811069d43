"""Protocols between packages: data sets, learners, observation sinks and checkpoint stores."""

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
    groups: IntArray | None  # (n,) groups that the user gave; a group stays in one fold
    targets: FloatArray | None  # (n,) regression targets; `labels` are then their bins

    def __len__(self) -> int: ...

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Read the inputs of these rows, in that order: images uint8 (m, H, W, 3 or 1), vectors float32 (m, d), ...

        A data set may also have these: `as_kept`, which gives vectors as float16 if they are stored so;
        `label_values`, (C,), the label of each class as the user gave it, for estimators; `as_frame(rows)`, these rows
        as the frame that the user gave, or None; and `check_unchanged()`, which refuses files that have changed since
        they were opened.
        """

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Return a fingerprint of content and order, as JSON; cheap unless `full`."""

    def duplicate_groups(self) -> IntArray | None:
        """Return the group of each sample, int64 (n,), exact copies in one group; None if content is not hashed."""


def check_unchanged(data: Data) -> None:
    """Refuse a data set whose files have changed since they were opened, if it can check that.

    Raises:
        DataError: a file has changed; the message names it.

    """
    check = getattr(data, "check_unchanged", None)
    if check is not None:
        check()


class Learner(Protocol):
    """A learner: it trains on `fit.train` and pushes observations of the watch sets."""

    name: str
    epochs: int | None  # None: no epochs, one observation a fit
    provides: frozenset[str]  # the fields of an Observation that the learner can fill
    closed_form: bool  # whether it can do the fits of leave_one_out and of folds at once, given by `Fit.apart`

    def describe(self) -> dict[str, object]:
        """Return everything that changes its numbers, as JSON; compared when a run is resumed."""

    def check(self, data: Data) -> None:
        """Refuse data that the learner cannot train on, before any training."""

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
        """Train once and push observations into the sink; continue from the checkpoint if there is one.

        `report(kind, **fields)` reports progress, such as `report("epoch", epoch=3, epochs=10, seconds=1.2)`.
        """


class Parts(Protocol):
    """A fit of many models in two passes over parts of the data: sums first, then observations.

    The parts, and the order in which their sums are added, depend on the fit and the data alone. So the numbers are the
    same wherever the parts are computed. The object can be pickled, without the data and without the two lists of
    parts: each worker is given the part that it computes.
    """

    fan: int  # number of sums that each node of the summation tree adds; the leaves are consecutive parts
    summed: Sequence[Any]  # each part of the first pass, as `sums` takes it
    judged: Sequence[Sequence[IntArray]]  # the blocks of rows of each part of the second pass

    def give(self, data: Data) -> None:
        """Attach the data set, in another process."""

    def sums(self, part: Any) -> Any:
        """Compute the sums over one part."""

    def added(self, sums: Sequence[Any]) -> Any:
        """Add sums one after another; the arguments are not changed."""

    def packed(self, sums: Any) -> dict[str, npt.NDArray[Any]]:
        """Convert sums to arrays for a checkpoint; empty if they are too large for one."""

    def unpacked(self, held: Arrays) -> Any:
        """Convert arrays of `packed` back to sums."""

    def solved(self, sums: Any) -> Any:
        """Solve for what the second pass needs, from the sums over all parts."""

    def judge(self, blocks: Sequence[IntArray], solution: Any, sink: Sink) -> Iterator[int]:
        """Push the observations of these blocks; yield the number of rows done so far."""


class PartedLearner(Learner, Protocol):
    """A learner with a closed form that can compute a fit of many models in parts."""

    def in_parts(self, data: Data, fit: Fit, wanted: frozenset[str], seed: int) -> Parts:
        """Divide the fit into passes over parts; refuse data that it cannot train on.

        `wanted` are the fields of an observation that the sink wants.
        """


class Sink(Protocol):
    """A receiver of observations. A learner does not know what a sink does with them."""

    def wants(self, side: Side, epoch: int, last: int) -> frozenset[str]:
        """Return the fields to observe on this side after this epoch of `last`; if empty, skip the forward pass.

        The names are fields of an `Observation`: `"logits"`, `"features"`, `"grad_norm"`, `"leverage"`,
        `"cooks_distance"`.
        """

    def observe(self, side: Side, observation: Observation) -> None:
        """Take one batch of observations, of any size; several threads may push different rows at a time."""

    def state(self) -> dict[str, npt.NDArray[Any]]:
        """Return everything taken so far, as named arrays, for the checkpoint of the same epoch."""

    def restore(self, state: Arrays) -> None:
        """Restore a saved state."""


class CheckpointStore(Protocol):
    """A store of the latest checkpoint of one fit: model, optimiser, random state and sink in one atomic commit."""

    def load(self) -> dict[str, npt.NDArray[Any]] | None:
        """Return the latest checkpoint, or None."""

    def save(self, arrays: Arrays) -> None:
        """Replace the checkpoint, atomically."""

    def part(self, name: str) -> CheckpointStore:
        """Return the store for a part of the fit; it is dropped together with this one."""
