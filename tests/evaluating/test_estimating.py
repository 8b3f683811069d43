"""An estimate counts what a run then does, and times it about right."""

import subprocess
import time
from collections import Counter
from types import SimpleNamespace

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.core.closed_form import Summing
from unseen.core.plans import at_once
from unseen.core.protocols import Learner
from unseen.engine.runs import RunDirectory
from unseen.engine.scoring import SampleInfo
from unseen.errors import ArgumentError, BudgetError
from unseen.evaluating.costs import DataSample, Size, count_fits, count_observed, operations
from unseen.evaluating.prices import price_fits
from unseen.learners.products import OnCpu
from unseen.learners.ridge import RidgeLearner
from unseen.scores.accumulator import ScoreSink

RNG = np.random.default_rng(0)
X, Y = RNG.normal(size=(600, 8)).astype(np.float32), np.arange(600) % 3


@pytest.fixture(autouse=True)
def quick(monkeypatch, request):
    """Little time for trials, where times do not matter."""
    if "slow" not in request.keywords:
        monkeypatch.setattr("unseen.evaluating.estimate.SCORING_SECONDS", 0.5)
        monkeypatch.setattr("unseen.evaluating.estimate.TRAINING_SECONDS", 0.2)


@pytest.fixture
def watched(monkeypatch):
    """How many observations sinks are given."""
    seen = []
    observe = ScoreSink.observe

    def counted(self, side, observation):
        seen.append(len(observation.rows))
        observe(self, side, observation)

    monkeypatch.setattr(ScoreSink, "observe", counted)
    return seen


COUNTED = {
    "folds": ("mlp:epochs=3", unseen.folds(3), "el2n"),
    "course": ("mlp:epochs=4", unseen.folds(2, repeats=2), "forgetting"),
    "halves": ("mlp:epochs=2", unseen.halves(), "holdout_gap"),
    "default": ("mlp:epochs=2", None, None),
    "default of an estimator": (GaussianNB(), None, None),
    "default in closed form": ("ridge", None, None),
    "seen": ("mlp:epochs=2", unseen.seen(2), "el2n"),
    "uneven folds": (GaussianNB(), unseen.folds(7, repeats=2), "el2n"),
    "exposure": (GaussianNB(), unseen.Exposure(train=np.arange(100), watch=np.arange(100, 600)), "loss"),
    "ridge": ("ridge", unseen.folds(4), "el2n"),
    "ridge, one out": ("ridge", unseen.leave_one_out(), "leverage"),
    "softmax": ("softmax:lam=1.0", unseen.folds(3), "el2n"),
}


@pytest.mark.parametrize("case", COUNTED)
def test_the_counts_are_those_of_the_events(case, watched, tmp_path):
    learner, plan, score = COUNTED[case]
    found = unseen.estimate(X, Y, keep=0.5, learner=learner, plan=plan, score=score, threads=1)
    watched.clear()
    run = {"keep": 0.5, "nan": "last", "threads": 1, "out": tmp_path / "run"}
    unseen.prune(X, Y, score=score, learner=learner, plan=plan, **run)
    prices = price_fits(RunDirectory(tmp_path / "run").events())
    assert found.fits == len(prices)
    assert found.samples_trained == sum(price.samples for price in prices.values())
    assert found.samples_watched == sum(watched)


def test_the_default_is_priced_as_it_runs():
    """Two halves, each model asked about both, and for closed forms five folds: as `prune` does."""
    found = unseen.estimate(X, Y, learner="mlp:epochs=2", threads=1)
    assert (found.fits, found.samples_trained, found.about["plan"]["plan"]) == (2, 2 * 600, "halves")
    assert found.samples_watched == 2 * 600, "the rule reads memorization, which asks about the half trained on"
    assert "memorization" in found.about["scores"]
    assert unseen.estimate(X, Y, learner="ridge", threads=1).about["plan"]["plan"] == "folds"


