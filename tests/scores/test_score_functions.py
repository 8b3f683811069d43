"""The pure functions: worked by hand, against autograd and scipy, in every kind of array, and on bad input."""

import naive_scores as naive
import numpy as np
import pytest
import torch
from scipy import special

from unseen import functional
from unseen.errors import ArgumentError

ONE = ["el2n", "loss", "entropy", "least_confidence", "margin", "label_margin", "self_confidence", "normalized_margin"]
COURSE = ["aum", "forgetting", "correctness", "confidence", "variability", "dyn_unc", "dual", "tdds"]
SHORT = {"dyn_unc": {"window": 3}, "dual": {"window": 3}, "tdds": {"window": 4}}


def logits_of(p):
    return np.log(np.asarray(p))


def random(shape, seed=0):
    return np.random.default_rng(seed).normal(scale=3.0, size=shape)


LABELS = np.array([0, 2, 1, 1, 0])


# Worked by hand.


def test_one_observation_by_hand():
    z, y = logits_of([[0.7, 0.2, 0.1]]), [1]
    assert functional.el2n(z, y) == pytest.approx(np.sqrt(0.49 + 0.64 + 0.01))
    assert functional.loss(z, y) == pytest.approx(1.6094379)
    assert functional.entropy(z) == pytest.approx(0.2496724 + 0.3218876 + 0.2302585)
    assert functional.least_confidence(z) == pytest.approx(0.3)
    assert functional.margin(z) == pytest.approx(0.5)
    assert functional.label_margin(z, y) == pytest.approx(-0.5)
    assert functional.label_margin([[1.0, 4.0, 2.5]], y, space="logits") == pytest.approx(1.5)
    assert functional.self_confidence(z, y) == pytest.approx(0.2)
    assert functional.normalized_margin(z, y) == pytest.approx(0.25)
    assert functional.grand_last_layer(z, [[2.0]], y) == pytest.approx(np.sqrt(1.14) * np.sqrt(5.0))


def test_forgetting_by_hand():
    right, wrong = [1.0, 0.0], [0.0, 1.0]
    courses = [
        ([right, right, right, right], 0),
        ([wrong, right, wrong, right], 1),
        ([right, wrong, right, wrong], 2),
        ([wrong, wrong, wrong, right], 0),
        ([wrong, wrong, wrong, wrong], 4),
    ]
    history = np.array([course for course, _ in courses]).swapaxes(0, 1)
    labels = np.zeros(len(courses), int)
    assert functional.forgetting(history, labels).tolist() == [times for _, times in courses]
    assert functional.forgetting(history, labels, epochs=3).tolist() == [0, 1, 1, 3, 3]


def test_never_learned_is_above_every_learned_sample():
    history = random((9, 2000, 2))
    forgotten = functional.forgetting(history, np.zeros(2000, int))
    never = (history[:, :, 0] < history[:, :, 1]).all(axis=0)
    assert never.any()
    assert forgotten[never].min() == 9 > forgotten[~never].max()


def test_windows_by_hand():
    p = np.array([0.2, 0.6, 0.4, 0.4])  # windows of 2: std 0.4/sqrt 2, 0.2/sqrt 2, 0; means 0.4, 0.5, 0.4
    history = logits_of(np.stack([p, 1 - p], axis=1)[:, None])
    assert functional.dyn_unc(history, [0], window=2) == pytest.approx(0.6 / np.sqrt(2) / 3)
    assert functional.dual(history, [0], window=2) == pytest.approx((0.4 * 0.6 + 0.2 * 0.5) / np.sqrt(2) / 3)
    assert functional.dual(history, [0], window=2, epochs=2) == pytest.approx(0.24 / np.sqrt(2))


