"""Law 6: the closed form equals refitting, on raw outputs, for every plan; and so law 1 holds for it."""

import numpy as np
import pytest
from sklearn.linear_model import Ridge
from threadpoolctl import threadpool_info

import unseen
from unseen.core import closed_form
from unseen.core.arrays import as_numpy
from unseen.core.plans import Within, at_once
from unseen.core.table import ScoreTable
from unseen.data import from_arrays
from unseen.data.labels import join_groups
from unseen.learners import passes, products
from unseen.learners import ridge as learner
from unseen.learners.ridge import RidgeLearner
from unseen.learners.rows import RowReader

N, D, CLASSES, LAM = 90, 7, 3, 0.7
MEMBERS = np.arange(0, N, 2)
PLANS = {
    "seen": unseen.seen(),
    "folds": unseen.folds(5, repeats=2, watch_seen=True),
    "halves": unseen.halves(2),
    "leave one out": unseen.leave_one_out(),
    "coreset": unseen.coreset(MEMBERS, 3),
    "leave one out within": Within(unseen.leave_one_out(), MEMBERS),
    "of your own": unseen.Exposure(train=np.arange(12), watch=np.arange(12, N)),
}


COPIES = np.array([3, 20, 31, 44, 57, 68])


def data(groups=None, copies=COPIES):
    """Vectors off the origin, on scales far apart; exact copies of one, a pair of another, labels at odds."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(N, D)) * np.logspace(-1, 1, D) + 5.0
    y = rng.integers(CLASSES, size=N)
    x[:, 2] += y
    x[copies[1:]] = x[3]
    x[71] = x[10]
    return from_arrays(x.astype(np.float32), y, groups=groups)


class Collected:
    """A sink that keeps raw outputs."""

    def __init__(self):
        self.outputs = {"unseen": {}, "seen": {}}

    def wants(self, side, epoch, last):
        return frozenset({"logits"})

    def observe(self, side, observation):
        self.outputs[side].update(zip(observation.rows.tolist(), as_numpy(observation.logits), strict=True))


def outputs_of(learner, held, plan, groups):
    """`{(repeat, side): outputs (n, C)}`, NaN where nobody asked; the mean where several models were asked."""
    total, times = {}, {}
    for fit in plan.fits(held.ids, held.labels, groups=groups, seed=0):
        sink = Collected()
        learner.fit(held, fit, sink, Nowhere(), seed=0, report=lambda *_, **__: None)
        for side, outputs in sink.outputs.items():
            assert sorted(outputs) == sorted(fit.watch(side).tolist())
            key = fit.repeat, side
            total.setdefault(key, np.zeros((N, CLASSES)))
            times.setdefault(key, np.zeros((N, 1)))
            for row, output in outputs.items():
                total[key][row] += output
                times[key][row] += 1
    return {key: total[key] / np.where(times[key] > 0, times[key], np.nan) for key in total}


class Nowhere:
    """Keeps no checkpoint."""

    def load(self):
        return None

    def save(self, arrays):
        pass


class Refits:
    """Trains for every fit, by somebody else's code."""

    def __init__(self, predict):
        self.predict = predict

    def fit(self, held, fit, sink, checkpoints, *, seed, report):
        for side in ("unseen", "seen"):
            rows = fit.watch(side)
            if len(rows):
                y = np.eye(CLASSES)[held.labels[fit.train]]
                outputs = self.predict(held.take(fit.train).astype(float), y, held.take(rows).astype(float))
                sink.observe(side, unseen.Observation(rows, 1, outputs))


def by_sklearn(x, y, asked):
    return Ridge(alpha=LAM, solver="svd").fit(x, y).predict(asked)


def by_lstsq(x, y, asked):
    """The augmented system: rows of sqrt(lam) for every weight but the bias."""
    system = np.block([[np.ones((len(x), 1)), x], [np.zeros((D, 1)), LAM**0.5 * np.eye(D)]])
    weights = np.linalg.lstsq(system, np.concatenate([y, np.zeros((D, CLASSES))]), rcond=None)[0]
    return np.column_stack([np.ones(len(asked)), asked]) @ weights


def assert_equals_refits(learner, plan, predict, *, groups=None):
    held = data(groups)
    bound = join_groups(held.groups, held.duplicate_groups())
    if isinstance(plan, type(PLANS["of your own"])):
        bound = None
    expected = outputs_of(Refits(predict), held, plan, bound)
    found = outputs_of(learner, held, at_once(plan), bound)
    assert found.keys() == expected.keys()
    for key in expected:
        np.testing.assert_allclose(found[key], expected[key], rtol=1e-8, atol=1e-8)


