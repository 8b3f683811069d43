"""Sums over training sets: those over all rows less the others, never a function of what was asked before."""

import numpy as np
import pytest

from unseen.data import from_arrays
from unseen.learners.rows import RowReader, SumCache

RNG = np.random.default_rng(0)
N, D = 400, 6
DATA = from_arrays(RNG.normal(size=(N, D)) + 3.0, np.arange(N) % 3)


class Counting(RowReader):
    """Counts the rows that it reads."""

    count = 0

    def take(self, rows):
        type(self).count += len(rows)
        return super().take(rows)


@pytest.fixture
def rows():
    Counting.count = 0
    return Counting(DATA, np.dtype(float))


def arrays(sums):
    own = sums.centred()
    return own.gram, own.cross, own.centre, own.targets


@pytest.mark.parametrize("size", [40, 200, 201, 350, 400])
def test_they_are_those_of_the_rows(rows, size):
    train = np.sort(RNG.permutation(N)[:size])
    for found, expected in zip(arrays(SumCache(rows).over(train)), arrays(rows.sum_over(train)), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-10)


def test_they_do_not_depend_on_what_was_asked_before(rows):
    """Else a run that is continued would give other digits than one that never stopped."""
    going = SumCache(rows)
    for left in range(0, N, 100):
        train = np.setdiff1d(np.arange(N), np.arange(left, left + 100))
        for one, other in zip(arrays(going.over(train)), arrays(SumCache(rows).over(train)), strict=True):
            np.testing.assert_array_equal(one, other)


def test_of_many_rows_only_the_others_are_read_again(rows):
    known = SumCache(rows)
    known.over(np.arange(20, N))
    Counting.count = 0
    known.over(np.arange(N - 30))
    assert Counting.count == 30


def test_sums_that_would_lose_digits_are_made_anew():
    x = RNG.normal(size=(60, 2))
    x[:10, 1] *= 1e8
    held = RowReader(from_arrays(x, np.arange(60) % 2), np.dtype(float))
    after = np.arange(10, 60)
    for one, other in zip(arrays(SumCache(held).over(after)), arrays(held.sum_over(after)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)
