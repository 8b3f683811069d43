"""The verb `evaluate`: train on coresets and on their baselines under paired seeds, and report the loss of accuracy.

The coresets are read and checked against the data set that they were chosen from. An `Arm` is a training set to
compare: a coreset or a baseline, drawn for each replicate. `ArmTrainings` trains every arm, and keeps each training
in the run as it ends. Everything that can be refused or drawn is refused or drawn before the first training. Accuracies
are measured after the last epoch, and the best epoch is not searched for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import numpy.typing as npt

from unseen.core import seeds
from unseen.core.arrays import FloatArray, IntArray
from unseen.core.checks import at_least, check_known, check_list
from unseen.core.coreset import Coreset
from unseen.core.protocols import Data
from unseen.core.table import ScoreTable
from unseen.data.base import digest
from unseen.data.sources import check_arguments, named_columns, open_data, open_test_data, split_reading_options
from unseen.engine import runs
from unseen.engine.runs.base import Run
from unseen.engine.work import Fix, Running, Training, Work, WorkOptions, refuse_other_data
from unseen.errors import ArgumentError, BudgetError, DataError, warn
from unseen.evaluating.prices import CHOOSING, Price, mean, price_arms, price_run
from unseen.evaluating.result import FILE, ArmResult, Evaluation, Kind, file_name, format_counts
from unseen.evaluating.statistics import check_level, check_margin, sampling_error, standard_error
from unseen.evaluating.test_set import Overlap, Split, near_duplicates, split_by_test_set, split_off_probe
from unseen.learners.registry import default_learner
from unseen.rules.base import checked_features
from unseen.rules.choosing import choose
from unseen.rules.neighbours import Dedup
from unseen.rules.sampling import Random

DEFAULT_BASELINES: tuple[Kind, ...] = ("full", "random", "random-stratified")
SAME_DATA = ("n", "kind", "sample_shape", "classes", "labels", "ids", "sample")  # of a fingerprint

BASELINES: tuple[Kind, ...] = ("full", "random", "random-stratified", "dedup")

ByName = Mapping[str, Sequence[Coreset]]  # the coresets to test, several of one name where they differ in their seed
CoresetLike = Coreset | str | Path  # a coreset, or the run or the file that holds one


def evaluate(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    coresets: CoresetLike | Mapping[str, CoresetLike | Sequence[CoresetLike]],
    test: Any = None,
    probe: float = 0.2,
    baselines: Sequence[str] | None = None,
    learner: Any = None,
    seeds: int = 5,
    fix: Fix = "epochs",
    margin: float = 0.005,
    level: float = 0.95,
    overlap: Overlap = "refuse",
    features: npt.ArrayLike | tuple[npt.ArrayLike, npt.ArrayLike] | Sequence[str] | None = None,
    seed: int | None = 0,
    out: str | Path | None = None,
    **options: Unpack[WorkOptions],
) -> Evaluation:
    """Train on coresets and on baselines, and measure what training on less data costs in accuracy.

    With a target in place of labels, all accuracies are R², the share of the variance of the test targets that is
    predicted.

    Replicate r of every arm has the same seeds (initial weights, order of the samples), so arms are compared in pairs.
    Random baselines are drawn anew for each replicate.

    Args:
        data: the whole training set, in any form that `unseen.data.resolve` takes.
        y: (n,) labels, where `data` is an array of inputs.
        coresets: a coreset of the data, or several by name; each is a `Coreset`, the result of `prune` or `grow`, a
            coreset file or a run directory, which also has the cost of choosing. Several coresets under one name must
            differ only in their seed. They are replicates of one method, and its interval covers scoring and
            selection too. Those of the same samples count once.
        test: the test set, in any of the same forms; of a pair `(X, y)`, y is the target where `data` has one. None
            takes a probe split of the training data, which no arm trains on; the coreset was chosen with its labels,
            and the result says so.
        probe: the share of the training data in that split, in (0, 0.5].
        baselines: some of `"full"`, `"random"`, `"random-stratified"` and `"dedup"` (semantic de-duplication, which
            needs `features`); by default all that are possible.
        learner: see `unseen.learners.resolve`; it need not be the learner that chose the coreset.
        seeds: replicates, at least 1; 3 or more for a verdict. A later call with the same `out` may ask for more, and
            trains only the additional ones.
        fix: `"epochs"`, as many passes over less data; or `"iterations"`, as many steps as with the full data. Results
            of the two are not comparable.
        margin: the largest loss of accuracy, or of R², that counts as lossless: 0.005 is half a point.
        level: the level of the intervals; tests are at 1 - level.
        overlap: whether to `"refuse"`, `"drop"` or `"keep"` test samples that are equal to training samples. In a table
            of few columns they may be different samples.
        features: the columns that are inputs; or (n, d) features of the training set for `"dedup"`, from an extractor
            that saw no labels; or a pair of these, for the training and the test set, to find near-duplicates by.
        seed: the root seed, or None for one that is drawn.
        out: a directory that keeps the run. The same call continues it after a kill.
        **options: where trainings run, see `unseen.engine.work.Running`; and how `data` and `test` are read, as
            in `label="income"`, see `unseen.score`.

    Returns:
        The evaluation: accuracies, intervals, verdicts in words, prices.

    Raises:
        ArgumentError: an argument breaks its rule, or a baseline or `fix` is not possible.
        BudgetError: a budget is below the number of classes, and `"random-stratified"` is asked for.
        DataError: a coreset of other data, a test set with unknown classes or with copies of training samples.

    Example:
        >>> import unseen
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> _, coreset = unseen.prune("digits", keep=0.3, rule="top", learner=KNeighborsClassifier())
        >>> found = unseen.evaluate("digits", coresets=coreset, learner=KNeighborsClassifier(), seeds=3)
        >>> found.verdict("coreset", "full").word, found.verdict("coreset", "random").word
        ('undecided', 'undecided')
    """
    check_arguments(evaluate, options, Running.__annotations__)
    reading, running = split_reading_options(options)
    at_least("seeds", seeds, 1)
    check_margin(margin)
    check_level(level)
    seed = runs.seed_of(out, seed)
    source = open_data(data, y, reading, features, cache=out)
    test_set = None if test is None else open_test_data(test, source, reading, features, cache=out)
    named, prices = _read_coresets(coresets, source, seeds)
    own, whole = _read_features(features, source, test_set)
    if baselines is None:
        baselines = DEFAULT_BASELINES if own is None else (*DEFAULT_BASELINES, "dedup")
    names = check_baselines(baselines, features=own is not None)
    split = (
        split_off_probe(source, probe, seed=seed)
        if test_set is None
        else split_by_test_set(source, test_set, overlap=overlap)
    )
    groups = None if split.data.groups is None else len(np.unique(split.data.groups[split.test]))
    split = replace(split, features=own, text=split.text + ("" if groups is None else f", in {groups:,} groups"))
    arms = _make_arms(split, named, names, seeds, seed)
    work = Work(split.data, default_learner(source) if learner is None else learner, groups=None, **running)
    trainings = ArmTrainings(work, split, arms, fix, seed)
    with runs.open_run(out) as run:
        run.open(
            work.manifest(  # without the number of seeds, margin and level, which may change
                seed,
                kind="evaluation",
                fix=fix,
                coresets={name: [digest(coreset.indices) for coreset in given] for name, given in named.items()},
                features=None if split.features is None else digest(split.features),
                test={**split.about, "rows": digest(split.test)},
            )
        )
        trainings.announce(run)
        near = near_duplicates(split.data, split.pool, split.test, features=whole)
        work.report("say", text=f"near-duplicates: {near.text()}")
        results = trainings.run(run)
        of_class = np.bincount(split.data.labels[split.test], minlength=len(split.data.class_names))
        settings = {"fix": fix, "margin": margin, "level": level, "seed": seed, "seeds": seeds}
        tested = {**split.about, "text": split.text, "of_class": of_class.tolist()}
        about = {
            **settings,
            "test": tested if groups is None else {**tested, "groups": groups},
            "learner": work.learner.describe(),
            **({} if split.data.targets is None else {"target": True}),
            "near_duplicates": near.describe(),
            "notes": list(split.data.notes),
        }
        evaluation = Evaluation(results, split.data.class_names, about)
        run.save_output(FILE, evaluation)
        for name, price in prices.items():
            run.event(CHOOSING, arm=name, **asdict(price))
        evaluation.times.update(price_arms(run.events(), {arm.name: file_name(arm.name) for arm in arms}))
        work.report("result", result=evaluation, run=out)
        return evaluation


def _read_features(
    features: Any, data: Data, test: Data | None
) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Return the features of the training set, and those of all samples in one array; None where they are not known."""
    if features is None or named_columns(features) is not None:
        return None, None
    if not isinstance(features, tuple):
        own = checked_features(features, data.ids)
        return own, own if test is None else None
    if test is None or len(features) != 2:
        raise ArgumentError(
            "features must be an array (n, d), or with a test set a pair of arrays, one for each set, got a tuple of "
            f"{len(features)}"
        )
    own, others = checked_features(features[0], data.ids), checked_features(features[1], test.ids)
    if own.shape[1] != others.shape[1]:
        raise ArgumentError(f"features of both sets must be of one extractor, got {own.shape[1]} and {others.shape[1]}")
    return own, np.concatenate([own, others])


