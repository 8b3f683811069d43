"""The recorder for your own training loop: take the fits, train in any way, and record the outputs of the model.

    recorder = unseen.Recorder(labels, plan=unseen.folds(5), scores=["el2n"])
    for fit in recorder:
        model = train(Subset(dataset, fit.train))
        for ids, x in batches(Subset(dataset, fit.unseen)):
            recorder.record(ids, model(x))
    table = recorder.table()

The recorder refuses samples on which the model was trained, a sample twice in an epoch, and an incomplete watch set.
"""

from __future__ import annotations

import math
import sys
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import LARGEST, Array, IdArray, IntArray, check_real, dense, is_frame, is_tensor
from unseen.core.checks import at_least
from unseen.core.exposure import SIDES, Fit, Observation, Plan, Side
from unseen.core.plans import folds, plan_of
from unseen.core.protocols import Data
from unseen.core.table import ScoreTable
from unseen.data.base import digest
from unseen.data.labels import check_groups, check_labels, check_single, encode_labels, refuse_other_order, to_numpy
from unseen.engine.runs import open_run
from unseen.engine.scoring import Abilities, SampleInfo, Scoring, check_score
from unseen.errors import ArgumentError, DataError, ExposureError, some, warn
from unseen.learners.base import ROUNDING, logits_of, look_like_probabilities
from unseen.scores.accumulator import ScoreSink
from unseen.scores.label_quality import LABEL_ISSUE
from unseen.scores.registry import listed, resolve
from unseen.scores.streaming import Course, Score

DEFAULT_SCORES = ("el2n", LABEL_ISSUE)  # that the default rule reads, without the sides of `halves`
UNNAMED = "recorder"  # the name of a loop without one
LEAST_ROWS = 8  # to judge by; fewer may be in [0, 1] and sum to 1 by chance


