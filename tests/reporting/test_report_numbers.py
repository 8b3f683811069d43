"""Crowding, cuts, classes: against values worked out by hand."""

import numpy as np
import pytest

from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.reporting.facts import bin_edges, find_cut, measure_crowding, order_rows, summarise_classes


def test_an_even_score_is_as_telling_as_its_bins_and_a_crowded_one_as_one():
    edges = np.linspace(0, 1, 101)
    even = measure_crowding(np.arange(100) / 100 + 0.005, edges)
    assert (even.distinct, even.fullest, round(even.filled)) == (100, 0.01, 100)
    crowded = measure_crowding(np.full(100, 0.5), edges)
    assert (crowded.distinct, crowded.fullest, crowded.filled) == (1, 1.0, 1.0)


@pytest.mark.parametrize("kept", [np.arange(100) < 30, np.arange(100) >= 30])
def test_the_cut_is_where_choosing_changes(kept):
    cut = find_cut(np.arange(100.0), kept)
    assert (cut.value, cut.at) == (29.5, 30)
    assert {cut.below, cut.above} == {0.0, 1.0}


def test_a_random_choice_has_no_cut():
    kept = np.random.default_rng(0).random(2000) < 0.5
    assert find_cut(np.linspace(0, 1, 2000), kept) is None
    assert find_cut(np.linspace(0, 1, 2000), np.ones(2000, bool)) is None


def test_strata_less_the_hardest_are_cut_where_the_hardest_begin():
    rng = np.random.default_rng(0)
    kept = (np.arange(1000) < 900) & (rng.random(1000) < 0.8)
    assert abs(find_cut(np.arange(1000.0), kept).at - 900) < 10


def test_samples_without_a_score_are_in_no_order():
    values = np.array([0.3, np.nan, 0.1])
    assert order_rows(values).tolist() == [2, 0]
    assert bin_edges(values, bins=2).tolist() == [0.1, 0.2, 0.3]


def test_classes_largest_first():
    table = ScoreTable(
        ids=np.arange(6),
        labels=np.array([0, 1, 1, 1, 0, 2]),
        class_names=("a", "b", "c", "d"),
        folds=np.zeros((1, 6), np.int32),
        values={"s": np.array([[1.0, 2.0, 3.0, 4.0, 5.0, np.nan]])},
        directions={"s": "harder"},
        predictions=np.array([0, 1, 1, 0, 1, -1]),
    )
    rows = summarise_classes(table, "s", Coreset(ids=np.array([1, 2, 4]), indices=np.array([1, 2, 4]), n=6), 3)
    assert [(row.name, row.n, row.kept) for row in rows] == [("b", 3, 2), ("a", 2, 1), ("c", 1, 0)]
    assert [row.accuracy for row in rows] == [pytest.approx(2 / 3), 0.5, None]
    assert rows[0].quantiles[2] == 3.0
    assert rows[2].quantiles is None
