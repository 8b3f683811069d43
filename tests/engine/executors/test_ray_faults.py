"""What dies on Ray, and what becomes of it: workers, nodes, drivers; memory or an object store that is too small."""

import json
import os
import random
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
from mortal_learner import Glance, Hungry, Killer, Mortal, Steps
from ray_cluster import HERE, STORE, descendants, gone, soon, training
from ray_cluster import cluster_fixture as cluster_fixture
from toy_learner import Ridge, ToyData, toy_data, toy_jobs

import unseen
from unseen.engine.executors import RayExecutor
from unseen.errors import WorkerError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

PROGRAM = Path(sys.executable).with_name("unseen")
FOLDS = unseen.folds(4)
EPOCHS = 4


def score(learner, out=None, **more):
    return unseen.score("digits", plan=FOLDS, learner=learner, threads=1, out=out, **more).values["el2n"]


def content(run):
    return {name: (run / name).read_bytes() for name in ("manifest.json", "scores.parquet")}


def events(run, kind):
    return [event for event in unseen.engine.runs.RunDirectory(run).events() if event["kind"] == kind]


def epochs(run):
    """The fit and number of every epoch that was reported."""
    return [(event["fit"], event["epoch"]) for event in events(run, "epoch")]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    out = tmp_path_factory.mktemp("unbroken") / "run"
    return score(Steps(EPOCHS), out), content(out)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_killed_worker_goes_on_after_its_last_epoch(unbroken, tmp_path, seed):
    draw = random.Random(seed)
    deaths = {f"r0f{fold}": draw.randint(1, EPOCHS - 1) for fold in draw.sample(range(4), 2)}
    killer, out = Killer(), tmp_path / "run"
    score(Mortal(EPOCHS).dying(tmp_path, deaths), out, executor="ray", jobs=2, report=killer)
    assert sorted(killer.killed) == sorted(deaths)
    assert [killer.epochs(f"r0f{fold}") for fold in range(4)] == [[1, 2, 3, 4]] * 4, "no finished epoch was redone"
    retries = events(out, "retry")
    assert sorted(event["fit"] for event in retries) == sorted(deaths)
    assert {(event["retry"], event["of"]) for event in retries} == {(1, 3)}
    assert content(out) == unbroken[1]


def test_a_killed_worker_of_a_run_in_memory_starts_from_the_beginning(unbroken, tmp_path):
    killer = Killer()
    values = score(Mortal(EPOCHS).dying(tmp_path, {"r0f2": 2}), executor="ray", jobs=2, report=killer)
    assert killer.epochs("r0f2") == [1, 2, 1, 2, 3, 4]
    assert killer.count("retry") == 1
    np.testing.assert_array_equal(values, unbroken[0])


def test_a_killed_worker_of_a_sweep_costs_its_cell_an_epoch(tmp_path):
    methods, options = ["folds:k=2/el2n/top"], {"keep": [0.5], "seeds": 2, "threads": 1}
    whole = unseen.sweep("digits", methods=methods, learner=Steps(EPOCHS), **options)
    killer, learner = Killer(), Steps(EPOCHS)
    trainee = Mortal(EPOCHS).dying(tmp_path, {"r1f0": 3})
    broken = unseen.sweep("digits", methods=methods, learner=learner, trainee=trainee, executor="ray", jobs=2,
                          report=killer, out=tmp_path / "run", **options)  # fmt: skip
    (cell,) = killer.killed
    assert cell.endswith("-r1")
    assert killer.epochs(cell) == [1, 2, 3, 4]
    assert [event["fit"] for event in events(tmp_path / "run", "retry")] == [cell]
    for name in ("accuracy", "loss"):
        np.testing.assert_array_equal(broken.columns[name], whole.columns[name])


