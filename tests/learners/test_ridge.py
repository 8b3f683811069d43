"""Ridge in closed form as a learner: what it chooses, what it says of itself, what it refuses."""

import pickle

import numpy as np
import pytest
from sklearn.linear_model import Ridge, RidgeCV

import unseen
from unseen.core.closed_form import Sums
from unseen.core.plans import at_once
from unseen.data import from_arrays
from unseen.errors import ArgumentError, DataError
from unseen.learners import LEARNERS, RidgeLearner, base, passes, products, resolve, rows
from unseen.learners import ridge as tuning
from unseen.learners.rows import RowReader
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve as resolve_score

RNG = np.random.default_rng(0)
X = RNG.normal(size=(120, 6)).astype(np.float32)
Y = (X[:, 0] + RNG.normal(size=120) * 0.5 > 0).astype(int) + (X[:, 1] > 1)


def scored(learner="ridge", plan=None, x=X, y=Y, **more):
    return unseen.score(x, y, plan=plan or unseen.leave_one_out(), learner=learner, threads=1, **more)


def test_it_learns():
    for plan in (unseen.leave_one_out(), unseen.folds(5), unseen.halves(2)):
        assert (scored(plan=plan).predictions == Y).mean() > 0.6
    assert "ridge" in LEARNERS


def test_leave_one_out_is_one_fit_and_says_the_plan_it_is():
    told = []
    table = scored(report=lambda kind, **fields: told.append((kind, fields)))
    assert [fields["fits"] for kind, fields in told if kind == "plan"] == [1]
    assert table.provenance["plan"] == {"plan": "leave_one_out"}
    assert np.isfinite(table.column("el2n")).all()


def test_leave_one_out_has_no_limit():
    n = 10_001
    x = RNG.normal(size=(n, 2)).astype(np.float32)
    assert np.isfinite(scored("ridge:lam=1.0", x=x, y=(x[:, 0] > 0).astype(int)).column("el2n")).all()


def test_lambda_is_that_of_least_leave_one_out_error():
    data = from_arrays(X, Y)
    lam, _ = tuning.choose_scalars(RowReader(data, np.dtype(float)), np.arange(120), np.arange(120), 0, None, None)
    grid = tuning.GRID * tuning.mean_eigenvalue(X.astype(float))
    chosen = RidgeCV(alphas=grid, scoring=None).fit(X.astype(float), np.eye(3)[Y]).alpha_
    assert lam == pytest.approx(chosen)


def test_the_choice_reads_training_rows_only():
    """Another label of a held-out sample changes its own scores only, but for the rounding of sums subtracted."""
    plan = unseen.Exposure(train=np.arange(80), watch=np.arange(80, 120))
    y = Y.copy()
    y[80:] = (y[80:] + 1) % 3
    before, after = (scored("ridge", plan, y=labels, scores="entropy").column("entropy")[80:] for labels in (Y, y))
    np.testing.assert_allclose(before, after, rtol=1e-12)


