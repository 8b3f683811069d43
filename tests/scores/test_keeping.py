"""A score that keeps probabilities is that score, and the probabilities of the last epoch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from unseen.core.exposure import Fit, Observation
from unseen.errors import ArgumentError
from unseen.scores.accumulator import ScoreSink
from unseen.scores.label_quality import Keeping
from unseen.scores.registry import resolve
from unseen.testing import Story, play

SPECS = ["self_confidence", "el2n:epochs=1", "aum", "dual:window=4", "label_issue", "el2n@temperature"]


@pytest.mark.parametrize("spec", SPECS)
def test_a_score_that_keeps_probabilities_has_the_values_of_the_score(spec):
    score, keeping = resolve(spec), resolve(f"{spec}@probabilities")
    for declared in ("direction", "low", "high", "per_repeat", "least_epochs", "least_repeats", "fitted_on_labels"):
        assert getattr(keeping, declared) == getattr(score, declared)
    assert keeping.label == f"{score.label}@probabilities"
    story = Story.random(score, seed=3)
    np.testing.assert_array_equal(_played(keeping, story), play(score, story))


def _played(keeping, story):
    """As `play`, less what is kept."""

    class Less(Keeping):
        def finish(self, state, side):
            return {name: a for name, a in super().finish(state, side).items() if not name.startswith("kept.")}

    return play(Less(keeping.of), story)


def test_the_probabilities_are_those_of_the_last_epoch_in_any_batches_across_a_kill():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(3, 6, 4))
    labels = np.arange(10) % 4
    fit = Fit(train=np.arange(4), unseen=np.array([9, 4, 7, 5, 8, 6]))
    score = resolve("aum@probabilities")
    sink = ScoreSink(fit, labels, [score], 4)
    for epoch in (1, 2, 3):
        for at in (np.array([5, 0]), np.array([1, 2, 3, 4])):
            sink.observe("unseen", Observation(fit.unseen[at], epoch, logits=logits[epoch - 1, at]))
        state = {name: array.copy() for name, array in sink.state().items()}
        sink = ScoreSink(fit, labels, [score], 4)
        sink.restore(state)
    result = sink.result()
    assert result["0/unseen/kept.rows"].tolist() == fit.unseen.tolist()
    kept = result["0/unseen/kept.probabilities"]
    assert kept.dtype == np.float32
    np.testing.assert_allclose(kept, softmax(logits[-1], axis=1), atol=1e-7)


def test_scores_of_both_sides_keep_none():
    with pytest.raises(ArgumentError, match="beside a score of the held-out side alone, which 'memorization' is not"):
        resolve("memorization@probabilities")
