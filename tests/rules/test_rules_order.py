import numpy as np
import pytest

from unseen import rules
from unseen.core.table import ScoreTable
from unseen.errors import ArgumentError, BudgetError, DataError
from unseen.rules.base import largest, smallest


def test_top_takes_the_hard_end_whatever_the_direction():
    values = [3.0, 1.0, 2.0, 5.0, 4.0]
    assert rules.top(values, keep=2, direction="harder").order.tolist() == [3, 4]
    assert rules.top(values, keep=2, direction="easier").order.tolist() == [1, 2]
    assert rules.top(values, keep=2, direction="worth").order.tolist() == [3, 4]
    assert rules.top(values, keep=2, direction="harder", first="easy").order.tolist() == [1, 2]
    assert rules.top(values, keep=2, direction="easier", first="easy").order.tolist() == [3, 4]


def test_ties_go_by_id_in_both_directions():
    table = ScoreTable.of("el2n", [1.0, 1.0, 1.0, 0.0], direction="harder", ids=[40, 10, 30, 20])
    assert rules.top(table, keep=2).order.tolist() == [1, 2]
    assert rules.top(table, keep=3, first="easy").order.tolist() == [3, 1, 2]
    text = ScoreTable.of("el2n", [1.0, 1.0, 1.0], direction="harder", ids=["c", "b", "a"])
    assert rules.top(text, keep=2).ids.tolist() == ["b", "a"]


def test_worth_has_no_easy_end():
    with pytest.raises(ArgumentError, match="measures worth"):
        rules.top([1.0, 2.0], keep=1, direction="worth", first="easy")


def test_first_changes_only_known_words():
    with pytest.raises(ArgumentError, match="first must be one of 'hard', 'easy', None, got 'soft'"):
        rules.top([1.0, 2.0], keep=1, direction="harder", first="soft")


def test_window_by_hand():
    values = np.array([0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0])
    assert rules.window(values, keep=3, offset=0.2, direction="harder").order.tolist() == [7, 6, 5]
    assert rules.window(values, keep=3, offset=2, direction="easier").order.tolist() == [2, 3, 4]
    assert rules.window(values, keep=3, direction="harder").ids.tolist() == [7, 8, 9]
    assert rules.window(np.zeros(5), keep=2, offset=2, direction="harder").order.tolist() == [2, 3]


def test_window_beyond_the_easy_end():
    with pytest.raises(BudgetError, match=r"window with offset=0\.5 leaves 5 of 10 samples, below the budget of 6"):
        rules.window(np.arange(10.0), keep=6, offset=0.5, direction="harder")
    with pytest.raises(ArgumentError, match="offset"):
        rules.window(np.arange(10.0), keep=6, offset=-1, direction="harder")
    with pytest.raises(ArgumentError, match="offset"):
        rules.window(np.arange(10.0), keep=6, offset=1.0, direction="harder")


def test_a_bare_array_must_bring_its_direction_and_a_table_must_not():
    with pytest.raises(ArgumentError, match="never guesses what a high score means: give direction="):
        rules.top([1.0, 2.0], keep=1)
    with pytest.raises(ArgumentError, match="direction must be one of"):
        rules.top([1.0, 2.0], keep=1, direction="up")
    table = ScoreTable.of("el2n", [1.0, 2.0], direction="harder")
    with pytest.raises(ArgumentError, match="a score table carries its own"):
        rules.top(table, keep=1, direction="harder")


def test_a_table_must_hold_one_score():
    table = ScoreTable.of("el2n", [1.0, 2.0], direction="harder")
    both = ScoreTable(
        **{
            **vars(table),
            "values": {**table.values, "loss": table.values["el2n"]},
            "directions": {"el2n": "harder", "loss": "harder"},
        }
    )
    with pytest.raises(ArgumentError, match=r"this table holds 2 \(el2n, loss\); pass table\['el2n'\]"):
        rules.top(both, keep=1)
    assert rules.top(both["loss"], keep=1).ids.tolist() == [1]
    assert len(rules.random(both, keep=1)) == 1  # reads none


def test_missing_scores_are_an_error_that_names_them_unless_last():
    values = np.array([np.nan, 1.0, np.inf, 2.0])
    with pytest.raises(DataError, match=r"NaN or infinite for 2 of 4 samples: ids 0, 2; nan='last'"):
        rules.top(values, keep=1, direction="harder")
    assert rules.top(values, keep=2, direction="harder", nan="last").order.tolist() == [3, 1]
    all_but_one = rules.top(values, keep=3, direction="harder", nan="last")
    assert all_but_one.order.tolist() == [3, 1, 0]
    assert all_but_one.sources.tolist() == ["no score", "", ""]
    assert len(rules.stratified(values, keep=4, direction="harder", nan="last")) == 4
    with pytest.raises(ArgumentError, match="nan must be one of 'last', None"):
        rules.top(values, keep=2, direction="harder", nan="first")


