"""Sums over training sets that follow one another: added to and subtracted from, never a function of the past."""

import numpy as np
import pytest

import unseen
from unseen.data import from_arrays
from unseen.learners.ridge import sums as sums_room
from unseen.learners.ridge.reading import Rows
from unseen.learners.ridge.sums import Known

RNG = np.random.default_rng(0)
N, D = 400, 6
DATA = from_arrays(RNG.normal(size=(N, D)) + 3.0, np.arange(N) % 3)


def steps(count, size=100, moved=10):
    """Coresets of which a few members leave and enter at each step."""
    rows = np.sort(RNG.permutation(N)[:size])
    yield rows
    for _ in range(count - 1):
        outside = np.setdiff1d(np.arange(N), rows)
        rows = np.sort(np.concatenate([RNG.permutation(rows)[moved:], RNG.permutation(outside)[: moved + 2]]))
        yield rows


ROUTE = list(steps(6))


class Counting(Rows):
    """Counts the rows that it reads."""

    count = 0

    def _taken(self, rows):
        type(self).count += len(rows)
        return super()._taken(rows)


@pytest.fixture
def rows():
    Counting.count = 0
    return Counting(DATA, np.dtype(float))


def arrays(sums):
    own = sums.centred()
    return own.gram, own.cross, own.centre, own.targets


@pytest.mark.parametrize("length", range(1, 7))
def test_they_are_those_of_the_rows(rows, length):
    train = ROUTE[length - 1][:-20]
    for found, expected in zip(
        arrays(Known(rows).over(train, ROUTE[:length])), arrays(rows.summed(train)), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-10)


def test_they_do_not_depend_on_what_was_asked_before(rows):
    """Else a run that is continued would give other digits than one that never stopped."""
    going = Known(rows)
    for length in range(1, 7):
        for train in (ROUTE[length - 1][:-20], ROUTE[length - 1][20:], ROUTE[length - 1]):
            for one, other in zip(
                arrays(going.over(train, ROUTE[:length])), arrays(Known(rows).over(train, ROUTE[:length])), strict=True
            ):
                np.testing.assert_array_equal(one, other)


def test_a_step_reads_what_moved_and_the_fold(rows):
    known = Known(rows)
    known.over(ROUTE[0][:-20], ROUTE[:1])
    Counting.count = 0
    known.over(ROUTE[1][:-20], ROUTE[:2])
    assert Counting.count == 10 + 12 + 20
    Counting.count = 0
    known.over(ROUTE[1][20:], ROUTE[:2])
    assert Counting.count == 20


def test_now_and_then_they_are_made_anew_and_compared(rows):
    known = Known(rows)
    told = []
    for length in range(1, 7):
        told.append(known.drift(ROUTE[:length]))
        known.over(ROUTE[length - 1][:-20], ROUTE[:length])
    assert [drift is not None for drift in told] == [False] * 4 + [True, False]
    assert 0 <= told[4] < 1e-13


def test_a_planted_row_that_was_forgotten_shows_as_drift(rows, monkeypatch):
    known = Known(rows)
    for length in range(1, 5):
        if length == 3:
            monkeypatch.setattr(Counting, "summed", lambda self, rows, centre=None: Rows.summed(self, rows[1:], centre))
        known.over(ROUTE[length - 1][:-20], ROUTE[:length])
        monkeypatch.undo()
    assert known.drift(ROUTE[:5]) > 1e-4


def test_a_step_that_would_lose_digits_is_summed_anew():
    x = RNG.normal(size=(60, 2))
    x[:10, 1] *= 1e8
    held = Rows(from_arrays(x, np.arange(60) % 2), np.dtype(float))
    before, after = np.arange(50), np.arange(10, 60)
    found = Known(held).over(after, [before, after])
    for one, other in zip(arrays(found), arrays(held.summed(after)), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_growing_logs_how_far_the_sums_were_off(tmp_path, monkeypatch):
    monkeypatch.setattr(sums_room, "REFIT", 2)
    unseen.grow("digits", keep=0.3, steps=3, learner="ridge:lam=100", out=tmp_path / "run", seed=1, threads=1)
    drifts = [
        e for part in (tmp_path / "run").rglob("events.jsonl") for e in part.read_text().split("\n") if "drift" in e
    ]
    assert len(drifts) == 1
