"""Several steps: toy problems of which the answer is known, exact budgets, what stops it, what is refused."""

import re

import numpy as np
import pytest
from sklearn.naive_bayes import GaussianNB

import unseen
from growing_toys import NEAREST, clusters, copied, digits, grow, noisy_class
from unseen.growing.history import History
from unseen.runs import RunDirectory

SCHEDULES = {
    "grow": {"schedule": "grow", "steps": 2},
    "shrink": {"schedule": "shrink", "steps": 2},
    "refine": {"schedule": "refine", "steps": 2},
    "sizes": {"sizes": [40, 90, 90, 60], "release": 0.2},
}


# One of each must be kept.


@pytest.mark.parametrize("schedule", ["grow", "shrink"])
@pytest.mark.parametrize("rule", ["top", "stratified", "random"])
def test_of_exact_copies_one_each_is_kept(schedule, rule):
    X, y, which = copied()
    coreset = grow((X, y), keep=12, schedule=schedule, steps=2, start_size=4 if schedule == "grow" else None,
                   rule=rule, folds=2, release=0.2).coreset  # fmt: skip
    assert sorted(which[coreset.indices]) == list(range(12))


def test_copies_in_a_start_collapse_before_the_first_release():
    X, y, which = copied()
    # Three of twelve, the copies of the largest group among them.
    rows = np.flatnonzero(np.isin(which, [9, 10])).tolist()[:8] + np.flatnonzero(which == 11).tolist()[:4]
    rows = np.sort(rows)
    start = unseen.Coreset(ids=rows, indices=rows, n=len(y))
    coreset, history, _ = grow((X, y), keep=12, start=start, schedule="refine", steps=1, folds=2, learner=NEAREST)
    assert sorted(which[coreset.indices]) == list(range(12))
    assert history.steps[0].collapsed == 12 - 3
    assert history.steps[0].size == 3
    assert history.steps[1].entered == 9
    assert history.steps[1].released == 0  # there were just enough others to fill up with


def test_copies_fill_the_budget_when_nothing_else_is_left():
    X, y, which = copied()
    coreset, history, _ = grow((X, y), keep=30, start_size=6, folds=2, steps=4, release=0.3)
    assert len(coreset) == 30
    counts = np.bincount(which[coreset.indices])
    assert counts.min() == 1
    assert counts.max() == 3  # the second copies came before the third: 12 + 11 + 7
    assert sum(step.collapsed for step in history.steps) == 0  # and none of them went and came again


def test_copies_with_another_label_are_no_copies():
    X, y, which = copied()
    y = y.copy()
    y[np.flatnonzero(which == 11)[:3]] = 0
    coreset = grow((X, y), keep=13, start_size=4, folds=2, steps=2).coreset
    assert len({(w, label) for w, label in zip(which[coreset.indices], y[coreset.indices], strict=True)}) == 13


def test_of_near_copies_each_cluster_is_covered_before_any_twice():
    """Judged by the whole coreset, whoever lies in a covered cluster is explained, and never enters."""
    X, y, which = clusters()
    rows = np.array([0, 10, 20, 30])
    start = unseen.Coreset(ids=rows, indices=rows, n=len(y))
    grown = grow((X, y), keep=8, start=start, steps=4, scale="rank", folds=2, learner=NEAREST, confirm=True)
    assert sorted(which[grown.coreset.indices]) == list(range(8))
    # Judged by half of it, who lies where the other half is looks as hard as who lies where nobody is.
    halved = grow((X, y), keep=8, start=start, steps=4, scale="size", folds=2, learner=NEAREST)
    assert len(set(which[halved.coreset.indices])) < 8


def test_a_crowded_start_is_refined_until_it_covers_everything():
    X, y, which = clusters()
    rows = np.array([0, 1, 2, 3, 10, 11, 12, 13])  # four of each of two clusters
    start = unseen.Coreset(ids=rows, indices=rows, n=len(y))
    coreset, history, _ = grow(
        (X, y), keep=8, start=start, schedule="refine", steps=8, release=0.25, scale="rank", folds=4, learner=NEAREST
    )
    assert sorted(which[coreset.indices]) == list(range(8))
    assert history.steps[7].accuracy.value > 0.9 > 0.65 > history.steps[0].accuracy.value


