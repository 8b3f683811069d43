from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from unseen.errors import BudgetError
from unseen.rules.budgets import budget, budget_line, share


@pytest.mark.parametrize(
    ("n", "arguments", "expected"),
    [
        (50_000, {"keep": 0.1}, 5_000),
        (50, {"keep": 0.29}, 15),  # 14.5, half up; in binary 0.29 * 50 is 14.499...
        (50, {"prune": 0.71}, 15),  # 1 - 0.71 is 0.29000000000000004 in binary
        (3, {"keep": 0.5}, 2),
        (50, {"keep": 1}, 1),
        (50, {"keep": 1.0}, 50),
        (50, {"keep": np.int64(7)}, 7),
        (50, {"keep": np.float32(0.1)}, 5),
        (50, {"keep": np.float64(0.29)}, 15),
        (50, {"prune": 20}, 30),
        (50, {"prune": 0.0}, 50),
        (50, {"prune": 0}, 50),
        (10**7, {"keep": 1e-7}, 1),
        (50, {"keep": Fraction(29, 100)}, 15),
        (60, {"prune": Fraction(1, 3)}, 40),
    ],
)
def test_counts_are_decimal_and_half_up(n, arguments, expected):
    assert budget(n, **arguments) == expected


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"keep": 0}, r"keep as a count must be in 1\.\.50 for 50 samples, got 0"),
        ({"keep": 51}, r"keep as a count must be in 1\.\.50 for 50 samples, got 51"),
        ({"keep": -1}, "got -1"),
        ({"keep": 0.0}, r"keep as a fraction must be in \(0, 1\], got 0\.0"),
        ({"keep": 1.5}, r"got 1\.5; a count must be an int"),
        ({"keep": float("nan")}, "must be in"),
        ({"keep": True}, "got True"),
        ({"keep": "0.5"}, "must be an int"),
        ({"prune": 1.0}, r"prune as a fraction must be in \[0, 1\)"),
        ({"prune": 50}, r"0\.\.49"),
        ({"keep": 0.001}, "keeps 0; at least one must stay"),
        ({}, "exactly one of keep= and prune=, got none"),
        ({"keep": 0.5, "prune": 0.5}, "got keep=0.5 and prune=0.5"),
    ],
)
def test_budgets_that_cannot_be_are_refused(arguments, message):
    with pytest.raises(BudgetError, match=message):
        budget(50, **arguments)


@given(st.integers(1, 10_000), st.integers(1, 999))
def test_keep_and_prune_are_the_same_budget(n, thousandths):
    keep, prune = thousandths / 1000, float(Decimal(1) - Decimal(thousandths) / 1000)
    exact = n * thousandths  # in thousandths of a sample, half up
    expected = (exact + 500) // 1000
    if expected == 0:
        with pytest.raises(BudgetError):
            budget(n, keep=keep)
    else:
        assert budget(n, keep=keep) == budget(n, prune=prune) == expected


@given(st.integers(1, 10_000), st.integers(1, 99))
def test_a_cutoff_and_its_complement_always_fit(n, hundredths):
    keep, cutoff = hundredths / 100, (100 - hundredths) / 100
    if n * hundredths >= 50:
        assert budget(n, keep=keep) + share(cutoff, n) <= n


def test_a_budget_of_the_int_one_says_so():
    assert budget_line(10, keep=1).endswith("(1 is a count; 1.0 would keep all)")
    assert budget_line(10, keep=1.0) == "keeping 10 of 10 samples, pruning 0"
