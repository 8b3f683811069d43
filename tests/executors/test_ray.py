"""Fits as tasks of Ray: the same numbers, the same reports, dead workers, and nothing left behind."""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from mortal_learner import Glance, Killer, MortalLearner, Wanderer
from toy_learner import Ridge, ToyData, toy_data, toy_jobs

import unseen
from unseen.errors import ArgumentError, WorkerError
from unseen.executors import LocalExecutor, RayExecutor
from unseen.learners.torch import Recipe

pytestmark = pytest.mark.ray

FOLDS = unseen.folds(4)
EPOCHS = 4


def descendants(pid):
    """Every process below this one, with its command line."""
    parents = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                stat = (folder / "stat").read_text().rsplit(")", 1)[1].split()
                command = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
            if stat[0] != "Z":
                parents[int(folder.name)] = (int(stat[1]), command)
    found, edge = {}, {pid}
    while edge:
        edge = {child for child, (parent, _) in parents.items() if parent in edge}
        found |= {child: parents[child][1] for child in edge}
    return found


def soon(condition, within=20):
    deadline = time.monotonic() + within
    while time.monotonic() < deadline:
        if condition():
            return True
        time.sleep(0.05)
    return False


def gone(pids):
    return not any(Path(f"/proc/{pid}").exists() and "Z" not in _state(pid) for pid in pids)