def test_who_is_released_is_explained_by_members_that_stay(tmp_path):
    """Else two members that explain each other would both go."""
    X, y = digits()
    history = grow((X, y), keep=100, schedule="refine", steps=3, release=0.2, out=tmp_path / "run").history
    for step in (1, 2, 3):
        table = RunDirectory(tmp_path / f"run/parts/step-{step}").table()
        released = history.events.rows[(history.events.names == "released") & (history.events.steps == step)]
        assert len(released) > 3
        assert len(np.unique(table.folds[0, released])) == 1
        np.testing.assert_array_equal(table.predictions[released], y[released])


@pytest.mark.parametrize(
    ("rule", "low", "high"),
    [
        ("top", 0.7, 1.0),  # hardest first collects what cannot be learned: this is the price of `top`
        ("stratified:cutoff=0.3", 0.0, 0.05),  # the cutoff is large enough for all of it
        ("random", 0.05, 0.35),  # its share of the data set is 0.17
    ],
)
def test_a_class_of_pure_noise(rule, low, high):
    X, y = noisy_class()
    coreset, history, _ = grow((X, y), keep=80, start_size=30, rule=rule, steps=2)
    entered = history.events.rows[history.events.names == "entered"]
    assert low <= (y[entered] == 2).mean() <= high
    assert len(coreset) == 80
    last = next(step for step in reversed(history.steps) if step.class_errors)
    assert last.class_errors[2] > 0.9 * max(last.class_errors)


def test_a_quota_by_error_reads_the_errors_of_everybody():
    """By the errors of outsiders alone, a class whose hard samples are in already would get no more."""
    X, y = noisy_class()
    shares = {}
    for quota in ("error", "proportional", "uniform"):
        history = grow((X, y), keep=80, start_size=30, steps=1, rule="random", quota=quota).history
        entered = history.events.rows[history.events.names == "entered"]
        shares[quota] = np.bincount(y[entered], minlength=3)
    errors = np.array(history.steps[0].class_errors) * np.bincount(y)
    np.testing.assert_allclose(shares["error"], np.minimum(50 * errors / errors.sum(), 55), atol=1)
    np.testing.assert_allclose(shares["proportional"], 50 * np.bincount(y) / len(y), atol=1)
    np.testing.assert_allclose(shares["uniform"], 50 / 3, atol=1)


# Exact budgets, whatever the schedule.


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize(
    "more",
    [
        {"rule": "top", "release": 0.2},
        {"rule": "stratified", "scale": "rank", "start": "unseen"},
        {"rule": "stratified:cutoff=0.2,strata=5", "quota": "error"},
        {"rule": "beta", "quota": "uniform", "repeats": 2},
        {"rule": "top", "score": "label_margin", "probe": 0.2},
    ],
    ids=str,
)
def test_exact_budgets(schedule, more):
    arguments = {**SCHEDULES[schedule], "keep": 60, **more}
    if schedule == "shrink" and more.get("start") == "unseen":
        arguments["start_size"] = 200
    if schedule == "refine" and "release" not in more:
        arguments["release"] = 0.15
    coreset, history, table = grow(digits(), **arguments)
    assert len(coreset) == 60
    assert history.steps[-1].size == coreset.provenance["budget"] == 60
    assert history.stopped == "at the budget of 60"
    assert len(table) == 300


def test_features_go_to_rules_that_read_distances():
    X, y = digits()
    coreset = grow((X, y), keep=60, rule="k_center", features=X).coreset
    assert len(coreset) == 60
    with pytest.raises(unseen.ArgumentError, match="features must be numbers of shape"):
        grow((X, y), keep=60, rule="k_center", features=X[:10])


def test_temperatures_and_second_scores_are_measured_too():
    tempered = grow(digits(), keep=60, rule="stratified", align="temperature").scores
    assert "el2n@temperature" in tempered.scores
    second = grow(digits(), keep=60, rule="stratified:cutoff=0.1,cutoff_by=loss").scores
    assert "loss" in second.scores


def test_a_probe_split_is_never_chosen_and_judges_alone():
    X, y = digits()
    coreset, history, table = grow((X, y), keep=60, probe=0.2, confirm=True, start="unseen")
    assert history.about["judged"] == 60
    probe = history.about["judged"]
    outside = np.setdiff1d(np.arange(300), np.concatenate([coreset.indices, history.events.rows]))
    assert len(outside) >= probe
    again = grow((X, y), keep=240, schedule="grow", probe=0.2).coreset  # everybody but the probe split
    split = np.setdiff1d(np.arange(300), again.indices)
    assert np.bincount(y[split]).max() - np.bincount(y[split]).min() <= 2
    right = table.predictions[split] == y[split]
    assert history.steps[-1].accuracy.value == right.mean()


