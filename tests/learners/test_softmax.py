"""Softmax regression as a learner: what it chooses, what it says of itself, when ridge takes its place, refusals."""

import sys

import numpy as np
import pytest

import unseen
from unseen.cli import main
from unseen.core.plans import at_once
from unseen.data import from_arrays
from unseen.errors import ArgumentError, DataError
from unseen.learners import RidgeLearner, SoftmaxLearner, base, resolve, softmax
from unseen.learners.softmax import train
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve as resolve_score

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=120) * 0.5 > 0).astype(int) + (X[:, 1] > 1)
PLANS = [unseen.leave_one_out(), unseen.folds(4), unseen.halves(), unseen.seen()]


def scored(learner="softmax", plan=None, x=X, y=Y, **more):
    return unseen.score(x, y, plan=plan or unseen.leave_one_out(), learner=learner, threads=1, **more)


@pytest.mark.parametrize("plan", PLANS)
def test_it_learns(plan):
    assert (scored(plan=plan).predictions == Y).mean() > 0.7


def test_leave_one_out_is_one_fit_and_says_how():
    told = []
    table = scored(report=lambda kind, **fields: told.append((kind, fields)))
    plan = next(fields for kind, fields in told if kind == "plan")
    assert (plan["fits"], plan["learner_bytes"] > 0) == (1, True)
    assert table.provenance["learner"]["leave_one_out"] == "one Newton step"
    assert table.provenance["learner"]["fitted_on_labels"].startswith("lam, by approximate leave-one-out")
    assert SoftmaxLearner(2).describe() == {"learner": "softmax", "lam": 2.0, "leave_one_out": "one Newton step"}


def test_lambda_is_the_best_of_its_grid_by_leave_one_out():
    chosen = scored(scores="loss").column("loss")
    x = X.astype(float)
    grid = softmax.GRID * np.square(x - x.mean(axis=0)).sum() / 6
    tried = [scored(f"softmax:lam={lam:.17g}", scores="loss").column("loss") for lam in grid]
    best = int(np.argmin([losses.mean() for losses in tried]))
    assert 0 < best < len(grid) - 1
    np.testing.assert_allclose(chosen, tried[best], rtol=1e-8)


@pytest.mark.parametrize("together", [False, True])
def test_the_choice_reads_training_rows_only(together):
    """Other labels of held-out samples change nothing but their own scores, not even the lambda of their fold."""
    fold_of = np.arange(120) // 40
    fold = np.arange(40)
    y = Y.copy()
    y[fold] = (y[fold] + 1) % 3
    if together:
        fit = unseen.Fit(train=fold[:0], unseen=np.arange(120), apart=fold_of, folds=fold_of)
    else:
        fit = unseen.Fit(train=np.arange(40, 120), unseen=fold)
    before, after = (observed(SoftmaxLearner(), from_arrays(X, labels), fit)["0/unseen/value"] for labels in (Y, y))
    np.testing.assert_array_equal(before[:40], after[:40])
    if together:
        assert (before[40:] != after[40:]).any()


def assert_equal(before, after):
    assert before.keys() == after.keys()
    for name in before:
        np.testing.assert_array_equal(before[name], after[name])


def observed(learner, data, fit, store=None, report=lambda *_, **__: None):
    sink = ScoreSink(fit, data.labels, [resolve_score("entropy")], len(data.class_names))
    learner.fit(data, fit, sink, store or Store(), seed=0, report=report)
    return sink.result()


def test_same_seed_same_numbers(monkeypatch):
    monkeypatch.setattr(softmax, "SAMPLE", 30)
    first, again = (scored(plan=unseen.folds(3)).values["el2n"] for _ in range(2))
    np.testing.assert_array_equal(first, again)


def test_inputs_that_are_not_kept_in_memory(monkeypatch):
    kept = scored("softmax:lam=1.0").values["el2n"]
    monkeypatch.setattr(softmax, "HELD_BYTES", 0)
    monkeypatch.setattr(softmax.RowReader, "block", 7)
    monkeypatch.setattr(softmax, "BATCH_BYTES", 8 * 21 * 5)
    np.testing.assert_allclose(scored("softmax:lam=1.0").values["el2n"], kept, rtol=1e-8)


def test_constant_columns_and_more_columns_than_rows():
    x = np.concatenate([np.ones((30, 1)), RNG.normal(size=(30, 50))], axis=1).astype(np.float32)
    for plan in PLANS:
        assert np.isfinite(scored(plan=plan, x=x, y=np.arange(30) % 2).column("el2n")).all()


def test_a_class_that_training_lacks():
    plan = unseen.Exposure(train=np.flatnonzero(Y < 2), watch=np.flatnonzero(Y == 2))
    table = scored("softmax:lam=1.0", plan, scores="loss")
    np.testing.assert_allclose(table.column("loss")[Y == 2], 87.3, atol=0.1)


def test_it_prunes():
    _, coreset = unseen.prune(X, Y, keep=0.5, learner="softmax", plan=unseen.leave_one_out(), rule="top")
    assert len(coreset.ids) == 60