def _state(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except OSError:
        return "Z"


def training():
    """The processes in which a task is at work."""
    return [pid for pid, command in descendants(os.getpid()).items() if command.startswith("ray::train")]


@pytest.fixture(scope="module", autouse=True)
def cluster():
    import ray

    before = set(descendants(os.getpid()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(Path(__file__).parent))  # workers import the learners of these tests
        ray.init(
            num_cpus=4,
            object_store_memory=100 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    yield
    ours = set(descendants(os.getpid())) - before
    assert ours
    ray.shutdown()
    assert soon(lambda: gone(ours)), "processes of Ray were left behind"


def run(executor, *, learner=None, data=None, report=lambda *_, **__: None, **more):
    data = toy_data() if data is None else data
    return executor.run(toy_jobs(data, learner, **more), data=data, report=report)


@pytest.mark.parametrize("learner", ["mlp:epochs=2,threads=1", "mlp:epochs=1,threads=2", "ridge"])
def test_any_number_of_workers_gives_the_local_numbers(learner):
    def values(**more):
        return unseen.score("digits", plan=FOLDS, learner=learner, threads=1, **more).values["el2n"]

    local = values()
    for jobs in (1, 2, 4):
        np.testing.assert_array_equal(values(executor="ray", jobs=jobs), local)


def test_the_reports_are_those_of_the_local_executor():
    local = {fit.name: result for fit, result in run(LocalExecutor(1, threads=2))}
    data, told, taken, results = toy_data(), [], [], {}
    for fit, result in run(
        RayExecutor(jobs=2, threads=2), data=data, taken=taken, report=lambda k, **f: told.append((k, f))
    ):
        results[fit.name] = result
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


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    return score(mortal(out, {}), out), content(out)


def score(learner, out=None, **more):
    return unseen.score("digits", plan=FOLDS, learner=learner, threads=1, out=out, **more).values["el2n"]


def mortal(folder, deaths):
    return MortalLearner(Recipe(network="mlp", epochs=EPOCHS)).dying(folder, deaths)


def content(run):
    return {name: (run / name).read_bytes() for name in ("manifest.json", "scores.parquet")}


@pytest.mark.parametrize("seed", [0, 1])
def test_a_killed_worker_goes_on_after_its_last_epoch(unbroken, tmp_path, seed):
    draw = random.Random(seed)
    deaths = {f"r0f{fold}": draw.randint(1, EPOCHS - 1) for fold in draw.sample(range(4), 2)}
    killer, out = Killer(deaths), tmp_path / "run"
    score(mortal(tmp_path, deaths), out, executor="ray", jobs=2, report=killer)
    assert not killer.deaths, "every kill has landed"
    assert [killer.epochs(f"r0f{fold}") for fold in range(4)] == [[1, 2, 3, 4]] * 4, "no finished epoch was redone"
    retries = [event for event in unseen.runs.RunDirectory(out).events() if event["kind"] == "retry"]
    assert sorted(event["fit"] for event in retries) == sorted(deaths)
    assert {(event["retry"], event["of"]) for event in retries} == {(1, 3)}
    assert content(out) == unbroken[1]


def test_a_killed_worker_of_a_run_in_memory_begins_anew(unbroken, tmp_path):
    killer = Killer({"r0f2": 2})
    values = score(mortal(tmp_path, {"r0f2": 2}), executor="ray", jobs=2, report=killer)
    assert killer.epochs("r0f2") == [1, 2, 1, 2, 3, 4]
    assert killer.count("retry") == 1
    np.testing.assert_array_equal(values, unbroken[0])


def test_retries_are_bounded():
    told = []
    with pytest.raises(WorkerError, match=r"worker of fit r0f1 died 4 times, at last by Worker.*same --out"):
        list(run(RayExecutor(jobs=2), learner=Ridge("killed"), report=lambda k, **f: told.append((k, f))))
    assert [(f["fit"], f["retry"]) for k, f in told if k == "retry"] == [("r0f1", 1), ("r0f1", 2), ("r0f1", 3)]
    assert soon(lambda: not training())


def test_the_error_of_a_learner_is_raised_as_it_is_and_not_retried():
    told = []
    with pytest.raises(ArgumentError, match=r"^lr must be positive, got -1\n") as caught:
        list(run(RayExecutor(jobs=2), learner=Ridge("error"), report=lambda k, **f: told.append(k)))
    assert caught.value.__notes__[0] == "in fit r0f1"
    assert "go_wrong" in caught.value.__notes__[1]
    assert "retry" not in told
    with pytest.raises(WorkerError, match=r"^UnspeakableError: cannot be sent\n"):
        list(run(RayExecutor(jobs=1), learner=Ridge("unspeakable")))


def test_leaving_the_loop_ends_the_tasks():
    results = run(RayExecutor(jobs=2), learner=Ridge("sleep", where="r0f1"))
    next(results)
    assert soon(training)
    results.close()
    assert soon(lambda: not training())


def test_data_beyond_the_object_store():
    data = ToyData(np.ones((10, 1_500_000)), np.arange(10) % 3)  # 114 MiB, where the store has 100
    results = list(run(RayExecutor(jobs=2), learner=Glance(), data=data, k=2))
    assert [result["logits"][0, 0] for _, result in results] == [1, 1]


def test_what_ray_cannot_do_is_said_before_any_training():
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
    with pytest.raises(ArgumentError, match="the data must be picklable"):
        list(run(RayExecutor(), data=unsendable))
    assert list(RayExecutor().run([], data=toy_data(), report=print)) == []


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    import ray

    def refuse(**_):
        raise ConnectionError("Failed to connect to Ray cluster")

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    monkeypatch.setattr(ray, "shutdown", lambda: None)
    with pytest.raises(WorkerError, match=r"no Ray cluster answers at the address '127\.0\.0\.1:1': Failed"):
        list(run(RayExecutor("127.0.0.1:1")))


PROGRAM = Path(sys.executable).with_name("unseen")
COMMAND = ["score", "digits", "--learner", "mlp:epochs=30,threads=1", "--folds", "4", "--threads", "1"]


def test_a_cluster_is_joined_and_left_running(tmp_path):
    import ray

    out = tmp_path / "run"
    address = ray.get_runtime_context().gcs_address
    command = ["score", "digits", "--learner", "logistic", "--folds", "2", "--threads", "1", "--out", out, "--json"]
    done = subprocess.run(
        [PROGRAM, *command, "--executor", "ray", "--address", address], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    local = unseen.score("digits", learner="logistic", plan=unseen.folds(2), threads=1)
    np.testing.assert_array_equal(unseen.load(out).scores.values["el2n"], local.values["el2n"])
    assert len(list(run(RayExecutor()))) == 5, "the cluster goes on"
    refused = subprocess.run([PROGRAM, *command, "--address", address], capture_output=True, text=True)
    assert refused.returncode == 1
    assert "--address is for --executor ray, got --executor local" in refused.stderr


def epochs(out):
    """The fit and number of every epoch that was reported."""
    events = unseen.runs.RunDirectory(out).events()
    return [(event["fit"], event["epoch"]) for event in events if event["kind"] == "epoch"]


def begun(out, *argv):
    """The program, some epochs on; and the processes that it has started."""
    before = len(epochs(out))
    program = subprocess.Popen(
        [PROGRAM, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={k: v for k, v in os.environ.items() if k != "RAY_ADDRESS"},
    )
    if not soon(lambda: len(epochs(out)) > before + 10, within=90):
        program.kill()
        raise AssertionError(program.communicate()[0])
    return program, descendants(program.pid)


def test_a_killed_driver_is_resumed_and_nothing_is_left(tmp_path):
    out, whole = tmp_path / "run", tmp_path / "whole"
    program, below = begun(out, *COMMAND, "--executor", "ray", "--jobs", "2", "--out", out)
    assert any("raylet" in command for command in below.values())
    program.kill()
    program.communicate(timeout=20)
    # Ray's own agents go by themselves, a minute or two after the rest.
    assert soon(lambda: gone(pid for pid in below if "Agent" not in below[pid])), "a killed driver left processes"

    program, below = begun(out, "resume", out)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does: to the whole group
    said, _ = program.communicate(timeout=30)
    assert program.returncode == 130, said
    assert "unseen resume" in said.splitlines()[-1]
    assert soon(lambda: gone(below)), "Ctrl-C left processes"
    assert not (out / "scores.parquet").exists()

    for folder in (out, whole):  # an executor is no part of the configuration
        subprocess.run([PROGRAM, *COMMAND, "--out", folder, "-q"], check=True, capture_output=True)
    assert content(out) == content(whole)
    assert len(set(epochs(out))) == len(epochs(out)), "no finished epoch was redone"