def test_tdds_by_hand():
    # KD = 0, then d, then 0: a window of 4 epochs holds all three, of 3 epochs two of them.
    p = [[0.5, 0.5], [0.5, 0.5], [0.75, 0.25], [0.75, 0.25]]
    d = 0.75 * np.log(1.5) + 0.25 * np.log(2.0)
    history = logits_of(p)[:, None]
    assert functional.tdds(history, window=4, decay=1.0) == pytest.approx(d * np.sqrt(1 / 9 + 4 / 9 + 1 / 9))
    assert functional.tdds(history, window=3) == pytest.approx((0.9 + 0.09) * d * np.sqrt(0.5))


def test_two_sides_by_hand():
    half, sure = [0.5, 0.5], [0.9, 0.1]
    predictions = logits_of([[sure], [sure], [half], [[0.2, 0.8]]])
    mask = np.array([[True], [True], [False], [False]])
    assert functional.memorization(predictions, [0], mask) == pytest.approx(1.0 - 0.5)  # a tie goes to the first class
    assert functional.memorization(predictions, [0], mask, probabilities=True) == pytest.approx(0.9 - 0.35)
    gap = (np.log(2) + np.log(5)) / 2 + np.log(0.9)
    assert functional.holdout_gap(predictions, [0], mask) == pytest.approx(gap)
    early = logits_of(np.full((4, 1, 2), 0.5))
    assert functional.reducible(early, predictions, [0], mask) == pytest.approx(np.log(2) - (np.log(2) + np.log(5)) / 2)
    entropy = special.entr
    expected = entropy([0.35, 0.65]).sum() - (np.log(2) + entropy([0.2, 0.8]).sum()) / 2
    assert functional.disagreement(predictions, None, mask) == pytest.approx(expected)
    assert functional.disagreement(predictions[[0, 0, 0]]) == pytest.approx(0.0, abs=1e-12)


def test_a_side_without_models_gives_nan():
    predictions, mask = random((3, 2, 4)), np.array([[True, True], [True, False], [True, False]])
    assert np.isnan(functional.memorization(predictions, [0, 1], mask)).tolist() == [True, False]
    assert np.isnan(functional.holdout_gap(predictions, [0, 1], mask)).tolist() == [True, False]
    assert np.isnan(functional.disagreement(predictions, None, mask)).tolist() == [True, False]


def test_label_issues_find_planted_flips_and_their_share():
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 4000)
    flipped = rng.random(4000) < 0.1
    labels = np.where(flipped, (truth + rng.integers(1, 5, 4000)) % 5, truth)
    logits = 6.0 * np.eye(5)[truth] + rng.normal(size=(4000, 5))
    issues = functional.label_issue(logits, labels)
    assert issues.dtype == bool
    assert issues[flipped].mean() > 0.95
    assert issues[~flipped].mean() < 0.01
    assert functional.label_error_share(logits, labels) == pytest.approx(flipped.mean(), abs=0.01)
    assert functional.label_error_share(logits, truth) < 0.005


@pytest.mark.parametrize("classes", [11, 12, 13, 60])
@pytest.mark.parametrize("strength", [0.5, 4.0], ids=["weak", "strong"])
def test_label_issues_of_many_classes(classes, strength):
    rng = np.random.default_rng(classes)
    labels = rng.integers(0, classes, 600)
    truth = np.where(rng.random(600) < 0.2, rng.integers(0, classes, 600), labels)
    logits = strength * np.eye(classes)[truth] + rng.normal(size=(600, classes))
    issues = functional.label_issue(logits, labels)
    assert issues.tolist() == naive.label_issue(logits.tolist(), labels.tolist())
    assert functional.label_issue(torch.from_numpy(logits), labels).tolist() == issues.tolist()
    every = naive.label_issue(logits.tolist(), labels.tolist(), most=classes)
    if classes <= 12 or strength > 1:  # strong models put nothing on the classes that are left out
        assert issues.tolist() == every


def test_label_issues_of_equal_predictions_and_absent_classes():
    same = np.broadcast_to([0.1, 0.2, 0.7], (30, 3))
    labels = np.arange(30) % 2
    # Classes 0 and 1 are reached by everyone, exactly: class 1 is more probable. Nobody is labelled 2.
    assert functional.label_issue(logits_of(same), labels).tolist() == (labels == 0).tolist()
    assert functional.label_error_share(logits_of(same), labels) == 0.5