def test_fixed_iterations_train_small_coresets_for_longer():
    X, y = digits()
    arguments = {"keep": 60, "learner": "mlp:epochs=2,batch_size=8", "folds": 2, "steps": 1}
    by_epochs = grow((X, y), **arguments).history
    by_iterations = grow((X, y), fix="iterations", **arguments).history
    assert by_iterations.steps[0].accuracy.value > by_epochs.steps[0].accuracy.value


# The same numbers.


def test_the_same_again_and_with_two_jobs():
    arguments = {"keep": 60, "release": 0.1, "schedule": "refine", "steps": 1, "folds": 2}
    first = grow(digits(), **arguments)
    for second in (grow(digits(), **arguments), grow(digits(), jobs=2, **arguments)):
        np.testing.assert_array_equal(first.coreset.order, second.coreset.order)
        np.testing.assert_array_equal(first.scores.values["el2n"], second.scores.values["el2n"])
        assert first.history.steps == second.history.steps
    other = grow(digits(), seed=1, **arguments)
    assert set(other.coreset.ids) != set(first.coreset.ids)


@pytest.mark.parametrize(
    "more",
    [
        {"score": "entropy"},
        {"rule": "stratified"},
        {"start": "unseen"},
        {"start_size": 40},
        {"schedule": "shrink"},
        {"steps": 2},
        {"sizes": [30, 60]},
        {"release": 0.2},
        {"folds": 4},
        {"repeats": 2},
        {"scale": "rank"},
        {"probe": 0.2},
        {"confirm": True},
        {"seed": 1},
        {"quota": "uniform"},
        {"align": "none"},
        {"groups": np.arange(300) // 3},
    ],
    ids=str,
)
def test_every_setting_changes_something(more):
    plain, other = grow(digits(), keep=60), grow(digits(), keep=60, **more)
    same_members = np.array_equal(plain.coreset.order, other.coreset.order)
    assert not same_members or plain.history.steps != other.history.steps


def test_a_start_rule_changes_the_start():
    starts = [grow(digits(), keep=60, start="unseen", start_rule=rule).history.members(0) for rule in ("top", None)]
    assert set(starts[0]) != set(starts[1])


@pytest.mark.parametrize("more", [{"release": 0.1}, {"probe": 0.2, "start": "unseen", "quota": "error"}], ids=str)
def test_shuffled_rows_move_with_their_ids(more):
    X, y = digits()
    ids = np.array([f"img/{i:05d}.png" for i in np.arange(len(y)) * 7])
    shuffled = np.random.default_rng(0).permutation(len(y))
    grown = [
        grow(unseen.data.from_arrays(X[order], y[order], ids=ids[order]), keep=60, **more)
        for order in (np.arange(len(y)), shuffled)
    ]
    np.testing.assert_array_equal(grown[0].history.events.ids, grown[1].history.events.ids)
    assert grown[0].history.steps == grown[1].history.steps


def test_history_is_kept_and_read_back(tmp_path):
    out = tmp_path / "run"
    grown = grow(digits(), keep=60, release=0.2, confirm=True, out=out)
    read = History.load(out / "history.parquet")
    assert repr(read) == repr(grown.history)
    assert read.steps == grown.history.steps
    assert read.about == grown.history.about
    np.testing.assert_array_equal(read.members(1), grown.history.members(1))
    for name in ("ids", "scores", "ranks", "names"):
        np.testing.assert_array_equal(getattr(read.events, name), getattr(grown.history.events, name))
    assert RunDirectory(out).output("history.parquet", History.load).steps == read.steps
    loaded = unseen.load(out)
    np.testing.assert_array_equal(loaded.coreset.order, grown.coreset.order)
    np.testing.assert_array_equal(loaded.scores.values["el2n"], grown.scores.values["el2n"])
    with pytest.raises(unseen.ArgumentError, match=r"step must be in 0\.\.3, got 4"):
        read.members(4)


def test_events_carry_the_score_and_rank_that_decided(tmp_path):
    grown = grow(digits(), keep=60, release=0.2, steps=2, out=tmp_path / "run")
    events = grown.history.events
    assert np.isnan(events.scores[events.names == "start"]).all()
    for step in (1, 2):
        table = RunDirectory(tmp_path / f"run/parts/step-{step}").table()
        mine = events.steps == step
        np.testing.assert_array_equal(events.scores[mine], table.column("el2n")[events.rows[mine]])
        released = events.ranks[mine & (events.names == "released")]
        entered = events.ranks[mine & (events.names == "entered")]
        assert len(released)
        assert released.max() < entered.min()  # by `top`, on the common scale


# What stops it.


def test_growing_stops_before_a_step_that_gains_nothing():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(300, 3)).astype(np.float32), rng.integers(0, 2, 300)
    coreset, history, _ = grow((X, y), keep=200, stop="quality", rule="random")
    assert len(coreset) < 200
    assert len(history.steps) == history.taken + 2  # the step that was undone is there, and its quality
    assert history.steps[-1].change.low <= 0
    words = "before step 1, which gained nothing beyond its interval: 80 samples, below the budget of 200"
    assert history.stopped == coreset.provenance["stopped"] == words
    assert "(undone)" in repr(history)