def test_groups_make_leave_one_out_shorter():
    data = unseen.data.from_arrays(X[:60], Y[:60], groups=np.repeat(np.arange(20), 3))
    assert unseen.estimate(data, learner=GaussianNB(), plan=unseen.leave_one_out(), threads=1).fits == 20


@pytest.mark.parametrize(
    ("plan", "size"),
    [
        (unseen.folds(4), Size(0, 600, 0, "folds", 4)),
        (unseen.leave_one_out(), Size(0, 600, 0, "samples", 600)),
        (unseen.folds(3, watch_seen=True), Size(400, 200, 400)),
        (unseen.halves(), Size(300, 300, 300)),
    ],
    ids=["folds", "leave one out", "folds that are watched", "halves"],
)
def test_the_operations_of_ridge_are_those_that_its_products_make(plan, size, monkeypatch):
    made = Counter()

    def counting_calls(place, name, each):
        original = getattr(place, name)

        def counted(self, *args):
            x = next(a for a in args if isinstance(a, np.ndarray) and a.ndim == 2)
            made["operations"] += len(x) * each
            return original(self, *args)

        monkeypatch.setattr(place, name, counted)

    (n, d), classes = X.shape, 3
    counting_calls(Summing, "add_labels", d * d)
    counting_calls(OnCpu, "outputs", 2 * d * classes)
    counting_calls(OnCpu, "left_alone", d * d + 2 * d * classes)
    unseen.prune(X, Y, keep=0.5, learner="ridge:lam=1.0,temperature=1.0", plan=plan, threads=1)
    fits = 1 if size.apart else plan.count(n)
    told = fits * operations(RidgeLearner(lam=1.0, temperature=1.0), size, d, classes, n, fits)
    solving = d**3 / 3 + 2 * d * d * classes
    solved = 1 + size.models if size.apart == "folds" else 1
    assert made["operations"] + fits * solved * solving == pytest.approx(told)
    found = unseen.estimate(X, Y, learner="ridge:lam=1.0,temperature=1.0", plan=plan, threads=1)
    assert found.operations.middle == pytest.approx(told)


class Undecided(Learner):
    """A learner of somebody else's, about which nothing is known."""

    name = "undecided"

    def describe(self):
        return {"learner": self.name}

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        if sink.wants("unseen", 1, 1):
            sink.observe("unseen", unseen.Observation(fit.unseen, 1, np.zeros((len(fit.unseen), 3))))


def test_every_learner_that_prune_takes_can_be_estimated():
    texts = np.array(["hello there world", "other good words", "still more text"] * 40, object)
    table = unseen.data.from_arrays(X, target=X[:, 0] + RNG.normal(size=600))
    for data, learner in (
        ((X, Y), Undecided()),
        ((texts, np.arange(120) % 3), None),
        ((RNG.integers(0, 255, (60, 8, 8, 3), dtype=np.uint8), Y[:60]), "convnet:epochs=1,crop=1"),
        (table, None),
    ):
        found = unseen.estimate(data, keep=0.5, learner=learner, plan=unseen.folds(2), threads=1)
        for words in ("wall_seconds", "hours", "memory_bytes", "storage_bytes", "full_seconds", "coreset_seconds"):
            told = getattr(found, words)
            assert 0 <= told.low <= told.middle <= told.high, words
        assert found.wall_seconds.low > 0


def test_more_work_takes_longer_and_more_places_take_less():
    one = unseen.estimate(X, Y, learner="mlp:epochs=2", plan=unseen.folds(2), threads=1)
    many = unseen.estimate(X, Y, learner="mlp:epochs=200", plan=unseen.folds(2), threads=1)
    assert many.fit_seconds.middle > 20 * one.fit_seconds.middle


@pytest.mark.parametrize(("jobs", "rounds"), [(2, 3), (5, 1), (8, 1)])
def test_places_take_the_fits_in_rounds(jobs, rounds, monkeypatch):
    monkeypatch.setattr("unseen.evaluating.estimate._time_start", lambda costs, slots: 0.0)  # which starts a process
    found = unseen.estimate(X, Y, learner=GaussianNB(), plan=unseen.folds(5), jobs=jobs, threads=1)
    fits = found.wall_seconds.middle - found.opening_seconds.middle
    assert fits == pytest.approx(rounds * found.fit_seconds.middle)
    assert any("stand idle" in note for note in found.notes) == (jobs > 5)