class Store:
    """A checkpoint in memory."""

    kept = None

    def load(self):
        return self.kept

    def save(self, arrays):
        self.kept = {name: np.array(array) for name, array in arrays.items()}


class Killed(Exception):  # noqa: N818 - it is no error
    pass


@pytest.mark.parametrize("plan", [unseen.leave_one_out(), unseen.folds(4)], ids=["leave one out", "folds"])
def test_a_fit_that_was_killed_goes_on_to_the_same_numbers(monkeypatch, plan):
    monkeypatch.setattr(base, "SECONDS", 0.0)
    monkeypatch.setattr(softmax, "BATCH_BYTES", 8 * 21 * 20)
    data, store = from_arrays(X, Y), Store()
    (fit,) = at_once(plan).fits(data.ids, data.labels)
    unbroken = observed(SoftmaxLearner(1.0), data, fit)

    def report(kind, **fields):
        if fields.get("part", 0) > 0.7:
            raise Killed

    with pytest.raises(Killed):
        observed(SoftmaxLearner(1.0), data, fit, store, report)
    assert store.kept["watched"] > 1
    trained = []
    monkeypatch.setattr(softmax, "train", lambda *given: (trained.append(1), train(*given))[1])
    assert_equal(observed(SoftmaxLearner(1.0), data, fit, store), unbroken)
    assert len(trained) <= 2


# Too large


def wide():
    return from_arrays(RNG.normal(size=(408, 99)).astype(np.float32), np.arange(408) % 102)


def test_ridge_replaces_it_with_a_warning():
    with pytest.warns(UserWarning, match=r"at most 10,000 coefficients, but 102 classes of 99 .* 'ridge' learns in"):
        learner = resolve("softmax:lam=2.0", wide())
    assert isinstance(learner, RidgeLearner)
    assert learner.lam == "auto"
    with pytest.warns(UserWarning, match="'ridge' learns"):
        table = unseen.score(wide(), plan=unseen.folds(2), learner="softmax", threads=1)
    assert table.provenance["learner"]["learner"] == "ridge"
    with pytest.raises(DataError, match=r"at most 10,000 coefficients, .* use the learner 'ridge'"):
        SoftmaxLearner().check(wide())


@pytest.mark.filterwarnings("default::UserWarning")
def test_the_program_shows_the_warning(tmp_path, monkeypatch, capfd):
    np.savez(tmp_path / "wide.npz", x=wide().take(np.arange(408)), y=np.arange(408) % 102)
    command = ["score", tmp_path / "wide.npz", "--learner", "softmax", "--folds", 2, "--out", tmp_path / "run"]
    monkeypatch.setattr(sys, "argv", ["unseen", *map(str, command)])
    with pytest.raises(SystemExit) as end:
        main()
    assert not end.value.code
    assert "warning: softmax takes at most 10,000 coefficients" in capfd.readouterr().err
    assert '"learner": "ridge"' in (tmp_path / "run" / "manifest.json").read_text()


# Refusals


@pytest.mark.parametrize("options", ["lam=0", "lam=-1", "lam=big", "lam=True"])
def test_options_out_of_range(options):
    with pytest.raises(ArgumentError, match="lam must be a number above 0, or 'auto'"):
        resolve(f"softmax:{options}", from_arrays(X, Y))


def test_unknown_option():
    with pytest.raises(ArgumentError, match="'softmax' has no option 'C'; its options: lam"):
        resolve("softmax:C=1", from_arrays(X, Y))


def test_other_kinds_of_data():
    with pytest.raises(DataError, match="text data: pass embeddings"):
        scored(x=np.array(["a b", "c"] * 5), y=np.arange(10) % 2)
    with pytest.raises(DataError, match="image data: pass embeddings"):
        scored(x=np.zeros((10, 4, 4), np.uint8), y=np.arange(10) % 2)


def test_one_class():
    with pytest.raises(DataError, match="at least 2 classes, but every label is 'a'"):
        scored(x=X[:5], y=["a"] * 5)
    plan = unseen.Exposure(train=np.flatnonzero(Y == 0), watch=np.flatnonzero(Y == 1))
    with pytest.raises(DataError, match=r"cannot learn from fit r0f0: it needs samples of at least 2 classes"):
        scored(plan=plan)


def test_a_group_without_which_there_is_one_class():
    y = np.array([0, 1] * 10 + [2] * 100)
    groups = np.r_[np.zeros(20, int), np.arange(1, 101)]
    with pytest.raises(DataError, match=r"a group of 20 samples in fit r0f0: without them, .* fewer than 2 classes"):
        scored(y=y, groups=groups)


def test_nan_of_a_data_set_that_did_not_check():
    data = from_arrays(X.copy(), Y)
    data.array[5, 2] = np.nan
    with pytest.raises(DataError, match="features must be finite, but they are NaN or infinite for ids 5"):
        unseen.score(data, plan=unseen.folds(3), learner="softmax", groups=None)


def test_a_penalty_below_working_precision():
    x = np.concatenate([X, X], axis=1) * 1e6
    with pytest.raises(DataError, match=r"lam=1e-30 is too small for these features: .* raise lam, or scale"):
        scored("softmax:lam=1e-30", unseen.folds(3), x=x)
