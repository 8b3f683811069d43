"""What the streaming shells read, skip and refuse; the registry that names them."""

import numpy as np
import pytest

from unseen import functional
from unseen.core.exposure import Observation
from unseen.errors import ArgumentError, DataError, UnknownNameError
from unseen.scores import SCORES, Score, describe_all, resolve
from unseen.scores.pointwise import El2n

LABELS = np.array([0, 1, 1])
ROWS = np.arange(3)


def logits(epoch):
    return np.random.default_rng(epoch).normal(size=(3, 2))


def fed(score, *observations, side="unseen"):
    state = score.start(side, 3, 2)
    for observation in observations:
        score.update(state, side, ROWS, observation, LABELS)
    return score.finish(state, side)["value"]


def seen_at(*epochs):
    return [Observation(ROWS, epoch, logits(epoch)) for epoch in epochs]


def test_the_last_observation_wins():
    assert np.array_equal(fed(resolve("el2n"), *seen_at(1, 2, 3)), functional.el2n(logits(3), LABELS))


def test_epochs_asked_for_are_averaged_and_others_skipped():
    mean = (functional.loss(logits(2), LABELS) + functional.loss(logits(4), LABELS)) / 2
    np.testing.assert_allclose(fed(resolve("loss:epochs=(2,4)"), *seen_at(1, 2, 3, 4, 5)), mean)
    np.testing.assert_array_equal(fed(resolve("loss:epochs=2"), *seen_at(1, 2, 3)), functional.loss(logits(2), LABELS))


@pytest.mark.parametrize("name", ["loss", "holdout_gap"])
def test_recorded_losses_take_the_place_of_logits(name):
    losses = np.array([0.5, 2.0, 7.0])
    assert fed(resolve(name), Observation(ROWS, 1, loss=losses)).tolist() == losses.tolist()
    both = Observation(ROWS, 1, logits(1), loss=losses)
    assert np.array_equal(fed(resolve(name), both), functional.loss(logits(1), LABELS))


def test_reducible_reads_the_early_epoch_in_sample_and_the_last_held_out():
    score = resolve("reducible:epoch=2")
    assert (score.least_epochs, score.sides) == (3, ("unseen", "seen"))
    assert [score.wants("seen", e, 4) for e in range(1, 5)] == [False, True, False, False]
    assert [score.wants("unseen", e, 4) for e in range(1, 5)] == [False, False, False, True]
    recorded = [Observation(ROWS, e, loss=np.full(3, float(e))) for e in (1, 2, 3)]
    assert fed(score, *recorded, side="seen").tolist() == [2.0] * 3
    assert fed(score, *recorded).tolist() == [3.0] * 3
    joined = score.join({"seen": {"value": np.array([2.0])}, "unseen": {"value": np.array([3.0])}})
    assert joined.tolist() == [-1.0]


def test_observations_without_what_is_read_are_passed_over():
    score = resolve("grand")
    whole = Observation(ROWS, 1, logits(1), grad_norm=np.array([1.0, 2.0, 3.0]))
    assert fed(score, whole, *seen_at(2)).tolist() == [1.0, 2.0, 3.0]


def test_too_few_observations_are_refused_at_the_end():
    with pytest.raises(DataError, match=r"'grand' needs 1 observation of each sample, holding grad_norm, but .* has 0"):
        fed(resolve("grand"), *seen_at(1))
    with pytest.raises(DataError, match=r"'dual:window=3' needs 3 observations of each sample.* has 2"):
        fed(resolve("dual:window=3"), *seen_at(1, 2))
    with pytest.raises(DataError, match=r"needs 2 observations"):
        fed(resolve("el2n:epochs=(1,5)"), *seen_at(1, 2))
    with pytest.raises(DataError, match=r"needs 5 observations"):
        fed(resolve("aum:epochs=5"), *seen_at(1, 2, 3, 4, 6))
    with pytest.raises(DataError, match="label_issue"):
        fed(resolve("label_issue"), Observation(ROWS, 1, loss=np.zeros(3)))