@pytest.mark.parametrize(
    ("plan", "given", "slots", "threads"),
    [
        (unseen.folds(4), {}, 2, 2),
        (unseen.seen(), {}, 1, 4),  # a single fit
        (unseen.folds(4), {"jobs": 1}, 1, 4),
        (unseen.folds(4), {"threads": 3}, 1, 3),
    ],
)
def test_jobs_and_threads_are_those_of_the_command_prune(plan, given, slots, threads, monkeypatch):
    monkeypatch.setattr("unseen.evaluating.estimate._time_start", lambda costs, slots: 0.0)  # which starts a process
    monkeypatch.setattr("unseen.engine.work.LONG", 1)
    monkeypatch.setattr("unseen.engine.work.SHORT", 1)
    monkeypatch.setattr("unseen.engine.work.default_threads", lambda jobs=1: 4 // jobs)
    monkeypatch.setattr("unseen.engine.executors.default_threads", lambda jobs=1: 4 // jobs)
    found = unseen.estimate(X, Y, learner=GaussianNB(), plan=plan, **given)
    assert (found.slots, found.about["threads"]) == (slots, threads)


def test_pruning_pays_after_what_the_scoring_costs():
    found = unseen.estimate(X, Y, keep=0.5, learner="mlp:epochs=20", plan=unseen.folds(5), threads=1)
    saved = found.full_seconds.middle - found.coreset_seconds.middle
    fits = found.hours.middle * 3600
    assert (found.pays_after + 0.05) * saved >= fits > (found.pays_after - 0.95) * saved  # to a twentieth of a training
    everything = unseen.estimate(X, Y, keep=1.0, learner="mlp:epochs=2", plan=unseen.folds(2), threads=1)
    assert everything.pays_after is None
    assert "never" in dict(everything.lines())["pays"]


def test_a_trainee_is_what_is_trained_on_the_coreset():
    found = unseen.estimate(X, Y, keep=0.5, learner="ridge", trainee="mlp:epochs=50", threads=1)
    assert found.about["trainee"]["learner"] == "torch"
    assert found.full_seconds.middle > found.coreset_seconds.middle > found.fit_seconds.middle


def test_the_range_of_short_fits_is_wide_and_says_why():
    """On digits leave one out by ridge takes 0.12 to 0.14 s in all, of which the one fit is 0.07 s."""
    short = unseen.estimate(X, Y, learner="ridge:lam=1.0", plan=unseen.leave_one_out(), threads=1)
    assert short.fit_seconds.low <= 0.5 * short.fit_seconds.middle
    assert short.fit_seconds.high >= 2.5 * short.fit_seconds.middle
    assert any("less than 1 s" in note and "the table are not counted" in note for note in short.notes)
    long = unseen.estimate(X, Y, learner="mlp:epochs=20000", plan=unseen.folds(2), threads=1)
    assert long.fit_seconds.middle > 1
    assert not any("less than 1 s" in note for note in long.notes)


def test_the_start_of_a_worker_is_timed_by_imports_that_exist(monkeypatch):
    done = []

    def checked(command, **more):
        done.append(subprocess.run(command, **more))
        return done[-1]

    monkeypatch.setattr(
        "unseen.evaluating.estimate.subprocess", SimpleNamespace(run=checked, TimeoutExpired=subprocess.TimeoutExpired)
    )
    unseen.estimate(X, Y, learner="ridge", plan=unseen.folds(2), jobs=2, threads=1)
    assert [process.returncode for process in done] == [0], done


def test_json_holds_every_figure_with_its_range():
    told = unseen.estimate(X, Y, learner=GaussianNB(), threads=1).to_json()
    assert set(told["wall_seconds"]) == {"low", "middle", "high"}
    assert told["coreset_seconds"] is None
    assert told["samples_trained"] == 600  # by default two halves


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        ({"learner": unseen.Recorder(Y)}, ArgumentError, "got a Recorder.*nothing to measure"),
        ({"learner": "recorder"}, ArgumentError, "got a Recorder"),
        ({"trainee": "recorder"}, ArgumentError, "got a Recorder"),
        ({"gpus": 8}, ArgumentError, "gpus=8 needs a learner on a GPU here"),
        ({"gpus": 0}, ArgumentError, "gpus must be an integer of at least 1"),
        ({"gpus": 2, "jobs": 2}, ArgumentError, "not both"),
        ({"jobs": 0}, ArgumentError, "jobs must be an integer of at least 1"),
        ({"keep": 0.5, "prune": 0.5}, BudgetError, "exactly one"),
        ({"plan": unseen.folds(601)}, ValueError, "601"),
        ({"score": "forgetting"}, ArgumentError, "needs 2 epochs"),
        ({"score": "holdout_gap", "plan": unseen.folds(5)}, ArgumentError, "two|both|side"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_what_prune_would_refuse_is_refused_before_anything_is_tried(given, error, message, monkeypatch):
    monkeypatch.setattr("unseen.evaluating.estimate.Costs", lambda *_: pytest.fail("a fit was timed"))
    with pytest.raises(error, match=message):
        unseen.estimate(X, Y, **{"learner": GaussianNB(), **given})


PLANS = {
    "folds": unseen.folds(5),
    "seen": unseen.seen(),
    "halves": unseen.halves(),
    "folds at once": at_once(unseen.folds(5)),
    "one out": unseen.leave_one_out(),
    "one out at once": at_once(unseen.leave_one_out()),
    "pairs": unseen.Exposure(train=np.arange(200), watch=np.arange(250, 300)),
}


@pytest.mark.parametrize("plan", PLANS)
@pytest.mark.parametrize("rows", [7, 50, 300, 1000])
def test_a_fit_restricted_to_a_sample_keeps_its_proportions(plan, rows):
    data = unseen.data.resolve((X, Y))
    samples = SampleInfo(data.ids, data.labels, data.class_names, None, {})
    sizes, fit = count_fits(PLANS[plan], samples, 0)
    assert sizes.total() == PLANS[plan].count(600)
    size, sample = Size.of(fit), DataSample(data, fit, 0)
    part, scaled = sample.first(rows)[0], Size.of(sample.first(rows)[1])
    assert len(part) == scaled.rows == min(rows, size.rows)
    assert scaled.samples >= 2
    assert bool(scaled.unseen) == bool(size.unseen)
    assert bool(scaled.seen) == bool(size.seen)
    assert (scaled.apart, scaled.models <= size.models) == (size.apart, True)
    assert rows < 300 or scaled.unseen / scaled.rows == pytest.approx(size.unseen / size.rows, abs=0.1)


def test_looks_follow_the_schedule():
    forgetting, gap = (unseen.scores.resolve(name) for name in ("forgetting", "holdout_gap"))
    assert count_observed(Size(400, 200, 400), [forgetting], 3, "unseen") == 3 * 200
    assert count_observed(Size(400, 200, 400), [gap], 3, "unseen") == 200 + 400


def test_a_sample_begins_with_every_class_and_is_the_data():
    labels = np.r_[np.zeros(5000, int), np.arange(1, 40)]
    inputs = np.arange(len(labels), dtype=np.float32)[:, None] + np.zeros(3, np.float32)
    everything = np.arange(len(labels))
    sample = DataSample(unseen.data.resolve((inputs, labels)), unseen.Fit(everything, [], everything), 0)
    part, fit = sample.first(80)
    assert set(part.labels) == set(range(40))
    np.testing.assert_array_equal(part.take(np.arange(10))[:, 0], sample.rows[:10])
    np.testing.assert_array_equal(fit.seen, np.arange(80))
    assert len(np.unique(sample.rows)) == len(sample.rows)


def test_a_sample_of_shards_is_runs_of_rows(tmp_path, monkeypatch):
    folder = tmp_path / "shards"
    folder.mkdir()
    for part in range(4):
        np.save(folder / f"x-{part}.npy", X[part * 150 : (part + 1) * 150])
        np.save(folder / f"y-{part}.npy", Y[part * 150 : (part + 1) * 150])
    data = unseen.data.resolve(folder)
    assert not data.in_memory
    found = unseen.estimate(folder, learner="ridge", plan=unseen.leave_one_out(), threads=1)
    assert found.samples_trained == 600
    monkeypatch.setattr("unseen.evaluating.costs.MOST_ROWS", 300)
    monkeypatch.setattr("unseen.evaluating.costs.RUNS", 5)
    sample = DataSample(data, unseen.Fit(np.arange(600), [], []), 0)
    assert np.sum(np.diff(sample.rows) == 1) > 250
    np.testing.assert_array_equal(sample.first(50)[0].take(np.arange(50)), X[sample.rows[:50]])


@pytest.mark.parametrize("power", [1, 2])
def test_the_time_grows_with_the_samples_as_in_the_trials(power, monkeypatch):
    now = [0.0]

    class Slow(Undecided):
        def fit(self, data, fit, sink, checkpoints, *, seed, report):
            now[0] += 2 * (len(fit.train) / 10_000) ** power
            super().fit(data, fit, sink, checkpoints, seed=seed, report=report)

    monkeypatch.setattr("unseen.evaluating.costs.perf_counter", lambda: now[0])
    inputs = np.zeros((20_000, 2), np.float32)
    found = unseen.estimate(inputs, np.arange(20_000) % 3, learner=Slow(), plan=unseen.folds(2), threads=1)
    assert now[0] < 1.5, "it was tried at its whole size"
    assert found.fit_seconds.middle == pytest.approx(2.0, rel=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("plan", [None, unseen.leave_one_out()], ids=["folds", "leave one out"])
def test_the_time_of_a_short_closed_form_is_in_its_range(plan):
    def took():
        start = time.perf_counter()
        unseen.prune("digits", keep=0.7, learner="ridge", plan=plan, threads=1)
        return time.perf_counter() - start

    took()  # opens the data and loads libraries
    found = unseen.estimate("digits", keep=0.7, learner="ridge", plan=plan, threads=1)
    assert found.wall_seconds.low < np.median([took() for _ in range(5)]) < found.wall_seconds.high


def digit_images():
    digits = load_digits()
    return (16 * digits.images).astype(np.uint8)[..., None], digits.target


@pytest.mark.slow
@pytest.mark.parametrize(
    ("learner", "plan"),
    [
        ("mlp:epochs=40", unseen.folds(5)),
        ("convnet:epochs=6,crop=1", unseen.folds(3)),
        ("extra_trees", unseen.folds(5)),
        ("logistic", unseen.folds(5, repeats=4)),
        ("softmax", unseen.folds(5)),
    ],
    ids=["mlp", "convnet", "extra_trees", "logistic", "softmax"],
)
def test_the_time_is_within_a_factor_of_two(learner, plan, tmp_path):
    data = digit_images() if learner.startswith("convnet") else "digits"

    def estimated():
        return unseen.estimate(data, keep=0.7, learner=learner, plan=plan, threads=1)

    before = estimated()
    start = time.perf_counter()
    unseen.prune(data, keep=0.7, learner=learner, plan=plan, threads=1, out=tmp_path / "run")
    took = time.perf_counter() - start
    after = estimated()  # what else runs on the machine may have changed meanwhile
    told = sorted(found.wall_seconds.middle for found in (before, after))
    assert told[0] / 2 < took < 2 * told[1], (before, after)
    stored = sum(path.stat().st_size for path in (tmp_path / "run").rglob("*") if path.is_file())
    assert stored < 3 * before.storage_bytes.high + 50_000
