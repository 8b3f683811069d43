"""Timings of short fits on a small sample of the data; and counts of a plan: its fits by size, its samples."""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import Arrays, IntArray
from unseen.core.exposure import Fit, Plan
from unseen.core.observation import Side
from unseen.core.plans import Folds, LeaveOneOut, Seen
from unseen.core.protocols import Data, Learner
from unseen.core.threads import limited_threads
from unseen.data.content import hash_items, hash_rows
from unseen.data.parts import Part
from unseen.engine.runs.directory import DirectoryCheckpoints
from unseen.engine.scoring import SampleInfo
from unseen.scores.accumulator import ScoreSink
from unseen.scores.streaming import Score

__all__ = [
    "DataSample",
    "Size",
    "Trial",
    "count_looks",
    "count_sizes",
    "read_sample",
    "time_fit",
    "time_growing_fits",
]

MOST_ROWS, MOST_BYTES, READING_SECONDS = 32_768, 2**29, 4.0  # of a sample
PIECE = 256  # rows read at a time
RUNS = 32  # places of a data set in shards from which consecutive rows are taken
HASHED = 1_024  # rows


@dataclass(frozen=True, order=True)
class Size:
    """The size of a fit.

    Args:
        train: samples trained on; if the fit stands for many models, the samples that all of them are trained on.
        unseen: samples watched that it is not trained on.
        seen: samples watched that it is trained on.
        apart: if the fit stands for many models, what each of them leaves out: one of the folds, or one sample.
        models: how many models the fit stands for.

    """

    train: int
    unseen: int = 0
    seen: int = 0
    apart: Literal["", "folds", "samples"] = ""
    models: int = 1

    @property
    def samples(self) -> int:
        """How many samples are learned from, as in `unseen.Fit.samples`."""
        return self.train + (self.unseen if self.apart else 0)

    @property
    def rows(self) -> int:
        """How many different samples are trained on or watched."""
        return self.train + self.unseen

    def scaled(self, rows: int) -> Size:
        """Return the largest size of about these proportions with at most `rows` samples, at least two to train on.

        >>> Size(80, 20).scaled(10)
        Size(train=8, unseen=2, seen=0, apart='', models=1)
        """
        if rows >= self.rows:
            return self
        share = rows / self.rows
        if self.apart:
            models = max(2, round(self.models * share)) if self.apart == "samples" else self.models
            unseen = max(2, round(self.unseen * share))
            return Size(round(self.train * share), unseen, 0, self.apart, min(models, unseen))
        unseen = max(1, round(self.unseen * share)) if self.unseen else 0
        train = max(2, rows - unseen)
        seen = min(train, max(1, round(self.seen * train / self.train))) if self.seen else 0
        return Size(train, unseen, seen)

    def fit(self) -> Fit:
        """Make a fit of this size on rows 0, 1, ...

        >>> Size(2, 1).fit().unseen.tolist()
        [2]
        """
        train, unseen = np.arange(self.train), self.train + np.arange(self.unseen)
        if not self.apart:
            return Fit(train=train, unseen=unseen, seen=train[: self.seen])
        apart = np.arange(self.unseen) % self.models
        return Fit(train=train, unseen=unseen, apart=apart, folds=apart if self.apart == "folds" else None)


def count_sizes(plan: Plan, samples: SampleInfo, seed: int) -> Counter[Size]:
    """Count the fits of each size in a plan.

    The sizes of this package's plans follow from n: one fold may hold a few samples more or less than counted here, but
    the sum over all folds is exact. For other plans, every fit is made and measured.
    """
    n, counts = len(samples.ids), Counter[Size]()
    if isinstance(plan, Seen):
        return Counter({Size(n, 0, n): plan.repeats})
    if isinstance(plan, LeaveOneOut):
        models = n if samples.groups is None else len(np.unique(samples.groups))
        if plan.together:
            return Counter({Size(0, n, 0, "samples", models): 1})
        if models == n:
            return Counter({Size(n - 1, 1): n})
    if isinstance(plan, Folds):
        if plan.together:
            return Counter({Size(0, n, 0, "folds", plan.k): plan.repeats})
        small, larger = divmod(n, plan.k)
        for out, times in ((small + 1, larger), (small, plan.k - larger)):
            if times:
                counts[Size(n - out, out, (n - out) * plan.watch_seen)] += times * plan.repeats
        return counts
    for fit in plan.fits(samples.ids, samples.labels, groups=samples.groups, seed=seed):
        counts[_size_of(fit)] += 1
    return counts


