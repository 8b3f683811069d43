"""The shared part of all callbacks: `TrainingWatch`, which checks a training and records its evaluations.

A callback tells the watch when a training begins, which samples it trains on, when an evaluation begins and ends, the
logits of each batch, and when an epoch and the training end. The watch refuses, before any training where possible:

- training on samples that the model must not see, or going on with the model of an earlier fit, which has seen them;
- an evaluation of samples outside the watch sets, of a sample twice, or without some samples;
- an evaluation before the end of the epoch, in training mode, or of probabilities in place of logits;
- loops in more than one process.

Logits are kept until it is known whether a score reads them: those of every epoch for scores of training dynamics,
those of the last epoch for the others.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable
from importlib import import_module
from typing import Any, NamedTuple

import numpy as np

from unseen.core.arrays import Array, IntArray
from unseen.core.exposure import SIDES, Fit, Side
from unseen.errors import ArgumentError, DataError, ExposureError, MissingDependencyError, some
from unseen.integrations.recorder import ProbabilityCheck, Recorder, check_shape_of_logits


def make_callback(hooks: type, name: str, package: str, *modules: str) -> Any:
    """Make a class with these hooks that inherits from the callback class of a library.

    The class `name` is imported from the first of the modules that is installed. If none is, the message says to
    install `package`.
    """
    for module in modules:
        try:
            base = getattr(import_module(module), name)
        except ImportError:
            continue
        return type("HeldOut", (hooks, base), {"__repr__": lambda self: "HeldOut()"})
    raise MissingDependencyError(package, f"held_out of unseen.integrations, for {package},")


# ---- the samples of a loader ---------------------------------------------------------------------------------------

# Where the ids are in a batch: a key, a position, or a function of the batch.
BatchIds = str | int | Callable[[Any], Array]


def find_rows(dataset: Any, recorder: Recorder, *, use: str) -> IntArray:
    """Find the rows, int64 (m,) in their order, of a `torch.utils.data.Subset` of the data set, or of a part of one.

    If they cannot be known, the message begins with the remedy `use`.
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


def check_loader(loader: Any) -> None:
    """Refuse anything but a loader of torch, which says which samples it serves."""
    if not hasattr(loader, "dataset") or not hasattr(loader, "sampler"):
        raise ArgumentError(
            f"a loader must be one torch.utils.data.DataLoader, got {type(loader).__name__}; of others, say by ids= "
            "where a batch holds the ids of its samples"
        )


def check_order(loader: Any) -> None:
    """Refuse an evaluation loader that shuffles, drops the last batch, or deals its samples to several processes."""
    batches = getattr(loader, "batch_sampler", None)
    if batches is None:
        order = loader.sampler
    else:  # a batch sampler of the user has its own order
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


def find_ids(batch: Any, ids: BatchIds) -> Array:
    """Return the ids in a batch.

    >>> find_ids({"x": [0.5, 0.1], "id": [7, 3]}, "id")
    [7, 3]
    """
    if callable(ids):
        return ids(batch)
    try:
        return batch[ids]
    except (KeyError, IndexError, TypeError):
        what = f"keys {', '.join(map(str, batch))}" if hasattr(batch, "keys") else type(batch).__name__
        raise ArgumentError(f"ids={ids!r} must be where a batch holds the ids of its samples, got {what}") from None


# ---- one training --------------------------------------------------------------------------------------------------

NEVER = 0  # epochs are counted from 1


class WatchedOutputs(NamedTuple):
    """The logits of a finished pass over the watched samples."""

    epoch: int  # after which it was made
    step: int  # the number of steps before it
    rows: IntArray  # of the samples
    logits: Array  # (m, C)


