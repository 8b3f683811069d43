"""Fits as tasks of Ray: the same numbers, the same reports, every verb, and what is refused."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from mortal_learner import Steps, Wanderer
from ray_cluster import cluster_fixture as cluster_fixture
from ray_cluster import soon, training
from toy_learner import Ridge, toy_data, toy_jobs

import unseen
from unseen.engine.executors import LocalExecutor, RayExecutor, ray_tasks
from unseen.errors import ArgumentError, WorkerError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

PROGRAM = Path(sys.executable).with_name("unseen")


def silent(*_, **__):
    pass


def run(executor, *, learner=None, data=None, report=silent, **more):
    data = toy_data() if data is None else data
    return executor.run(toy_jobs(data, learner, **more), data=data, report=report)


def test_the_reports_are_those_of_the_local_executor():
    local = {job.name: result for job, result in run(LocalExecutor(1, threads=2))}
    data, told, taken, results = toy_data(), [], [], {}
    for job, result in run(
        RayExecutor(jobs=2, threads=2), data=data, taken=taken, report=lambda k, **f: told.append((k, f))
    ):
        results[job.name] = result
        assert len(taken) <= len(results) + 2, "more jobs were taken than there are workers"
    assert sorted(results) == sorted(local)
    assert data.pickled == 1, "data goes to the object store once"
    for name in local:
        np.testing.assert_array_equal(results[name]["logits"], local[name]["logits"])
        assert results[name]["threads"].tolist() == local[name]["threads"].tolist()
        assert results[name]["pid"] != os.getpid()
        mine = [(kind, fields) for kind, fields in told if fields["fit"] == name]
        assert [kind for kind, _ in mine] == ["fit_start", "epoch", "epoch", "fit_end"]
        assert mine[1][1] == {"fit": name, "epoch": 1, "epochs": 2}


@pytest.mark.parametrize("learner", ["mlp:epochs=2,threads=1", "mlp:epochs=1,threads=2", "ridge", Steps()])
def test_any_number_of_workers_gives_the_local_numbers(learner):
    def values(**more):
        return unseen.score("digits", plan=unseen.folds(4), learner=learner, threads=1, **more).values["el2n"]

    local = values()
    for jobs in (1, 2, 4):
        np.testing.assert_array_equal(values(executor="ray", jobs=jobs), local)


SWEPT = ["folds:k=2/el2n/top", "grow:steps=2/el2n/top"]
CORESET = unseen.Coreset(ids=np.arange(400), indices=np.arange(400), n=1797)
VERBS = {
    "prune": {"keep": 0.2, "rule": "auto", "candidates": SWEPT[:1], "confirm": 3},
    "grow": {"keep": 0.2, "plan": unseen.folds(2)},
    "evaluate": {"coresets": CORESET, "seeds": 2, "baselines": ["random"]},
    "sweep": {"methods": SWEPT, "keep": [0.5, 0.2], "seeds": 2},
    "advise": {"method": SWEPT[0], "step": 0.4, "searching": 1, "seeds": 3},
}


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_gives_the_local_files(tmp_path, verb):
    """Nothing in a finished run says on what executor it was made."""
    for name, more in {"local": {}, "ray": {"executor": "ray", "jobs": 4}}.items():
        options = {**VERBS[verb], "learner": Steps(2), "threads": 1, "out": tmp_path / name}
        getattr(unseen, verb)("digits", **options, **more)
    assert content(tmp_path / "local") == content(tmp_path / "ray")


def content(run):
    """Every manifest, result and table but those that also tell times, and their digests."""
    kept = [path for path in run.rglob("*") if path.suffix in (".json", ".parquet", ".npz")]
    timed = ("evaluation.parquet", "outputs.json")
    return {str(path.relative_to(run)): path.read_bytes() for path in kept if path.name not in timed}


def test_fits_of_all_cells_share_the_workers():
    """A sweep by Ray has tests of several methods and budgets under way at once, and never more than its jobs."""
    under_way, most, together = set(), 0, set()

    def report(kind, *, fit="", **_):
        nonlocal most
        if kind == "fit_start":
            under_way.add(fit)
        elif kind == "fit_end":
            under_way.discard(fit)
        most = max(most, len(under_way))
        together.add(len({name.rsplit("-r", 1)[0] for name in under_way}))

    slow = Steps(2, pause=0.1)
    unseen.sweep("digits", methods=SWEPT[:1], keep=[0.5], learner=slow, seeds=2, executor="ray", jobs=3, report=report)
    assert most == 3
    assert max(together) > 1


def test_a_session_holds_data_once_and_ends_with_the_block(monkeypatch):
    held = []
    monkeypatch.setattr(ray_tasks, "put", lambda value, name, put=ray_tasks.put: held.append(name) or put(value, name))
    data, executor = toy_data(), RayExecutor(jobs=2)
    with executor.session():
        for _ in range(2):
            assert len(list(run(executor, data=data))) == 5
        assert held == ["the data set"]
    assert executor._session is None


def test_the_error_of_a_learner_is_raised_as_it_is_and_not_retried():
    told = []
    with pytest.raises(ArgumentError, match=r"^lr must be positive, got -1\n") as caught:
        list(run(RayExecutor(jobs=2), learner=Ridge("error"), report=lambda k, **f: told.append(k)))
    assert caught.value.__notes__[0] == "in fit r0f1"
    assert "go_wrong" in caught.value.__notes__[1]
    assert "retry" not in told
    with pytest.raises(WorkerError, match=r"^UnspeakableError: cannot be sent\n"):
        list(run(RayExecutor(jobs=1), learner=Ridge("unspeakable")))


def test_a_task_that_has_sent_its_last_message_is_not_cancelled(monkeypatch):
    """Ray ends the whole driver where a task that is just ending is cancelled."""
    import ray

    cancelled, flown = [], []
    monkeypatch.setattr(ray, "cancel", lambda stream, force: cancelled.append(stream))
    real = ray_tasks.TaskScheduler._wait_for_message
    monkeypatch.setattr(
        ray_tasks.TaskScheduler, "_wait_for_message", lambda self: flown.append(real(self)) or flown[-1]
    )
    with pytest.raises(ArgumentError, match="lr must be positive"):
        list(run(RayExecutor(jobs=2), learner=Ridge("error")))
    assert flown[-1] not in cancelled


def test_leaving_the_loop_ends_the_tasks():
    results = run(RayExecutor(jobs=2), learner=Ridge("sleep", where="r0f1"))
    next(results)
    assert soon(training)
    results.close()
    assert soon(lambda: not training())


def test_what_ray_cannot_do_is_refused_before_any_training():
    unsendable = toy_data()
    unsendable.x = (row for row in unsendable.x)
    with pytest.raises(ArgumentError, match=r"no node .* has room for a fit of 64 CPUs and 0 GPUs: it has 4 CPUs"):
        list(run(RayExecutor(threads=64)))
    with pytest.raises(ArgumentError, match="has room for a fit of 1 CPUs and 1 GPUs"):
        list(run(RayExecutor(num_gpus=1, jobs=2)))
    with pytest.raises(ArgumentError, match="address must be left out, got 'auto': this process is connected"):
        list(run(RayExecutor("auto")))
    with pytest.raises(WorkerError, match=r"not the same in a worker of Ray.*device: \d+ in the driver, \d+ here"):
        list(run(RayExecutor(), learner=Wanderer()))
    with pytest.raises(ArgumentError, match="the data set must be picklable"):
        list(run(RayExecutor(), data=unsendable))
    assert list(RayExecutor().run([], data=toy_data(), report=silent)) == []


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    import ray

    def refuse(**_):
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(WorkerError, match=r"no Ray cluster answers at the address '127\.0\.0\.1:1': Failed"):
        list(run(RayExecutor("127.0.0.1:1")))


def test_a_cluster_is_joined_and_left_running(tmp_path, cluster):
    out = tmp_path / "run"
    command = ["score", "digits", "--learner", "logistic", "--folds", "2", "--threads", "1", "--out", out, "--json"]
    done = subprocess.run(
        [PROGRAM, *command, "--executor", "ray", "--address", cluster.address],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    local = unseen.score("digits", learner="logistic", plan=unseen.folds(2), threads=1)
    np.testing.assert_array_equal(unseen.load(out).scores.values["el2n"], local.values["el2n"])
    assert len(list(run(RayExecutor()))) == 5, "the cluster goes on"
