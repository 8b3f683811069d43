"""What an evaluation found: accuracies a replicate, and what follows from them. Nothing here trains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import FloatArray, IntArray
from unseen.core.cards import card, tabled
from unseen.core.files import read_parquet, write_parquet
from unseen.engine.runs import RunDirectory
from unseen.errors import ArgumentError, UnknownNameError
from unseen.evaluating.arms import ArmResult, by_draw, file_name
from unseen.evaluating.prices import IN_TRAININGS, Price, in_trainings, of_arms
from unseen.evaluating.statistics import (
    LARGE,
    Interval,
    Sampling,
    Verdict,
    against_full,
    against_random,
    interval,
    losing,
)
from unseen.learners.base import in_words

__all__ = ["FILE", "Evaluation"]

FILE = "evaluation.parquet"  # in the directory of a run

_COLUMNS = ("kept", "epochs", "steps", "samples_seen", "accuracy")
_CLASS = "accuracy."
_RANDOM = ("random", "random-stratified")


@dataclass(frozen=True, eq=False, repr=False)
class Evaluation:
    """What training on each arm came to, and how the arms compare.

    Args:
        arms: the coresets and their baselines.
        class_names: the C names.
        about: fix, margin, level, seed, the test set, the learner trained, near-duplicates, notes, as JSON.
        times: arm to the price of one of its trainings, and of choosing it where that is known (under
            `"choosing <arm>"`): seconds differ from run to run, so they are not saved with the rest.

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
        """The arm of that name."""
        for arm in self.arms:
            if arm.name == name:
                return arm
        raise UnknownNameError("arm of this evaluation", name, [arm.name for arm in self.arms])

    @property
    def trainee(self) -> str:
        """Who was trained on every arm, in words."""
        return in_words(self.about.get("learner"))

    @property
    def coresets(self) -> tuple[str, ...]:
        """The names of the arms that are coresets."""
        return tuple(arm.name for arm in self.arms if arm.kind == "coreset")

    def accuracy(self, name: str) -> Interval:
        """Mean test accuracy of an arm; its interval covers replicates and the test set being a sample."""
        arm = self[name]
        return interval(by_draw(arm.accuracy, arm.draws), self.about["level"], sampling=self._sampling(arm.error))

    def differences(self, name: str, to: str = "full") -> FloatArray:
        """Accuracy less that of a baseline (`"full"`, `"random"`, ...), of replicates of equal seeds.

        Float64 (R,); of a coreset name with fewer coresets than replicates, the mean for each coreset: replicates
        that share a coreset are not independent draws of the method.
        """
        arm = self[name]
        return by_draw(arm.accuracy - self._baseline(arm, to).accuracy, arm.draws)

    def difference(self, name: str, to: str = "full") -> Interval:
        """The mean of `differences`; its interval covers replicates and the test set being a sample."""
        sampling = self._sampling(self[name].beside_error.get(to))
        return interval(self.differences(name, to), self.about["level"], sampling=sampling)

    def verdict(self, name: str, to: str = "full") -> Verdict:
        """What the paired test says: against full `lossless`, `loses` or `undecided`; else `better`, `worse` or so.

        Of one coreset that was trained on several times it is about this coreset only, and says so. It names the
        classes that lose more than their interval, and (against full and random) those that lose 5 points or more
        beyond random, even where that may be chance.
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
            found = against_full(differences, margin=self.about["margin"], **given)
        else:
            found = against_random(differences, **given)
        only = arm.kind == "coreset" and arm.draws == 1 and found.word != "undecided"
        text = f"{found.text}, of this coreset only" if only else found.text
        classes, clauses = self._losing(arm, to)
        return replace(found, text="; ".join([text, *clauses]), classes=classes)

    def class_differences(self, name: str, to: str = "full") -> dict[str, Interval]:
        """Change of the accuracy of each class against a baseline, worst first, with intervals that hold together.

        They cover replicates and the test set, as that of `difference` does, and are wider than for one class alone:
        all of them hold the true changes at the level asked for (Bonferroni). Classes without test samples are left
        out; of one test sample there is no interval.
        """
        arm = self[name]
        changes = by_draw(arm.by_class - self._baseline(arm, to).by_class, arm.draws)
        tested = np.flatnonzero(~np.isnan(changes).any(axis=0)).tolist()
        level = 1 - (1 - self.about["level"]) / max(1, len(tested))
        errors, sizes = arm.class_error.get(to), self.about["test"].get("of_class")
        found = {}
        for c in tested:
            known = None if errors is None or sizes is None else Sampling(errors[c], sizes[c])
            change = interval(changes[:, c], level, sampling=known)
            alone = known is not None and np.isnan(known.error)
            found[c] = replace(change, low=float("nan"), high=float("nan")) if alone else change
        return {self.class_names[c]: found[c] for c in sorted(found, key=lambda c: found[c].mean)}

    def _losing(self, arm: ArmResult, to: str) -> tuple[tuple[str, ...], list[str]]:
        """The classes that a verdict names, and what it says of them."""
        random = next((kind for kind in _RANDOM if kind in arm.beside), None)
        kinds = [to, random] if to == "full" and random is not None else [to]
        found = [
            losing(
                self.class_differences(arm.name, kind),
                margin=self.about["margin"],
                large=LARGE if kind in _RANDOM else None,
                than="" if kind == "full" else kind,
            )
            for kind in kinds
        ]
        classes = tuple(dict.fromkeys(c for named, _ in found for c in named))
        return classes, [clause for _, clause in found if clause]

    def covers(self, name: str) -> str:
        """What varies between the replicates of an arm, and so what its interval covers; or why there is none."""
        arm = self[name]
        if len(by_draw(arm.accuracy, arm.draws)) < 2:
            return "nothing: one replicate shows no spread; ask for 3 seeds or more"
        if np.isnan(self.accuracy(name).half):
            return "nothing: the seeds show no spread, and nothing is known of the test set"
        return _drawn(arm)

    def _sampling(self, error: float | None) -> Sampling | None:
        return None if error is None else Sampling(error, self.about["test"]["n"])

    def by_class(self, name: str, to: str = "full") -> dict[str, float]:
        """Change of the accuracy of each class against a baseline, mean over replicates, worst first."""
        arm = self[name]
        change = (arm.by_class - self._baseline(arm, to).by_class).mean(axis=0)
        order = [c for c in np.argsort(change, kind="stable").tolist() if not np.isnan(change[c])]
        return {self.class_names[c]: float(change[c]) for c in order}

    def price(self, name: str) -> dict[str, Any]:
        """What a coreset cost and what it saves: seconds and samples seen, of choosing and of one training.

        `cost` is that of choosing in trainings on everything, `saving` what one training on the coreset saves of one,
        and `pays_back` the number of trainings on the coreset after which choosing is paid: `cost / saving`, rounded
        up. Everything is the whole training set; where a probe split was held out of it, trainings were shorter, and
        are counted as if they were not. These go by seconds, `cost_samples` and so on by samples seen. None where it
        is never or not known, which `text` says.
        """
        choosing, part, full = (self.times.get(key) for key in (f"choosing {name}", name, "full"))
        found: dict[str, Any] = {
            "choosing": _told(choosing),
            "training": _told(part),
            "training_full": _told(full),
            **dict.fromkeys(IN_TRAININGS),
        }
        if self.about["fix"] == "iterations":
            return {**found, "text": "never pays back: with the iterations fixed, a training on less costs as much"}
        if choosing is None or part is None or full is None:
            return {**found, "text": "not known when it pays back: what choosing or training took is not on record"}
        share = self._trained_share
        return {**found, **in_trainings(choosing, full.divided(share), part.divided(share))}

    @property
    def _trained_share(self) -> float:
        """The share of the training set that full was trained on: not all of it where a probe split was held out."""
        test, pool = self.about["test"], int(self["full"].kept[0])
        return pool / (pool + test["n"]) if test.get("by") == "probe split" else 1.0

    @property
    def _has_full(self) -> bool:
        return any(arm.kind == "full" for arm in self.arms)

    def _baseline(self, arm: ArmResult, to: str) -> ArmResult:
        if to in arm.beside:
            return self[arm.beside[to]]
        if to == "full" and arm.kind != "full":
            return self["full"]
        raise ArgumentError(
            f"arm {arm.name!r} was not evaluated beside {to!r}; it has {', '.join(arm.beside) or 'none'}"
        )

    def __repr__(self) -> str:
        lines = [f"{arm.name}: {self.accuracy(arm.name).text()} %" for arm in self.arms]
        for name in self.coresets:
            for to in ("full", "random"):
                if to in self[name].beside:
                    lines.append(f"{name} against {to}: {self.verdict(name, to).text}")
        return f"Evaluation({self.about['test']['n']:,} test samples, {self.about['fix']} fixed; {'; '.join(lines)})"

    def _repr_html_(self) -> str:
        verdicts = [(f"{name} against {to}", self.verdict(name, to).text) for name in self.coresets
                    for to in self[name].beside]  # fmt: skip
        return card("Evaluation", verdicts, tabled(self.rows()))

    def rows(self) -> list[dict[str, str]]:
        """The table, as texts: an arm a row."""
        random = next((to for to in _RANDOM if any(to in a.beside for a in self.arms)), None)
        table = []
        for arm in self.arms:
            row = {"arm": arm.name, **({"trained": self.trainee} if self.trainee else {}), "kept": _range(arm.kept)}
            row["epochs"] = _range(arm.epochs) if arm.epochs.any() else ""
            row["accuracy"] = self.accuracy(arm.name).text()
            if self._has_full:
                row.update(self._against(arm, "full", arm.kind != "full"))
            if random is not None:
                row.update(self._against(arm, random, random in arm.beside))
            table.append(row)
        return table

    def _against(self, arm: ArmResult, to: str, known: bool) -> dict[str, str]:
        verdict = f"verdict, {to}"
        if not known:
            return {f"to {to}": "", verdict: ""}
        return {
            f"to {to}": self.difference(arm.name, to).text(sign=True),
            verdict: _short(self.verdict(arm.name, to)),
        }

    def to_markdown(self) -> str:
        """The table in Markdown: accuracy in per cent, differences in points, with their intervals."""
        rows = self.rows()
        lines = [list(rows[0]), ["---"] * len(rows[0]), *(list(row.values()) for row in rows)]
        about = f"{self.about['fix']} fixed; {self.about['test']['text']}; intervals at {100 * self.about['level']:g} %"
        verdicts = [
            f"- {name} against {to}: {self.verdict(name, to).text}"
            for name in self.coresets
            for to in self[name].beside
        ]
        table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
        return "\n".join([table, "", f"{about[0].upper()}{about[1:]}.", "", *verdicts, ""])

    def summary(self) -> dict[str, Any]:
        """Everything as JSON, times included; NaN where there is no interval."""
        arms = {}
        for arm in self.arms:
            told = {"kind": arm.kind, "kept": arm.kept.tolist(), "accuracy": _shown(self.accuracy(arm.name))}
            told |= {"accuracies": arm.accuracy.tolist(), "sampling_error": arm.error, "covers": self.covers(arm.name)}
            against = list(arm.beside) or (["full"] if arm.kind != "full" and self._has_full else [])
            told["against"] = {to: self._compared(arm, to) for to in against}
            if arm.kind == "coreset":
                told["price"] = self.price(arm.name)
            arms[arm.name] = told
        return {"trainee": self.trainee, "arms": arms, **self.about}

    def _compared(self, arm: ArmResult, to: str) -> dict[str, Any]:
        verdict = self.verdict(arm.name, to)
        return {
            "difference": _shown(self.difference(arm.name, to)),
            "sampling_error": arm.beside_error.get(to, float("nan")),
            "verdict": verdict.word,
            "text": verdict.text,
            "more_seeds": verdict.more,
            "losing_classes": list(verdict.classes),
            "by_class": self.by_class(arm.name, to),
            "by_class_intervals": {c: _shown(change) for c, change in self.class_differences(arm.name, to).items()},
        }

    def to_columns(self) -> dict[str, npt.NDArray[Any]]:
        """A row for each arm and replicate: `arm`, `kind`, `replicate`, `kept`, `epochs`, `steps`, `samples_seen`,
        `accuracy`, and `accuracy.<class>` for each class.
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
        """Write a parquet file; what is no column is in its metadata. Times are left out: see `times`."""
        keys = ("draws", "error", "beside", "beside_error", "class_error")
        arms = {arm.name: {key: getattr(arm, key) for key in keys} for arm in self.arms}
        about = {"kind": "evaluation", "class_names": list(self.class_names), "arms": arms, "about": self.about}
        return write_parquet(Path(path), self.to_columns(), about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote; from a run directory, with the times of its trainings."""
        if Path(path).is_dir():
            found = cls.load(Path(path) / FILE)
            files = {arm.name: file_name(arm.name) for arm in found.arms}
            found.times.update(of_arms(RunDirectory(path).events(), files))
            return found
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


def _drawn(arm: ArmResult) -> str:
    if np.ptp(arm.accuracy) == 0:
        said = "the test set alone: all trainings came to the same accuracy"
        if arm.kind != "coreset" or arm.draws > 1:
            return said
        return f"{said}; for more, repeat with coresets that were chosen with other seeds, several under one name"
    if arm.kind in ("full", "dedup"):
        return "seeds of training, and the test set"
    if arm.kind != "coreset":
        return "the draw, the seeds of training, and the test set"
    if arm.draws == 1:
        return "this coreset only: seeds of training and the test set, not those of scoring and selection"
    return f"this method: seeds of scoring, selection and training, over {arm.draws} coresets, and the test set"


def _short(verdict: Verdict) -> str:
    """The word of a verdict, and how many classes it is not true of."""
    if verdict.good or verdict.word not in ("lossless", "better"):
        return verdict.word
    return f"{verdict.word} but for {len(verdict.classes)} class{'es' if len(verdict.classes) > 1 else ''}"


def _range(values: IntArray) -> str:
    low, high = int(values.min()), int(values.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def _told(price: Price | None) -> dict[str, Any] | None:
    return None if price is None else {"seconds": price.seconds, "samples": price.samples, "trainings": price.trainings}


def _shown(found: Interval) -> dict[str, Any]:
    return {"mean": found.mean, "low": found.low, "high": found.high, "n": found.n}
