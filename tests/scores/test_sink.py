"""The sink of one fit: what it refuses, and that batches, order and restarts change nothing."""

import numpy as np
import pytest
from scipy.special import softmax

import unseen
from unseen.core.exposure import Fit, Observation
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve

N, C, T = 30, 3, 6
LABELS = np.arange(N) % C
FIT = Fit(train=np.arange(15), unseen=np.arange(15, 30), seen=np.arange(10))
SCORES = [
    "el2n",
    "loss:epochs=(2,3)",
    "aum",
    "forgetting",
    "dual:window=3",
    "memorization",
    "grand_last_layer",
    "grand",
]


def sink(*scores, fit=FIT, side="unseen"):
    return ScoreSink(fit, LABELS, [resolve(s) for s in scores], C, side)


def story(side, seed=0):
    rng = np.random.default_rng([seed, side == "seen"])
    m = len(FIT.watch(side))
    return rng.normal(size=(T, m, C)), rng.normal(size=(T, m, 2)), rng.exponential(size=(T, m))


def play(to, epochs=range(1, T + 1), batch=100, shuffle=False):
    for epoch in epochs:
        for side in ("unseen", "seen"):
            logits, features, norms = (part[epoch - 1] for part in story(side))
            order = np.random.default_rng(epoch).permutation(len(logits)) if shuffle else np.arange(len(logits))
            for at in np.array_split(order, -(-len(order) // batch)):
                to.observe(
                    side,
                    Observation(FIT.watch(side)[at], epoch, logits[at], features=features[at], grad_norm=norms[at]),
                )
    return to


def assert_equal(one, other):
    assert one.keys() == other.keys()
    for name in one:
        np.testing.assert_array_equal(one[name], other[name], err_msg=name)


@pytest.mark.parametrize("batch", [1, 4, 100])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_and_their_order_change_nothing(batch, shuffle):
    assert_equal(play(sink(*SCORES), batch=batch, shuffle=shuffle).result(), play(sink(*SCORES)).result())


@pytest.mark.parametrize("epoch", [1, 3, 5])
def test_a_restart_changes_nothing(epoch):
    unbroken = play(sink(*SCORES))
    before = play(sink(*SCORES), range(1, epoch + 1))
    kept = {name: array.copy() for name, array in before.state().items()}
    play(before, range(epoch + 1, T + 1))  # what goes on must not reach into what was kept
    after = sink(*SCORES)
    after.restore(kept)
    assert_equal(play(after, range(epoch + 1, T + 1)).result(), unbroken.result())


def test_what_it_keeps_beside_the_scores():
    logits, _, _ = story("unseen")
    result = play(sink("el2n")).result()
    p = softmax(logits, axis=2)
    np.testing.assert_allclose(result["confidence"], p[:, np.arange(15), LABELS[15:]].mean(axis=0), rtol=1e-12)
    np.testing.assert_array_equal(result["prediction"], logits[-1].argmax(axis=1))
    np.testing.assert_allclose(
        result["0/unseen/value"], np.linalg.norm(p[-1] - np.eye(C)[LABELS[15:]], axis=1), rtol=1e-12
    )


def test_what_it_wants():
    own = sink("el2n")
    assert own.wants("unseen", 1, 2) == frozenset()
    assert own.wants("unseen", 2, 2) == {"logits"}
    assert own.wants("seen", 2, 2) == frozenset()
    assert sink("grand").wants("unseen", 2, 2) == {"logits", "grad_norm"}
    assert sink("aum").wants("unseen", 1, 9) == {"logits"}
    assert sink("memorization").wants("seen", 2, 2) == {"logits"}
    # Under the plan seen(), one-sided scores judge the samples that were seen, and there is nothing else to ask.
    baseline = sink("el2n", fit=Fit(train=np.arange(4), unseen=[], seen=np.arange(4)), side="seen")
    assert baseline.wants("seen", 1, 1) == {"logits"}
    assert baseline.wants("unseen", 1, 1) == frozenset()


def observe(to, rows=FIT.unseen, epoch=1, side="unseen", **parts):
    parts = parts or {"logits": np.zeros((len(rows), C))}
    to.observe(side, Observation(np.asarray(rows), epoch, **parts))
    return to


def bad(shape, value, at=(3,)):
    array = np.zeros(shape)
    array[at] = value
    return array


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"logits": bad((15, C), np.nan)}, unseen.DataError, "logits of fit r0f0, epoch 1, must be finite.* rows 18;"),
        (
            {"logits": bad((15, C), -np.inf)},
            unseen.DataError,
            "NaN or infinite for rows 18; where it is trained",
        ),
        ({"logits": np.zeros((15, C)), "features": bad((15, 2), np.nan)}, unseen.DataError, "features of fit r0f0"),
        ({"logits": np.zeros((15, C)), "grad_norm": bad(15, np.inf)}, unseen.DataError, "grad_norm .* rows 18"),
        ({"logits": np.zeros((15, C + 1))}, unseen.ArgumentError, r"must have shape \(15, 3\), got \(15, 4\)"),
        ({"logits": np.zeros((14, C))}, unseen.ArgumentError, r"must have shape \(15, 3\), got \(14, 3\)"),
        ({"logits": np.zeros((15, C)), "loss": np.float64(1)}, unseen.ArgumentError, r"loss .* \(15, ...\), got \(\)"),
        ({"epoch": 0}, unseen.ArgumentError, "epoch must be counted from 1, got 0"),
        ({"rows": [15, 16, 15]}, unseen.ArgumentError, "recorded once an epoch.* epoch 1 repeats rows 15; pass epoch="),
        ({"rows": [2]}, unseen.ExposureError, "fit r0f0 was trained on the samples it now judges: rows 2"),
        ({"rows": [99]}, unseen.ArgumentError, "fit r0f0 has no rows 99 in its unseen watch set"),
        ({"rows": [12], "side": "seen"}, unseen.ArgumentError, "no rows 12 in its seen watch set"),
        (
            {"loss": np.zeros(15)},
            unseen.ArgumentError,
            "score 'el2n' needs logits, but epoch 1 of fit r0f0 was observed",
        ),
        ({"grad_norm": np.zeros(15)}, unseen.ArgumentError, r"scores of a loss only \(loss, holdout_gap, reducible\)"),
    ],
)
def test_what_it_refuses_leaves_no_trace(arguments, error, message):
    own = sink("el2n", "loss")
    with pytest.raises(error, match=message):
        observe(own, **arguments)
    # So the same batch can be handed in again, put right.
    assert_equal(observe(own).result(), observe(sink("el2n", "loss")).result())


