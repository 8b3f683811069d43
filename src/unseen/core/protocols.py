"""Protocols between packages: data sets, learners, observation sinks and checkpoint stores."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Arrays, FloatArray, IdArray, IntArray, Named
from unseen.core.exposure import Fit, Observation, Plan, Side


class Data(ABC):
    """Give the samples of a labelled data set; derive from it. Rows are positions in dataset order.

    A subclass must define `take`, `fingerprint` and the attributes without a default. All other defaults say that the
    data set does not have the feature.

    Attributes:
        ids: (n,) unique, of integers or text.
        labels: int64 (n,) in 0..C-1.
        class_names: (C,).
        kind: the kind of inputs.
        sample_shape: the shape of one input: (H, W, channels), (d,), or () for text.
        dtype: the dtype of the arrays that `take` returns.
        groups: int64 (n,) groups that the user gave, which stay on one side of each fit; None: there are none.
        targets: float64 (n,) regression targets, of which `labels` are then the bins; None for a classification.
        label_values: (C,) the label of each class as the user gave it, which estimators see; None: its number.
        feature_names: the names of the d features of vectors and tables; None: they have none.
        notes: what was done to the data on the way in, one sentence each.
        in_memory: whether `take` reads from memory rather than decode files.
        files: the files that it was read from; None: there are none, or they are not known.
    """

    ids: IdArray
    labels: IntArray
    class_names: tuple[str, ...]
    kind: Literal["image", "vector", "table", "text"]
    sample_shape: tuple[int, ...]
    dtype: np.dtype[Any]
    groups: IntArray | None = None
    targets: FloatArray | None = None
    label_values: npt.NDArray[Any] | None = None
    feature_names: tuple[str, ...] | None = None
    notes: tuple[str, ...] = ()
    in_memory: bool = True
    files: Any = None

    def __len__(self) -> int:
        return len(self.ids)

    @abstractmethod
    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the inputs of the rows, in that order: images uint8 (m, H, W, 3 or 1), vectors float32 (m, d), ..."""

    @abstractmethod
    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """Describe content and order as JSON; cheap unless `full`."""

    def duplicate_groups(self) -> IntArray | None:
        """Return a group for each sample, int64 (n,), shared by exact copies. Default None: content is not compared."""
        return None

    def check_unchanged(self) -> None:  # noqa: B027 - what is in memory has nothing to check
        """Refuse, by a DataError, files that have changed since they were opened. Default: there are none."""

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return what `take` returns, or float16 vectors if they are stored so. Default: what `take` returns."""
        return self.take(rows)

    def as_frame(self, rows: IntArray) -> Any:
        """Return these rows as the frame that the user gave, with its names and types. Default None: none was given."""
        return None

    @property
    def sample_bytes(self) -> int:
        """Count the bytes of one input as `take` returns it; for text and tables, 8 per pointer."""
        return int(np.prod(self.sample_shape, dtype=np.int64)) * self.dtype.itemsize

    @property
    def held_bytes(self) -> int:
        """Count the bytes of inputs that are in memory as long as the data set is. Default: all, or 0 if in files."""
        return len(self) * self.sample_bytes if self.in_memory else 0


class Learner(ABC):
    """Train on `fit.train`, and push the outputs of the model for the watch sets; derive from it.

    A subclass must define `name`, `describe` and `fit`. All other defaults say that the learner cannot do it.
    `unseen.testing.check_learner` tests a learner.

    Attributes:
        name: the name of the learner, for messages.
        epochs: the epochs of one training; None: it has none, and observes once.
        provides: the fields of an `Observation` that it can fill.
        closed_form: whether it does the fits of leave_one_out and of folds at once, told by `Fit.apart`.
        in_passes: whether such a fit can be done in parts elsewhere; see `in_parts`.
        threads: the threads per fit, if the learner fixes them; None: those of the executor.
        batch_size: samples per step; None: it does not train in batches.
        data_workers: processes beside it that read batches.
    """

    name: str
    epochs: int | None = None
    provides: frozenset[str] = frozenset({"logits"})
    closed_form: bool = False
    in_passes: bool = False
    threads: int | None = None
    batch_size: int | None = None
    data_workers: int = 0

    @abstractmethod
    def describe(self) -> dict[str, object]:
        """Return everything that changes its numbers, as JSON, to be compared when a run is resumed."""

    def check(self, data: Data) -> None:  # noqa: B027 - it takes any data
        """Refuse data that it cannot learn from, before any training. Default: it learns from any."""

    @abstractmethod
    def fit(
        self, data: Data, fit: Fit, sink: Sink, checkpoints: CheckpointStore, *, seed: int, report: Callable[..., None]
    ) -> None:
        """Train once and push observations into the sink; continue from the checkpoint if there is one.

        `report(kind, **fields)` reports progress, such as `report("epoch", epoch=3, epochs=10, seconds=1.2)`.
        """

    def suited(self, data: Data) -> Learner:
        """Return the learner for this data set. Default: the same for all."""
        return self

    def with_threads(self, threads: int) -> Learner | None:
        """Return the learner with this number of threads per fit; it may keep its own, given by `threads`.

        Default None: it has no number of its own, and the executor sets the threads.
        """
        return None

    def with_workers(self, workers: int) -> Learner | None:
        """Return the learner that trains each model in this number of processes. Default None: it trains in one."""
        return None

    def with_epochs(self, epochs: int) -> Learner | None:
        """Return the learner with this number of epochs. Default None: the number cannot be changed."""
        return None

    def steps(self, samples: int) -> int | None:
        """Count the optimiser steps of one training, for `fix="iterations"`. Default None: it has no steps."""
        return None

    def in_parts(self, data: Data, fit: Fit, wanted: frozenset[str], seed: int) -> Parts:
        """Return a fit of many models (with `apart`) as passes over parts of the data; called only if `in_passes`.

        `wanted` are the fields that the sink wants. Data that cannot be learned from are an `UnseenError`.
        """
        raise NotImplementedError(f"learner {self.name!r} says in_passes, and has no in_parts")

    def memory(self, data: Data, plan: Plan) -> int | None:
        """Count the most bytes that it needs beside the data and the scores. Default None: unknown."""
        return None

    def holds(self, data_bytes: int) -> bool:
        """Tell whether a training keeps inputs of this size in memory. Default: always."""
        return True

    def network_bytes(self, data: Data) -> tuple[float, float]:
        """Count the bytes of a network in training, and those that each sample of a batch adds. Default: 0 and 0."""
        return 0.0, 0.0


class Parts(Protocol):
    """A fit of many models in two passes over parts of the data: sums first, then observations.

    The parts, and the order in which their sums are added, depend on the fit and the data alone. The object can be
    pickled, without the data and the two lists of parts: each worker is given the part that it computes.
    """

    @property
    def fan(self) -> int:
        """How many sums are added at a time in each node of the tree, the lowest over consecutive parts."""

    @property
    def summed(self) -> Sequence[Any]:
        """Each part of the first pass, as `sums` takes it."""

    @property
    def judged(self) -> Sequence[Sequence[IntArray]]:
        """The blocks of rows of each part of the second pass."""

    def give(self, data: Data) -> None:
        """Attach the data set, in another process."""

    def sums(self, part: Any) -> Any:
        """Compute the sums over one part."""

    def added(self, sums: Sequence[Any]) -> Any:
        """Add sums one after another; the arguments are not changed."""

    def packed(self, sums: Any) -> Named:
        """Convert sums to arrays for a checkpoint; empty if they are too large for one."""

    def unpacked(self, held: Arrays) -> Any:
        """Convert arrays of `packed` back to sums."""

    def solved(self, sums: Any) -> Any:
        """Solve for what the second pass needs, from the sums over all parts."""

    def judge(self, blocks: Sequence[IntArray], solution: Any, sink: Sink) -> Iterator[int]:
        """Push the observations of these blocks; yield the number of rows done so far."""


class Sink(Protocol):
    """A receiver of observations. A learner does not know what a sink does with them."""

    def wants(self, side: Side, epoch: int, last: int) -> frozenset[str]:
        """Return the fields of an `Observation` to fill on this side after this epoch of `last`; if none, skip it."""

    def observe(self, side: Side, observation: Observation) -> None:
        """Take one batch of observations, of any size; several threads may push different rows at a time."""

    def state(self) -> Named:
        """Return everything taken so far, as named arrays, for the checkpoint of the same epoch."""

    def restore(self, state: Arrays) -> None:
        """Restore a saved state."""


class CheckpointStore(Protocol):
    """A store of the latest checkpoint of one fit: model, optimiser, random state and sink in one atomic commit.

    A store may have an attribute `spacing`: the seconds after a commit in which another one is not worth its time.
    """

    def load(self) -> Named | None:
        """Return the latest checkpoint, or None."""

    def save(self, arrays: Arrays) -> None:
        """Replace the checkpoint, atomically."""

    def part(self, name: str) -> CheckpointStore:
        """Return the store for a part of the fit; it is dropped together with this one."""