class TrainingWatch:
    """Watches the trainings of a recorder, one after the other.

    `ids` says where a batch holds the ids of its samples; without it, they follow from the positions in a `Subset`.
    """

    def __init__(self, recorder: Recorder, ids: BatchIds | None = None) -> None:
        self.recorder, self.ids = recorder, ids
        self._fit: Fit | None = None
        self.epochs = NEVER  # to be trained; NEVER if this is not known
        self._model: Any = None  # the one evaluated last
        self._begun: dict[str, Fit] = {}  # the fits that were trained here, whole or not
        self._first: Weights | None = None  # what the fit in training began with
        self._learned_with: IntArray = np.empty(0, np.int64)  # the rows that the model has learned when the fit ends
        self._taught: list[tuple[str, IntArray, Weights]] = []  # of each fit: the rows, and the weights they changed
        self._parameters: dict[int, tuple[str, weakref.ref[Any]]] = {}  # the trained ones by `id`, and their fit

    @property
    def fit(self) -> Fit:
        """The fit in training."""
        if self._fit is None:
            raise ArgumentError("held_out() belongs to a training inside `for fit in recorder:`, got one outside of it")
        return self._fit

    @property
    def is_training(self) -> bool:
        """Whether a training has begun and has not ended."""
        return self._fit is not None

    def begin(self, *, epochs: int | None, first: int = 1) -> None:
        """Begin a training of `epochs` epochs, None if not known; `first` is above 1 where a training continues."""
        self._fit = self.recorder.fit
        fit = self.fit
        _check_one_process()
        # Masks, because every batch may be checked.
        self._learned, self._watched = np.zeros((2, len(self.recorder.ids)), bool)
        self._learned[fit.train] = True
        self._watched[fit.unseen] = self._watched[fit.seen] = True
        self.recorder.check(provides=["logits"], epochs=epochs)
        self.epochs = NEVER if epochs is None else epochs
        self._trained = NEVER
        self._model = self._first = None
        self._recorded: dict[Side, int] = dict.fromkeys(SIDES, NEVER)
        self._evaluation: WatchedOutputs | None = None
        if first > 1 and self.every_epoch:
            raise ArgumentError(
                f"the scores of fit {fit.name} read every epoch, but this training goes on at epoch {first}; begin the "
                "fit anew, without a checkpoint"
            )
        self.begin_evaluation()

    def check_start(self, model: Any, *, resumed: bool = False) -> None:
        """Refuse a model that continues the training of another fit, which trained on samples that this fit judges.

        Call this between `begin` and the first step. `resumed` says that a checkpoint was loaded. The checkpoint is of
        another fit if this fit has not begun here and others have: a loop that was killed resumes the first fit that
        it gets.
        """
        fit, self._first = self.fit, weights_of(model)
        self._learned_with = fit.train
        if resumed and fit.name not in self._begun:
            for other in self._begun.values():
                if np.intersect1d(other.train, fit.unseen).size:
                    raise ExposureError(
                        f"fit {fit.name} would continue from a checkpoint, but it has not begun here: one of fit "
                        f"{other.name}, as in a folder that fits share, was trained on samples that {fit.name} then "
                        "scores; give each fit a folder of its own, and load other weights into the model instead"
                    )
        self._begun[fit.name] = fit
        for name, learned, taught in self._taught:
            if name == fit.name or not self._first & taught:
                continue
            judged = np.intersect1d(learned, fit.unseen)
            if judged.size:
                raise ExposureError(
                    f"fit {fit.name} would continue from the weights of fit {name}, which was trained on samples that "
                    f"{fit.name} then scores: ids {self._ids_of(judged)}; make a new model for each fit, inside the "
                    "loop"
                )
            self._learned_with = np.union1d(self._learned_with, learned)

    def check_other(self, model: Any) -> None:
        """Refuse the model of another fit, unless `check_start` has found that its training starts afresh."""
        for one in model.parameters() if self._first is None else ():
            name, trained = self._parameters.get(id(one), (self.fit.name, None))
            if trained is not None and trained() is one and name != self.fit.name:
                raise ArgumentError(
                    f"fit {self.fit.name} trains the model of fit {name}, which may have seen its samples; make a "
                    "new model for each fit, inside the loop, or reset it and pass model= to on_train_start, which "
                    "checks that"
                )

    @property
    def every_epoch(self) -> bool:
        """Whether a score reads an epoch before the last."""
        epochs = range(1, max(self.epochs, 3))
        return any(self.recorder.wants(side, epoch, sys.maxsize) for side in SIDES for epoch in epochs)

    def check_training_loader(self, loader: Any, *, use: str = "train on Subset(dataset, fit.train)") -> None:
        """Check the data set of a loader, as `check_training_set` does."""
        if self.ids is None:
            check_loader(loader)
            self.check_training_set(loader.dataset, use=use)

    def check_training_set(self, dataset: Any, *, use: str) -> None:
        """Check the data set that the model is trained on; if batches hold ids, `check_training_batch` does it."""
        if self.ids is None:
            self.check_training(find_rows(dataset, self.recorder, use=use))

    def check_training_batch(self, batch: Any) -> None:
        """Check the ids of a training batch, which may hold a sample twice; without ids, do nothing."""
        if self.ids is not None:
            ids = find_ids(batch, self.ids)
            self.check_training(self.recorder.rows(np.unique(np.asarray(ids.cpu() if hasattr(ids, "cpu") else ids))))

    def check_training(self, rows: IntArray) -> None:
        """Refuse rows of the training set or of a batch that the model must not see."""
        stray = rows[~self._learned[rows]]
        if stray.size:
            watched = np.intersect1d(stray, self.fit.unseen)
            which, why = (watched, "then judges") if watched.size else (stray, "was not given")
            raise ExposureError(
                f"fit {self.fit.name} would train on samples that it {why}: ids {self._ids_of(which)}; train on "
                "Subset(dataset, fit.train)"
            )

    def check_evaluation(self, rows: IntArray) -> None:
        """Refuse rows of an evaluation or of a batch that are in no watch set."""
        fit = self.fit
        stray = rows[~self._watched[rows]]
        if stray.size:
            raise ExposureError(
                f"fit {fit.name} is not asked about the ids {self._ids_of(stray)}: evaluate Subset(dataset, fit.unseen)"
                + (" and those of fit.seen" if len(fit.seen) else "")
            )

    def begin_evaluation_of(self, loader: Any, *, use: str = "evaluate Subset(dataset, fit.unseen)") -> None:
        """Begin an evaluation of a loader, which must serve its samples in order unless its batches hold ids."""
        order = None
        if self.ids is None:
            check_loader(loader)
            check_order(loader)
            order = find_rows(loader.dataset, self.recorder, use=use)
        self.begin_evaluation(order)

    def begin_evaluation(self, order: IntArray | None = None) -> None:
        """Begin an evaluation of these rows in this order; None where each batch brings ids."""
        self._order, self._served = np.empty(0, np.int64) if order is None else order, 0
        self.check_evaluation(self._order)
        self._rows: list[IntArray] = []
        self._logits: list[Array] = []
        self._probability_check = ProbabilityCheck()
        self._served_rows = np.zeros(len(self.recorder.ids), bool)

    def add_batch(self, output: Any, model: Any, *, batch: Any = None) -> None:
        """Add one batch of an evaluation: logits (m, C), or an output that holds them (see `find_logits`).

        The model that gave them must be in evaluation mode. `batch`, what it was given, is read where it holds the ids.
        """
        check_evaluation_mode(model)
        self._model = model
        logits = find_logits(output)
        if not getattr(logits, "shape", ()):
            got = "a single number, such as a loss" if hasattr(logits, "shape") else type(logits).__name__
            raise ArgumentError(f"an evaluation must give logits, got {got}")
        if self.ids is None:
            rows = self._order[self._served : self._served + len(logits)]
            self._served += len(rows)
        else:
            rows = self.recorder.rows(find_ids(batch, self.ids))
            self.check_evaluation(rows)
        check_shape_of_logits(tuple(logits.shape), len(rows), self.recorder.class_names)
        logits = logits.detach().cpu() if hasattr(logits, "detach") else np.asarray(logits)
        self._probability_check.add(logits)
        if self._probability_check.finds_softmax():
            raise ArgumentError(
                "the model must give logits, but these are probabilities (they add up to 1); leave its softmax out, or "
                "give their logarithm"
            )
        again = rows[self._served_rows[rows]]
        if again.size or len(np.unique(rows)) < len(rows):
            twice = again if again.size else rows
            raise ArgumentError(
                f"an evaluation must serve each sample once, but it repeats the ids {self._ids_of(twice)}: a sampler "
                "that draws with replacement, or that pads what it deals to several processes"
            )
        self._served_rows[rows] = True
        self._rows.append(rows)
        self._logits.append(logits)

    def end_evaluation(self, *, epoch: int, step: int) -> None:
        """End the evaluation of an epoch (from 1) after `step` steps; it replaces earlier ones."""
        if not self._rows:
            raise DataError(f"fit {self.fit.name} was evaluated on no sample after epoch {epoch}")
        join: Callable[[list[Array]], Array] = np.concatenate
        if hasattr(self._logits[0], "detach"):
            import torch

            join = torch.cat
        self._evaluation = WatchedOutputs(epoch, step, np.concatenate(self._rows), join(self._logits))
        self.begin_evaluation()

    def end_epoch(self, epoch: int, *, step: int) -> None:
        """End an epoch: record its evaluation if a score reads it."""
        self._trained = epoch
        self._record_sides([side for side in SIDES if self.recorder.wants(side, epoch, self.epochs)], step)

    def end(self, *, step: int) -> None:
        """End the training, perhaps early; record the last epoch if it is not recorded yet."""
        last = self._trained
        left = [s for s in SIDES if self._recorded[s] < last and self.recorder.wants(s, last, last)]
        self._record_sides(left, step)
        if self._model is not None:
            if self._first is not None:
                taught = weights_of(self._model) - self._first
                self._taught.append((self.fit.name, self._learned_with, taught))
            trained = [one for one in self._model.parameters() if one.requires_grad]
            self._parameters |= {id(one): (self.fit.name, weakref.ref(one)) for one in trained}
        self._fit = self._model = self._first = None

    def _record_sides(self, sides: list[Side], step: int) -> None:
        if not sides:
            return
        fit, epoch, found = self.fit, self._trained, self._evaluation
        if found is None or (found.epoch, found.step) != (epoch, step):
            raise ArgumentError(
                f"the scores of fit {fit.name} read what its model says after epoch {epoch}, but it was not evaluated "
                "between the last step of that epoch and the next; evaluate at the end of every epoch"
            )
        for side in sides:
            chosen = np.flatnonzero(np.isin(found.rows, fit.watch(side)))
            left_out = np.setdiff1d(fit.watch(side), found.rows)
            if left_out.size:
                raise DataError(
                    f"after epoch {epoch}, fit {fit.name} was evaluated without the ids {self._ids_of(left_out)} of "
                    f"its {side} watch set: evaluate all of Subset(dataset, fit.{side}), without a limit on batches"
                )
            if self._recorded[side] < epoch:
                self.recorder.record(self.recorder.ids[found.rows[chosen]], found.logits[chosen], epoch=epoch)
                self._recorded[side] = epoch

    def _ids_of(self, rows: IntArray) -> str:
        return some(self.recorder.ids[rows].tolist())


