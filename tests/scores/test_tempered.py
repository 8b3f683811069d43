"""A score at the temperature of its fold."""

import numpy as np
import pytest

import unseen
from unseen import functional
from unseen.core.exposure import Observation
from unseen.scores import resolve
from unseen.scores.alignment import align


def measured(spec, logits, labels, batches):
    score = resolve(spec)
    state = score.start("unseen", len(labels), logits.shape[1])
    for at in np.array_split(np.arange(len(labels)), batches):
        score.update(state, "unseen", at, Observation(at, 1, logits=logits[at]), labels[at])
    return score.finish(state, "unseen")["value"]


@pytest.mark.parametrize("name", ["el2n", "loss", "entropy", "margin", "label_margin"])
def test_equals_the_pure_alignment(name):
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(scale=4, size=(200, 5)), rng.integers(0, 5, 200)
    folds = np.zeros(200, int)
    function = getattr(functional, name)
    expected = align(
        function(logits, labels), folds, how="temperature", function=function, logits=logits, labels=labels
    )
    for batches in (1, 7):
        np.testing.assert_allclose(measured(f"{name}@temperature", logits, labels, batches), expected, rtol=1e-12)


def test_a_fold_whose_model_is_over_confident_comes_back_to_the_scale_of_the_other():
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(4000, 3))
    labels = np.array([rng.choice(3, p=p) for p in np.exp(logits) / np.exp(logits).sum(1, keepdims=True)])
    calibrated = measured("loss@temperature", logits, labels, 1)
    over_confident = measured("loss@temperature", 5 * logits, labels, 1)
    np.testing.assert_allclose(calibrated, over_confident, rtol=1e-6)
    assert abs(functional.loss(5 * logits, labels).mean() - calibrated.mean()) > 0.5


def test_prune_measures_it_and_says_that_it_saw_labels(tmp_path):
    table, coreset = unseen.prune(
        "digits", keep=0.5, rule="stratified:by=width", align="temperature", learner="logistic", out=tmp_path / "run"
    )
    assert table.scores[:2] == ("el2n", "el2n@temperature")
    assert coreset.provenance["score"] == "el2n@temperature"
    manifest = (tmp_path / "run" / "manifest.json").read_text()
    assert "one temperature a fold, by held-out log loss" in manifest
    raw = unseen.select(table, keep=0.5, rule="stratified:by=width")
    assert set(raw.ids) != set(coreset.ids)


def test_what_has_no_temperature_is_refused():
    with pytest.raises(unseen.ArgumentError, match="does not read from the last observation alone"):
        unseen.prune("digits", keep=0.5, score="correctness", align="temperature", learner="logistic")
    table = unseen.score("digits", plan=unseen.folds(2), learner="logistic")
    with pytest.raises(unseen.ArgumentError, match="'el2n@temperature', which this table lacks"):
        unseen.select(table, keep=0.5, align="temperature")