def _size_of(fit: Fit) -> Size:
    if fit.apart is None:
        return Size(len(fit.train), len(fit.unseen), len(fit.seen))
    return Size(len(fit.train), len(fit.unseen), 0, "samples" if fit.folds is None else "folds", len(set(fit.apart)))


def count_looks(size: Size, scores: Sequence[Score], epochs: int, scored: Side) -> int:
    """Count the samples that a fit observes, each as often as it is observed."""
    # The schedule of observations depends on whether samples are watched, not on how many.
    one, other = np.arange(1), np.arange(1, 2)
    fit = Fit(train=one, unseen=other[: size.unseen], seen=one[: size.seen])
    sink = ScoreSink(fit, np.zeros(2, np.int64), scores, 2, scored)

    def times(side: Side) -> int:
        return sum(bool(sink.wants(side, epoch, epochs)) for epoch in range(1, epochs + 1))

    return size.unseen * times("unseen") + size.seen * times("seen")


class DataSample(Part):
    """A sample of the rows of a data set, held in memory, that begins with rows of every class.

    It does not look for copies among its rows.

    Args:
        whole: the data set.
        rows: int64 (m,).
        inputs: the inputs of these rows.
        random_seconds: seconds to read one row, when rows are read at random.
        run_seconds: seconds to read one row, when consecutive rows are read.

    """

    def __init__(
        self, whole: Data, rows: IntArray, inputs: npt.NDArray[Any], random_seconds: float, run_seconds: float
    ) -> None:
        super().__init__(whole, rows)
        self._inputs, self.in_memory = inputs, True
        self.random_seconds, self.run_seconds = random_seconds, run_seconds

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """Return the inputs of these rows of the sample, without reading them again."""
        taken: npt.NDArray[Any] = self._inputs[np.asarray(rows)]
        return taken

    as_kept = take

    def duplicate_groups(self) -> None:
        """Return None: the whole data set would have to be read to find copies."""

    def first(self, rows: int) -> DataSample:
        """Return the sample of the first `rows` rows."""
        return DataSample(self.whole, self.rows[:rows], self._inputs[:rows], self.random_seconds, self.run_seconds)

    @property
    def bytes_each(self) -> float:
        """The bytes of one input in memory."""
        if self.dtype.kind != "O":
            return self._inputs.nbytes / len(self)
        some = self._inputs[:HASHED].reshape(-1)
        return sum(8 + sys.getsizeof(value) for value in some) / min(len(self), HASHED)

    @property
    def held_bytes(self) -> int:
        """The bytes of the inputs of the whole data set that are held in memory."""
        if self.dtype.kind != "O":
            return self.whole.held_bytes
        return int(len(self.whole) * self.bytes_each) if self.whole.in_memory else 0

    def hash_seconds(self) -> float:
        """Measure the seconds to hash one input, which is done to find copies."""
        some, start = self._inputs[:HASHED], perf_counter()
        if self.dtype.kind == "O":
            hash_items(repr(row).encode() for row in some)
        else:
            hash_rows(some)
        return (perf_counter() - start) / len(some)


