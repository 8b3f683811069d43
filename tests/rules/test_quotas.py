import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unseen import rules
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, BudgetError
from unseen.rules.budgets import allocate

LABELS = np.repeat([0, 1, 2], [90, 9, 1])
SCORES = np.arange(100.0)


def counts(coreset, labels=LABELS):
    return np.bincount(labels[coreset.indices], minlength=labels.max() + 1).tolist()


@given(
    st.lists(st.tuples(st.integers(1, 60), st.integers(0, 9)), min_size=1, max_size=12),
    st.floats(0, 1),
)
def test_allocation_is_exact_and_within_bounds(classes, part):
    sizes, weights = [s for s, _ in classes], [w for _, w in classes]
    budget = len(sizes) + int(part * (sum(sizes) - len(sizes)))
    got = allocate(budget, sizes, weights)
    assert sum(got) == budget
    assert all(1 <= g <= s for g, s in zip(got, sizes, strict=True))
    # Nobody below its size has less, by more than the rounding, than a class of no more weight not at the floor.
    for g, s, w in zip(got, sizes, weights, strict=True):
        for h, v in zip(got, weights, strict=True):
            if g < s and 0 < v <= w and h > 1:
                assert g >= h * w / v - (1 + w / v)


def test_largest_remainder_by_hand():
    # 10 x (5, 3, 2) / 10 = 5, 3, 2; then 7 x = 3.5, 2.1, 1.4: the half gets the last sample.
    assert allocate(10, [50, 30, 20], [5, 3, 2]) == [5, 3, 2]
    assert allocate(7, [50, 30, 20], [5, 3, 2]) == [4, 2, 1]
    assert allocate(2, [5, 5, 5], [1, 1, 1], least=0) == [1, 1, 0]  # equal remainders: the lower class


def test_excess_of_a_full_class_goes_to_the_others_in_proportion():
    assert allocate(12, [2, 100, 100], [1, 1, 4]) == [2, 2, 8]


def test_classes_of_weight_zero_get_the_floor_until_the_others_are_full():
    assert allocate(10, [8, 20, 40], [1, 0, 0]) == [8, 1, 1]
    assert allocate(38, [8, 20, 40], [1, 0, 0]) == [8, 10, 20]


def test_proportional_keeps_a_rare_class():
    assert counts(rules.random(100, keep=10, labels=LABELS, quota="proportional")) == [8, 1, 1]


def test_floored_keeps_every_class_as_far_as_the_budget_goes():
    labels = np.repeat(np.arange(20), [41, *[1] * 19])  # a share of the budget rounds to 0 for half of the single ones
    assert counts(rules.random(60, keep=30, labels=labels, quota="floored"), labels) == [11, *[1] * 19]
    assert counts(rules.random(60, keep=20, labels=labels, quota="floored"), labels) == [1] * 20
    assert sum(counts(rules.random(60, keep=19, labels=labels, quota="floored"), labels)) == 19


def test_uniform_gives_the_rest_to_the_large():
    assert counts(rules.top(SCORES, keep=21, direction="harder", labels=LABELS, quota="uniform")) == [11, 9, 1]


def test_error_is_the_held_out_class_error():
    # DRoP: density in proportion to the error. 10 of 50 wrong and 5 of 50 wrong: two to one.
    labels = np.repeat([0, 1], 50)
    table = ScoreTable.of("el2n", np.arange(100.0), direction="harder", labels=labels)
    predictions = labels.copy()
    predictions[:10] = 1
    predictions[50:55] = 0
    table = ScoreTable(**{**vars(table), "predictions": predictions})
    coreset = rules.top(table, keep=30, quota="error")
    assert counts(coreset, labels) == [20, 10]
    assert coreset.provenance["quota"] == {"0": 20, "1": 10}
    assert counts(rules.top(table, keep=90, quota="error"), labels) == [50, 40]
    without = ScoreTable(**{**vars(table), "predictions": labels.copy()})
    assert counts(rules.top(without, keep=30, quota="error"), labels) == [15, 15]