# ---- the coresets ---------------------------------------------------------------------------------------------------


def _read_coresets(coresets: Any, data: Data, replicates: int) -> tuple[dict[str, list[Coreset]], dict[str, Price]]:
    """Read one coreset, or several by name; return them, and the price of choosing one of a name where it is known."""
    named = coresets if isinstance(coresets, Mapping) else {"coreset": coresets}
    if not named:
        raise ArgumentError("coresets must name at least one coreset, got none")
    by_name, prices = {}, {}
    for name, value in named.items():
        _check_name(name)
        several = isinstance(value, (list, tuple)) and not hasattr(value, "coreset")
        given = [getattr(item, "coreset", item) for item in (value if several else [value])]  # of `prune` or `grow`
        distinct: dict[bytes, tuple[Coreset, Any]] = {}
        for item in given:
            coreset = _read_coreset(name, item, data)
            distinct.setdefault(coreset.indices.tobytes(), (coreset, item))
        by_name[name], items = [one for one, _ in distinct.values()], [item for _, item in distinct.values()]
        if len(items) < len(given):
            warn(
                f"of the {len(given)} coresets of {name!r}, {len(items)} can count: the others hold the same samples "
                "as one of them"
            )
        if not 1 <= len(items) <= replicates:
            raise ArgumentError(
                f"{name!r} has {len(items)} coresets, which must be 1 to {replicates}, the number of seeds: each is "
                "trained on at least once"
            )
        places = [Path(item) for item in items if not isinstance(item, Coreset) and Path(item).is_dir()]
        known = [cost for cost in map(price_run, places) if cost is not None]
        if len(known) == len(items):
            prices[name] = mean(known)
    return by_name, prices


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ArgumentError(f"the name of a coreset must be a text, got {name!r}")
    if any(name == kind or name.startswith(f"{kind}-") for kind in BASELINES):
        raise ArgumentError(f"the name {name!r} is reserved for a baseline; call the coreset something else")