def test_same_seed_same_numbers(monkeypatch):
    monkeypatch.setattr(tuning, "SAMPLE", 40)
    first, again, other = (scored(plan=unseen.folds(3), seed=seed).values["el2n"] for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_the_temperature_divides_raw_outputs():
    warm, raw = (scored(f"ridge:lam=2,temperature={t}", scores="label_margin:space=logits") for t in (4, 1))
    name = next(iter(raw.values))
    np.testing.assert_allclose(4 * warm.column(name), raw.column(name), rtol=1e-12)


def test_it_says_what_saw_labels():
    assert "lam and temperature, by leave-one-out" in RidgeLearner().describe()["fitted_on_labels"]
    weighted = RidgeLearner(2, 1, class_weights="balanced").describe()["fitted_on_labels"]
    assert weighted.startswith("class weights, by the counts")
    assert RidgeLearner(2, 1).describe() == {
        "learner": "ridge", "lam": 2.0, "temperature": 1.0, "class_weights": "none", "precision": "float64",
        "device": "cpu",
    }  # fmt: skip


def test_it_prunes():
    _, coreset = unseen.prune(X, Y, keep=0.5, learner="ridge", plan=unseen.leave_one_out(), rule="top")
    assert len(coreset.ids) == 60


def test_sums_do_not_travel():
    learner = RidgeLearner()
    scored(learner, unseen.halves())
    assert learner._known is not None
    assert pickle.loads(pickle.dumps(learner))._known is None


def test_constant_columns_and_more_columns_than_rows():
    x = np.concatenate([np.ones((30, 1)), RNG.normal(size=(30, 50))], axis=1).astype(np.float32)
    for plan in (unseen.leave_one_out(), unseen.folds(3)):
        assert np.isfinite(scored(plan=plan, x=x, y=np.arange(30) % 2).column("el2n")).all()


class Store:
    """A checkpoint in memory."""

    kept = None

    def load(self):
        return self.kept

    def save(self, arrays):
        self.kept = {name: np.array(array) for name, array in arrays.items()}


class Killed(Exception):  # noqa: N818 - it is no error
    pass


@pytest.mark.parametrize("plan", [unseen.leave_one_out(), unseen.folds(3)], ids=["leave one out", "folds"])
@pytest.mark.parametrize("kept", [0, 2**28], ids=["sums made again", "sums kept"])
@pytest.mark.parametrize("part", [0.2, 0.5, 0.8])
def test_a_pass_that_was_killed_goes_on_to_the_same_numbers(monkeypatch, plan, kept, part):
    monkeypatch.setattr(RowReader, "block", 7)
    monkeypatch.setattr(RowReader, "block_of", lambda rows, parts: 7)
    monkeypatch.setattr(passes.Passes, "part_rows", 7)
    monkeypatch.setattr(passes.Passes, "part_sums", 0)
    monkeypatch.setattr(passes.Passes, "fan", 3)
    monkeypatch.setattr(rows, "TOGETHER", 2)
    monkeypatch.setattr(base, "SECONDS", 0.0)
    monkeypatch.setattr(passes, "KEPT_BYTES", kept)
    held = from_arrays(X, Y)
    (fit,) = at_once(plan).fits(held.ids, held.labels)
    learner = RidgeLearner()
    unbroken, broken, again = (ScoreSink(fit, held.labels, [resolve_score("el2n")], 3) for _ in range(3))
    store = Store()
    learner.fit(held, fit, unbroken, Store(), seed=0, report=lambda *_, **__: None)

    def report(kind, **fields):
        if fields.get("part", 0) > part:
            raise Killed

    with pytest.raises(Killed):
        learner.fit(held, fit, broken, store, seed=0, report=report)
    assert (store.kept is not None) == bool(kept or part > 0.5)  # without the sums, the first pass has nothing to keep
    taken = []
    monkeypatch.setattr(held, "take", lambda rows, take=held.take: (taken.append(len(rows)), take(rows))[1])
    learner.fit(held, fit, again, store, seed=0, report=lambda *_, **__: None)
    for name, array in unbroken.result().items():
        np.testing.assert_array_equal(again.result()[name], array)
    if kept:  # the sample of the tuning, the centre, and what was not done before
        assert sum(taken) < 120 + 7 + 2 * 120 - 2 * part * 120 + 14


@pytest.mark.parametrize("parts", [1, 2, 3, 4, 9, 10, 13, 27, 28, 40])
def test_sums_that_come_in_order_are_added_as_they_are_when_they_come_at_once(parts):
    def sums(k):
        value = np.array([1.1**k + 0.1])
        return [Sums(1.0, np.zeros(1), value.copy(), value.copy(), value[:, None].copy(), value[:, None].copy())]

    pile, nodes = passes.SumTree(3), [sums(k) for k in range(parts)]
    for k in range(parts):
        pile.push(sums(k))
    while len(nodes) > 1:
        nodes = [passes.add_sums(nodes[start : start + 3]) for start in range(0, len(nodes), 3)]
    ours, theirs = pile.total()[0], nodes[0][0]
    assert (ours.n, ours.gram, ours.cross) == (theirs.n, theirs.gram, theirs.cross)
    assert ours.n == parts


def test_memory_grows_with_the_folds_and_not_with_the_rows():
    small, large = (from_arrays(np.zeros((n, 8), np.float32), np.arange(n) % 2) for n in (1_000, 2_000_000))
    learner = RidgeLearner(lam=1, temperature=1)
    assert learner.memory(small, unseen.leave_one_out()) < 2**20
    assert learner.memory(large, unseen.leave_one_out()) < 2**29
    few, many = (learner.memory(large, at_once(unseen.folds(k))) for k in (10, 1010))
    assert 1000 * 8 * 8 * 12 <= many - few < 2**29


def test_leverages_and_cooks_distances_equal_the_effects_of_leaving_out():
    """By their definition: H from its inverse, and how far all outputs move when a row is left out."""
    table = scored("ridge:lam=2,temperature=1", scores=["leverage", "cooks_distance"])
    z = X.astype(float) - X.astype(float).mean(axis=0)
    hat = 1 / 120 + z @ np.linalg.solve(z.T @ z + 2 * np.eye(6), z.T)
    np.testing.assert_allclose(table.column("leverage"), np.diag(hat), rtol=1e-10)
    hot = np.eye(3)[Y]
    outputs = hat @ hot
    p = np.trace(hat)
    variance = np.square(hot - outputs).sum() / (120 - p)
    for row in (0, 7, 119):
        rest = np.delete(np.arange(120), row)
        # Moving one's own label to its left-out prediction leaves a ridge regression as if the row had gone.
        moved = hot.copy()
        moved[row] = (
            Ridge(alpha=2.0, solver="svd").fit(X[rest].astype(float), hot[rest]).predict(X[[row]].astype(float))
        )
        h = hat[row, row]
        expected = np.square(hot[row] - outputs[row]).sum() * h / ((1 - h) ** 2 * p * variance)
        assert table.column("cooks_distance")[row] == pytest.approx(expected, rel=1e-10)
        direct = h * np.square(hot[row] - moved[row]).sum() / (p * variance)
        assert table.column("cooks_distance")[row] == pytest.approx(direct, rel=1e-8)


def test_influence_needs_the_regression_on_all():
    with pytest.raises(ArgumentError, match=r"'leverage' and 'cooks_distance' need the plan leave_one_out"):
        scored(plan=unseen.folds(3), scores="leverage")


def test_folds_are_dealt_as_ever_and_are_one_fit():
    table = scored(plan=unseen.folds(4))
    expected = np.empty(120, int)
    for fit in unseen.folds(4).fits(np.arange(120), Y):
        expected[fit.unseen] = fit.fold
    np.testing.assert_array_equal(table.folds[0], expected)


def test_which_groups_get_sums_of_their_own():
    sizes = np.array([1, 600, 80, 300, 9000])
    assert passes.large_groups(sizes, d=512, classes=10, block=8192).tolist() == [1, 3, 4]


def test_groups_that_do_not_need_own_sums_get_them_only_as_memory_allows(monkeypatch):
    monkeypatch.setattr(passes, "LARGE_BYTES", 8 * 512 * 532)
    assert passes.large_groups(np.array([700, 600, 800]), 512, 10, 8192).tolist() == [2]
    assert passes.large_groups(np.array([9000, 600, 9001]), 512, 10, 8192).tolist() == [0, 2]  # these would not


# Refusals


def test_a_device_that_is_not_here():
    with pytest.raises(ArgumentError, match="device must be 'cpu' or one that torch has here, got 'gpu'"):
        RidgeLearner(device="gpu")


@pytest.mark.parametrize("precision", ["float64", "float32"])
@pytest.mark.parametrize("weighted", [False, True])
def test_sums_by_torch(precision, weighted):
    weights = RNG.uniform(0.5, 2.0, size=120) if weighted else None
    x, centre = X.astype(precision), X.mean(axis=0).astype(float)
    adding = [sums for place in (products.OnCpu(), products.OnGpu("cpu")) for sums in place.start_sums(1, centre, 3)]
    for half in (slice(0, 50), slice(50, None)):
        for sums in adding:
            sums.add_labels(x[half], Y[half], None if weights is None else weights[half])
    ours, theirs = (sums.sums() for sums in adding)
    for name in ("n", "rows", "targets", "gram", "cross"):
        tolerance = 1e-12 if precision == "float64" else 1e-4
        np.testing.assert_allclose(getattr(theirs, name), getattr(ours, name), rtol=tolerance, atol=tolerance)


def test_a_group_without_which_there_is_one_class():
    y = np.array([0, 1] * 10 + [2] * 100)
    groups = np.r_[np.zeros(20, int), np.arange(1, 101)]
    with pytest.raises(DataError, match=r"a group of 20 samples in fit r0f0: without them, .* fewer than 2 classes"):
        scored(y=y, groups=groups)


def test_float32_where_conditioning_needs_float64():
    x = X.copy()
    x[:, 5] = x[:, 4] + 1e-6 * x[:, 5]
    with pytest.raises(DataError, match=r"precision='float32' is too coarse .* use precision='float64'"):
        scored("ridge:lam=1e-9,precision=float32", x=x)
    assert np.isfinite(scored("ridge:lam=1e-9", x=x).column("el2n")).all()


@pytest.mark.parametrize("option", ["class_weights=inverse", "precision=float16"])
def test_options_that_there_are_not(option):
    name, value = option.split("=")
    with pytest.raises(ArgumentError, match=f"{name} must be one of '.*', '.*', got '{value}'"):
        resolve(f"ridge:{option}", from_arrays(X, Y))


@pytest.mark.parametrize("options", ["lam=0", "lam=-1", "lam=big", "temperature=0", "lam=True"])
def test_options_out_of_range(options):
    with pytest.raises(ArgumentError, match="must be a number above 0, or 'auto'"):
        resolve(f"ridge:{options}", from_arrays(X, Y))


def test_unknown_option():
    with pytest.raises(
        ArgumentError,
        match="no option 'alpha'; its options: lam, temperature, class_weights, precision, device",
    ):
        resolve("ridge:alpha=1", from_arrays(X, Y))


def test_other_kinds_of_data():
    with pytest.raises(DataError, match="text data: pass embeddings"):
        scored(x=np.array(["a b", "c"] * 5), y=np.arange(10) % 2)
    with pytest.raises(DataError, match="image data: pass embeddings"):
        scored(x=np.zeros((10, 4, 4), np.uint8), y=np.arange(10) % 2)
    with pytest.raises(DataError, match=r"this is a table, .* name columns of numbers that miss none by features="):
        scored(x=np.array([["a", 1]] * 10, object), y=np.arange(10) % 2)


def test_one_class():
    with pytest.raises(DataError, match="at least 2 classes, but every label is 'a'"):
        scored(x=X[:5], y=["a"] * 5)
    plan = unseen.Exposure(train=np.flatnonzero(Y == 0), watch=np.flatnonzero(Y == 1))
    with pytest.raises(DataError, match=r"cannot learn from fit r0f0: it needs samples of at least 2 classes"):
        scored(plan=plan)


def test_nan_of_a_data_set_that_did_not_check():
    data = from_arrays(X.copy(), Y)
    data.array[5, 2] = np.nan
    with pytest.raises(DataError, match="features must be finite, but they are NaN or infinite for ids 5"):
        unseen.score(data, plan=unseen.folds(3), learner="ridge", groups=None)


def test_a_penalty_below_working_precision():
    x = np.concatenate([X, X], axis=1) * 1e6
    with pytest.raises(DataError, match="is too small for"):
        scored("ridge:lam=1e-30", unseen.folds(3), x=x)