def _check_one_process() -> None:
    distributed = getattr(sys.modules.get("torch"), "distributed", None)
    if distributed is None or not (distributed.is_available() and distributed.is_initialized()):
        return
    if (processes := distributed.get_world_size()) > 1:
        raise ArgumentError(
            f"a fit must be trained in one process, got {processes}: each would hold a part of the logits, some "
            "twice; train one fit a device instead"
        )


def check_monitor(what: str, monitor: str | None) -> None:
    """Refuse to stop training or to choose a model by a metric not named `train...`, which is of held-out samples.

    >>> check_monitor("EarlyStopping", "train_loss")
    """
    if monitor is None or not monitor.startswith("train"):
        raise ExposureError(
            f"{what} looks at {monitor!r}, which comes from the held-out samples: a model that was stopped or chosen "
            "by them has seen them. Train for a fixed number of epochs, or let it look at a metric whose name begins "
            "with 'train'"
        )


def find_logits(output: Any) -> Any:
    """Find the logits in a model's output: its entry or attribute `logits`, the first of several, or the output."""
    if isinstance(output, (tuple, list)):
        return output[0]
    if hasattr(output, "keys"):
        return output.get("logits")
    return getattr(output, "logits", output)


def check_evaluation_mode(model: Any) -> None:
    """Refuse a module if any part of it is in training mode."""
    for module in model.modules():
        if module.training:
            raise ArgumentError(
                f"the model must be in evaluation mode when it is evaluated, but its {type(module).__name__} is in "
                "training mode (dropout draws, batch norm learns); call model.eval() before"
            )


Weights = frozenset[bytes]


def weights_of(model: Any) -> Weights:
    """Return up to 64 numbers of each parameter, spread over it, as bytes: the same on any device."""
    import torch

    found = set()
    for parameter in model.parameters():
        without = torch.nn.parameter.is_lazy(parameter) or parameter.is_meta or parameter.is_complex()
        if without or not parameter.numel():
            continue
        flat = parameter.detach().reshape(-1)
        # float64 last: not every device has it
        found.add(flat[:: -(-len(flat) // 64)].cpu().double().numpy().tobytes())
    return frozenset(found)