def _read_coreset(name: str, item: CoresetLike, data: Data) -> Coreset:
    """Return the coreset, or read it from the run or the file that holds it."""
    if isinstance(item, Coreset):
        coreset = item
    elif not isinstance(item, (str, Path)):
        raise ArgumentError(
            f"coresets must be coresets, or paths to a run or a coreset file, got {type(item).__name__}; rows "
            "of your own, ascending, are unseen.Coreset(ids=data.ids[rows], indices=rows, n=len(data))"
        )
    elif Path(item).is_dir():
        coreset = _coreset_of_run(Path(item), data)
    else:
        loaded = runs.load_file(Path(item))
        if not isinstance(loaded, Coreset):
            raise ArgumentError(f"{Path(item)} holds scores, not a coreset; choose one by `unseen select`")
        coreset = loaded
    refuse_other_data(coreset, data, f"coreset {name!r}")
    return coreset


def _coreset_of_run(place: Path, data: Data) -> Coreset:
    """Return the coreset of a run, which must be on this data set."""
    run = runs.RunDirectory(place)
    known: dict[str, Any] = run.manifest().get("fingerprint", {})
    actual = data.fingerprint()
    differing = [key for key in SAME_DATA if key in known and known[key] != actual.get(key)]
    if differing:
        raise DataError(
            f"{place} is a run on other data: its {', '.join(differing)} differ; give the data that it chose from"
        )
    return coreset_of(run)