def test_nan_in_torch_tensors():
    torch = pytest.importorskip("torch")
    with pytest.raises(unseen.DataError, match="rows 18; where it is trained"):
        observe(sink("el2n"), logits=torch.from_numpy(bad((15, C), np.nan)))


@pytest.mark.parametrize("score", ["loss", "loss:epochs=(1,2)"])
def test_scores_of_a_loss_need_a_loss_only(score):
    own = sink(score)
    for epoch in (1, 2):
        observe(own, epoch=epoch, loss=np.arange(15.0) * epoch)
    result = own.result()
    np.testing.assert_allclose(result["0/unseen/value"], np.arange(15.0) * (1.5 if "epochs" in score else 2))
    assert "confidence" not in result


def test_grand_needs_gradient_norms_only():
    result = observe(sink("grand"), grad_norm=np.arange(15.0)).result()
    np.testing.assert_array_equal(result["0/unseen/value"], np.arange(15.0))


def test_twice_in_an_epoch_or_going_back():
    own = observe(observe(sink("el2n"), epoch=2), [], epoch=3, logits=np.zeros((0, C)))
    for epoch in (1, 2):
        with pytest.raises(unseen.ArgumentError, match=f"epochs ascending, but epoch {epoch} repeats rows 15, 16"):
            observe(own, epoch=epoch)


def test_partial_coverage():
    own = observe(sink("el2n"), FIT.unseen[:12])
    with pytest.raises(unseen.DataError, match=r"3 of .* unseen samples .* \(0 of 1 times\): rows 27, 28, 29; record"):
        own.result()
    observe(own, FIT.unseen[12:])
    observe(own, FIT.unseen[:2], epoch=2)
    with pytest.raises(unseen.DataError, match=r"\(1 of 2 times\): rows 17, 18, 19, 20, 21, ... \(13 in all\)"):
        own.result()
    with pytest.raises(unseen.DataError, match=r"\(0 of 1 times\): rows 15"):
        sink("el2n").result()


def test_the_seen_side_must_be_whole_for_scores_of_both_sides():
    own = observe(sink("memorization"))
    with pytest.raises(unseen.DataError, match=r"seen samples of fit .* were recorded less often"):
        own.result()
    assert observe(sink("el2n")).result()


WHOLE = ["el2n", "label_issue", "el2n@temperature", "label_issue@probabilities"]


def whole(*scores):
    """A sink that has seen models which are mostly right."""
    to = sink(*scores)
    to.observe("unseen", Observation(FIT.unseen, 1, leaning()))
    return to


def leaning():
    return story("unseen")[0][0] + 0.7 * np.eye(C)[LABELS[FIT.unseen]]


def pieces(of):
    """Those of parts of the unseen watch set, each with a sink of its own, put together."""
    parts = []
    for at in np.split(np.arange(15), (3, 6, 9, 12)):
        inside = of.for_rows(FIT.unseen[at])
        inside.observe("unseen", Observation(FIT.unseen[at], 1, leaning()[at]))
        parts.append(inside.pieces())
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def test_pieces_of_parts_make_the_result():
    one = whole(*WHOLE)
    assert_equal(one.joined(pieces(one)), one.result())
    assert 0 < one.result()["1/unseen/value"].mean() < 1


@pytest.mark.parametrize("score", ["label_issue", "el2n@temperature"])
def test_planted_thresholds_and_temperatures_of_parts_are_caught(monkeypatch, score):
    monkeypatch.setattr(type(resolve(score)), "whole", False)
    one = whole(score)
    with pytest.raises(AssertionError):
        assert_equal(one.joined(pieces(one)), one.result())