def test_growing_goes_on_while_it_gains():
    coreset, history, _ = grow(digits(600), sizes=[30, 400], stop="quality", rule="random")
    assert len(coreset) == 400
    assert history.steps[1].change.low > 0


def test_shrinking_goes_back_to_before_the_loss():
    coreset, history, _ = grow(digits(600), sizes=[600, 500, 450, 30], stop="quality", rule="random")
    assert len(coreset) == 450
    assert history.taken == 2
    assert history.stopped.endswith("lost accuracy beyond its interval: 450 samples, above the budget of 30")


def test_a_loss_too_small_to_see_at_each_step_is_seen_against_the_start(monkeypatch):
    calls = []

    def change(now, before):
        calls.append((now, before))
        return original(now, before)

    import unseen.growing.loop

    original = unseen.growing.loop.change
    monkeypatch.setattr(unseen.growing.loop, "change", change)
    grow(digits(), sizes=[300, 250, 200], stop="quality", rule="random")
    first = calls[0][1]
    assert any(before is first and now is not calls[0][0] for now, before in calls)


def test_quality_is_over_everybody():
    """Without the members, whose share grows, accuracy would rise by itself as hard outsiders enter."""
    X, y = digits()
    _, history, table = grow((X, y), keep=150, steps=1, start_size=120)
    assert history.steps[0].accuracy.value == np.mean(table.predictions == y)
    outside = np.setdiff1d(np.arange(300), history.members(0))
    assert history.steps[0].accuracy.value != np.mean((table.predictions == y)[outside])


# What is refused, before any training.


class Untrained(GaussianNB):
    def fit(self, X, y):
        raise AssertionError("trained")


def of_first(m, shift=0, n=300):
    return unseen.Coreset(ids=np.arange(m) + shift, indices=np.arange(m), n=n)