def test_all_scores_missing():
    assert rules.top([np.nan, np.nan], keep=1, direction="harder", nan="last").ids.tolist() == [0]


def test_what_changes_nothing_is_refused():
    with pytest.raises(ArgumentError, match="random reads no scores, so align='rank' would change nothing"):
        rules.random(10, keep=5, align="rank")
    with pytest.raises(ArgumentError, match="nan='last' would change nothing"):
        rules.random(10, keep=5, nan="last")


def test_distances_between_scores_refuse_rank():
    with pytest.raises(ArgumentError, match=r"stratified needs align='none', got 'rank' \(it reads"):
        rules.stratified(np.arange(5.0), keep=2, direction="harder", align="rank")
    assert len(rules.stratified(np.arange(5.0), keep=2, direction="harder", align="rank", by="rank")) == 2


def test_alignment_by_rank_makes_folds_comparable():
    # Fold 1 is on another scale: raw, its two samples are the hardest; by rank one of each fold is.
    table = ScoreTable.of("loss", [0.1, 0.2, 10.0, 20.0], direction="harder")
    table = ScoreTable(**{**vars(table), "folds": np.array([[0, 0, 1, 1]], np.int32)})
    assert rules.top(table, keep=2).ids.tolist() == [1, 3]
    assert rules.top(table, keep=2, align="none").ids.tolist() == [2, 3]


def test_a_repeat_that_did_not_score_a_sample_does_not_make_it_missing():
    table = ScoreTable.of("loss", [[0.1, 0.2, 0.3], [0.1, np.nan, 0.3]], direction="harder")
    table = ScoreTable(**{**vars(table), "folds": np.array([[0, 0, 0], [0, -1, 0]], np.int32)})
    # Ranks: 1/6, 3/6, 5/6 and 1/4, none, 3/4.
    assert rules.top(table, keep=3).order.tolist() == [2, 1, 0]
    assert rules.stratified(table, keep=3).ids.tolist() == [0, 1, 2]


def test_torch_tensors_are_taken():
    torch = pytest.importorskip("torch")
    assert rules.top(torch.tensor([0.5, 2.0], requires_grad=True), keep=1, direction="harder").ids.tolist() == [1]


@pytest.mark.parametrize("bad", [[[1.0, 2.0]], np.array(["a", object()], dtype=object)])
def test_scores_of_another_shape(bad):
    with pytest.raises(ArgumentError, match="scores must"):
        rules.top(bad, keep=1, direction="harder")


def test_a_number_is_enough_only_where_scores_are_not_read():
    assert len(rules.random(7, keep=3)) == 3
    with pytest.raises(ArgumentError, match="top needs a score of every sample, got 7"):
        rules.top(7, keep=3)


def test_smallest_and_largest_agree_with_a_stable_sort():
    rng = np.random.default_rng(0)
    for _ in range(50):
        values = rng.integers(0, 5, size=rng.integers(1, 30)).astype(float)
        count = int(rng.integers(0, len(values) + 1))
        assert smallest(values, count).tolist() == sorted(np.argsort(values, kind="stable")[:count].tolist())
        assert largest(values, count).tolist() == sorted(np.argsort(-values, kind="stable")[:count].tolist())


def test_provenance_says_all_that_matters():
    coreset = rules.window([3.0, 1.0, 2.0], keep=1, offset=1, direction="harder", seed=4)
    assert coreset.provenance == {
        "rule": "window", "options": {"offset": 1}, "budget": 1, "n": 3, "seed": 4, "align": "rank", "nan": None,
        "quota": None, "quota_by": None, "score": "scores", "direction": "harder", "scores": {},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"seed": 1.5}, ArgumentError, "seed must be an integer, got 1.5"),
        ({"seed": "x"}, ArgumentError, "seed must be an integer, got 'x'"),
        ({"labels": [0, 1]}, ArgumentError, r"labels must have shape \(3,\), one entry a sample, got \(2,\)"),
        ({"labels": [0, 1, np.nan]}, DataError, "labels are NaN for ids 2"),
        ({"labels": [0, 1, None]}, ArgumentError, "labels must be an array of numbers or text"),
        ({"quota": "fair"}, ArgumentError, "quota must be one of 'proportional', 'floored', 'uniform', 'error' or"),
        ({"scores": ["a", "b", "c"]}, ArgumentError, "scores must be an array of numbers"),
        ({"scores": np.empty(0)}, BudgetError, "no samples to choose from"),
    ],
)
def test_bad_arguments_are_named(arguments, error, message):
    with pytest.raises(error, match=message):
        rules.top(**{"scores": [1.0, 2.0, 3.0], "keep": 1, "direction": "harder", **arguments})
