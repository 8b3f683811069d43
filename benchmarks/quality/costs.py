"""What a sweep trains, known before it does: every training of a method, in images."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from unseen.core.exposure import Plan, Side
from unseen.core.plans import plan_named
from unseen.core.protocols import Learner
from unseen.engine.scoring import SampleInfo
from unseen.engine.work import Fix, Work
from unseen.evaluating.methods import Method
from unseen.growing import Loop
from unseen.scores import resolve as resolve_score
from unseen.scores.accumulator import ScoreSink

SIDES: tuple[Side, ...] = ("unseen", "seen")
FORWARD = 1 / 3  # of a training step, whose backward pass takes twice as long as its forward pass


@dataclass(frozen=True)
class Training:
    """One model.

    Args:
        trained: images trained on, epochs counted.
        watched: images only looked at, observations counted.

    """

    trained: float
    watched: float

    @property
    def images(self) -> float:
        """Its price: images trained on, an image looked at counting a third."""
        return self.trained + FORWARD * self.watched


def scorings(work: Work, method: Method, budget: int) -> list[Training]:
    """The trainings that choosing a coreset takes."""
    if method.plan is None or method.score is None:
        return []
    if not method.grows:
        return list(_fits(work, plan_named(method.plan), work.learner, method.score, work.samples))
    # The models of further steps are priced by their size alone, as if nothing were bound together.
    unbound = replace(work.samples, groups=None)
    return [
        training
        for number, step in enumerate(Loop(work, method.growth(), keep=budget).scorings())
        for training in _fits(work, step.plan, work.learner, method.score, unbound if number else work.samples)
    ]


def test(work: Work, budget: int, fix: Fix, of: int, tested: int) -> Training:
    """The training on a coreset, which is then asked about the test set."""
    epochs = work.adapt_learner(fix, budget, of).epochs or 1
    return Training(budget * epochs, tested)


def total(trainings: Iterable[Training]) -> float:
    """Images of them all."""
    return sum(training.images for training in trainings)


def _fits(work: Work, plan: Plan, learner: Learner, score: str, samples: SampleInfo) -> Iterator[Training]:
    last = learner.epochs or 1
    for fit in plan.fits(samples.ids, samples.labels, groups=samples.groups, seed=0):
        sink = ScoreSink(fit, samples.labels, [resolve_score(score)], len(samples.class_names), plan.scored_side)
        looks = [(side, e) for side in SIDES for e in range(1, last + 1) if sink.wants(side, e, last)]
        yield Training(len(fit.train) * last, sum(len(fit.watch(side)) for side, _ in looks))
