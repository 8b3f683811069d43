"""Law 1: no sample is scored by a model that saw it, in any unseen plan, on any executor."""

import numpy as np
import pytest
from memory_learner import DyingLearner, LeakingLearner, MemoryLearner

import unseen
from unseen.core.exposure import Fit, Observation
from unseen.scores.accumulator import ScoreSink
from unseen.scores.registry import resolve

N, CLASSES = 60, 3
PLANS = {
    "folds": unseen.folds(5),
    "folds with repeats and seen": unseen.folds(3, repeats=2, watch_seen=True),
    "halves": unseen.halves(2),
    "leave one out": unseen.leave_one_out(),
    "of your own": unseen.Exposure(train=[np.arange(30), np.arange(30, 60)], watch=[np.arange(30, 60), np.arange(30)]),
}


def data(copies=0):
    """Unique contents, and `copies` of them twice (with another label, as label noise would have it)."""
    x = np.arange(N, dtype=np.float32)[:, None]
    y = np.arange(N) % CLASSES
    x = np.concatenate([x, x[:copies]])
    return x, np.concatenate([y, (y[:copies] + 1) % CLASSES])


def scores_of(learner, plan=PLANS["folds"], copies=0, **more):
    return unseen.score(data(copies), plan=plan, learner=learner, **more).values["el2n"]


def assert_nobody_was_seen(values):
    assert np.isfinite(values).all()
    assert (values > 0.1).all(), "a model was asked about content that it was trained on"


@pytest.mark.parametrize("plan", PLANS.values(), ids=PLANS)
def test_every_plan(plan):
    assert_nobody_was_seen(scores_of(MemoryLearner(), plan))


def test_copies_stay_in_one_fold():
    assert_nobody_was_seen(scores_of(MemoryLearner(), copies=20))


@pytest.mark.parametrize("plan", [unseen.folds(5), unseen.halves()], ids=["folds", "halves"])
def test_users_groups_stay_in_one_fold(plan):
    x, y = data()
    groups = np.arange(N) // 4
    x = groups[:, None].astype(np.float32)  # a model that saw any member knows them all
    values = unseen.score((x, y), plan=plan, learner=MemoryLearner(), groups=groups).values["el2n"]
    assert_nobody_was_seen(values)


def test_groups_larger_than_a_fold():
    groups = np.concatenate([np.zeros(30, int), np.arange(1, 31)])
    x = groups[:, None].astype(np.float32)
    values = unseen.score((x, data()[1]), plan=unseen.folds(4), learner=MemoryLearner(), groups=groups).values["el2n"]
    assert_nobody_was_seen(values)


def test_worker_processes():
    assert_nobody_was_seen(scores_of(MemoryLearner(), unseen.folds(3), jobs=2))


def test_after_resume(tmp_path):
    with pytest.raises(RuntimeError, match="died in r0f2"):
        scores_of(DyingLearner("r0f2"), out=tmp_path / "run")
    values = scores_of(DyingLearner(), out=tmp_path / "run")
    assert_nobody_was_seen(values)
    np.testing.assert_array_equal(values, scores_of(MemoryLearner()))


def test_the_baseline_is_what_the_law_forbids():
    """The plan `seen` asks models about what they saw, and says so; it is the planted violation of the plans."""
    table = unseen.score(data(), plan=unseen.seen(), learner=MemoryLearner())
    assert table.provenance["plan"]["plan"] == "seen"
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(table.values["el2n"])


def test_planted_leaking_pipeline_is_caught():
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(scores_of(LeakingLearner()))


def test_planted_copies_across_folds_are_caught():
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(scores_of(MemoryLearner(), copies=20, groups=None))


def test_a_fit_cannot_ask_about_what_it_trains_on():
    with pytest.raises(unseen.ExposureError, match="rows 2"):
        Fit(train=[0, 1, 2], unseen=[2, 3])
    with pytest.raises(unseen.ExposureError, match="not in train: rows 5"):
        Fit(train=[0, 1, 2], unseen=[3], seen=[5])
    with pytest.raises(unseen.ExposureError, match="trained on: rows 1"):
        unseen.Exposure(train=[0, 1], watch=[1, 2])


def test_a_sink_refuses_what_its_fit_trains_on():
    sink = ScoreSink(Fit(train=[0, 1], unseen=[2, 3]), np.zeros(4, int), [resolve("el2n")], 2)
    with pytest.raises(unseen.ExposureError, match="was trained on the samples it now judges: rows 1"):
        sink.observe("unseen", Observation(np.array([1, 2]), 1, np.zeros((2, 2))))


def test_a_recorder_refuses_what_its_fit_trains_on():
    recorder = unseen.Recorder(np.arange(8) % 2, plan=unseen.folds(2))
    for fit in recorder:
        with pytest.raises(unseen.ExposureError, match="its model was trained on them"):
            recorder.record(fit.train, np.zeros((len(fit.train), 2)))
        recorder.record(fit.unseen, np.zeros((len(fit.unseen), 2)))


def test_a_group_on_both_sides_of_your_own_exposure():
    x, y = data()
    plan = unseen.Exposure(train=np.arange(30), watch=np.arange(30, 60))
    with pytest.raises(unseen.ExposureError, match="groups on both sides"):
        unseen.score((x, y), plan=plan, learner=MemoryLearner(), groups=np.arange(N) % 30)