START = of_first(100)
OTHER = unseen.ScoreTable.of("s", np.zeros(300), direction="harder")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "give exactly one of keep and prune, got none"),
        ({"keep": 60, "prune": 60}, "exactly one of keep and prune"),
        ({"keep": 12}, "the budget of 12 samples is too small .* at least 20, one a fold \\(5\\) and two a class"),
        ({"keep": 60, "folds": 61}, "the budget of 60 samples is too small .* at least 61, one a fold"),
        ({"keep": 60, "start_size": 15}, "the start of 15 samples is too small"),
        ({"keep": 60, "start_size": 0.1}, "the start of 6 samples is too small"),
        ({"keep": 60, "start_size": 60}, "schedule='grow' needs a start below the budget, got 60 for a budget of 60"),
        ({"keep": 60, "start": START}, "needs a start below the budget, got 100 for a budget of 60; use sch.*'shrink'"),
        ({"keep": 100, "start": START}, "use schedule='refine'"),
        ({"keep": 60, "start_size": 40, "schedule": "shrink"}, "needs a start above the budget"),
        ({"keep": 60, "start_size": 58}, "3 steps from 58 to 60 samples would not all move"),
        ({"keep": 60, "steps": 0}, "steps must be an integer of at least 1, got 0"),
        ({"keep": 60, "sizes": [40, 50]}, "sizes must end at the budget of 60, got 40, 50"),
        ({"keep": 60, "sizes": [60]}, "sizes must hold the size of the start and of at least one step"),
        ({"sizes": [50, 50]}, "step 1 would change nothing: it goes from 50 samples to 50 and releases none"),
        ({"sizes": [40, 60], "steps": 2}, "sizes say every size, so steps=2 would change nothing"),
        ({"sizes": [40, 60], "start": START}, "sizes must begin with the size of the start, 100, got 40"),
        ({"sizes": [40, 60, 50], "stop": "quality"}, "sizes that only grow or only shrink"),
        ({"keep": 60, "start_size": 0}, "start_size must be a count"),
        ({"keep": 60, "start_size": 30, "schedule": "refine"}, "refine begins at the budget"),
        ({"keep": 60, "schedule": "refine", "release": 0.0}, "would change nothing"),
        ({"keep": 60, "release": 1.0}, r"release must be a fraction in \[0, 1\), got 1.0"),
        ({"keep": 60, "release": -0.1}, "release must be a fraction"),
        ({"keep": 290, "rule": "stratified:cutoff=0.5"}, "leaves .* outside the coreset at step 3, below the budget"),
        ({"keep": 200, "rule": "stratified:cutoff=0.5", "schedule": "shrink"}, "in the coreset at step 1, below"),
        ({"keep": 60, "start": "randon"}, "start must be one of 'random', 'unseen', got 'randon'"),
        ({"keep": 60, "schedule": "shrnk"}, "schedule must be one of"),
        ({"keep": 60, "schedule": "shrink", "start": "unseen"}, "start='unseen' would choose everything"),
        ({"keep": 60, "scale": "sizes"}, "scale must be one of"),
        ({"keep": 60, "stop": "never"}, "stop must be one of"),
        ({"keep": 60, "fix": "steps"}, "fix must be one of"),
        ({"keep": 60, "fix": "iterations"}, "needs a learner that trains in steps"),
        ({"keep": 60, "start_rule": "top"}, "start_rule='top' chooses a start='unseen'; leave it out"),
        ({"keep": 60, "start": "unseen", "start_rule": "tpo"}, "unknown rule 'tpo'; did you mean 'top'"),
        ({"keep": 60, "rule": "tpo"}, "unknown rule 'tpo'; did you mean 'top'"),
        ({"keep": 60, "cutof": 0.1}, "unknown argument of grow 'cutof'; did you mean 'cutoff'"),
        ({"keep": 60, "score": "el2m"}, "unknown score 'el2m'; did you mean 'el2n'"),
        ({"keep": 60, "score": "aum"}, "score 'aum' needs 2 epochs"),
        ({"keep": 60, "score": "memorization"}, "asks on one side only"),
        ({"keep": 60, "rule": "k_center"}, "give features="),
        ({"keep": 60, "quota": {0: 6}}, "grow takes 'proportional', 'uniform' or 'error'"),
        ({"keep": 60, "quota": "equal"}, "quota must be one of"),
        ({"keep": 60, "labels": [1]}, "labels= is measured at each step"),
        ({"keep": 60, "align": "ranks"}, "needs align="),
        ({"keep": 60, "probe": 0.7}, r"probe must be a share of the samples in \(0, 0.5\]"),
        ({"keep": 280, "probe": 0.2}, "a budget of 280 is above the 240 samples that the probe split leaves"),
        ({"keep": 120, "probe": 0.2, "start": START}, "start is a coreset already; leave probe out"),
        ({"keep": 60, "groups": [1, 2]}, "one entry for each of 300 samples, got 2"),
        ({"keep": 120, "start": of_first(9)}, "the start of 9 samples"),
        ({"keep": 120, "start": of_first(99, shift=1)}, "with other ids"),
        ({"keep": 120, "start": of_first(99, n=299)}, "got one of 299"),
        ({"keep": 60, "rule": "stratified:cutoff=0.1", "cutoff_by": OTHER}, "must name its second score"),
    ],
)
def test_what_cannot_work_is_refused_before_any_training(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        unseen.grow(digits(), learner=Untrained(), threads=1, out=tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_start_of_too_few_different_samples_is_refused():
    X, y, which = copied()
    rows = np.flatnonzero(np.isin(which, [11]))
    start = unseen.Coreset(ids=rows, indices=rows, n=len(y))
    with pytest.raises(ValueError, match="at least folds=2 different samples, of at least 2 classes, got 1 different"):
        unseen.grow((X, y), keep=20, start=start, learner=Untrained(), folds=2)


def test_a_run_of_another_configuration_is_refused(tmp_path):
    grow(digits(), keep=60, out=tmp_path / "run")
    with pytest.raises(unseen.RunMismatchError, match=re.escape("grow.sizes[0]: 24 (run) != 20 (now)")):
        grow(digits(), keep=60, start_size=20, out=tmp_path / "run")
    with pytest.raises(unseen.RunMismatchError, match=r"grow\.release: 0\.0"):
        grow(digits(), keep=60, release=0.1, out=tmp_path / "run")