def coreset_of(run: runs.RunDirectory) -> Coreset:
    """Return the coreset of a run; refuse a run that holds none yet."""
    if (coreset := run.coreset()) is not None:
        return coreset
    raise ArgumentError(f"{run.path} holds no coreset yet: finish it by `unseen resume`, or choose by `unseen select`")


# ---- the arms -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Arm:
    """One training set of an evaluation, drawn for each replicate."""

    name: str  # unique
    kind: Kind  # `"coreset"`, or the kind of baseline
    rows: tuple[IntArray, ...]  # for each replicate the rows trained on, int64, ascending
    draws: int  # how many different sets there are among `rows`: 1 where it is always the same set
    beside: dict[str, str] = field(default_factory=dict)  # for a coreset, the names of its baselines by kind


def check_baselines(baselines: Sequence[str], *, features: bool) -> tuple[Kind, ...]:
    """Return the baselines in a fixed order; refuse unknown ones, and `"dedup"` without features.

    >>> check_baselines(["full", "randon"], features=False)
    Traceback (most recent call last):
    unseen.errors.UnknownNameError: unknown baseline 'randon'; did you mean 'random'?
    """
    check_list("baselines", baselines, "names")
    check_known("baseline", baselines, BASELINES)
    if "dedup" in baselines and not features:
        raise ArgumentError("the baseline 'dedup' drops near-copies by features; give features=, an array (n, d)")
    return tuple(kind for kind in BASELINES if kind in baselines)


def _make_arms(split: Split, coresets: ByName, baselines: Sequence[Kind], replicates: int, seed: int) -> list[Arm]:
    """Make every arm: the whole pool, each coreset, and the baselines of its budget.

    Coresets of equal budgets share their baselines. Replicate r of a name with R coresets, which differ in their seed
    only, trains on number r mod R. Random baselines are drawn anew for each replicate.
    """
    coreset_arms = []
    for name, given in coresets.items():
        inside = [np.intersect1d(coreset.indices, split.pool, assume_unique=True) for coreset in given]
        if not all(map(len, inside)):
            raise DataError(f"coreset {name!r} has nothing left to train on: all of it is in the probe split")
        rows = tuple(inside[r % len(inside)] for r in range(replicates))
        coreset_arms.append(Arm(name, "coreset", rows, len(inside)))
    arms = [Arm("full", "full", (split.pool,) * replicates, 1)] if "full" in baselines else []
    drawn: dict[tuple[str, tuple[int, ...]], Arm] = {}
    several = len({tuple(map(len, arm.rows)) for arm in coreset_arms}) > 1
    for arm in coreset_arms:
        sizes = tuple(map(len, arm.rows))
        arms.append(arm)
        if "full" in baselines:
            arm.beside["full"] = "full"
        for kind in (kind for kind in baselines if kind != "full"):
            if (kind, sizes) not in drawn:
                name = f"{kind}-{'-'.join(map(str, dict.fromkeys(sizes)))}" if several else kind
                drawn[kind, sizes] = _baseline_arm(name, kind, sizes, split, seed)
            arm.beside[kind] = drawn[kind, sizes].name
    arms += drawn.values()
    labels = split.data.labels
    of_one_class = [(one.name, len(rows)) for one in arms for rows in one.rows if len(np.unique(labels[rows])) < 2]
    if of_one_class and split.data.targets is None:
        name, size = of_one_class[0]
        hint = "" if any(one.name == name for one in coreset_arms) else ", or draw it by another seed"
        raise DataError(
            f"arm {name!r} would train on {size} samples of one class; a learner needs 2 or more: keep more{hint}"
        )
    return arms