def read_sample(data: Data, seed: int) -> DataSample:
    """Read a sample of at most 32,768 rows, 512 MiB and about 4 s of reading.

    Rows are drawn at random. From data in shards, consecutive rows are read at 32 places, because single rows at random
    would need all shards.
    """
    n, in_shards = len(data), data.kind == "vector" and not data.in_memory
    rng = seeds.generator(seed, "estimate")
    if in_shards:
        length = max(1, min(MOST_ROWS, n) // RUNS)
        starts = np.unique(rng.integers(0, max(1, n - length + 1), RUNS) // length * length)
        rng.shuffle(starts)
        pieces = [np.arange(start, min(start + length, n)) for start in starts.tolist()]
    else:
        drawn = rng.choice(n, min(MOST_ROWS, n), replace=False)
        pieces = [drawn[at : at + PIECE] for at in range(0, len(drawn), PIECE)]
    inputs, start = list[npt.NDArray[Any]](), perf_counter()
    for piece in pieces:
        inputs.append(data.take(piece))
        seconds = perf_counter() - start
        if seconds > READING_SECONDS or sum(part.nbytes for part in inputs) > MOST_BYTES:
            break
    rows = np.concatenate(pieces[: len(inputs)])
    each = seconds / len(rows)
    start, others = perf_counter(), rng.choice(n, min(64, n), replace=False) if in_shards else np.arange(min(PIECE, n))
    data.take(others)
    other = (perf_counter() - start) / len(others)
    if (data.labels[rows] == data.labels[rows[0]]).all():  # a row of another class, if there is any
        more = np.flatnonzero(data.labels != data.labels[rows[0]])[:1]
        rows, inputs = np.concatenate([rows, more]), [*inputs, data.take(more)]
    order = _classes_first(data.labels[rows], rng)
    return DataSample(
        data, rows[order], np.concatenate(inputs)[order], *((other, each) if in_shards else (each, other))
    )


def _classes_first(labels: IntArray, rng: np.random.Generator) -> IntArray:
    """Return an order that begins with two samples of each class, so that small parts hold all classes."""
    order = rng.permutation(len(labels))
    by_class = order[np.argsort(labels[order], kind="stable")]
    place = np.arange(len(order)) - np.searchsorted(labels[by_class], labels[by_class])  # within its class
    first = by_class[np.argsort(place, kind="stable")][: int((place < 2).sum())]
    return np.concatenate([first, order[~np.isin(order, first)]])


@dataclass(frozen=True)
class Trial:
    """The measurements of one fit on a sample.

    Args:
        size: the size of the fit.
        seconds: the time of the whole fit.
        epochs: the fields that the learner reported for each epoch.
        saving: the seconds to write each checkpoint.
        state: the bytes of the last checkpoint, and the part of them that grows with the samples watched.
        result_bytes: the bytes of the scores' result, for each sample watched.

    """

    size: Size
    seconds: float
    epochs: Sequence[Mapping[str, Any]] = ()
    saving: Sequence[float] = ()
    state: tuple[float, float] = (0.0, 0.0)
    result_bytes: float = 0.0

    def figures(self, name: str) -> list[float]:
        """Return one figure of every epoch, as far as the learner reported it."""
        return [float(epoch[name]) for epoch in self.epochs if name in epoch]


@dataclass
class _TimedCheckpoints:
    """A store that writes checkpoints to a temporary folder, as runs do, measures the time, and never loads one."""

    store: DirectoryCheckpoints
    seconds: list[float] = field(default_factory=list)
    state: tuple[float, float] = (0.0, 0.0)

    def load(self) -> None:
        return None

    def save(self, arrays: Arrays) -> None:
        start = perf_counter()
        self.store.save(arrays)
        self.seconds.append(perf_counter() - start)
        held = {name: np.asarray(values).nbytes for name, values in arrays.items()}
        self.state = (sum(held.values()), sum(held[name] for name in held if name.startswith("sink/")))

    def part(self, name: str) -> _TimedCheckpoints:
        return _TimedCheckpoints(self.store.part(name))


def time_fit(
    learner: Learner, sample: DataSample, size: Size, scores: Sequence[Score], scored: Side, *, threads: int, seed: int
) -> Trial:
    """Time one fit of this size on the first rows of the sample. Warnings are silenced: the run itself gives them."""
    fit, sample = size.fit(), sample.first(size.rows)
    sink = ScoreSink(fit, sample.labels, scores, len(sample.class_names), scored)
    epochs = list[Mapping[str, Any]]()

    def report(kind: str, **fields: Any) -> None:
        if kind == "epoch":
            epochs.append(fields)

    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings(), limited_threads(threads):
        warnings.simplefilter("ignore")
        checkpoints = _TimedCheckpoints(DirectoryCheckpoints(Path(folder) / "state.npz", "0" * 32))
        start = perf_counter()
        learner.fit(sample, fit, sink, checkpoints, seed=seed, report=report)
        result = sink.result()
        seconds = perf_counter() - start
    measured = sum(array.nbytes for array in result.values()) / max(1, size.unseen + size.seen)
    return Trial(size, seconds, epochs, checkpoints.seconds, checkpoints.state, measured)


def time_growing_fits(
    fit: Callable[[Size], Trial], size: Size, *, least: int, most: int, seconds: float
) -> list[Trial]:
    """Time fits on more and more rows, each on twice as many as the one before.

    The first fit runs cold; its time counts only where there is no time for another.

    Args:
        fit: times one fit of a size.
        size: the size whose proportions the fits have.
        least: rows of the first fit.
        most: rows of the largest fit at most.
        seconds: the time for all fits, about.
    """
    most = min(most, size.rows)
    rows = min(max(least, 2), most)
    first, start = fit(size.scaled(rows)), perf_counter()
    # The first fit of a network also loads its library, so only the time of its epochs counts.
    trials, took = [], sum(first.figures("seconds") + first.figures("observe_seconds")) or first.seconds
    if took > seconds / 10 and rows < most:  # no time to repeat it
        trials, rows, took = [first], min(2 * rows, most), 2 * took
    while not trials or (trials[-1].size.rows < most and perf_counter() - start + 1.2 * took < seconds):
        trials.append(fit(size.scaled(rows)))
        rows = min(2 * rows, most)
        took = 2 * trials[-1].seconds
    return trials
