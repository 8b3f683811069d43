"""BWS: the ratings against scikit-learn's ridge, window by window; which window wins; what is told and refused."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge

from unseen import rules
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError
from unseen.rules.order import rate_windows


def problem(n=300, d=5, classes=3, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, classes, n)
    x = rng.normal(size=(n, d)) + 1.5 * rng.normal(size=(classes, d))[labels] + shift
    return x, labels, rng.permutation(n)


def model(x, labels, rows, lam):
    z = x[rows] - x[rows].mean(axis=0)
    return Ridge(alpha=lam * np.square(z).sum() / x.shape[1]).fit(x[rows], np.eye(labels.max() + 1)[labels[rows]])


def by_refitting(x, labels, order, offsets, size, lam, over):
    """One regression a window by other code; for each member one more, at the penalty of its window."""
    found = []
    for offset in offsets:
        window, outside = order[offset : offset + size], np.delete(order, np.arange(offset, offset + size))
        fitted = model(x, labels, window, lam)
        right = np.count_nonzero(fitted.predict(x[outside]).argmax(axis=1) == labels[outside])
        if over == "all":
            for i in window:
                rest, one_hot = window[window != i], np.eye(labels.max() + 1)[labels]
                without = Ridge(alpha=fitted.alpha).fit(x[rest], one_hot[rest])
                right += int(without.predict(x[[i]]).argmax() == labels[i])
        found.append(right / (len(order) if over == "all" else len(outside)))
    return found


@pytest.mark.parametrize("over", ["left_out", "all"])
@pytest.mark.parametrize(("size", "offsets"), [(40, [0, 15, 30, 45, 260]), (40, [0, 100, 200]), (150, [0, 7, 150])])
def test_ratings_are_those_of_refits(size, offsets, over):
    x, labels, order = problem(shift=100.0)
    rated = rate_windows(x, labels, order, offsets, size, lam=0.1, over=over)
    assert rated.tolist() == pytest.approx(by_refitting(x, labels, order, offsets, size, 0.1, over), abs=1e-12)


def test_blocks_change_nothing(monkeypatch):
    x, labels, order = problem(n=700)
    whole = rate_windows(x, labels, order, [0, 100, 400], 300, over="all")
    monkeypatch.setattr("unseen.rules.order._BYTES", 1)
    assert rate_windows(x, labels, order, [0, 100, 400], 300, over="all").tolist() == whole.tolist()


def test_the_window_is_the_best_of_those_that_fit():
    """The hardest third is labelled wrongly: whoever learns from it mistakes all others."""
    x, labels, _ = problem(n=600, seed=1)
    labels[:200] = (labels[:200] + 1) % 3
    table = ScoreTable.of("el2n", -np.arange(600.0), direction="harder", labels=labels)
    coreset = rules.bws(table, keep=150, steps=10, features=x)
    found = coreset.provenance["found"]
    assert found["offsets"] == [0, 60, 120, 180, 240, 300, 360, 420]
    assert found["offset"] == found["offsets"][int(np.argmax(found["accuracy"]))]
    assert 120 <= found["offset"] <= 240
    assert coreset.order.tolist() == list(range(found["offset"], found["offset"] + 150))
    assert set(coreset.sources.tolist()) == {f"offset {found['offset']}"}
    same = rules.window(table, keep=150, offset=found["offset"])
    assert coreset.ids.tolist() == same.ids.tolist()


def test_wrong_labels_inside_the_window_count_where_all_are_asked():
    """A large window at the hard end leaves out only clean samples, so by those alone it looks best."""
    x, labels, _ = problem(n=400, d=20)
    labels[:100] = (labels[:100] + 1) % 3
    table = ScoreTable.of("el2n", -np.arange(400.0), direction="harder", labels=labels)
    rated = [rules.bws(table, keep=240, over=over, features=x) for over in ("left_out", "all")]
    outside, everywhere = (coreset.provenance["found"]["offset"] for coreset in rated)
    assert outside <= 20
    assert everywhere >= 40


def test_ties_go_to_the_smaller_offset():
    x, labels = np.ones((40, 2)), np.zeros(40, int)
    coreset = rules.bws(np.arange(40.0), keep=10, direction="harder", features=x, labels=labels)
    assert coreset.provenance["found"]["offset"] == 0
    assert coreset.order.tolist() == list(range(39, 29, -1))


def test_everything_is_one_window():
    x, labels, order = problem(n=30)
    coreset = rules.bws(order.astype(float), keep=30, direction="harder", features=x, labels=labels)
    assert coreset.provenance["found"] == {"offset": 0, "offsets": [0], "accuracy": [0.0]}


def test_columns_that_vanish_inside_a_window_are_no_matter():
    """Far outliers enter the sums and leave them: what rounding leaves behind must not pass for features."""
    rng = np.random.default_rng(0)
    x, labels = np.zeros((200, 3)), rng.integers(0, 2, 200)
    x[:50] = 1e8 * rng.normal(size=(50, 3))
    x[100:, 0] = labels[100:]
    rated = rate_windows(x, labels, np.arange(200), [0, 50, 100], 100)
    assert np.isfinite(rated).all()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, r"steps must be an integer in 1\.\.1000, got 0"),
        ({"steps": 2.5}, "steps must be"),
        ({"lam": 0}, "lam must be a number above 0"),
        ({"lam": "auto"}, "lam must be a number above 0"),
        ({"over": "rest"}, "over must be one of 'left_out', 'all'"),
        ({"quota": "proportional"}, "bws tells classes apart, so it cannot choose inside one, as quota='proportional'"),
        ({"labels": None}, "bws needs the classes"),
        ({"features": None}, "bws reads features: give features="),
    ],
)
def test_refused(changes, message):
    x, labels, order = problem(n=30)
    options = {"keep": 10, "direction": "harder", "features": x, "labels": labels, **changes}
    with pytest.raises(ArgumentError, match=message):
        rules.bws(order.astype(float), **options)