def test_retries_are_bounded():
    told = []
    executor, data = RayExecutor(jobs=2), toy_data()
    with pytest.raises(WorkerError, match=r"worker of fit r0f1 died 4 times, at last by Worker.*same --out"):
        list(executor.run(toy_jobs(data, Ridge("killed")), data=data, report=lambda k, **f: told.append((k, f))))
    assert [(f["fit"], f["retry"]) for k, f in told if k == "retry"] == [("r0f1", 1), ("r0f1", 2), ("r0f1", 3)]
    assert soon(lambda: not training())


def test_a_fit_that_runs_out_of_memory_is_tried_once_more_alone(unbroken, tmp_path):
    out = tmp_path / "run"
    score(Hungry(EPOCHS).eating(tmp_path, "r0f0", always=False), out, executor="ray", jobs=2)
    (retry,) = events(out, "retry")
    assert retry["fit"] == "r0f0"
    assert retry["cause"] == "MemoryError: Unable to allocate 3.00 TiB; now alone on a node"
    assert epochs(out).count(("r0f0", 2)) == 1
    assert content(out)["scores.parquet"] == unbroken[1]["scores.parquet"]


def test_a_fit_that_runs_out_of_memory_by_itself_says_what_to_change(tmp_path):
    for jobs, retries in ((2, 1), (1, 0)):
        place = tmp_path / str(jobs)
        place.mkdir()
        learner = Hungry(EPOCHS).eating(place, "r0f0", always=True)
        with pytest.raises(WorkerError, match=r"fit r0f0, a training on 1,347 samples in batches of 64, ran out of mem"
                           r".*MemoryError: Unable to allocate 3.00 TiB.*\(batch_size=32\)"):  # fmt: skip
            score(learner, place / "run", executor="ray", jobs=jobs)
        assert len(events(place / "run", "retry")) == retries


@pytest.fixture
def node(cluster, monkeypatch):
    """Adds nodes that alone have a GPU, as Ray sees it: fits that ask for one go there."""
    added = []

    def add(cpus=1, gpus=1, **environment):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        added.append(cluster.add_node(num_cpus=cpus, num_gpus=gpus, object_store_memory=STORE))
        return added[-1]

    yield add
    for one in added:
        if one in cluster.list_all_nodes():
            cluster.remove_node(one)


def test_the_fits_of_a_lost_node_go_on_elsewhere(unbroken, tmp_path, cluster, node):
    lost, out = node(), tmp_path / "run"
    others = set(descendants(os.getpid()))

    def lose(pid):
        assert pid not in others, "it was at work on the new node"
        node()
        cluster.remove_node(lost, allow_graceful=False)

    killer = Killer(lose)
    learner = Mortal(EPOCHS).dying(tmp_path, {"r0f1": 2})
    score(learner, out, executor="ray:num_gpus=1", jobs=1, report=killer)
    (retry,) = events(out, "retry")
    assert retry["fit"] == "r0f1"
    assert retry["cause"].startswith("NodeDiedError")
    assert killer.epochs("r0f1") == [1, 2, 3, 4]
    assert content(out) == unbroken[1]


def test_a_worker_that_ray_ends_to_save_its_node_is_reported_as_out_of_memory(node):
    node(2, 2, RAY_memory_usage_threshold="0.01", RAY_memory_monitor_refresh_ms="100")
    data, told = toy_data(), []
    results = RayExecutor(jobs=2, num_gpus=1).run(
        toy_jobs(data, Ridge("sleep", where="r0f0")), data=data, report=lambda k, **f: told.append((k, f))
    )
    with pytest.raises(
        WorkerError, match=r"fit r0f\d, a training on 48 samples, ran out of memory with no other.*OutOf"
    ):
        list(results)
    causes = [f["cause"] for k, f in told if k == "retry"]
    assert causes
    assert all(cause.startswith("OutOfMemoryError") and cause.endswith("now alone on a node") for cause in causes)


def test_data_beyond_the_object_store():
    data = ToyData(np.ones((10, 1_150_000)), np.arange(10) % 3)  # 88 MiB, where the store has 80
    results = list(RayExecutor(jobs=2).run(toy_jobs(data, Glance(), k=2), data=data, report=lambda *_, **__: None))
    assert [result["logits"][0, 0] for _, result in results] == [1, 1]


