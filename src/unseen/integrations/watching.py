"""The class from which a library wants its callbacks to inherit, imported when a callback is made.

Which samples of the data set a loader serves, and whether it serves them in an order that is known.

One training watched: what it trains on is checked, and what its model says of the watch sets is handed in.

What every callback of this room shares. A callback says when a training begins, which samples it trains on, when an
evaluation begins and ends, what came out of each batch, and when an epoch and the training end. Refused are, before
any training where that can be known: training on samples that the model must not see, an evaluation of other samples
than the watch sets, of some twice or of some not at all, before the epoch was over, in training mode, of probabilities
for logits, and loops in more than one process.

Logits are kept until it is known whether a score reads them: of every epoch for scores of the course of training, of
the last one for others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Array, IntArray
from unseen.core.exposure import Fit
from unseen.core.observation import Side
from unseen.errors import ArgumentError, DataError, ExposureError, MissingDependencyError, some
from unseen.integrations.recorder import Recorder

__all__ = [
    "BatchIds",
    "Watching",
    "callback_of",
    "check_evaluation_mode",
    "check_monitor",
    "check_order",
    "first_of",
    "ids_in",
    "rows_of",
]


def callback_of(hooks: type, name: str, package: str, *modules: str) -> Any:
    """A class with these hooks that inherits the rest of them from the library's own.

    Args:
        hooks: a class of hooks.
        name: of the library's class.
        package: to install, for the message.
        modules: where the class may be, in the order in which they are tried.

    Raises:
        MissingDependencyError: none of them is installed.
    """
    for module in modules:
        try:
            base = getattr(import_module(module), name)
        except ImportError:
            continue
        return type("HeldOut", (hooks, base), {})
    raise MissingDependencyError(package, f"held_out of unseen.integrations, for {package},")


# Where the ids are in a batch: a key, a place, or a function of it.
BatchIds = str | int | Callable[[Any], Array]


def rows_of(dataset: Any, recorder: Recorder, *, use: str) -> IntArray:
    """int64 (m,) rows of a part of the data set, in its own order.

    Args:
        dataset: `torch.utils.data.Subset` of the whole data set, or a part of such a part.
        recorder: knows the whole.
        use: what the data set is for, and what it should be, for the message: `"train on Subset(dataset, fit.train)"`.

    Raises:
        ArgumentError: it does not say which samples it holds.
    """
    parts = []
    while hasattr(dataset, "indices") and hasattr(dataset, "dataset"):
        parts.append(np.asarray(dataset.indices, dtype=np.int64))
        dataset = dataset.dataset
    n = len(recorder.ids)
    held = len(dataset) if hasattr(dataset, "__len__") else None
    if held != n:
        size = "of unknown size" if held is None else f"of {held:,}"
        raise ArgumentError(
            f"{use}, where dataset holds all {n:,} samples of the recorder in its order; got "
            f"{'a part of ' if parts else ''}{type(dataset).__name__} {size}, which does not say which samples it holds"
        )
    rows = np.arange(n)
    for indices in reversed(parts):
        rows = rows[indices]
    return rows


def check_order(loader: Any) -> None:
    """Refuse an evaluation loader whose batches are not the samples of its data set, in order, all of them.

    Raises:
        ArgumentError: it shuffles, drops the last batch, or deals the samples to several processes.
    """
    batches = getattr(loader, "batch_sampler", None)
    if batches is None:
        order = loader.sampler
    else:  # one of the user's own has an order of its own
        order = batches.sampler if type(batches).__name__ == "BatchSampler" else batches
    name = type(order).__name__
    if "Distributed" in name:
        raise ArgumentError(
            f"the evaluation loader must serve each sample once, but its {name} deals them to processes and pads them "
            "by repeating some; train each fit in one process"
        )
    if name != "SequentialSampler":
        raise ArgumentError(
            f"the evaluation loader must serve the samples in order, so that their ids are known, got {name}; pass "
            "shuffle=False"
        )
    if getattr(batches, "drop_last", False) or getattr(loader, "drop_last", False):
        raise ArgumentError("the evaluation loader must serve every sample, got drop_last=True; pass drop_last=False")


def ids_in(batch: Any, ids: BatchIds) -> Array:
    """The ids in a batch.

    >>> ids_in({"x": [0.5, 0.1], "id": [7, 3]}, "id")
    [7, 3]
    """
    if callable(ids):
        return ids(batch)
    try:
        return batch[ids]
    except (KeyError, IndexError, TypeError):
        what = f"keys {', '.join(map(str, batch))}" if hasattr(batch, "keys") else type(batch).__name__
        raise ArgumentError(f"ids={ids!r} must be where a batch holds the ids of its samples, got {what}") from None


SIDES: tuple[Side, ...] = ("unseen", "seen")
NEVER = 0  # epochs are counted from 1


class Watching:
    """Watches the trainings of a recorder, one after the other.

    Args:
        recorder: whose fits are trained.
    """

    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder
        self._fit: Fit | None = None
        self._last = NEVER

    @property
    def fit(self) -> Fit:
        """The fit that is being trained."""
        if self._fit is None:
            raise ArgumentError("held_out() belongs to a training inside `for fit in recorder:`, got one outside of it")
        return self._fit

    @property
    def under_way(self) -> bool:
        """Whether a training has begun and what it came to is not handed in yet."""
        return self._fit is not None

    def begin(self, *, epochs: int | None, first: int = 1) -> None:
        """A training begins.

        Args:
            epochs: how many there will be, if anybody knows; it may still end before.
            first: the first of them, above 1 where a training is continued.
        """
        self._fit = self.recorder.fit
        fit = self.fit
        _check_alone()
        # Masks, since every batch may be checked.
        self._learned, self._watched = _mask(self.recorder, fit.train), _mask(self.recorder, fit.unseen, fit.seen)
        self.recorder.check(provides=["logits"], epochs=epochs)
        self._last = NEVER if epochs is None else epochs
        self._trained, self._step = NEVER, NEVER
        self._handed: dict[Side, int] = dict.fromkeys(SIDES, NEVER)
        self._heard: tuple[int, IntArray, Array] | None = None
        if first > 1 and self.every_epoch:
            raise ArgumentError(
                f"the scores of fit {fit.name} read every epoch, but this training goes on at epoch {first}; begin the "
                "fit anew, without a checkpoint"
            )
        self.listen()

    @property
    def epochs(self) -> int:
        """How many epochs were announced; 0 if nobody knows."""
        return self._last

    @property
    def every_epoch(self) -> bool:
        """Whether some score reads another epoch than the last."""
        epochs = range(1, max(self._last, 3))
        return any(self.recorder.wants(side, epoch, sys.maxsize) for side in SIDES for epoch in epochs)

    def trains_on(self, rows: IntArray) -> None:
        """Check the rows of samples that are trained on: all of them, or a batch.

        Raises:
            ExposureError: the model must not see one of them.
        """
        fit = self.fit
        stray = rows[~self._learned[rows]]
        if stray.size:
            watched = np.intersect1d(stray, fit.unseen)
            which, why = (watched, "then judges") if watched.size else (stray, "was not given")
            raise ExposureError(
                f"fit {fit.name} would train on samples that it {why}: ids {self._named(which)}; train on "
                "Subset(dataset, fit.train)"
            )

    def asks_about(self, rows: IntArray) -> None:
        """Check the rows of samples that are evaluated: all of them, or a batch.

        Raises:
            ExposureError: one of them is in no watch set.
        """
        fit = self.fit
        stray = rows[~self._watched[rows]]
        if stray.size:
            raise ExposureError(
                f"fit {fit.name} is not asked about the ids {self._named(stray)}: evaluate Subset(dataset, fit.unseen)"
                + (" and those of fit.seen" if len(fit.seen) else "")
            )

    def listen(self, order: IntArray | None = None) -> None:
        """An evaluation begins.

        Args:
            order: int64 rows of all samples that it will serve, in its order; None where each batch brings ids.
        """
        self._order, self._served = np.empty(0, np.int64) if order is None else order, 0
        self.asks_about(self._order)
        self._rows: list[IntArray] = []
        self._logits: list[Array] = []
        self._met = np.zeros(len(self.recorder.ids), bool)

    def take(self, logits: Any, model: Any, *, ids: Array | None = None) -> None:
        """One batch of an evaluation.

        Args:
            logits: (m, C), NumPy or torch.
            model: the module that said so; must be in evaluation mode.
            ids: (m,) of its samples; None: they are the next in order.
        """
        check_evaluation_mode(model)
        if not hasattr(logits, "shape"):
            raise ArgumentError(f"an evaluation must give logits, got {type(logits).__name__}")
        if ids is None:
            rows = self._order[self._served : self._served + len(logits)]
            self._served += len(rows)
        else:
            rows = self.recorder.rows(ids)
            self.asks_about(rows)
        logits = _checked(logits, len(rows), self.recorder.classes)
        again = rows[self._met[rows]]
        if again.size or len(np.unique(rows)) < len(rows):
            twice = again if again.size else rows
            raise ArgumentError(
                f"an evaluation must serve each sample once, but it repeats the ids {self._named(twice)}: a sampler "
                "that draws with replacement, or that pads what it deals to several processes"
            )
        self._met[rows] = True
        self._rows.append(rows)
        self._logits.append(logits)

    def heard(self, *, epoch: int, step: int) -> None:
        """An evaluation has ended, in this epoch (from 1) and after so many steps; it takes the place of earlier ones.

        Raises:
            DataError: it left out a sample of the watch sets that the scores read.
        """
        if not self._rows:
            raise DataError(f"fit {self.fit.name} was evaluated on no sample after epoch {epoch}")
        self._heard = epoch, np.concatenate(self._rows), _joined(self._logits)
        self._step = step
        self.listen()

    def epoch_ends(self, epoch: int, *, step: int) -> None:
        """An epoch has ended: what its evaluation said is handed in, if some score reads it."""
        self._trained = epoch
        wanted = [side for side in SIDES if self.recorder.wants(side, epoch, self._last)]
        if wanted:
            self._hand_in(wanted, step)

    def end(self, *, step: int) -> None:
        """The training has ended, perhaps before its time: the last epoch is handed in, if it is not yet."""
        last = self._trained
        left = [s for s in SIDES if self._handed[s] < last and self.recorder.wants(s, last, last)]
        if left:
            self._hand_in(left, step)
        self._fit = None

    def _hand_in(self, sides: list[Side], step: int) -> None:
        fit, epoch = self.fit, self._trained
        if self._heard is None or self._heard[0] != epoch or self._step != step:
            raise ArgumentError(
                f"the scores of fit {fit.name} read what its model says after epoch {epoch}, but it was not evaluated "
                "between the last step of that epoch and the next; evaluate at the end of every epoch"
            )
        _, rows, logits = self._heard
        for side in sides:
            chosen = np.flatnonzero(np.isin(rows, fit.watch(side)))
            left_out = np.setdiff1d(fit.watch(side), rows)
            if left_out.size:
                raise DataError(
                    f"after epoch {epoch}, fit {fit.name} was evaluated without the ids {self._named(left_out)} of its "
                    f"{side} watch set: evaluate all of Subset(dataset, fit.{side}), without a limit on batches"
                )
            if self._handed[side] < epoch:
                self.recorder.record(self.recorder.ids[rows[chosen]], logits[chosen], epoch=epoch)
                self._handed[side] = epoch

    def _named(self, rows: IntArray) -> str:
        return some(self.recorder.ids[rows].tolist())


def check_monitor(what: str, monitor: str | None) -> None:
    """Refuse to stop or to choose a model by what the samples say that judge it.

    Args:
        what: the callback or option.
        monitor: the metric that it looks at; those that begin with `train` come from training.

    >>> check_monitor("EarlyStopping", "train_loss")
    """
    if monitor is None or not monitor.startswith("train"):
        raise ExposureError(
            f"{what} looks at {monitor!r}, which comes from the held-out samples: a model that was stopped or chosen "
            "by them has seen them. Train for a fixed number of epochs, or let it look at a metric whose name begins "
            "with 'train'"
        )


def first_of(output: Any) -> Any:
    """The logits in what a model gives: itself, its entry or attribute `logits`, or the first of several."""
    if isinstance(output, (tuple, list)):
        return output[0]
    if hasattr(output, "keys"):
        return output.get("logits")
    return getattr(output, "logits", output)


def check_evaluation_mode(model: Any) -> None:
    """Refuse a module of which any part is in training mode."""
    for module in model.modules():
        if module.training:
            raise ArgumentError(
                f"the model must be in evaluation mode when it is evaluated, but its {type(module).__name__} is in "
                "training mode (dropout draws, batch norm learns); call model.eval() before"
            )


def _mask(recorder: Recorder, *parts: IntArray) -> npt.NDArray[np.bool_]:
    """The rows in any of the parts, bool (n,)."""
    mask = np.zeros(len(recorder.ids), bool)
    for rows in parts:
        mask[rows] = True
    return mask


def _check_alone() -> None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return
    processes = torch.distributed.get_world_size()
    if processes > 1:
        raise ArgumentError(
            f"a fit must be trained in one process, got {processes}: each would hold a part of the logits, some twice; "
            "train one fit a device instead"
        )


def _checked(logits: Any, m: int, classes: int) -> Array:
    shape = tuple(logits.shape)
    if shape != (m, classes):
        hint = ""
        if len(shape) == 2 and shape[1] != classes:
            hint = "; if the data lacks some classes of the model, pass classes= to the Recorder"
        raise ArgumentError(
            f"the logits of {m} samples in {classes} classes must have shape ({m}, {classes}), got {shape}{hint}"
        )
    logits = logits.detach().cpu() if hasattr(logits, "detach") else np.asarray(logits)
    sums = logits.sum(1)
    if float(logits.min()) >= 0 and float(abs(sums - 1).max()) < 1e-3:
        raise ArgumentError(
            "the model must give logits, but these are probabilities (they add up to 1); leave its softmax out, or "
            "give their logarithm"
        )
    return logits


def _joined(parts: list[Array]) -> Array:
    if hasattr(parts[0], "detach"):
        import torch

        return torch.cat(parts)
    return np.concatenate(parts)