@pytest.mark.parametrize(
    ("spec", "least"),
    [
        ("el2n", 1),
        ("el2n:epochs=7", 7),
        ("el2n:epochs=(2,5)", 5),
        ("aum", 2),
        ("aum:epochs=1", 1),
        ("forgetting", 2),
        ("variability", 2),
        ("dyn_unc", 10),
        ("dual:window=5", 5),
        ("dual:window=5,epochs=30", 30),
        ("tdds:epochs=90", 90),
        ("memorization", 1),
    ],
)
def test_least_epochs_are_known_before_training(spec, least):
    assert resolve(spec).least_epochs == least


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("dual:epochs=9", "epochs of dual must be None .* at least 10, got 9"),
        ("forgetting:epochs=1", "at least 2, got 1"),
        ("dual:window=1", "window must be an integer of at least 2 epochs, got 1"),
        ("tdds:window=2", "window must be an integer of at least 3"),
        ("tdds:decay=1.5", r"decay must be in \(0, 1\], got 1.5"),
        ("el2n:epochs=0", "epochs of el2n must be None .* got 0"),
        ("el2n:epochs=(2,2)", r"several different ones such as \(3, 4\), got \(2, 2\)"),
        ("el2n:epochs=()", r"got \(\)"),
        ("el2n:epochs=true", "got True"),
        ("el2n:epochs=early", "got 'early'"),
        ("aum:space=log", "space must be one of"),
        ("label_margin:space=log", "space must be one of"),
        ("reducible:epoch=0", "epoch of reducible must be an integer of at least 1, got 0"),
        ("reducible", "score 'reducible' needs epoch=, such as 'reducible:epoch=3'"),
        ("el2n:window=3", "score 'el2n' has no option 'window'; its options: epochs"),
        ("dual:windows=3", "has no option 'windows'; its options: epochs, window"),
        ("holdout_gap:epoch=3", "its options: none"),
    ],
)
def test_bad_options_are_refused(spec, message):
    with pytest.raises(ArgumentError, match=message):
        resolve(spec)


@pytest.mark.parametrize("epochs", [[1, 2], np.array([1, 2]), (np.int64(1), 2)])
def test_epochs_may_be_a_list_or_numbers_of_numpy(epochs):
    assert El2n(epochs=epochs).label == "el2n:epochs=(1,2)"
    assert El2n(epochs=np.int64(2)).label == "el2n:epochs=2"


def test_unknown_scores_get_the_nearest_names():
    with pytest.raises(UnknownNameError, match="unknown score 'el2m'; did you mean 'el2n'"):
        resolve("el2m")
    with pytest.raises(ArgumentError, match="a score is a name such as 'el2n' or a Score, got 3"):
        resolve(3)


def test_resolve_reads_options_and_lets_scores_through():
    score = resolve("tdds:window=5,decay=0.5,epochs=30")
    assert (score.name, score.window, score.decay, score.epochs) == ("tdds", 5, 0.5, 30)
    assert resolve(score) is score
    assert resolve("el2n:epochs=[3, 4]") == resolve("el2n:epochs=(3,4)")


def test_scores_are_named_as_registered_and_documented():
    rows = {row["name"]: row for row in describe_all()}
    assert set(rows) == set(SCORES)
    for name, kind in SCORES.items():
        assert kind.name == name
        assert issubclass(kind, Score)
        assert rows[name]["formula"]
        assert rows[name]["source"]
    assert rows["dual"]["options"] == {"epochs": None, "window": 10}
    assert rows["reducible"]["options"] == {"epoch": "required"}
    assert rows["holdout_gap"]["sides"] == ["unseen", "seen"]
    assert [name for name, row in rows.items() if row["label_free"]] == [
        "entropy",
        "least_confidence",
        "margin",
        "tdds",
        "disagreement",
        "leverage",
    ]