def exact():
    return RidgeLearner(lam=LAM, temperature=1)


@pytest.mark.parametrize("predict", [by_sklearn, by_lstsq])
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_it_equals_refits(plan, predict):
    assert_equals_refits(exact(), plan, predict)


@pytest.mark.parametrize("plan", [unseen.folds(3), unseen.leave_one_out()], ids=["folds", "leave one out"])
@pytest.mark.parametrize("size", [3, 30], ids=["small groups", "groups larger than d"])
def test_groups_are_left_out_together(plan, size):
    groups = np.arange(N) // size
    groups[COPIES], groups[[10, 71]] = 1, 0  # copies would bind whatever groups they are in
    assert_equals_refits(exact(), plan, by_sklearn, groups=groups)


@pytest.mark.parametrize("size", [0, 2**30], ids=["by leverages", "by sums of their own"])
def test_both_ways_to_leave_a_fold_out(monkeypatch, size):
    monkeypatch.setattr(passes, "LARGE_BYTES", size)
    assert_equals_refits(exact(), unseen.folds(4), by_sklearn)
    assert_equals_refits(exact(), unseen.leave_one_out(), by_sklearn, groups=np.arange(N) // 20)


@pytest.mark.parametrize("plan", [unseen.folds(4), unseen.leave_one_out()], ids=["folds", "leave one out"])
@pytest.mark.parametrize("size", [0, 2**30])
def test_class_weights_equal_weighted_refits(monkeypatch, plan, size):
    monkeypatch.setattr(passes, "LARGE_BYTES", size)
    held = data()
    counts = np.bincount(held.labels)

    def weighted(x, y, asked):
        weights = (N / (CLASSES * counts))[y.argmax(axis=1)]  # by the counts of all rows, as the models at once have it
        return Ridge(alpha=LAM, solver="svd").fit(x, y, sample_weight=weights).predict(asked)

    learner = RidgeLearner(lam=LAM, temperature=1, class_weights="balanced")
    assert_equals_refits(learner, plan, weighted)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(exact(), plan, weighted)


def test_class_weights_of_a_fit_by_itself_are_those_of_its_own_rows():
    def weighted(x, y, asked):
        weights = (len(x) / (CLASSES * y.sum(axis=0)))[y.argmax(axis=1)]
        return Ridge(alpha=LAM, solver="svd").fit(x, y, sample_weight=weights).predict(asked)

    assert_equals_refits(RidgeLearner(LAM, 1, "balanced"), unseen.halves(), weighted)


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_products_by_torch(plan):
    """What runs on a GPU, here on the processor."""
    learner = exact()
    learner._products = products.OnGpu("cpu")
    assert_equals_refits(learner, plan, by_sklearn)
    assert learner._products._placed is not None


@pytest.mark.gpu
@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_products_on_a_gpu(plan):
    assert_equals_refits(RidgeLearner(lam=LAM, temperature=1, device="cuda"), plan, by_sklearn)


@pytest.mark.parametrize("plan", [unseen.folds(4), unseen.leave_one_out(), unseen.halves()])
def test_float32_products_are_near(plan):
    """Conditioned at about 1e4: off by 6e-8 times that at worst."""
    held = data()
    bound = held.duplicate_groups()
    coarse, fine = (
        outputs_of(RidgeLearner(LAM, 1, precision=precision), held, at_once(plan), bound)
        for precision in ("float32", "float64")
    )
    for key in fine:
        np.testing.assert_allclose(coarse[key], fine[key], atol=6e-4)
        assert (coarse[key] != fine[key]).any()


@pytest.mark.parametrize("block", [1, 4, 1000])
def test_blocks_change_nothing(monkeypatch, block):
    monkeypatch.setattr(RowReader, "block", block)
    assert_equals_refits(exact(), unseen.leave_one_out(), by_sklearn)
    assert_equals_refits(exact(), unseen.folds(3), by_sklearn)


@pytest.mark.parametrize("n", [0, 1, 255, 256, 100_003])
@pytest.mark.parametrize("weighted", [False, True])
def test_row_sums_lose_no_digits_in_float32(n, weighted):
    """Far from the centre, as where the first block says little of the others."""
    rng = np.random.default_rng(0)
    x, w = (rng.random((n, 3)) + 1000).astype(np.float32), rng.random(n).astype(np.float32)
    sums = closed_form.Summing(np.zeros(3), 1)
    sums.add(x, np.zeros((n, 1)), w.astype(float) if weighted else None)
    expected = (w[:, None] * x if weighted else x).sum(axis=0, dtype=np.float64)
    np.testing.assert_allclose(sums.sums().rows, expected, rtol=2e-6)


def test_copies_by_their_formula():
    """(F - m h ybar) / (1 - m h) for m copies of leverage h."""
    held = data()
    x, y = held.take(np.arange(N)).astype(float), np.eye(CLASSES)[held.labels]
    sums = closed_form.Summing(x.mean(axis=0), CLASSES)
    sums.add(x, y)
    solution = closed_form.solve(sums.sums(), LAM)
    roots = solution.roots(x[COPIES])
    h, m = float(roots[:, 0] @ roots[:, 0]), len(COPIES)
    expected = (solution.outputs(x[COPIES]) - m * h * y[COPIES].mean(axis=0)) / (1 - m * h)
    found, gap = closed_form.left_out(solution.outputs(x[COPIES]), y[COPIES], roots, np.zeros(m, int))
    np.testing.assert_allclose(found, expected, rtol=1e-10)
    np.testing.assert_allclose(gap, 1 - m * h, rtol=1e-10)


@pytest.mark.parametrize(("precision", "lam", "tolerance"), [("float64", 0.01, 1e-7), ("float32", 2e6, 1e-4)])
def test_a_sample_of_leverage_one_is_left_out_by_a_refit(precision, lam, tolerance):
    """A sample of leverage 1 to within rounding: the formula would divide 0 by 0."""
    x = np.random.default_rng(1).normal(size=(40, 3))
    x[:, 2] = 0.0
    x[7, 2] = 3e5
    held = from_arrays(x.astype(np.float32), np.arange(40) % 2)
    learner = RidgeLearner(lam=lam, temperature=1, precision=precision)
    table = {}
    for plan in (unseen.leave_one_out(), at_once(unseen.leave_one_out())):
        found = {}
        for fit in plan.fits(held.ids, held.labels):
            sink = Collected()
            learner.fit(held, fit, sink, Nowhere(), seed=0, report=lambda *_, **__: None)
            found.update(sink.outputs["unseen"])
        table[plan.together] = np.array([found[row] for row in range(40)])
    np.testing.assert_allclose(table[True], table[False], rtol=tolerance, atol=tolerance)


def test_sums_that_would_lose_their_digits_are_made_anew():
    """A column that is nearly all in the fold left out: subtracting would leave rounding."""
    x = np.random.default_rng(1).normal(size=(60, 2)).astype(np.float32)
    x[:10, 1] *= 1e7
    held = from_arrays(x, np.arange(60) % 2)
    fit = unseen.Fit(train=np.arange(10, 60), unseen=np.arange(10))
    sink = Collected()
    exact().fit(held, fit, sink, Nowhere(), seed=0, report=lambda *_, **__: None)
    expected = Ridge(alpha=LAM, solver="svd").fit(x[10:].astype(float), np.eye(2)[held.labels[10:]]).predict(x[:10])
    np.testing.assert_allclose([sink.outputs["unseen"][r] for r in range(10)], expected, rtol=1e-8)


# Planted violations


def test_planted_in_sample_outputs_are_caught(monkeypatch):
    monkeypatch.setattr(passes, "left_out", lambda outputs, *_: (outputs, np.ones(len(outputs))))
    monkeypatch.setattr(products, "left_alone", lambda outputs, *_: (outputs, np.ones(len(outputs))))
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(exact(), unseen.leave_one_out(), by_sklearn)


def test_planted_copies_that_are_left_out_one_by_one_are_caught(monkeypatch):
    monkeypatch.setattr(passes, "LARGE_BYTES", 0)  # no group has sums of its own
    left_out = closed_form.left_out
    monkeypatch.setattr(
        passes, "left_out", lambda outputs, y, roots, of, w: left_out(outputs, y, roots, np.arange(len(of)), w)
    )
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(exact(), unseen.leave_one_out(), by_sklearn)


def test_a_planted_penalty_of_the_bias_is_caught():
    def penalised(x, y, asked):
        x, asked = (np.column_stack([np.ones(len(part)), part]) for part in (x, asked))
        return Ridge(alpha=LAM, fit_intercept=False, solver="svd").fit(x, y).predict(asked)

    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(exact(), unseen.folds(3), penalised)


def test_planted_sums_over_everything_are_caught(monkeypatch):
    monkeypatch.setattr(closed_form.Sums, "__sub__", lambda self, other: self)
    with pytest.raises(AssertionError, match="Not equal to tolerance"):
        assert_equals_refits(exact(), unseen.folds(5), by_sklearn)


# Through the verbs


def scored(held, plan, learner="ridge:lam=0.7", **more) -> ScoreTable:
    return unseen.score(held, scores=["loss", "margin"], plan=plan, learner=learner, threads=1, **more)


@pytest.mark.parametrize("learner", ["ridge:lam=0.7", "ridge"])
@pytest.mark.parametrize("plan", [unseen.leave_one_out(), unseen.folds(4), unseen.halves()])
def test_shuffling_the_rows_moves_the_scores_with_their_ids(plan, learner):
    held = data(copies=COPIES[:2])
    x, y = held.take(np.arange(N)), held.labels
    order = np.random.default_rng(3).permutation(N)
    ids = np.arange(N) * 3 + 1
    first = scored(from_arrays(x, y, ids=ids), plan, learner)
    second = scored(from_arrays(x[order], y[order], ids=ids[order]), plan, learner)
    for name in first.values:
        np.testing.assert_allclose(second.values[name], first.values[name][:, order], rtol=1e-10)


def test_workers_change_nothing():
    one, two = (scored(data(), unseen.folds(3), jobs=jobs) for jobs in (1, 2))
    np.testing.assert_array_equal(one.values["loss"], two.values["loss"])


@pytest.mark.parametrize("plan", [unseen.leave_one_out(), unseen.folds(3)], ids=["leave one out", "folds"])
def test_threads_change_nothing(monkeypatch, plan):
    """Sums are made in lanes and pieces of their own, however many threads there are."""
    monkeypatch.setattr(RowReader, "block", 10)
    monkeypatch.setattr(RowReader, "block_of", lambda self, parts: 10)
    learner = f"ridge:lam={LAM},temperature=1"
    one, *more = (unseen.score(data(), plan=plan, learner=learner, threads=threads) for threads in (1, 2, 5))
    for other in more:
        np.testing.assert_array_equal(other.values["el2n"], one.values["el2n"])


@pytest.mark.parametrize("plan", [unseen.leave_one_out(), unseen.folds(3)], ids=["leave one out", "folds"])
def test_threads_change_nothing_where_lambda_and_the_temperature_are_chosen(plan):
    one, two = (wide(plan, threads) for threads in (1, 2))
    np.testing.assert_array_equal(two.values["el2n"], one.values["el2n"])


@pytest.mark.parametrize(("shared", "threads"), [(1_024, {1}), (1, {2})], ids=["few columns", "many columns"])
def test_lambda_is_chosen_by_products_of_one_thread_each_where_columns_are_few(monkeypatch, shared, threads):
    met = set()

    def told(*_):
        met.update(each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas")
        return LAM, 1.0

    monkeypatch.setattr(passes, "SHARED", shared)
    monkeypatch.setattr(learner, "choose_scalars", told)
    wide(unseen.leave_one_out(), threads=2)
    assert met == threads


def wide(plan, threads):
    """Of enough rows and columns that products would be divided among threads."""
    rng = np.random.default_rng(4)
    y = rng.integers(0, 5, 3000)
    x = (0.1 * rng.normal(size=(5, 400))[y] + rng.normal(size=(3000, 400))).astype(np.float32)
    return unseen.score(from_arrays(x, y), plan=plan, learner="ridge", threads=threads)


@pytest.mark.parametrize("width", [1, closed_form.PANEL - 1, closed_form.PANEL + 1, 300])
def test_leverages_are_those_of_the_hat_matrix(width):
    x = np.random.default_rng(0).normal(size=(350, width))
    sums = closed_form.Summing(x.mean(axis=0), 1)
    sums.add(x, x[:, :1])
    z = x - x.mean(axis=0)
    hat = 1 / len(x) + z @ np.linalg.solve(z.T @ z + LAM * np.eye(width), z.T)
    solution = closed_form.solve(sums.sums(), LAM)
    np.testing.assert_allclose(solution.outputs_and_leverages(x)[1], np.diag(hat), rtol=1e-10)
    roots = solution.roots(x)
    np.testing.assert_allclose(roots.T @ roots, hat, atol=1e-12)