FULL = """
    import sys
    sys.path.insert(0, {here!r})
    import numpy as np, ray
    from mortal_learner import Glance
    from toy_learner import ToyData, toy_jobs
    from unseen.errors import WorkerError
    from unseen.engine.executors import RayExecutor

    ray.init("local", num_cpus=1, object_store_memory={store}, include_dashboard=False, log_to_driver=False)
    data = ToyData(np.ones((10, 1_150_000)), np.arange(10) % 3)
    try:
        list(RayExecutor().run(toy_jobs(data, Glance(), k=2), data=data, report=print))
    except WorkerError as error:
        print("refused:", error)
"""


def test_an_object_store_and_a_disk_that_are_too_small_are_named(tmp_path):
    script = tmp_path / "script.py"
    script.write_text(textwrap.dedent(FULL.format(here=str(HERE), store=STORE)))
    full = {"RAY_local_fs_capacity_threshold": "0.0001", "PYTHONPATH": str(HERE), "RAY_USAGE_STATS_ENABLED": "0"}
    done = subprocess.run([sys.executable, script], env={**_alone(), **full}, capture_output=True, text=True,
                          timeout=120, check=False)  # fmt: skip
    assert "refused: the data set does not fit into the object store" in done.stdout, done.stderr
    assert "Put the data in files" in done.stdout
    assert "ray.init(object_store_memory=...)" in done.stdout


def _alone():
    """The environment without the Ray of these tests."""
    return {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}


FITS = unseen.folds(24)
COMMAND = ["score", "digits", "--learner", "logistic", "--folds", "24", "--threads", "1"]


def finished(run):
    """The fits that have ended, one entry each time."""
    return [event["fit"] for event in events(run, "fit_end")]


def begun(out, said, *argv):
    """The program, some fits on; and the processes that it has started."""
    before = len(finished(out))
    # To a file: a pipe would wait for whoever else holds its end.
    with said.open("w") as file:
        program = subprocess.Popen([PROGRAM, *map(str, argv)], stdout=file, stderr=subprocess.STDOUT,
                                   start_new_session=True, env=_alone())  # fmt: skip
    if not soon(lambda: len(finished(out)) > before + 3 or program.poll() is not None, within=120):
        program.kill()
    assert program.poll() is None, said.read_text()
    return program, descendants(program.pid)


def test_a_killed_driver_is_resumed_and_nothing_is_left(tmp_path):
    out, whole, said = tmp_path / "run", tmp_path / "whole", tmp_path / "said.txt"
    program, below = begun(out, said, *COMMAND, "--executor", "ray", "--jobs", "2", "--out", out)
    assert any("raylet" in command for command in below.values())
    program.kill()
    program.wait(timeout=20)
    kept = {place.parent.name for place in out.glob("fits/*/result.npz")}
    # Ray's own agents go by themselves, a minute or two after the rest.
    assert soon(lambda: gone(pid for pid in below if "Agent" not in below[pid])), "a killed driver left processes"

    program, below = begun(out, said, "resume", out)
    os.killpg(program.pid, signal.SIGINT)  # as a terminal does: to the whole group
    assert program.wait(timeout=60) == 130, said.read_text()
    assert "unseen resume" in said.read_text().splitlines()[-1]
    assert soon(lambda: gone(below)), "Ctrl-C left processes"
    assert not (out / "scores.parquet").exists()

    for folder in (out, whole):  # an executor is no part of the configuration
        unseen.score("digits", plan=FITS, learner="logistic", threads=1, out=folder)
    assert content(out) == content(whole)
    assert kept
    assert all(finished(out).count(fit) == 1 for fit in kept), "no finished fit was redone"
    assert json.loads((out / "command.json").read_text())["options"]["executor"] == "ray"
