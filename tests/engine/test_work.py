"""In which order trainings are handed to an executor, and how many at a time by default."""

import sys
import warnings
from functools import partial

import numpy as np
import pytest

import unseen
from unseen.engine import work as work_module
from unseen.engine.executors import run_job
from unseen.engine.runs.base import Run
from unseen.engine.work import Training, Work, choose_threads, share_cores
from unseen.learners import TorchLearner


class Recording:
    """An executor that notes the order of the jobs it is given."""

    threads, workers = 1, 1

    def __init__(self, jobs):
        self.jobs, self.order = jobs, []

    def run(self, jobs, *, data, report):
        for job in jobs:
            self.order.append(job.name)
            yield job, run_job(job, data=data, threads=1, report=report)


@pytest.mark.parametrize(
    ("jobs", "order"), [(2, ["half", "more", "some", "few"]), (1, ["few", "half", "some", "more"])]
)
def test_several_workers_get_the_longest_training_first_and_one_gets_them_as_they_are(jobs, order):
    data, executor = unseen.data.resolve("digits"), Recording(jobs)
    work, run = Work(data, "extra_trees:n_estimators=5", executor=executor), Run()
    run.open({})
    sizes = {"few": 60, "half": 900, "some": 200, "more": 400}
    trainings = [Training(name, np.arange(size), 0, work.learner) for name, size in sizes.items()]
    done = {one.name: outcome.samples_seen for one, outcome in work.test(run, trainings, np.arange(1000, 1100), seed=0)}
    assert executor.order == order
    assert done == sizes


@pytest.mark.parametrize(
    ("learner", "cores", "long", "shared"),
    [
        ({"device": "cpu"}, 2, 345_024, (2, None)),  # 1,797 x 64 values, 3 times
        ({"device": "cpu"}, 2, 345_025, (1, 1)),
        ({"device": "cpu"}, 1, 1, (1, None)),  # one core, or OMP_NUM_THREADS=1
        ({"device": "cpu", "memory_limit": 920_063}, 2, 1, (1, None)),  # two copies as float32 do not fit
        ({"device": "cpu", "memory_limit": 920_064}, 2, 1, (2, None)),
        ("logistic", 2, 115_008, (2, None)),
        ("logistic", 2, 115_009, (1, None)),
        ("ridge", 2, 1, (1, None)),  # all fits at once
    ],
)
def test_two_fits_at_a_time_where_one_is_long_and_one_thread_where_it_is_short(
    monkeypatch, learner, cores, long, shared
):
    if isinstance(learner, dict):
        pytest.importorskip("torch")
        learner = TorchLearner("mlp", **learner).with_epochs(3)
    monkeypatch.setattr(work_module, "default_threads", lambda: cores)
    monkeypatch.setattr(work_module, "LONG", long)
    monkeypatch.setattr(work_module, "SHORT", 1)
    monkeypatch.setattr(work_module, "SHORT_NETWORK", long)
    assert share_cores(unseen.data.resolve("digits"), learner) == shared


def test_a_network_of_small_images_has_one_thread_in_each_of_two_jobs():
    """10,000 images of 32 pixels: a second thread makes these fits hardly faster, and a busy machine much slower."""
    pytest.importorskip("torch")
    images, labels = np.zeros((10_000, 32, 32, 3), np.uint8), np.arange(10_000) % 10
    data, learner = unseen.data.resolve((images, labels)), TorchLearner("convnet", device="cpu").with_epochs(16)
    assert choose_threads(data, learner) == 1
    assert choose_threads(data, learner.with_epochs(17)) is None


@pytest.mark.parametrize(("plan", "jobs"), [("seen", 1), (unseen.seen(), 1), (unseen.seen(2), 2), (None, 2)])
def test_a_single_long_fit_has_all_cores(monkeypatch, plan, jobs):
    monkeypatch.setattr(work_module, "default_threads", lambda: 2)
    monkeypatch.setattr(work_module, "LONG", 1)
    monkeypatch.setattr(work_module, "SHORT", 1)
    assert share_cores(unseen.data.resolve("digits"), "logistic", plan) == (jobs, None)


@pytest.mark.parametrize("options", [{}, {"jobs": 2}, {"executor": "local"}])
@pytest.mark.parametrize(("short", "threads"), [(1797 * 64, None), (1797 * 64 + 1, 1)])
def test_an_estimator_has_one_thread_where_its_fit_is_short(monkeypatch, options, short, threads):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr("unseen.core.machine.count_cores", lambda: 8)
    monkeypatch.setattr(work_module, "SHORT", short)
    digits = unseen.data.digits()
    chosen = Work(digits, "hist_gradient_boosting", **options).threads
    assert chosen == (threads or 8 // options.get("jobs", 1))
    assert Work(digits, "hist_gradient_boosting", threads=3, **options).threads == 3  # what the user says holds
    assert Work(digits, "ridge", **options).threads == 8 // options.get("jobs", 1)  # a closed form


def test_verbs_of_several_works_choose_the_same_threads(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    monkeypatch.setattr("unseen.core.machine.count_cores", lambda: 8)
    executor, _ = work_module.resolve_executor({}, unseen.data.digits(), "hist_gradient_boosting")
    assert executor.threads == 1


@pytest.mark.parametrize(
    ("options", "shared"), [([], (2, 4)), (["--jobs", "3"], (3, None)), (["--threads", "1"], (None, 1))]
)
def test_the_command_line_uses_the_shared_cores(monkeypatch, tmp_path, options, shared):
    from unseen.cli import main

    used = []
    monkeypatch.setattr(work_module, "share_cores", lambda data, learner, plan: (2, 4))
    monkeypatch.setattr(
        unseen, "prune", lambda data, **given: used.append((given["jobs"], given["threads"])) or sys.exit()
    )
    argv = ["prune", "digits", "--keep", "0.5", "--learner", "logistic", "--out", tmp_path / "run", *options]
    monkeypatch.setattr(sys, "argv", ["unseen", *map(str, argv)])
    with pytest.raises(SystemExit):
        main()
    assert used == [shared]


def test_copies_of_a_sample_with_different_labels_are_told():
    x = np.random.default_rng(0).normal(size=(60, 40))
    y = np.arange(60) % 2
    x[7], x[9], x[20] = x[2], x[3], x[5]  # a different label, the same label twice
    with pytest.warns(UserWarning, match=r"exact copies of 2 samples have different labels: ids 2 \(0\) and 7 \(1\)"):
        unseen.score(x, y, learner="ridge", groups="duplicates")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unseen.score(x, np.arange(60) > 30, learner="ridge")


def test_rows_of_few_columns_that_mostly_agree_are_told():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 3, (200, 2)).astype(float)
    y = (x[:, 0] + rng.normal(size=200) > 1).astype(int)
    for verb in (partial(unseen.score, x, y), partial(unseen.grow, x, y, keep=0.5)):
        with pytest.warns(UserWarning, match=r"200 of 200 samples are equal to others.*\(--groups none\)"):
            verb(learner="logistic")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        unseen.score(x, y, learner="logistic", groups=None)
        x[:101] += rng.random((101, 2))  # most differ
        unseen.score(x, y, learner="logistic")