def test_error_without_predictions_is_refused():
    with pytest.raises(ArgumentError, match="quota='error' needs held-out predictions"):
        rules.top(SCORES, keep=10, direction="harder", labels=LABELS, quota="error")


def test_explicit_counts():
    coreset = rules.top(SCORES, direction="harder", labels=LABELS, quota={0: 3, 1: 2, 2: 0})
    assert coreset.ids.tolist() == [87, 88, 89, 97, 98]
    assert coreset.sources.tolist() == ["class 0"] * 3 + ["class 1"] * 2


def test_explicit_counts_by_class_name():
    table = ScoreTable.of("el2n", np.arange(4.0), direction="harder", labels=[0, 0, 1, 1])
    table = ScoreTable(**{**vars(table), "class_names": ("cat", "dog")})
    coreset = rules.top(table, quota={"cat": 1, "dog": 2})
    assert coreset.sources.tolist() == ["class cat", "class dog", "class dog"]
    assert rules.top(table, quota={0: 1, 1: 2}).ids.tolist() == coreset.ids.tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("quota", "message"),
    [
        ({0: 5, 1: 5}, "missing: 2"),
        ({0: 5, 1: 4, 2: 0, 7: 1}, "unknown: 7"),
        ({0: 5, 1: 4, 2: 2}, r"class 2 must be an integer in 0\.\.1, got 2"),
        ({0: 5, 1: 3, 2: 1}, "add up to 9, but the budget is 10"),
        ({0: 5, "0": 3, 1: 1, 2: 1}, "twice"),
    ],
)
def test_explicit_counts_that_do_not_fit(quota, message):
    with pytest.raises(BudgetError, match=message):
        rules.top(SCORES, keep=10, direction="harder", labels=LABELS, quota=quota)


def test_a_budget_below_the_classes_is_an_error():
    with pytest.raises(BudgetError, match="a budget of 2 is below the 3 classes"):
        rules.top(SCORES, keep=2, direction="harder", labels=LABELS, quota="proportional")


def test_quota_without_labels_is_refused():
    with pytest.raises(ArgumentError, match="needs the classes: give labels="):
        rules.random(10, keep=5, quota="uniform")


def test_a_cutoff_applies_within_each_class():
    coreset = rules.stratified(
        SCORES, keep=50, direction="harder", labels=np.repeat([0, 1], 50), quota="uniform", cutoff=0.5, by="rank"
    )
    assert coreset.ids.tolist() == [*range(25), *range(50, 75)]


def test_a_cutoff_that_leaves_a_class_short_names_the_class():
    with pytest.raises(BudgetError, match=r"of class 1, below the budget of 9"):
        rules.stratified(SCORES, direction="harder", labels=LABELS, quota={0: 1, 1: 9, 2: 1}, cutoff=0.3)


def test_order_under_quotas_keeps_the_classes_in_step():
    coreset = rules.top(np.arange(12.0), direction="harder", labels=np.repeat([0, 1], 6), quota={0: 2, 1: 4})
    assert coreset.order.tolist() == [11, 5, 10, 9, 4, 8]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.integers(0, 4), min_size=1, max_size=40),
    st.sampled_from(["proportional", "floored", "uniform"]),
    st.floats(0, 1),
    st.sampled_from(["top", "random", "stratified"]),
)
def test_every_class_stays_and_the_sum_is_exact(labels, quota, part, rule):
    labels = np.array(labels)
    classes = len(np.unique(labels))
    budget = classes + int(part * (len(labels) - classes))
    coreset = getattr(rules, rule)(np.zeros(len(labels)), keep=budget, direction="harder", labels=labels, quota=quota)
    assert len(coreset) == budget
    assert len(np.unique(labels[coreset.indices])) == classes
