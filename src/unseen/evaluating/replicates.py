"""The trainings of an evaluation, arm by arm, each kept in the run as it ends."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.evaluating.arms import Arm
from unseen.evaluating.exams import Exam
from unseen.evaluating.replicated import ArmResult
from unseen.protocols import Learner
from unseen.runs.base import Run
from unseen.types import FloatArray, IntArray
from unseen.verdicts import sampling_error
from unseen.work import Fix, Outcome, Training, Work

__all__ = ["Replicates"]


class Replicates:
    """The trainings of all arms.

    Args:
        work: trains.
        exam: who is asked about.
        arms: who is trained on.
        fix: what stays equal where there is less data.
        seed: the root seed of the evaluation.

    Raises:
        ArgumentError: a learner that cannot keep this fixed.

    """

    def __init__(self, work: Work, exam: Exam, arms: Sequence[Arm], fix: Fix, seed: int) -> None:
        self.work, self.exam, self.arms = work, exam, arms
        self.fix, self.seed = fix, seeds.derive(seed, "evaluation")
        sizes = {len(rows) for arm in arms for rows in arm.rows}
        for size in sizes:
            work.check_batch(size)
        self.learners = {size: work.lasting(fix, size, len(exam.pool)) for size in sorted(sizes)}

    @property
    def epochs(self) -> int:
        """In all."""
        return sum(self.learners[len(rows)].epochs or 1 for arm in self.arms for rows in arm.rows)

    def held(self, run: Run) -> tuple[int, int]:
        """Trainings that the run holds already, and their epochs."""
        done = ((arm.file, r, len(rows)) for arm in self.arms for r, rows in enumerate(arm.rows))
        epochs = [self.learners[size].epochs or 1 for file, r, size in done if run.result(f"{file}-r{r}") is not None]
        return len(epochs), sum(epochs)

    def outlook(self, replicates: int, held: int) -> list[tuple[str, str]]:
        """What is going to be done, in words."""
        count = len(self.arms) * replicates
        seen = sum(len(rows) * (self.learners[len(rows)].epochs or 1) for arm in self.arms for rows in arm.rows)
        arms = [f"{arm.name} ({_sizes(arm)})" for arm in self.arms]
        return [
            ("data", f"{len(self.exam.pool):,} samples to train on, {len(self.exam.data.class_names)} classes"),
            ("test", self.exam.text),
            ("arms", ", ".join(arms)),
            (
                "plan",
                f"{len(self.arms)} arms x {replicates} seeds: {count} trainings by {self.work.learner.name}, "
                f"{self.fix} fixed, {seen:,} samples seen in all",
            ),
            *([("done", f"{held} of {count} trainings before, kept in this run")] if held else []),
            *(("note", note) for note in getattr(self.exam.data, "notes", ())),
        ]

    def run(self, run: Run) -> tuple[ArmResult, ...]:
        """Train what the run does not hold yet."""
        outcomes: dict[str, dict[int, Outcome]] = {arm.name: {} for arm in self.arms}
        found = {}
        places = {f"{arm.file}-r{r}": (arm, r) for arm in self.arms for r in range(len(arm.rows))}
        trainings = [
            Training(name, arm.rows[r], r, self.learners[len(arm.rows[r])]) for name, (arm, r) in places.items()
        ]
        for training, outcome in self.work.test(run, trainings, self.exam.test, seed=self.seed):
            arm, r = places[training.name]
            outcomes[arm.name][r] = outcome
            if len(outcomes[arm.name]) == len(arm.rows):
                found[arm.name] = self._tested(arm, [outcomes[arm.name][r] for r in range(len(arm.rows))])
                accuracy = 100 * found[arm.name].accuracy.mean()
                self.work.report("say", text=f"{arm.name}: accuracy {accuracy:.2f} %")
        tested = [found[arm.name] for arm in self.arms]
        labels, classes = self.exam.data.labels[self.exam.test], len(self.exam.data.class_names)
        right = {name: np.stack([mine[r].correct for r in range(len(mine))]) for name, mine in outcomes.items()}
        for result in tested:
            mine = right[result.name].astype(np.int8)
            full = {"full": "full"} if "full" in right and result.kind != "full" else {}
            for kind, name in (full | result.beside).items():
                differences = mine - right[name].astype(np.int8)
                result.beside_error[kind] = sampling_error(differences)
                result.class_error[kind] = [sampling_error(differences[:, labels == c]) for c in range(classes)]
        return tuple(tested)

    def _tested(self, arm: Arm, outcomes: Sequence[Outcome]) -> ArmResult:
        labels, classes = self.exam.data.labels[self.exam.test], len(self.exam.data.class_names)
        kept = np.array([len(rows) for rows in arm.rows])
        who = [self.learners[size] for size in kept.tolist()]
        right = np.stack([outcome.correct for outcome in outcomes])
        return ArmResult(
            name=arm.name,
            kind=arm.kind,
            draws=arm.draws,
            kept=kept,
            epochs=np.array([learner.epochs or 0 for learner in who]),
            steps=np.array([_steps(learner, size) for learner, size in zip(who, kept.tolist(), strict=True)]),
            samples_seen=np.array([outcome.samples_seen for outcome in outcomes]),
            accuracy=right.mean(axis=1),
            by_class=_by_class(right, labels, classes),
            error=sampling_error(right),
            beside=dict(arm.beside),
        )


def _by_class(right: npt.NDArray[np.bool_], labels: IntArray, classes: int) -> FloatArray:
    counts = np.bincount(labels, minlength=classes)
    of_class = np.stack([np.bincount(labels, row, minlength=classes) for row in right])
    share: FloatArray = of_class / np.where(counts > 0, counts, np.nan)
    return share


def _steps(learner: Learner, samples: int) -> int:
    return int(learner.steps(samples)) if hasattr(learner, "steps") else 0


def _sizes(arm: Arm) -> str:
    sizes = sorted({len(rows) for rows in arm.rows})
    return f"{sizes[0]:,}" if len(sizes) == 1 else f"{sizes[0]:,} to {sizes[-1]:,}"
