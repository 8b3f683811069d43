"""A fit by several workers of Ray: the scores of one worker, though one is killed; and errors as they are."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
from falling_learner import FallingLearner
from sklearn.datasets import load_digits

import unseen
from unseen.errors import ArgumentError, DataError, RunError
from unseen.learners.torch import Recipe

pytestmark = [pytest.mark.ray, pytest.mark.timeout(600)]  # workers take long to start on a busy machine

ROWS = np.arange(600)
ONCE = unseen.Exposure(train=ROWS[ROWS % 3 > 0], watch=ROWS[ROWS % 3 == 0])  # one fit: to start workers takes long
SCORES = ("el2n", "aum")
RECIPE = Recipe(network="mlp", epochs=4, batch_size=50, observe_batch=60)


@pytest.fixture(scope="module", autouse=True)
def cluster():
    import ray

    with pytest.MonkeyPatch.context() as patch:
        # Workers import the learners of these tests.
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # an actor more
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=100 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
            logging_level="ERROR",
        )
    yield
    ray.shutdown()


def score(learner, **more):
    x, y = load_digits(return_X_y=True)
    options = {"scores": SCORES, "plan": ONCE, "learner": learner, "threads": 1, "groups": None, **more}
    return unseen.score(x[ROWS], y[ROWS], **options)


def test_a_worker_is_killed_and_the_scores_are_those_of_one_worker(tmp_path):
    learner = FallingLearner(RECIPE, device="cpu").falling(tmp_path, 2, how="dies")
    out = tmp_path / "run"
    together = score(learner, executor="ray:workers=2", out=out)
    alone = score(learner)
    for name in SCORES:
        np.testing.assert_allclose(together.values[name], alone.values[name], rtol=1e-5, atol=1e-5)
    events = unseen.engine.runs.RunDirectory(out).events()
    (retry,) = [event for event in events if event["kind"] == "retry"]
    assert (retry["retry"], retry["of"]) == (1, 3)
    assert "worker 1: " in retry["cause"]
    assert [event["epoch"] for event in events if event["kind"] == "epoch"] == [1, 2, 3, 4], "no epoch was redone"
    assert json.loads((out / "manifest.json").read_text())["learner"]["workers"] == 2
    with pytest.raises(RunError, match="workers"):
        score(learner, out=out)


def test_the_error_of_any_worker_is_raised_as_it_is(tmp_path):
    learner = FallingLearner(RECIPE, device="cpu").falling(tmp_path, 0, how="raises")
    told = []
    with pytest.raises(DataError, match=r"^cannot read sample 7\n"):
        score(learner, executor="ray:workers=2", report=lambda kind, **fields: told.append(kind))
    assert "retry" not in told


def test_too_many_workers_are_refused_before_any_training():
    with pytest.raises(ArgumentError, match=r"room for 2 of the 3 workers of a fit, .* it has 2 CPUs and 0 GPUs; use"):
        score("mlp", executor="ray:workers=3")