def test_a_label_likelier_than_the_class_that_reaches_its_threshold_is_no_issue():
    p = np.array([[0.9, 0.1], [0.6, 0.4], [0.8, 0.2], [0.7, 0.3]])  # thresholds are 0.75 and 0.25
    assert functional.label_issue(logits_of(p), np.array([0, 0, 1, 1])).tolist() == [False, False, True, False]


def test_a_class_of_few_samples_makes_no_issues_of_others():
    """Models hardly know it, so its threshold is near 0, which most samples reach."""
    rng = np.random.default_rng(0)
    p, y = rng.dirichlet([2, 2, 0.05], 1000), rng.integers(2, size=1000)
    p[np.arange(1000), y] += 0.5
    before = functional.label_issue(logits_of(p / 1.5), y)
    for few in (1, 2, 20):
        after = functional.label_issue(logits_of(p / 1.5), np.where(np.arange(1000) < few, 2, y))
        assert abs(int(after[few:].sum()) - int(before[few:].sum())) <= 3, few


# Against code of others.


@pytest.mark.parametrize("bias", [True, False])
def test_grand_last_layer_is_the_gradient_of_autograd(bias):
    torch.manual_seed(0)
    layer = torch.nn.Linear(7, 4, bias=bias).double()
    h, y = torch.randn(11, 7, dtype=torch.float64), torch.randint(0, 4, (11,))
    norms = []
    for i in range(11):
        layer.zero_grad()
        torch.nn.functional.cross_entropy(layer(h[i : i + 1]), y[i : i + 1]).backward()
        norms.append(torch.cat([p.grad.flatten() for p in layer.parameters()]).norm().item())
    score = functional.grand_last_layer(layer(h), h, y, bias=bias)
    np.testing.assert_allclose(score.numpy(), norms, rtol=1e-12)


def test_loss_and_entropy_are_those_of_torch():
    z, y = torch.from_numpy(random((50, 6))), torch.arange(50) % 6
    np.testing.assert_allclose(functional.loss(z, y), torch.nn.functional.cross_entropy(z, y, reduction="none"))
    np.testing.assert_allclose(functional.entropy(z), torch.distributions.Categorical(logits=z).entropy())


@pytest.mark.parametrize(("samples", "classes"), [(30_000, 10), (1_000, 300)])
def test_one_observation_in_blocks_equals_scipy_on_many_samples(samples, classes):
    z = random((samples, classes)).astype(np.float32)
    y = np.arange(samples) % classes
    p = special.softmax(z.astype(float), axis=1)
    own = p[np.arange(len(y)), y]
    np.testing.assert_allclose(functional.el2n(z, y), np.linalg.norm(p - np.eye(classes)[y], axis=1), atol=1e-15)
    np.testing.assert_allclose(functional.entropy(z), special.entr(p).sum(axis=1), rtol=1e-12)
    np.testing.assert_allclose(functional.self_confidence(z, y), own, rtol=1e-12)
    first, second = np.sort(p, axis=1)[:, -1], np.sort(p, axis=1)[:, -2]
    np.testing.assert_allclose(functional.margin(z), first - second, atol=1e-15)


# Kinds of arrays.


