"""Regression targets: scores are squared residuals of models that never saw the sample, equal to those of refits."""

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import Ridge, RidgeCV

import unseen
from unseen.core import closed_form
from unseen.core.plans import at_once
from unseen.data import from_arrays
from unseen.data.parts import Part
from unseen.learners import RidgeLearner, base, passes, products
from unseen.learners import ridge as tuning
from unseen.learners.rows import RowReader
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve as resolve_score

N, D, LAM = 90, 7, 0.7
COPIES = np.array([3, 20, 31, 44, 57, 68])
PLANS = {
    "folds": unseen.folds(5, repeats=2, watch_seen=True),
    "halves": unseen.halves(2),
    "leave one out": unseen.leave_one_out(),
    "seen": unseen.seen(),
    "coreset": unseen.coreset(np.arange(0, N, 2), 3),
}


def made(copies=COPIES, **more):
    """Vectors off the origin and a target far from it, in a unit of its own; copies of one sample, targets at odds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * np.logspace(-1, 1, D) + 5.0
    x[copies[1:]] = x[copies[0]]
    if len(copies) > 2:  # a pair, which leaves by its leverages
        x[71] = x[10]
    target = 2e5 + 3e4 * (x[:, 1] + 0.1 * x[:, 6] + rng.normal(size=N))
    return from_arrays(x.astype(np.float32), target=target, **more)


class Losses:
    """A sink that keeps the losses."""

    def __init__(self):
        self.kept = {"unseen": {}, "seen": {}}

    def wants(self, side, epoch, last):
        return frozenset({"logits"})

    def observe(self, side, observation):
        assert observation.logits is None
        self.kept[side].update(zip(observation.rows.tolist(), observation.loss.tolist(), strict=True))


class Nowhere:
    def load(self):
        return None

    def save(self, arrays):
        pass


class Store:
    """A checkpoint in memory."""

    kept = None

    def load(self):
        return self.kept

    def save(self, arrays):
        self.kept = {name: np.array(array) for name, array in arrays.items()}


def residuals_by_refits(data, plan, groups):
    """`{(fit, side): {row: |residual|}}` by scikit-learn, in the unit of the target."""
    found = {}
    x = data.take(np.arange(len(data))).astype(float)
    for fit in plan.fits(data.ids, data.labels, groups=groups, seed=0):
        model = Ridge(alpha=LAM, solver="svd").fit(x[fit.train], data.targets[fit.train])
        for side in ("unseen", "seen"):
            rows = fit.watch(side)
            if len(rows):
                outside = np.abs(data.targets[rows] - model.predict(x[rows]))
                found.setdefault((fit.repeat, side), []).extend(zip(rows.tolist(), outside, strict=True))
    return {key: np.array(sorted(values)) for key, values in found.items()}


def residuals_by_ridge(data, plan, groups, learner):
    found = {}
    for fit in at_once(plan).fits(data.ids, data.labels, groups=groups, seed=0):
        sink = Losses()
        learner.fit(data, fit, sink, Nowhere(), seed=0, report=lambda *_, **__: None)
        for side, kept in sink.kept.items():
            if kept:
                found.setdefault((fit.repeat, side), []).extend(kept.items())
    both = {key: np.array(sorted(values)) for key, values in found.items()}
    return {key: np.column_stack([values[:, 0], np.sqrt(values[:, 1])]) for key, values in both.items()}


def assert_equals_refits(plan, learner=None, data=None):
    data = made() if data is None else data
    groups = data.duplicate_groups()
    expected = residuals_by_refits(data, plan, groups)
    found = residuals_by_ridge(data, plan, groups, learner or RidgeLearner(lam=LAM))
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_array_equal(found[key][:, 0], expected[key][:, 0])
        np.testing.assert_allclose(found[key][:, 1], expected[key][:, 1], rtol=1e-8, atol=1e-8 * data.targets.std())


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_residuals_equal_those_of_refits(plan):
    assert_equals_refits(plan)


@pytest.mark.parametrize("size", [0, 2**30], ids=["by leverages", "by sums of their own"])
def test_both_ways_to_leave_a_group_out(monkeypatch, size):
    monkeypatch.setattr(passes, "LARGE_BYTES", size)
    assert_equals_refits(unseen.folds(4))
    assert_equals_refits(unseen.leave_one_out())


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_products_by_torch(plan):
    learner = RidgeLearner(lam=LAM)
    learner._products = products.OnGpu("cpu")
    assert_equals_refits(plan, learner)
    assert learner._products._placed is not None


@pytest.mark.gpu
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_products_on_a_gpu(plan):
    assert_equals_refits(plan, RidgeLearner(lam=LAM, device="cuda"))


def test_blocks_change_nothing(monkeypatch):
    monkeypatch.setattr(RowReader, "block", 4)
    assert_equals_refits(unseen.leave_one_out())


def test_planted_in_sample_residuals_are_caught(monkeypatch):
    monkeypatch.setattr(passes, "left_out", lambda outputs, *_: (outputs, np.ones(len(outputs))))
    monkeypatch.setattr(products, "fetch", lambda outputs: outputs)
    monkeypatch.setattr(
        products.OnCpu, "outputs_and_leverages", lambda self, solution, x: (solution.outputs(x), np.zeros(len(x)))
    )
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(unseen.leave_one_out())


def test_planted_copies_that_are_left_out_one_by_one_are_caught(monkeypatch):
    monkeypatch.setattr(passes, "LARGE_BYTES", 0)  # no group has sums of its own
    left_out = closed_form.left_out
    monkeypatch.setattr(
        passes, "left_out", lambda outputs, y, roots, of, w: left_out(outputs, y, roots, np.arange(len(of)), w)
    )
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(unseen.leave_one_out())


def test_lambda_is_that_of_least_leave_one_out_error():
    data = made(COPIES[:1])
    lam, temperature = tuning.choose_scalars(RowReader(data, np.dtype(float)), np.arange(N), np.arange(N), 0, None, 1.0)
    x = data.take(np.arange(N)).astype(float)
    chosen = RidgeCV(alphas=tuning.GRID * tuning.mean_eigenvalue(x), scoring=None).fit(x, data.targets).alpha_
    assert (lam, temperature) == (pytest.approx(chosen), 1.0)


def test_another_target_of_a_held_out_sample_changes_its_own_score_only():
    data = made(COPIES[:1])
    plan = unseen.Exposure(train=np.arange(60), watch=np.arange(60, N))
    other = data.targets.copy()
    other[80:] += 1e6
    x = data.take(np.arange(N))
    first, second = (
        unseen.score(from_arrays(x, target=t), plan=plan, learner="ridge", threads=1).column("loss")
        for t in (data.targets, other)
    )
    np.testing.assert_allclose(second[60:80], first[60:80], rtol=1e-9)
    assert (second[80:] > first[80:]).all()


def test_the_unit_and_the_origin_of_the_target_change_the_unit_of_the_score_only():
    data = made()
    x = data.take(np.arange(N))
    table, other = (
        unseen.score(from_arrays(x, target=t), plan=unseen.leave_one_out(), learner="ridge", threads=1)
        for t in (data.targets, 1e-7 * data.targets - 3)
    )
    np.testing.assert_allclose(other.column("loss"), 1e-14 * table.column("loss"), rtol=1e-6)


def test_cooks_distances_are_those_of_their_formula():
    data = made(COPIES[:1])
    table = unseen.score(
        data,
        scores=["cooks_distance", "leverage", "loss"],
        plan=unseen.leave_one_out(),
        learner="ridge:lam=0.7",
        threads=1,
    )
    x = data.take(np.arange(N)).astype(float)
    z = x - x.mean(axis=0)
    hat = 1 / N + z @ np.linalg.solve(z.T @ z + LAM * np.eye(D), z.T)
    inside = data.targets - hat @ data.targets
    h, freedom = np.diag(hat), np.trace(hat)
    expected = inside**2 * h / ((1 - h) ** 2 * freedom * (inside @ inside / (N - freedom)))
    np.testing.assert_allclose(table.column("cooks_distance"), expected, rtol=1e-7)
    np.testing.assert_allclose(table.column("loss"), (inside / (1 - h)) ** 2, rtol=1e-7)


@pytest.mark.parametrize("plan", [unseen.leave_one_out(), unseen.folds(4), unseen.halves()])
def test_shuffling_the_rows_moves_the_scores_with_their_ids(plan):
    data = made(COPIES[:2])
    x, order, ids = data.take(np.arange(N)), np.random.default_rng(3).permutation(N), np.arange(N) * 3 + 1
    first, second = (
        unseen.score(from_arrays(x[o], target=data.targets[o], ids=ids[o]), plan=plan, threads=1).values["loss"]
        for o in (np.arange(N), order)
    )
    np.testing.assert_allclose(second, first[:, order], rtol=1e-10)


def test_same_seed_same_bits_on_any_executor():
    one, again, two = (
        unseen.score(made(), plan=unseen.folds(3), threads=1, jobs=jobs).values["loss"] for jobs in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, again)
    np.testing.assert_array_equal(one, two)


def test_diabetes_is_pruned_by_leave_one_out():
    x, progression = load_diabetes(return_X_y=True)
    data = from_arrays(x, target=progression)
    table, coreset = unseen.prune(data, keep=0.7, score="loss", plan=unseen.leave_one_out(), learner="ridge", threads=1)
    assert table.predictions is None
    assert table.scores == ("loss",)
    assert table.provenance["learner"]["learner"] == "ridge"
    share = table.column("loss").mean() / progression.var()
    assert 0.4 < share < 0.6  # what ridge leaves unexplained of these patients
    assert (coreset.provenance["rule"], coreset.provenance["found"]) == ("trimmed", {"outliers": 0})
    assert len(coreset) == 309
    assert unseen.select(table, keep=0.7).ids.tolist() == coreset.ids.tolist()


def test_quotas_keep_the_distribution_of_the_target():
    x, progression = load_diabetes(return_X_y=True)
    data = from_arrays(x, target=progression)
    _, coreset = unseen.prune(data, keep=0.5, quota="proportional", plan=unseen.leave_one_out(), threads=1)
    kept = np.bincount(data.labels[coreset.indices], minlength=10)
    assert np.abs(kept - np.bincount(data.labels) / 2).max() <= 1


def test_a_part_is_judged_by_its_own_targets():
    data = made(COPIES[:1])
    half = Part(data, np.arange(0, N, 2))
    alone = from_arrays(data.take(half.rows), target=data.targets[half.rows], ids=half.ids)
    losses = [
        unseen.score(d, plan=unseen.leave_one_out(), learner="ridge:lam=0.7", threads=1).column("loss")
        for d in (half, alone)
    ]
    np.testing.assert_allclose(*losses, rtol=1e-9)


@pytest.mark.parametrize("part", [0.2, 0.8])
def test_a_pass_that_was_killed_goes_on_to_the_same_numbers(monkeypatch, part):
    monkeypatch.setattr(RowReader, "block", 7)
    monkeypatch.setattr(RowReader, "block_of", lambda rows, parts: 7)
    monkeypatch.setattr(passes.Passes, "part_rows", 7)
    monkeypatch.setattr(passes.Passes, "part_sums", 0)
    monkeypatch.setattr(base, "SECONDS", 0.0)
    data = made(COPIES[:1])
    (fit,) = at_once(unseen.leave_one_out()).fits(data.ids, data.labels)
    unbroken, broken, again = (ScoreSink(fit, data.labels, [resolve_score("loss")], 10) for _ in range(3))
    learner, store = RidgeLearner(), Store()
    learner.fit(data, fit, unbroken, Nowhere(), seed=0, report=lambda *_, **__: None)

    def report(kind, **fields):
        if fields.get("part", 0) > part:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        learner.fit(data, fit, broken, store, seed=0, report=report)
    assert store.kept is not None
    learner.fit(data, fit, again, store, seed=0, report=lambda *_, **__: None)
    assert unbroken.result().keys() == {"0/unseen/value"}
    np.testing.assert_array_equal(again.result()["0/unseen/value"], unbroken.result()["0/unseen/value"])


def test_more_features_than_samples_and_constant_columns():
    x = np.random.default_rng(2).normal(size=(30, 50)).astype(np.float32)
    x[:, 7] = 3.0
    assert_equals_refits(unseen.leave_one_out(), data=from_arrays(x, target=np.random.default_rng(3).normal(size=30)))


@pytest.mark.parametrize("plan", [unseen.folds(4), unseen.leave_one_out(), unseen.halves()])
def test_float32_products_are_near(plan):
    data = made()
    coarse, fine = (
        residuals_by_ridge(data, plan, data.duplicate_groups(), RidgeLearner(lam=LAM, precision=precision))
        for precision in ("float32", "float64")
    )
    for key in fine:
        np.testing.assert_allclose(coarse[key], fine[key], atol=6e-4 * data.targets.std())
        assert (coarse[key] != fine[key]).any()


@pytest.mark.parametrize("learner", [None, "ridge:lam=2.0", RidgeLearner()])
def test_the_manifest_of_a_target_has_no_temperature(tmp_path, learner):
    unseen.score(made(), learner=learner, out=tmp_path / "target", threads=1)
    told = (tmp_path / "target" / "manifest.json").read_text()
    assert '"lam"' in told
    assert "temperature" not in told
    x = np.random.default_rng(0).normal(size=(N, 3))
    unseen.score(x, np.arange(N) % 3, learner=learner or "ridge", out=tmp_path / "labels", threads=1)
    assert "temperature" in (tmp_path / "labels" / "manifest.json").read_text(), "the same learner, of classes"