class Recorder:
    """Yield the fits of a plan, and take observations by sample id.

    Args:
        labels: (n,) labels of one type, whose sorted order is that of the columns of the logits (`class_names`); None,
            with `n`, for tasks without classes, where only `loss=` is recorded.
        plan: the exposure plan, its name, or a number of folds; `folds()` if not given.
        scores: one or several names or `Score` objects; by default those that the default rule of `select` reads. Under
            `halves()` it reads `"memorization"` too, if you name it and record `fit.seen` beside `fit.unseen`.
        ids: (n,) sample ids; the rows 0..n-1 if not given. A fit holds rows, `record` takes ids: those of its watch
            set are `recorder.ids[fit.unseen]`.
        groups: (n,) groups whose members stay on one side of each fit, or None.
        classes: the number of classes, C, where a class may be missing from the data: labels are then 0..C-1, or have
            C different values, whose sorted order is the order of the columns of the logits.
        n: the number of samples, where there are no labels.
        seed: the root seed.
        out: a directory that keeps the run. When the same recorder is made again, its finished fits are skipped. It
            cannot see whether your training has changed since, so a warning says how many are reused.
        name: how you train, such as `"resnet18, 30 epochs"`, for the manifest. Change it with the loop: a run in `out`
            of another name is refused, and one of the same name is continued without a warning.

    >>> import unseen
    >>> labels = np.array([0, 1, 0, 1])
    >>> recorder = unseen.Recorder(labels, plan=unseen.folds(2), scores=["el2n", "loss"])
    >>> for fit in recorder:
    ...     recorder.record(fit.unseen, 3 * np.eye(2)[labels[fit.unseen]])  # a good model's logits
    >>> recorder.table().column("el2n").round(4).tolist()
    [0.0671, 0.0671, 0.0671, 0.0671]
    """

    def __init__(
        self,
        labels: npt.ArrayLike | None = None,
        *,
        plan: Plan | str | int | None = None,
        scores: str | Score | Sequence[str | Score] = DEFAULT_SCORES,
        ids: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
        classes: int | None = None,
        n: int | None = None,
        seed: int = 0,
        out: str | Path | None = None,
        name: str | None = None,
    ) -> None:
        encoded, class_names = _encode_labels(labels, n, classes)
        for argument, values in (("ids", ids), ("groups", groups)):
            refuse_other_order(labels, values, argument, "labels")
        checked = encode_labels(encoded, ids=ids, groups=groups, class_names=class_names)
        self._ids: IdArray = checked.ids
        fingerprint = {"n": len(encoded), "ids": digest(self._ids), "labels": digest(encoded)}
        samples = SampleInfo(self._ids, encoded, class_names, checked.groups, fingerprint)
        self._order = np.argsort(self._ids, kind="stable")
        self._sorted = self._ids[self._order]
        self._run = open_run(out)
        # The run of a deleted recorder is closed, so that another recorder can continue it.
        weakref.finalize(self, self._run.close)
        asked = listed(scores)
        exposure = folds() if plan is None else plan_of(plan, closed_form=False)
        if labels is None and (wrong := next((s for s in map(resolve, asked) if not s.from_loss), None)):
            raise ArgumentError(
                f"score {wrong.label!r} needs classes, but labels= was not given; without labels the scores are loss, "
                "holdout_gap and reducible"
            )
        self._about: dict[str, object] = {"learner": UNNAMED if name is None else name}
        abilities = Abilities(self._about, epochs=None, provides=None)
        self._job = Scoring(samples, plan=exposure, scores=asked, learner=abilities, run=self._run, seed=seed)
        self._probability_check = ProbabilityCheck()
        self._epochs: dict[str, int] = {}  # of each fit that was recorded here
        self._out, self._warns_of_kept = out, name is None
        self._fit: Fit | None = None
        self._sink: ScoreSink | None = None
        self._table: ScoreTable | None = None

    def __iter__(self) -> Iterator[Fit]:
        """Yield the fits that are not finished yet; each step of the loop finishes the fit before."""
        if self._table is not None:
            return
        try:
            for fit, sink, _ in self._job.pending():
                self._warn_of_kept()
                self._fit, self._sink = fit, sink
                self._recorded: dict[Side, int] = dict.fromkeys(SIDES, 0)  # the last epoch
                yield fit
                epochs = max(self._recorded.values())
                if not epochs:
                    raise DataError(
                        f"fit {fit.name} ended, but nothing was recorded: record all of fit.unseen in each fit; a "
                        "callback records when its library evaluates after the last epoch that it was told of"
                    )
                self._job.finish(fit, sink.result())
                self._epochs[fit.name] = epochs
                self._run.event("recorded", fit=fit.name, epochs=epochs)
                if self._probability_check.finds_sigmoid():
                    warn_of_sigmoid()
            self._warn_of_kept()
        finally:  # where the loop ends early, the fit is not finished, and comes again
            self._fit = self._sink = None

    def _warn_of_kept(self) -> None:
        """Warn once how many fits were taken from `out`, unless the loop has a name that identifies it."""
        kept = self._job.done - len(self._epochs)
        if not kept or not self._warns_of_kept:
            return
        self._warns_of_kept = False
        times = [str(e["time"]) for e in self._run.events() if e["kind"] == "recorded" and e["fit"] not in self._epochs]
        when = f", where they were recorded until {max(times)[:16].replace('T', ' ')} UTC," if times else ""
        warn(
            f"{kept} of {self._job.fits_in_all} fits are taken from {self._out}{when} and not trained again: if your "
            "loop has changed since, delete that directory or pass another out=; with a name for your training, as in "
            "name='resnet18, 30 epochs', a run of another name is refused",
        )

    @property
    def fit(self) -> Fit | None:
        """The current fit of the loop, or None outside of it."""
        return self._fit

    @property
    def ids(self) -> IdArray:
        """The (n,) sample ids in dataset order."""
        return self._ids

    @property
    def classes(self) -> int:
        """The number of classes, C, which is the width of the logits."""
        return len(self.class_names)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the C classes, in the order of the columns of the logits."""
        return self._job.samples.class_names

    def check(self, *, provides: Sequence[str], epochs: int | None = None) -> None:
        """Refuse, before a loop trains, scores that read what it will not record, or that need more epochs.

        `provides` is what the loop will record (`"logits"`, `"features"`, `"grad_norm"`). `epochs` is how many epochs
        it will train and record, None if this is not known.
        """
        abilities = Abilities(self._about, sys.maxsize if epochs is None else epochs, frozenset(provides))
        for score in self._job.scores:
            check_score(score, self._job.plan, abilities)

    def wants(self, side: Side, epoch: int, last: int) -> frozenset[str]:
        """Return what the scores read for a watch set of the current fit after this epoch (from 1) of `last`.

        Where it is nothing, a loop can skip the evaluation.
        """
        if self._sink is None:
            raise ArgumentError("wants() belongs inside `for fit in recorder:`")
        return self._sink.wants(side, epoch, last)

    def record(
        self,
        ids: Array,
        logits: Array | None = None,
        *,
        epoch: int = 1,
        loss: Array | None = None,
        features: Array | None = None,
        grad_norm: Array | None = None,
        probabilities: bool = False,
    ) -> None:
        """Record the outputs of the current fit's model for some samples, in evaluation mode, without augmentation.

        Args:
            ids: (m,) ids of the samples, from the watch sets of the current fit, in any order and batch size.
            logits: (m, C) NumPy or torch. Log-probabilities are logits too; probabilities and outputs of a sigmoid
                cause a warning.
            epoch: counted from 1; scores of training dynamics need every epoch.
            loss: (m,) per-sample losses in place of logits, for any task.
            features: (m, d) input of the last layer, for `grand_last_layer`.
            grad_norm: (m,) gradient norms, for `grand`.
            probabilities: whether `logits` are probabilities; their logarithm is taken.

        Raises:
            ExposureError: a sample is in no watch set, so the model was trained on it.
            ArgumentError: an unknown id, a sample twice in an epoch, rows in place of ids, a call outside of the loop,
                or an earlier epoch was left out that a score reads.
        """
        if self._fit is None or self._sink is None:
            raise ArgumentError("record() belongs inside `for fit in recorder:`")
        if logits is None and loss is None and grad_norm is None:
            raise ArgumentError("record() needs logits=, loss= or grad_norm=, got none")
        rows = self.rows(ids)
        given = {"logits": logits, "loss": loss, "features": features, "grad_norm": grad_norm}
        parts = {name: _check_values(name, value, len(rows)) for name, value in given.items() if value is not None}
        if logits is not None:
            _refuse_other_columns(logits, self.class_names)
            parts["logits"] = self._convert_logits(parts["logits"], probabilities)
        sides = {side: np.isin(rows, self._fit.watch(side)) for side in SIDES}
        stray = rows[~(sides["unseen"] | sides["seen"])]
        if stray.size:
            raise ExposureError(
                f"fit {self._fit.name} is not asked about the ids {some(self._ids[stray].tolist())}: its model was "
                "trained on them; record the samples of fit.unseen (and fit.seen) only: these are rows, and "
                "recorder.ids[fit.unseen] their ids"
            )
        # Ids of both sides that are rows of one side: the caller gave rows, and the ids are the rows in another order.
        both = len(rows) >= LEAST_ROWS and all(chosen.any() for chosen in sides.values())
        if both and any(np.isin(self._ids[rows], self._fit.watch(side)).all() for side in SIDES):
            raise ArgumentError(
                f"these are rows of fit {self._fit.name}, but the ids of other samples; record by "
                "recorder.ids[fit.unseen] (and recorder.ids[fit.seen])"
            )
        for side, chosen in sides.items():
            if chosen.any():
                at = slice(None) if chosen.all() else np.flatnonzero(chosen)
                own = {name: value[at] for name, value in parts.items()}
                observation = Observation(rows[chosen], epoch, **own)
                self._check_epoch(self._sink, side, observation.epoch)
                self._sink.observe(side, observation)
                self._recorded[side] = max(self._recorded[side], observation.epoch)

    def table(self) -> ScoreTable:
        """Return the score table, when all fits are finished, and close the run.

        Warn where a score reads all epochs, and fits were recorded over different numbers of epochs.
        """
        if self._table is None:
            self._table = self._job.table()
            self._warn_of_epochs()
            self._run.close()
        return self._table

    def _check_epoch(self, sink: ScoreSink, side: Side, epoch: int) -> None:
        """Refuse an epoch if an earlier one, which a score reads, was left out."""
        first = self._recorded[side] + 1
        # A score reads each epoch, and so the next one; or some epochs, of which `least_epochs` is the last.
        end = max(first + 1, *(score.least_epochs + 1 for score in self._job.scores))
        skipped = next((e for e in range(first, min(epoch, end)) if sink.wants(side, e, sys.maxsize)), None)
        if skipped is not None:
            raise ArgumentError(
                f"epoch {epoch} of fit {sink.fit.name} comes before epoch {skipped} was recorded, which the scores "
                "read; record every epoch (a training that goes on from a checkpoint begins its fit anew), or count "
                "only those that you record"
            )

    def _warn_of_epochs(self) -> None:
        """Warn where a score reads all epochs, and fits have different numbers of them."""
        courses = {score.label: getattr(score, "of", score) for score in self._job.scores}
        reading = [label for label, score in courses.items() if isinstance(score, Course) and score.epochs is None]
        kept = {str(e["fit"]): int(e["epochs"]) for e in self._run.events() if e["kind"] == "recorded"}
        numbers = {**kept, **self._epochs}.values()
        if reading and numbers and min(numbers) < max(numbers):
            warn(
                f"fits were recorded over {min(numbers)} to {max(numbers)} epochs, and {', '.join(reading)} read all, "
                "so samples of different fits cannot be compared; train all fits for the same number of epochs, "
                f"or let the score read the first {min(numbers)} (epochs={min(numbers)})",
            )

    @staticmethod
    def from_predictions(
        predictions: npt.ArrayLike,
        labels: npt.ArrayLike,
        *,
        scores: str | Score | Sequence[str | Score] = DEFAULT_SCORES,
        folds: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
        probabilities: bool = False,
    ) -> ScoreTable:
        """Make a score table from predictions that you already have, each by a model that did not see the sample.

        Args:
            predictions: logits (n, C), or (T, n, C) over T epochs, such as the log-probabilities from
                `cross_val_predict`, NumPy or torch.
            labels: (n,) numbers 0..C-1; or C different labels of any one type, whose sorted order is the order of the
                columns, as in scikit-learn.
            scores: one or several names or `Score` objects; by default as for a recorder.
            folds: (n,) the fold of each sample, so that scores can be aligned by fold; one fold if not given.
            ids: (n,) sample ids.
            probabilities: whether `predictions` are probabilities; their logarithm is taken. There is a warning where
                they look like probabilities and this is not given.

        Nothing can check that no sample was scored by a model that saw it. You state this, and the provenance of the
        table says so.
        """
        for argument, values in (("labels", labels), ("folds", folds), ("ids", ids)):
            refuse_other_order(predictions, values, argument, "predictions")
        history = to_numpy(predictions, "predictions")
        if history.ndim not in (2, 3) or history.shape[-1] < 2:
            raise ArgumentError(
                f"predictions must have shape (n, C) or (T, n, C), got {history.shape}; each of at least 2 classes has "
                "a column"
            )
        check_real(history, "predictions")
        if 0 in history.shape:
            raise DataError(f"the data set is empty: predictions have shape {history.shape}")
        finite = np.isfinite(history).all(axis=-1).reshape(-1, history.shape[-2]).all(axis=0)
        if not finite.all():
            raise DataError(
                f"predictions must be finite, but it is NaN or infinite for rows {some(np.flatnonzero(~finite))}; a "
                "probability of 0 has no logarithm: hand in probabilities as they are, with probabilities=True"
            )
        history = history.astype(np.float64)[None if history.ndim == 2 else ...]
        n = history.shape[1]
        fold_of = np.zeros(n, np.int64) if folds is None else to_numpy(folds, "folds")
        if fold_of.shape == (n,):
            check_groups(fold_of, n, "folds")
        recorder = Recorder(
            labels, plan=_GivenFolds(fold_of), scores=scores, ids=ids, classes=history.shape[2], name="predictions"
        )
        if len(recorder._ids) != n or fold_of.shape != (n,):
            raise ArgumentError(
                f"predictions, labels and folds must agree, got {n}, {len(recorder._ids)} and {fold_of.size} samples"
            )
        _refuse_other_columns(predictions, recorder.class_names)
        if not probabilities:
            recorder._probability_check.warn_of_all(history.reshape(-1, history.shape[2]))
        for fit in recorder:
            for epoch, logits in enumerate(history, start=1):
                recorder.record(recorder._ids[fit.unseen], logits[fit.unseen], epoch=epoch, probabilities=probabilities)
        return recorder.table()

    def rows(self, ids: Array) -> IntArray:
        """Return the rows, int64 (m,), of ids (NumPy, torch or a list); refuse unknown and repeated ids."""
        wanted = to_numpy(ids, "ids")
        if wanted.ndim != 1:
            raise ArgumentError(f"ids must be one-dimensional, (m,), got shape {wanted.shape}")
        if not len(wanted):
            return np.empty(0, np.int64)
        if wanted.dtype.kind == "b":
            raise ArgumentError("ids must be ids of the data set, got a boolean mask; recorder.ids[mask] are its ids")
        check_single(wanted, "ids")
        wanted = np.array(wanted.tolist()) if wanted.dtype.kind == "O" else wanted
        text, beyond = wanted.dtype.kind == "U", wanted.dtype.kind == "u" and bool((wanted > LARGEST).any())
        if text != (self._ids.dtype.kind == "U") or wanted.dtype.kind not in "iufU" or beyond:
            raise ArgumentError(
                f"ids must be ids of the data set, but these are unknown: {some(wanted.tolist())} "
                f"({wanted.dtype} among ids of {self._ids.dtype}); fit.unseen holds rows, and recorder.ids[fit.unseen] "
                "are their ids"
            )
        wanted = wanted.astype(np.int64) if wanted.dtype.kind == "u" else wanted
        if len(np.unique(wanted)) < len(wanted):
            values, counts = np.unique(wanted, return_counts=True)
            raise ArgumentError(f"ids must name each sample once, but {some(values[counts > 1].tolist())} occur twice")
        found = np.minimum(np.searchsorted(self._sorted, wanted), len(self._sorted) - 1)
        unknown = self._sorted[found] != wanted
        if unknown.any():
            raise ArgumentError(
                f"ids must be ids of the data set, but these are unknown: {some(wanted[unknown].tolist())}; fit.unseen "
                "holds rows, and recorder.ids[fit.unseen] are their ids"
            )
        return self._order[found]

    def _convert_logits(self, values: Array, probabilities: bool) -> Array:
        """Return logits as they are, or the logarithm of probabilities."""
        check_shape_of_logits(tuple(values.shape), len(values), self.class_names)
        if probabilities:
            if not look_like_probabilities(values):
                raise ArgumentError("probabilities=True needs rows that lie in [0, 1] and sum to 1, but these do not")
            return logits_of(to_numpy(values, "logits"))
        self._probability_check.add(values)
        if self._probability_check.finds_softmax():
            warn_of_probabilities()
        return values


class ProbabilityCheck:
    """A check whether values that should be logits are probabilities: all that were added lie in [0, 1].

    It finds them once. It ends when it has found them, or when a value lies outside of [0, 1].
    """

    def __init__(self) -> None:
        self._ended, self._sum_to_one = False, True
        self._rows, self._low, self._high = 0, math.inf, -math.inf

    def add(self, values: Array) -> None:
        """Add values (m, C)."""
        if self._ended or not len(values):
            return
        self._rows += len(values)
        self._low, self._high = min(self._low, float(values.min())), max(self._high, float(values.max()))
        self._sum_to_one = self._sum_to_one and look_like_probabilities(values)
        self._ended = self._low < 0 or self._high > 1 + ROUNDING

    def warn_of_all(self, values: Array) -> None:
        """Warn if these values (m, C) look like probabilities; no others will be added."""
        self.add(values)
        if not self._ended and self._sum_to_one:
            warn_of_probabilities()
        elif self.finds_sigmoid():
            warn_of_sigmoid()
        self._ended = True

    def finds_softmax(self) -> bool:
        """Return whether enough rows were added, and all sum to 1."""
        return self._find(self._sum_to_one)

    def finds_sigmoid(self) -> bool:
        """Return whether enough rows were added, and their values spread over [0, 1].

        Logits of a model that has hardly learned may all be small and positive, so they must differ by more than half.
        """
        return self._find(self._high - self._low > 0.5)

    def _find(self, alike: bool) -> bool:
        found = not self._ended and alike and self._rows >= LEAST_ROWS
        self._ended = self._ended or found
        return found


@dataclass(frozen=True, eq=False)
class _GivenFolds:
    """The plan of predictions made elsewhere: the folds are given, the training rows are unknown."""

    fold_of: IntArray
    repeats: int = 1
    scored_side: Side = "unseen"
    two_sided: bool = False

    def describe(self) -> dict[str, object]:
        return {"plan": "given", "exposure": "stated by the user, not checked", "folds": digest(self.fold_of)}

    def count(self, n: int, groups: IntArray | None = None) -> int:
        return len(np.unique(self.fold_of))

    def fits(self, ids: IdArray, labels: IntArray, *, groups: IntArray | None = None, seed: int = 0) -> Iterator[Fit]:
        nothing = np.empty(0, np.int64)
        for fold, value in enumerate(np.unique(self.fold_of)):
            yield Fit(train=nothing, unseen=np.flatnonzero(self.fold_of == value), fold=fold)


def _encode_labels(
    labels: npt.ArrayLike | None, n: int | None, classes: int | None
) -> tuple[IntArray, tuple[str, ...]]:
    if labels is None:
        if n is None:
            raise ArgumentError("pass labels=, or n= for a task without classes")
        at_least("n", n, 1)
        return np.zeros(int(n), np.int64), ("0",)
    _refuse_data_set(labels)
    if n is not None and n != len(labels):  # type: ignore[arg-type]
        raise ArgumentError(f"n={n} was given beside {len(labels)} labels; leave it out")  # type: ignore[arg-type]
    if classes is None:
        encoded = encode_labels(labels, name="labels")
        return encoded.labels, encoded.class_names
    at_least("classes", classes, 1)
    raw = check_labels(to_numpy(labels, "labels"), "labels")
    if raw.dtype.kind in "ib" and raw.min(initial=0) >= 0 and raw.max(initial=0) < classes:
        of_truth = raw.dtype.kind == "b" and classes == 2
        class_names = ["False", "True"] if of_truth else [str(c) for c in range(classes)]
        encoded = encode_labels(raw, class_names=class_names, name="labels")
    else:
        encoded = encode_labels(raw, name="labels")
        if len(encoded.class_names) != classes:
            raise ArgumentError(
                f"labels must be in 0..{classes - 1}, or {classes} different ones, each a column of the logits in "
                f"sorted order, but there are {len(encoded.class_names)}: {some(encoded.class_names)}"
            )
    return encoded.labels, encoded.class_names


def _refuse_data_set(labels: Any) -> None:
    """Refuse a data set, or its size, in place of labels; say how to take the labels out of it."""
    head = "labels must be the (n,) labels of the samples, got"
    if isinstance(labels, (int, np.integer)):
        raise ArgumentError(f"{head} the number {labels}; pass n={labels} for a task without classes")
    if (fix := _labels_of(labels)) is not None:
        raise ArgumentError(f"{head} a data set ({type(labels).__name__}); pass its labels in order, as in {fix}")


def _labels_of(source: Any) -> str | None:
    """Say how to take the labels out of a data set; None for anything else."""
    if isinstance(source, Data):
        return "data.labels"
    if isinstance(source, (str, Path)):
        return f"unseen.data.resolve({str(source)!r}).labels"
    if is_frame(source):
        return "frame['label']"
    if hasattr(source, "with_format"):  # of Hugging Face
        return "dataset['label']"
    if hasattr(source, "targets"):  # of torchvision
        return "dataset.targets"
    if isinstance(source, tuple) and source and getattr(source[0], "shape", ()):
        return "y of (X, y)"
    return "[y for _, y in dataset]" if hasattr(source, "dataset") or _gives_pairs(source) else None


def _gives_pairs(source: Any) -> bool:
    """Tell whether its entries are pairs of an input and a label, as those of a data set in torch."""
    if hasattr(source, "shape") or not (hasattr(source, "__getitem__") and hasattr(source, "__len__")):
        return False
    try:
        first = source[0]
    except Exception:  # a mapping, an empty list, or code of the user's; whatever it is, it is refused elsewhere
        return False
    return isinstance(first, tuple) and len(first) > 1 and not np.isscalar(first[0])


def warn_of_probabilities() -> None:
    """Warn that logits look like probabilities."""
    warn(
        "these logits look like probabilities (all rows lie in [0, 1] and sum to 1): scores of probabilities that are "
        "taken for logits are wrong; pass probabilities=True, or their logarithm",
    )


def warn_of_sigmoid() -> None:
    """Warn that logits look like the outputs of a sigmoid."""
    warn(
        "these logits all lie in [0, 1], like the outputs of a sigmoid: scores of such outputs that are taken for "
        "logits are wrong; record the inputs of the sigmoid, or torch.logit of its outputs",
    )


def check_shape_of_logits(shape: tuple[int, ...], m: int, class_names: Sequence[str]) -> None:
    """Refuse logits of m samples in another shape than (m, C), and say what to change."""
    classes, hint = len(class_names), ""
    if shape == (m, classes):
        return
    single = classes > 1 and (len(shape) == 1 or shape[1:] == (1,))
    if single and classes == 2:
        hint = "; a single output z stands for the logits 0 and z: torch.stack([0 * z, z], dim=1) with z of shape (m,)"
    elif single:
        hint = "; they have a column for each class, and are not the predicted class"
    elif classes == 1:
        hint = "; where there are no labels, or a single class, record loss= in place of logits"
    elif len(shape) == 2 and shape[1] < classes:
        hint = f"; the labels hold the classes {some(class_names)}"
    elif len(shape) == 2 and shape[1] > classes:
        hint = "; if the data lacks some classes of the model, pass classes= to the Recorder"
    raise ArgumentError(f"logits must have shape {(m, classes)}, got {shape}{hint}")


def _refuse_other_columns(logits: Any, class_names: Sequence[str]) -> None:
    """Refuse a frame whose columns are the classes in another order, since columns are taken by position."""
    if not is_frame(logits):
        return
    names = tuple(map(str, logits.column_names if hasattr(logits, "column_names") else logits.columns))  # Arrow; others
    if names != tuple(class_names) and sorted(names) == sorted(class_names):
        raise ArgumentError(
            f"the columns of these outputs are the classes in another order, {some(names)}, than class_names, "
            f"{some(class_names)}, and are taken by position; put them into that order"
        )


def _check_values(name: str, value: Array, m: int) -> Array:
    array = dense(value, name) if is_tensor(value) else to_numpy(value, name)
    if array.ndim < 1 or len(array) != m:
        got = f"shape {tuple(array.shape)}" if array.dtype != object else type(value).__name__
        remedy = f"; pass its entry {name!r}" if hasattr(value, "keys") or hasattr(value, name) else ""
        raise ArgumentError(f"{name} must have one entry for each of the {m} ids, got {got}{remedy}")
    check_real(array, name)
    return array