@pytest.mark.parametrize("name", ONE)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_torch_in_torch_out(name, dtype):
    z = torch.from_numpy(random((5, 3))).to(getattr(torch, dtype)).requires_grad_()
    kept = z.detach().clone()
    score = getattr(functional, name)(z, torch.from_numpy(LABELS))
    assert isinstance(score, torch.Tensor)
    assert (score.dtype, score.shape, score.device) == (torch.float64, (5,), z.device)
    assert torch.equal(z.detach(), kept)
    assert not score.requires_grad
    alone = getattr(functional, name)(kept.double().numpy(), LABELS)
    assert isinstance(alone, np.ndarray)
    np.testing.assert_allclose(score.numpy(), alone, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", COURSE)
def test_histories_in_torch(name):
    history = random((6, 5, 3))
    kept = history.copy()
    more = SHORT.get(name, {})
    score = getattr(functional, name)(torch.from_numpy(history), torch.from_numpy(LABELS), **more)
    assert (score.dtype, score.shape) == (torch.float64, (5,))
    alone = getattr(functional, name)(history, LABELS, **more)
    np.testing.assert_allclose(score.numpy(), alone, rtol=1e-12, atol=1e-14)
    assert np.array_equal(history, kept)


@pytest.mark.parametrize("name", [*ONE, *COURSE])
def test_many_classes_are_as_in_torch(name):
    """NumPy keeps many classes in another order in memory, torch does not."""
    z = random((5, 300)) if name in ONE else random((6, 5, 300))
    function, more = getattr(functional, name), SHORT.get(name, {})
    theirs = function(torch.from_numpy(z), torch.from_numpy(LABELS), **more)
    np.testing.assert_allclose(function(z, LABELS, **more), theirs.numpy(), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("name", ["memorization", "holdout_gap", "disagreement"])
def test_two_sides_in_torch(name):
    predictions, mask = random((4, 5, 3)), np.arange(20).reshape(4, 5) % 3 == 0
    score = getattr(functional, name)(torch.from_numpy(predictions), torch.from_numpy(LABELS), torch.from_numpy(mask))
    assert (score.dtype, score.shape) == (torch.float64, (5,))
    np.testing.assert_allclose(score.numpy(), getattr(functional, name)(predictions, LABELS, mask), atol=1e-14)


def test_label_issue_and_reducible_in_torch():
    z, y = torch.from_numpy(random((5, 3))), torch.from_numpy(LABELS)
    assert functional.label_issue(z, y).dtype == torch.bool
    assert functional.label_issue(z, y).tolist() == functional.label_issue(z.numpy(), LABELS).tolist()
    both, mask = torch.stack([z, -z]), torch.tensor([[True] * 5, [False] * 5])
    expected = functional.reducible(both.numpy() / 2, both.numpy(), LABELS, mask.numpy())
    np.testing.assert_allclose(functional.reducible(both / 2, both, y, mask), expected)


@pytest.mark.parametrize("name", ONE)
def test_lists_read_only_and_empty_arrays(name):
    function = getattr(functional, name)
    z = random((5, 3))
    expected = function(z, LABELS)
    z.flags.writeable = False
    np.testing.assert_array_equal(function(z, LABELS.astype(np.uint8)), expected)
    np.testing.assert_array_equal(function(z.tolist(), LABELS.tolist()), expected)
    np.testing.assert_array_equal(function(np.asfortranarray(z), torch.from_numpy(LABELS)), expected)
    assert function(np.empty((0, 3)), np.empty(0, int)).shape == (0,)


@pytest.mark.parametrize("name", ONE)
def test_very_sure_predictions_stay_finite(name):
    z = np.array([[1e4, -1e4, 0.0], [0.0, 700.0, -700.0], [1e30, 0.0, 0.0]])
    for labels in ([0, 0, 0], [1, 1, 1], [2, 2, 2]):
        assert np.isfinite(getattr(functional, name)(z, labels)).all()
    assert functional.entropy(z) == pytest.approx([0.0, 0.0, 0.0], abs=1e-300)


@pytest.mark.gpu
def test_cuda_tensors_stay_on_their_device():
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    z, y = random((5, 3)), LABELS
    history, predictions, mask = random((6, 5, 3)), random((4, 5, 3)), np.arange(20).reshape(4, 5) % 3 == 0
    calls = [(name, (z, y), {}) for name in [*ONE, "label_issue"]]
    calls += [("grand_last_layer", (z, random((5, 4)), y), {})]
    calls += [(name, (history, y), SHORT.get(name, {})) for name in COURSE]
    calls += [(name, (predictions, y, mask), {}) for name in ("memorization", "holdout_gap", "disagreement")]
    for name, arrays, more in calls:
        score = getattr(functional, name)(*(torch.from_numpy(a).cuda() for a in arrays), **more)
        assert score.device.type == "cuda", name
        np.testing.assert_allclose(score.cpu().numpy(), getattr(functional, name)(*arrays, **more), atol=1e-12)


# Bad input.

BAD = [
    (lambda: functional.el2n(np.zeros(3), [0]), r"logits must be \(n, C\) with at least 2 classes, got shape \(3,\)"),
    (lambda: functional.el2n(np.zeros((3, 1)), [0, 0, 0]), "at least 2 classes"),
    (lambda: functional.el2n(np.zeros((3, 2)), [0, 1]), r"labels must be \(n,\) = \(3,\), one a sample"),
    (
        lambda: functional.loss(np.zeros((3, 2)), [0, 2, -1]),
        r"labels must be in 0 .. 1 for 2 classes, got 2 .* 1, 2",
    ),
    (lambda: functional.loss(np.zeros((2, 2)), [0.0, 1.0]), "labels must be integers 0 .. C - 1, got dtype float64"),
    (lambda: functional.entropy([[0.0, 1.0], [np.nan, 0.0], [0.0, np.inf]]), "logits must be finite.* sample 1, 2"),
    (lambda: functional.aum(np.zeros((4, 2)), [0, 1]), r"history must be \(T, n, C\)"),
    (lambda: functional.aum(np.full((1, 2, 2), np.nan), [0, 1]), r"history must be finite.* \(0, 0\), \(0, 1\)"),
    (
        lambda: functional.dual(np.zeros((9, 2, 2)), [0, 1]),
        "history must hold at least 10 epochs .* got 9",
    ),
    (lambda: functional.dual(np.zeros((9, 2, 2)), [0, 1], epochs=10), "epochs must be in 1 .. 9"),
    (lambda: functional.dual(np.zeros((9, 2, 2)), [0, 1], window=1), "window must be an integer of at least 2"),
    (lambda: functional.tdds(np.zeros((9, 2, 2)), window=2), "window must be an integer of at least 3"),
    (lambda: functional.tdds(np.zeros((9, 2, 2)), window=3, decay=0.0), r"decay must be in \(0, 1\], got 0.0"),
    (lambda: functional.forgetting(np.zeros((1, 2, 2)), [0, 1]), "at least 2 epochs"),
    (lambda: functional.label_margin(np.zeros((1, 2)), [0], space="log"), "space must be one of .* got 'log'"),
    (lambda: functional.aum(np.zeros((1, 1, 2)), [0], space="p"), "space must be one of"),
    (lambda: functional.grand_last_layer(np.zeros((2, 2)), np.zeros(2), [0, 1]), r"features must be \(n, d\)"),
    (lambda: functional.grand_last_layer(np.zeros((1, 2)), [[np.inf]], [0]), "features must be finite.* sample 0"),
    (
        lambda: functional.memorization(np.zeros((2, 1, 2)), [0], np.zeros((1, 1), bool)),
        "in_train must be a bool",
    ),
    (lambda: functional.memorization(np.zeros((2, 1, 2)), [0], [[1], [0]]), "in_train must be a bool mask.*int64"),
    (lambda: functional.memorization(np.zeros((1, 2)), [0], [[True]]), r"predictions must be \(R, n, C\)"),
    (lambda: functional.disagreement(np.zeros((1, 2, 2))), "at least 2 models to disagree, got 1"),
    (
        lambda: functional.reducible(np.zeros((1, 1, 2)), np.zeros((2, 1, 2)), [0], [[True], [False]]),
        "early must have the shape of predictions",
    ),
]


@pytest.mark.parametrize(("call", "message"), BAD)
def test_bad_input(call, message):
    with pytest.raises(ArgumentError, match=message):
        call()


def test_functional_lists_what_it_has():
    import unseen.functional as module

    public = {name for name, value in vars(module).items() if callable(value) and not name.startswith("_")}
    assert public == set(module.__all__)
    assert list(module.__all__) == sorted(module.__all__)
