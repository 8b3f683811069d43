"""The result of `evaluate`: the accuracies of each arm by replicate, and the comparisons that follow from them.

Nothing here trains.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.cards import card, tabled
from unseen.core.files import read_parquet, write_parquet
from unseen.engine.runs import RunDirectory
from unseen.errors import ArgumentError, UnknownNameError
from unseen.evaluating.prices import IN_TRAININGS, Price, price_arms, price_in_trainings
from unseen.evaluating.statistics import (
    GROUPS,
    LARGE,
    PLURALS,
    Interval,
    Sampling,
    Verdict,
    against_full,
    against_random,
    describe_losses,
    doubt_accuracy,
    interval,
)
from unseen.learners.base import in_words
from unseen.rules.registry import are_uneven

FILE = "evaluation.parquet"  # in the directory of a run

_COLUMNS = ("kept", "epochs", "steps", "samples_seen", "accuracy")
_CLASS = "accuracy."
_RANDOM = ("random", "random-stratified")

Kind = Literal["coreset", "full", "random", "random-stratified", "dedup"]


@dataclass(frozen=True, eq=False)
class ArmResult:
    """The results of the trainings of one arm, after their last epoch; arrays have one entry a replicate."""

    name: str  # the name of the arm
    kind: Kind  # `"coreset"`, `"full"`, `"random"`, `"random-stratified"` or `"dedup"`
    draws: int  # how many different training sets there are among the replicates
    kept: IntArray  # int64 (R,) samples trained on
    epochs: IntArray  # int64 (R,); 0 for a learner without epochs
    steps: IntArray  # int64 (R,) optimiser steps; 0 for a learner without steps
    samples_seen: IntArray  # int64 (R,) samples passed over, epochs counted
    accuracy: FloatArray  # float64 (R,) share of the test samples predicted rightly; R² for a target
    # float64 (R, C) the same for each class, or bin of a target; NaN where the test set holds no sample of it.
    by_class: FloatArray
    error: float  # standard error of the mean accuracy, as far as the test set is a random sample
    beside: dict[str, str] = field(default_factory=dict)  # for a coreset, its baselines: kind to name
    # The same error of the difference to each baseline, by kind; for a baseline, of the difference to the full data.
    beside_error: dict[str, float] = field(default_factory=dict)
    # The same error for each of the C classes, by kind; NaN where the test set holds fewer than two samples of it.
    class_error: dict[str, list[float]] = field(default_factory=dict)
    recall_error: float | None = None  # as `error`, of the mean recall; None where test samples have no groups


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """The results of the trainings of each arm, and how the arms compare.

    Intervals cover the spread of the replicates and the sampling error of the test set.

    With a target, accuracies are R², the share of the variance of the test targets that is predicted. Classes are then
    bins of the target, and a bin's accuracy is 1 less its mean squared error relative to the variance of all.

    Args:
        arms: the coresets and their baselines.
        class_names: the C names.
        about: fix, margin, level, seed, the test set, the learner trained, near-duplicates, notes, as JSON.
        times: arm to the price of one of its trainings, and `"choosing <arm>"` to the price of choosing it, where it
            is known. Seconds differ from run to run, so they are not saved with the rest.

    >>> import unseen
    >>> from sklearn.naive_bayes import GaussianNB
    >>> half = unseen.rules.random(1797, keep=0.5)
    >>> found = unseen.evaluate("digits", coresets={"half": half}, learner=GaussianNB(), seeds=2, baselines=["full"])
    >>> found.accuracy("half").text(), found.covers("half").split(";")[0]
    ('87.8 ± 3.4', 'the test set alone: all trainings came to the same accuracy')
    """

    arms: tuple[ArmResult, ...]
    class_names: tuple[str, ...]
    about: dict[str, Any]
    times: dict[str, Price] = field(default_factory=dict)

    def __getitem__(self, name: str) -> ArmResult:
        """Return the arm of that name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UnknownNameError("arm of this evaluation", name, [arm.name for arm in self.arms])

    @property
    def trainee(self) -> str:
        """The learner trained on every arm, in words."""
        return in_words(self.about.get("learner"))

    @property
    def metric(self) -> Literal["accuracy", "R²"]:
        """The name of what `accuracy` is."""
        return "R²" if self.about.get("target") else "accuracy"

    @property
    def noun(self) -> Literal["class", "bin"]:
        """What samples are grouped by: their class, or their bin of the target."""
        return "bin" if self.about.get("target") else "class"

    @property
    def coresets(self) -> tuple[str, ...]:
        """The names of the arms that are coresets."""
        return tuple(arm.name for arm in self.arms if arm.kind == "coreset")

    def accuracy(self, name: str) -> Interval:
        """Return the mean test accuracy of an arm."""
        arm = self[name]
        accuracy = average_by_draw(arm.accuracy, arm.draws)
        return interval(accuracy, self.about["level"], sampling=self._sampling(arm.error))

    def mean_recall(self, name: str) -> Interval:
        """Return the mean over classes of the share of their test samples that an arm predicts rightly.

        Each class counts alike, however few samples it has. Classes without test samples are left out.
        """
        arm, sizes = self[name], self.about["test"].get("of_class")
        tested = ~np.isnan(arm.by_class).any(axis=0)
        recall, sampling = arm.by_class[:, tested], None
        if sizes is not None:
            n = np.asarray(sizes)[tested]
            share = (n * recall.mean(axis=0) + 1) / (n + 2)  # or a class of one sample would seem to be known exactly
            sampling = Sampling(float(np.sqrt((share * (1 - share) / n).sum()) / len(n)), int(n.sum()), counts=False)
            if arm.recall_error is not None and arm.recall_error > sampling.error:
                sampling = Sampling(arm.recall_error, self.about["test"]["groups"], counts=False, unit=GROUPS)
        return interval(average_by_draw(recall.mean(axis=1), arm.draws), self.about["level"], sampling=sampling)

    def doubt(self) -> str | None:
        """Return why accuracy says little here: trained on everything, the model hardly beats a constant; else None."""
        if self.noun != "class" or all(arm.kind != "full" for arm in self.arms):
            return None
        return doubt_accuracy(self.accuracy("full").mean, self.about["test"].get("of_class"), self.trainee)

    def differences(self, name: str, to: str = "full") -> FloatArray:
        """Return the accuracy of an arm minus that of a baseline, float64 (R,), paired by replicates of equal seeds.

        If a name has several coresets, but fewer than replicates, it is the mean for each coreset: replicates that
        share a coreset are not independent draws of the method.
        """
        arm = self[name]
        return average_by_draw(arm.accuracy - self._baseline(arm, to).accuracy, arm.draws)

    def difference(self, name: str, to: str = "full") -> Interval:
        """Return the mean of `differences`."""
        sampling = self._sampling(self[name].beside_error.get(to))
        return interval(self.differences(name, to), self.about["level"], sampling=sampling)

    def verdict(self, name: str, to: str = "full") -> Verdict:
        """Return the verdict of the paired test against a baseline.

        Against full it is `lossless`, `loses` or `undecided`; against other baselines `better`, `worse` or `undecided`.
        If one coreset was trained on several times, the verdict holds for this coreset only, and its text says so.
        The verdict names the classes whose loss exceeds their interval. Against full and random it also names those
        that lose 5 points or more beyond random, even where that may be chance.
        """
        arm, differences, level = self[name], self.differences(name, to), self.about["level"]
        each = "seed" if len(differences) == len(arm.accuracy) else "coreset, on average over its seeds"
        given: Mapping[str, Any] = {
            "sampling": self._sampling(arm.beside_error.get(to)),
            "level": level,
            "each": each,
            "trainee": self.trainee,
        }
        if to == "full":
            verdict = against_full(differences, margin=self.about["margin"], **given)
        else:
            verdict = against_random(differences, **given)
        only = arm.kind == "coreset" and arm.draws == 1 and verdict.word != "undecided"
        text = f"{verdict.text}, of this coreset only" if only else verdict.text
        classes, clauses = self._losing_classes(arm, to)
        return replace(verdict, text="; ".join([text, *clauses]), classes=classes)

    def class_differences(self, name: str, to: str = "full") -> dict[str, Interval]:
        """Return the change of the accuracy of each class against a baseline, worst first, with joint intervals.

        The intervals are wider than for one class alone, so that all of them together hold the true changes at the
        level asked for (Bonferroni). Classes without test samples are left out; a class with one has no interval.
        """
        arm = self[name]
        changes = average_by_draw(arm.by_class - self._baseline(arm, to).by_class, arm.draws)
        tested = np.flatnonzero(~np.isnan(changes).any(axis=0)).tolist()
        level = 1 - (1 - self.about["level"]) / max(1, len(tested))
        test = self.about["test"]
        errors, sizes = arm.class_error.get(to), test.get("of_class")
        means = {}
        for c in tested:
            known = None
            if errors is not None and sizes is not None:
                known = Sampling(errors[c], min(sizes[c], test.get("groups", sizes[c])), self.noun == "class")
            change = interval(changes[:, c], level, sampling=known)
            alone = known is not None and np.isnan(known.error)
            means[c] = replace(change, low=float("nan"), high=float("nan")) if alone else change
        return {self.class_names[c]: means[c] for c in sorted(means, key=lambda c: means[c].mean)}

    def _losing_classes(self, arm: ArmResult, to: str) -> tuple[tuple[str, ...], list[str]]:
        """Return the classes that a verdict names, and its clauses about them."""
        random = next((kind for kind in _RANDOM if kind in arm.beside), None)
        kinds = [to, random] if to == "full" and random is not None else [to]
        losses = [
            describe_losses(
                self.class_differences(arm.name, kind),
                margin=self.about["margin"],
                # Of a target, few samples of a bin hold much of the squared error, so large changes are often chance.
                large=LARGE if kind in _RANDOM and self.noun == "class" else None,
                than="" if kind == "full" else kind,
                noun=self.noun,
            )
            for kind in kinds
        ]
        classes = tuple(dict.fromkeys(c for named, _ in losses for c in named))
        return classes, [clause for _, clause in losses if clause]

    def covers(self, name: str) -> str:
        """Describe what varies between the replicates of an arm, which its interval covers; or why it has none."""
        arm = self[name]
        if len(average_by_draw(arm.accuracy, arm.draws)) < 2:
            return "nothing: one replicate shows no spread; ask for 3 seeds or more"
        if np.isnan(self.accuracy(name).half):
            return "nothing: the seeds show no spread, and nothing is known of the test set"
        if np.ptp(arm.accuracy) == 0:
            alone = f"the test set alone: all trainings came to the same {self.metric}"
            if arm.kind != "coreset" or arm.draws > 1:
                return alone
            return (
                f"{alone}; for more, give several coresets of this method, chosen with different seeds (in Python, "
                "under one name)"
            )
        if arm.kind in ("full", "dedup"):
            return "seeds of training, and the test set"
        if arm.kind != "coreset":
            return "the draw, the seeds of training, and the test set"
        if arm.draws == 1:
            return "this coreset only: seeds of training and the test set, not those of scoring and selection"
        return f"this method: seeds of scoring, selection and training, over {arm.draws} coresets, and the test set"

    def _sampling(self, error: float | None) -> Sampling | None:
        if error is None:
            return None
        test, counts = self.about["test"], self.noun == "class"
        if "groups" in test:
            return Sampling(error, test["groups"], counts, GROUPS)
        return Sampling(error, test["n"], counts)

    def by_class(self, name: str, to: str = "full") -> dict[str, float]:
        """Return the mean change of the accuracy of each class against a baseline, worst first."""
        arm = self[name]
        change = (arm.by_class - self._baseline(arm, to).by_class).mean(axis=0)
        order = [c for c in np.argsort(change, kind="stable").tolist() if not np.isnan(change[c])]
        return {self.class_names[c]: float(change[c]) for c in order}

    def price(self, name: str) -> dict[str, Any]:
        """Return what a coreset cost and what it saves, in seconds and in samples seen.

        `cost` is the cost of choosing, in trainings on everything. `saving` is what one training on the coreset saves,
        in the same unit. `pays_back` is the number of trainings on the coreset that pay for choosing: `cost / saving`,
        rounded up. These three go by seconds; `cost_samples` and so on go by samples seen. They are None where choosing
        never pays or the prices are not known, and `text` says which. "Everything" is the whole training set: where a
        probe split was held out of it, trainings were shorter, and their prices are scaled up.
        """
        choosing, part, full = (self.times.get(key) for key in (f"choosing {name}", name, "full"))
        prices: dict[str, Any] = {
            "choosing": choosing and asdict(choosing),
            "training": part and asdict(part),
            "training_full": full and asdict(full),
            **dict.fromkeys(IN_TRAININGS),
        }
        if self.about["fix"] == "iterations":
            return {**prices, "text": "never pays back: with the iterations fixed, a training on less costs as much"}
        if choosing is None or part is None or full is None:
            lacks = "training took is not on record"
            if choosing is None:
                lacks = "choosing took is on record in its run alone; give the folder of that run (out=) as the coreset"
            return {**prices, "text": f"not known when it pays back: what {lacks}"}
        test, pool = self.about["test"], int(self["full"].kept[0])
        share = pool / (pool + test["n"]) if test.get("by") == "probe split" else 1.0
        return {**prices, **price_in_trainings(choosing, full.divided(share), part.divided(share))}

    def _beside(self, arm: ArmResult) -> list[str]:
        """Return the baselines that an arm is compared with: a baseline itself, with the full data."""
        full = ["full"] if arm.kind != "full" and any(other.kind == "full" for other in self.arms) else []
        return list(arm.beside) or full

    def _verdicts(self) -> list[tuple[str, str]]:
        """Return the verdict on each coreset against each baseline, in words, with the names of both."""
        pairs = [(name, to) for name in self.coresets for to in self[name].beside]
        return [(f"{name} against {to}", self.verdict(name, to).text) for name, to in pairs]

    def _baseline(self, arm: ArmResult, to: str) -> ArmResult:
        if to in arm.beside:
            return self[arm.beside[to]]
        if to == "full" and arm.kind != "full":
            return self["full"]
        raise ArgumentError(
            f"arm {arm.name!r} was not evaluated beside {to!r}; it has {', '.join(arm.beside) or 'none'}"
        )

    def __repr__(self) -> str:
        lines = [f"{arm.name}: {self.metric} {self.accuracy(arm.name).text()} %" for arm in self.arms]
        for name in self.coresets:
            for to in ("full", "random"):
                if to in self[name].beside:
                    lines.append(f"{name} against {to}: {self.verdict(name, to).text}")
        return f"Evaluation({self.about['test']['n']:,} test samples, {self.about['fix']} fixed; {'; '.join(lines)})"

    def _repr_html_(self) -> str:
        return card("Evaluation", self._verdicts(), tabled(self.rows()))

    def rows(self) -> list[dict[str, str]]:
        """Return the table of results as texts, one row an arm; with mean recall where the test classes are uneven."""
        random = [to for to in _RANDOM if any(to in arm.beside for arm in self.arms)][:1]
        full = ["full"] if any(arm.kind == "full" for arm in self.arms) else []
        uneven = self.noun == "class" and are_uneven(self.about["test"].get("of_class", [1]))
        table = []
        for arm in self.arms:
            row = {
                "arm": arm.name,
                **({"trained": self.trainee} if self.trainee else {}),
                "kept": format_counts(arm.kept),
            }
            row["epochs"] = format_counts(arm.epochs) if arm.epochs.any() else ""
            row[self.metric] = self.accuracy(arm.name).text()
            if uneven:
                row["mean recall"] = self.mean_recall(arm.name).text()
            for to in full + random:
                known = to in self._beside(arm)
                row[f"to {to}"] = self.difference(arm.name, to).text(sign=True) if known else ""
                row[f"verdict, {to}"] = _short(self.verdict(arm.name, to), self.noun) if known else ""
            table.append(row)
        return table

    def to_markdown(self) -> str:
        """Format the table in Markdown: accuracy or R² in per cent, differences in points, with their intervals."""
        about = f"{self.about['fix']} fixed; {self.about['test']['text']}; intervals at {100 * self.about['level']:g} %"
        verdicts = [f"- {head}: {text}" for head, text in self._verdicts()]
        verdicts += [] if (doubt := self.doubt()) is None else [f"- {doubt}"]
        return "\n".join([markdown_table(self.rows()), "", f"{about[0].upper()}{about[1:]}.", "", *verdicts, ""])

    def summary(self) -> dict[str, Any]:
        """Return everything as JSON, times included; NaN where there is no interval."""
        arms = {}
        for arm in self.arms:
            entry = {"kind": arm.kind, "kept": arm.kept.tolist(), "accuracy": _as_json(self.accuracy(arm.name))}
            if self.noun == "class":
                entry["mean_recall"] = _as_json(self.mean_recall(arm.name))
            entry |= {"accuracies": arm.accuracy.tolist(), "sampling_error": arm.error, "covers": self.covers(arm.name)}
            entry["against"] = {to: self._compare(arm, to) for to in self._beside(arm)}
            if arm.kind == "coreset":
                entry["price"] = self.price(arm.name)
            arms[arm.name] = entry
        return {"trainee": self.trainee, "arms": arms, **self.about}

    def _compare(self, arm: ArmResult, to: str) -> dict[str, Any]:
        verdict = self.verdict(arm.name, to)
        return {
            "difference": _as_json(self.difference(arm.name, to)),
            "sampling_error": arm.beside_error.get(to, float("nan")),
            "verdict": verdict.word,
            "text": verdict.text,
            "more_seeds": verdict.more,
            "losing_classes": list(verdict.classes),
            "by_class": self.by_class(arm.name, to),
            "by_class_intervals": {c: _as_json(change) for c, change in self.class_differences(arm.name, to).items()},
        }

    def to_columns(self) -> dict[str, npt.NDArray[Any]]:
        """Return the columns of a table with one row for each arm and replicate.

        They are `arm`, `kind`, `replicate`, `kept`, `epochs`, `steps`, `samples_seen`, `accuracy`, and
        `accuracy.<class>` for each class.
        """
        sizes = [len(arm.accuracy) for arm in self.arms]
        columns: dict[str, npt.NDArray[Any]] = {
            "arm": np.repeat([arm.name for arm in self.arms], sizes),
            "kind": np.repeat([arm.kind for arm in self.arms], sizes),
            "replicate": np.concatenate([np.arange(size) for size in sizes]),
        }
        for name in _COLUMNS:
            columns[name] = np.concatenate([getattr(arm, name) for arm in self.arms])
        by_class = np.concatenate([arm.by_class for arm in self.arms])
        return {**columns, **{f"{_CLASS}{name}": by_class[:, c] for c, name in enumerate(self.class_names)}}

    def save(self, path: str | Path) -> Path:
        """Write a parquet file: `to_columns`, and the rest in its metadata. Times are left out: see `times`."""
        keys = ("draws", "error", "recall_error", "beside", "beside_error", "class_error")
        arms = {arm.name: {key: getattr(arm, key) for key in keys} for arm in self.arms}
        about = {"kind": "evaluation", "class_names": list(self.class_names), "arms": arms, "about": self.about}
        return write_parquet(Path(path), self.to_columns(), about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file written by `save`; or a run directory, with the times of its trainings."""
        if Path(path).is_dir():
            evaluation = cls.load(Path(path) / FILE)
            files = {arm.name: file_name(arm.name) for arm in evaluation.arms}
            evaluation.times.update(price_arms(RunDirectory(path).events(), files))
            return evaluation
        columns, about = read_parquet(Path(path), "evaluation")
        names = tuple(about["class_names"])
        arms = []
        for name in dict.fromkeys(columns["arm"].tolist()):
            mine = columns["arm"] == name
            own: Mapping[str, Any] = {key: columns[key][mine] for key in _COLUMNS}
            by_class = np.stack([columns[f"{_CLASS}{c}"][mine] for c in names], axis=1)
            kind = str(columns["kind"][mine][0])
            arms.append(ArmResult(name=name, kind=kind, by_class=by_class, **own, **about["arms"][name]))  # type: ignore[arg-type]
        return cls(tuple(arms), names, about["about"])


def file_name(arm: str) -> str:
    """Return a file name for the name of an arm.

    >>> file_name("random-40"), file_name("my method")
    ('random-40', 'my-method-e50b8fe1')
    """
    plain = re.sub(r"[^A-Za-z0-9_.-]+", "-", arm).lstrip("-.")
    return plain if plain == arm else f"{plain or 'x'}-{blake2b(arm.encode(), digest_size=4).hexdigest()}"


def average_by_draw(values: FloatArray, draws: int) -> FloatArray:
    """Average values, float64 (R, ...), over the replicates that share a training set: float64 (draws, ...).

    Replicate r has the set r mod `draws`. The values are unchanged if there is one set, or one for each replicate.
    """
    if not 1 < draws < len(values):
        return values
    return np.stack([values[draw::draws].mean(axis=0) for draw in range(draws)])


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Format rows as a Markdown table, the keys of the first row as its head."""
    lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _short(verdict: Verdict, noun: str) -> str:
    """Return the word of a verdict, with the number of classes, or bins, that it does not hold for."""
    if verdict.good or verdict.word not in ("lossless", "better"):
        return verdict.word
    return f"{verdict.word} but for {len(verdict.classes)} {PLURALS[noun] if len(verdict.classes) > 1 else noun}"


def format_counts(values: IntArray) -> str:
    """Write the smallest and the largest of some counts, or the one that all of them are."""
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _as_json(mean: Interval) -> dict[str, Any]:
    return {"mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.n}