def _baseline_arm(name: str, kind: Kind, sizes: tuple[int, ...], split: Split, seed: int) -> Arm:
    data, pool = split.data, split.pool
    table = ScoreTable.unscored(data.ids[pool], data.labels[pool], data.class_names)
    if kind == "dedup":
        assert split.features is not None
        own = split.features[pool]
        kept = {size: pool[choose(Dedup(), table, keep=size, features=own).indices] for size in sorted(set(sizes))}
        return Arm(name, kind, tuple(kept[size] for size in sizes), 1)
    classes = len(np.unique(data.labels[pool]))
    if kind == "random-stratified" and min(sizes) < classes:
        raise BudgetError(
            f"random-stratified draws at least one of each class, but a coreset of {min(sizes)} is below the {classes} "
            "classes; leave 'random-stratified' out of the baselines"
        )
    quota: Any = "proportional" if kind == "random-stratified" else None
    draws = [
        choose(Random(), table, keep=size, quota=quota, seed=seeds.derive(seed, "baseline", kind, r))
        for r, size in enumerate(sizes)
    ]
    return Arm(name, kind, tuple(pool[draw.indices] for draw in draws), len(draws))


# ---- the trainings --------------------------------------------------------------------------------------------------


class ArmTrainings:
    """The trainings of all arms; a learner that cannot keep `fix` fixed is refused."""

    def __init__(self, work: Work, split: Split, arms: Sequence[Arm], fix: Fix, seed: int) -> None:
        self.work, self.split, self.fix, self.seed = work, split, fix, seeds.derive(seed, "evaluation")
        self.labels, self.classes = split.data.labels[split.test], len(split.data.class_names)
        self.targets = None if split.data.targets is None else split.data.targets[split.test]
        self.groups = None if split.data.groups is None else split.data.groups[split.test]
        for size in {len(rows) for arm in arms for rows in arm.rows}:
            work.check_batch(size)
        self.of_arm = {
            arm: [
                Training(f"{file_name(arm.name)}-r{r}", rows, r, work.adapt_learner(fix, len(rows), len(split.pool)))
                for r, rows in enumerate(arm.rows)
            ]
            for arm in arms
        }
        self.trainings = [training for trainings in self.of_arm.values() for training in trainings]

    def announce(self, run: Run) -> None:
        """Report the work ahead, and how much of it the run holds already."""
        data, epochs = self.split.data, [one.learner.epochs or 1 for one in self.trainings]
        held = [run.result(one.name) is not None for one in self.trainings]
        seen = sum(len(one.rows) * count for one, count in zip(self.trainings, epochs, strict=True))
        arms = [f"{arm.name} ({format_counts(np.array(list(map(len, arm.rows))))})" for arm in self.of_arm]
        count, replicates = len(self.trainings), len(self.trainings) // len(arms)
        lines = [
            ("data", f"{len(self.split.pool):,} samples to train on, {self.classes} classes"),
            ("test", self.split.text),
            ("arms", ", ".join(arms)),
            ("plan", f"{len(arms)} arms x {replicates} seeds: {count} trainings by {self.work.learner.name}, "
             f"{self.fix} fixed, {seen:,} samples seen in all"),
            *([("done", f"{sum(held)} of {count} trainings finished earlier in this run")] if any(held) else []),
            *(("note", note) for note in data.notes),
        ]  # fmt: skip
        self.work.report("work", lines=lines, epochs=sum(epochs), held=int(np.dot(epochs, held)))

    def run(self, run: Run) -> tuple[ArmResult, ...]:
        """Train what the run does not hold yet, and return the results of all arms."""
        arm_of = {training.name: arm for arm, trainings in self.of_arm.items() for training in trainings}
        ended: dict[str, FloatArray] = {}  # quality, by the name of a training
        quality: dict[str, FloatArray] = {}  # float64 (R, m), by the name of an arm
        for training, outcome in self.work.test(run, self.trainings, self.split.test, seed=self.seed):
            ended[training.name] = outcome.quality
            arm = arm_of[training.name]
            if all(one.name in ended for one in self.of_arm[arm]):
                quality[arm.name] = np.stack([ended[one.name] for one in self.of_arm[arm]])
                metric = "accuracy" if self.targets is None else "R²"
                self.work.report("say", text=f"{arm.name}: {metric} {100 * quality[arm.name].mean():.2f} %")
        results = [self._arm_result(arm, quality[arm.name]) for arm in self.of_arm]
        for result in results:
            self._add_errors(result, quality)
        return tuple(results)

    def _add_errors(self, result: ArmResult, quality: Mapping[str, FloatArray]) -> None:
        """Add the sampling errors of the differences between an arm and its baselines, of all and of each class."""
        full = {"full": "full"} if "full" in quality and result.kind != "full" else {}
        for kind, name in (full | result.beside).items():
            differences = quality[result.name] - quality[name]
            result.beside_error[kind] = sampling_error(differences, self.targets, self.groups)
            error = sampling_error if self.targets is None else standard_error
            result.class_error[kind] = []
            for c in range(self.classes):
                own = self.labels == c
                groups = None if self.groups is None else self.groups[own]
                result.class_error[kind].append(error(differences[:, own], groups=groups))

    def _recall_error(self, quality: FloatArray) -> float:
        """Return the standard error of the mean recall that is due to the draw of groups of test samples."""
        counts = np.bincount(self.labels, minlength=self.classes)
        mean = quality.mean(axis=0)
        recall = np.bincount(self.labels, mean, minlength=self.classes) / np.maximum(counts, 1)
        # What a sample adds to the recall of its class is divided by the size of the class, and by their number.
        weights = len(mean) / (counts[self.labels] * np.count_nonzero(counts))
        return standard_error(weights * (mean - recall[self.labels]), self.groups)

    def _arm_result(self, arm: Arm, quality: FloatArray) -> ArmResult:
        """Make the result of an arm from the quality of its predictions, float64 (R, m)."""
        learners, kept = [one.learner for one in self.of_arm[arm]], np.array([len(rows) for rows in arm.rows])
        epochs = np.array([learner.epochs or 0 for learner in learners])
        counts = np.bincount(self.labels, minlength=self.classes)
        by_class = np.stack([np.bincount(self.labels, row, minlength=self.classes) for row in quality])
        return ArmResult(
            name=arm.name,
            kind=arm.kind,
            draws=arm.draws,
            kept=kept,
            epochs=epochs,
            steps=np.array([learner.steps(size) or 0 for learner, size in zip(learners, kept.tolist(), strict=True)]),
            samples_seen=kept * np.maximum(epochs, 1),
            accuracy=quality.mean(axis=1),
            by_class=by_class / np.where(counts > 0, counts, np.nan),
            error=sampling_error(quality - 1, self.targets, self.groups),
            recall_error=None if self.groups is None else self._recall_error(quality),
            beside=dict(arm.beside),
        )
