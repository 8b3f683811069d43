"""The verb `evaluate`: train on coresets and on their baselines under paired seeds, and say what is lost.

Everything that can be refused or drawn is refused or drawn before the first training. Accuracies are those after the
last epoch, never the best.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from numbers import Integral, Real
from pathlib import Path
from typing import Any, Literal, Unpack

import numpy as np
import numpy.typing as npt

from unseen import runs
from unseen import seeds as seeds_room
from unseen.data.fingerprint import digest
from unseen.data.sources import Reading, columns_named, opened, opened_test
from unseen.errors import ArgumentError
from unseen.evaluating.arms import Kind, arms_of, check_baselines
from unseen.evaluating.candidates import Candidates, Chosen
from unseen.evaluating.evaluated import FILE, Evaluation
from unseen.evaluating.exams import Exam, Overlap, with_probe, with_test
from unseen.evaluating.overlap import NearDuplicates, near_duplicates
from unseen.evaluating.prices import CHOOSING, of_arms
from unseen.evaluating.replicates import Replicates
from unseen.executors import Executor
from unseen.learners.classes import refuse_target
from unseen.protocols import Data
from unseen.rules.inputs import checked_features
from unseen.scoring import versions
from unseen.work import Fix, Report, Work

__all__ = ["evaluate"]

DEFAULT_BASELINES: tuple[Kind, ...] = ("full", "random", "random-stratified")


def evaluate(
    data: Any,
    y: npt.ArrayLike | None = None,
    *,
    coresets: Chosen | Mapping[str, Chosen | Sequence[Chosen]],
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
    executor: str | Executor = "local",
    jobs: int | None = None,
    threads: int | None = None,
    verify: Literal["cheap", "full"] = "cheap",
    report: Report | None = None,
    **reading: Unpack[Reading],
) -> Evaluation:
    """Train on coresets and on their baselines, and say what training on less costs.

    Replicate r of every arm has the same seeds (initial weights, order of the samples), so that arms are compared in
    pairs. Random baselines are drawn anew for each replicate.

    Args:
        data: the whole training set, in any form that `unseen.data.resolve` takes.
        y: (n,) labels, where `data` is an array of inputs.
        coresets: a coreset of it, or several by name. A run directory or a coreset file does too; a run also says what
            choosing cost. Several under one name differ only in their seed: replicates of one method, whose interval
            then covers scoring and selection too.
        test: the test set, in any of the same forms. None: a probe split of the training data, which no arm trains
            on; the selection had seen its labels, which the result says.
        probe: the share of the training data in that split, in (0, 0.5].
        baselines: of `"full"`, `"random"`, `"random-stratified"` and `"dedup"` (semantic de-duplication, which needs
            `features`); by default all that are possible.
        learner: see `unseen.learners.resolve`; it need not be the one that chose.
        seeds: replicates, at least 1; 3 or more for a verdict. More of them may be asked of the same `out` later: only
            those are trained.
        fix: `"epochs"`, as many passes over less data, or `"iterations"`, as many steps as the full data takes. Their
            results do not compare.
        margin: the loss of accuracy that counts as none: 0.005 is half a point.
        level: of the intervals; tests are at 1 - level.
        overlap: test samples whose content is in the training data too: `"refuse"` or `"drop"` them.
        features: the columns that are inputs; or (n, d) of one extractor that saw no labels, for `"dedup"`; or a pair
            of those of the training and of the test set, by which near-duplicates are then found.
        seed: the root seed, or None for one that is drawn.
        out: a directory that keeps the run. The same call continues it after a kill.
        executor: where trainings run: `"local"`, `"ray"`, or an executor; see `unseen.score`.
        jobs: trainings at the same time.
        threads: threads a training.
        verify: `"full"` puts a digest of all content in the manifest.
        report: called with (kind, **fields) as work goes on.
        **reading: how `data` and `test` are read, as in `label="income"`; see `unseen.score`.

    Returns:
        The evaluation: accuracies, intervals, verdicts in words, prices.

    Raises:
        ArgumentError: an argument breaks its rule, a baseline or a fix is not possible.
        BudgetError: a budget below the number of classes, where `"random-stratified"` is asked for.
        DataError: a coreset of other data, a test set with unknown classes or with copies of training samples.

    Example:
        >>> import unseen
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> _, coreset = unseen.prune("digits", keep=0.3, rule="top", learner=KNeighborsClassifier())
        >>> found = unseen.evaluate("digits", coresets=coreset, learner=KNeighborsClassifier(), seeds=3)
        >>> found.verdict("coreset", "full").word, found.verdict("coreset", "random").word
        ('undecided', 'undecided')
    """
    _check_numbers(seeds=seeds, margin=margin, level=level)
    seed = runs.seed_of(out, seed)
    source = opened(evaluate, data, y, reading, features)
    columns = columns_named(features)
    features = None if columns is not None else features
    asked = None if test is None else opened_test(test, reading, columns)
    refuse_target(source, "evaluate tests the accuracy of classes", "`prune` and `select` work without classes")
    chosen = Candidates.of(coresets, source, seeds)
    own, whole = _features(features, source)
    names = check_baselines(_default(own) if baselines is None else baselines, features=own is not None)
    exam = with_probe(source, probe, seed=seed) if asked is None else with_test(source, asked, overlap=overlap)
    whole = own if asked is None and whole is None else whole
    if whole is not None and len(whole) != len(exam.data):
        raise ArgumentError(f"features of the test set must have one row for each of {len(exam.data) - len(source)}")
    arms = arms_of(exam, chosen.coresets, names, replicates=seeds, seed=seed, features=own)
    work = Work(
        exam.data, learner, groups=None, executor=executor, jobs=jobs, threads=threads, verify=verify, report=report
    )
    trials = Replicates(work, exam, arms, fix, seed)
    with runs.open_run(out) as run:
        run.open(_manifest(work, exam, chosen, own, fix=fix, seed=seed))
        held, epochs = trials.held(run)
        work.report("work", lines=trials.outlook(seeds, held), epochs=trials.epochs, held=epochs)
        near = near_duplicates(exam.data, exam.pool, exam.test, features=whole)
        work.report("say", text=f"near-duplicates: {near.text()}")
        tested = trials.run(run)
        about = {"fix": fix, "margin": margin, "level": level, "seed": seed, "seeds": seeds}
        found = Evaluation(tested, exam.data.class_names, {**about, **_about(work, exam, near)})
        run.save_output(FILE, found)
        for name, price in chosen.prices.items():
            run.event(CHOOSING, arm=name, **asdict(price))
        found.times.update(of_arms(run.events(), {arm.name: arm.file for arm in arms}))
        return found


def _check_numbers(*, seeds: object, margin: object, level: object) -> None:
    if isinstance(seeds, bool) or not isinstance(seeds, Integral) or seeds < 1:
        raise ArgumentError(f"seeds must be an integer of at least 1, got {seeds!r}")
    if isinstance(margin, bool) or not isinstance(margin, Real) or not 0 < float(margin) < 1:
        raise ArgumentError(f"margin must be an accuracy above 0 and below 1 (0.005 is half a point), got {margin!r}")
    if isinstance(level, bool) or not isinstance(level, Real) or not 0 < float(level) < 1:
        raise ArgumentError(f"level must be in (0, 1), got {level!r}")


def _features(features: Any, data: Data) -> tuple[npt.NDArray[Any] | None, npt.NDArray[Any] | None]:
    """Those of the training set; and those of training and test set, one under the other."""
    if features is None:
        return None, None
    if not isinstance(features, tuple):
        return checked_features(features, data.ids), None
    own = checked_features(features[0], data.ids)
    asked = checked_features(features[1], np.arange(len(features[1])))
    if own.shape[1] != asked.shape[1]:
        raise ArgumentError(f"features of both sets must be of one extractor, got {own.shape[1]} and {asked.shape[1]}")
    return own, np.concatenate([own, asked])


def _default(features: npt.NDArray[Any] | None) -> tuple[Kind, ...]:
    return DEFAULT_BASELINES if features is None else (*DEFAULT_BASELINES, "dedup")


def _manifest(
    work: Work, exam: Exam, chosen: Candidates, features: npt.NDArray[Any] | None, *, fix: Fix, seed: int
) -> dict[str, object]:
    """What every training depends on. The number of seeds, margin and level are not in it: they may change later."""
    arms = {name: [digest(coreset.indices) for coreset in given] for name, given in chosen.coresets.items()}
    return {
        "format": 1,
        "kind": "evaluation",
        "versions": versions(),
        "seed": seeds_room.checked(seed),
        "learner": work.learner.describe(),
        "settings": {"threads": work.threads},
        "fix": fix,
        "coresets": arms,
        "features": None if features is None else digest(features),
        "test": {**exam.about, "rows": digest(exam.test)},
        "fingerprint": work.samples.fingerprint,
    }


def _about(work: Work, exam: Exam, near: NearDuplicates) -> dict[str, Any]:
    of_class = np.bincount(exam.data.labels[exam.test], minlength=len(exam.data.class_names))
    return {
        "test": {**exam.about, "text": exam.text, "of_class": of_class.tolist()},
        "learner": work.learner.describe(),
        "near_duplicates": near.describe(),
        "notes": list(getattr(exam.data, "notes", ())),
    }
