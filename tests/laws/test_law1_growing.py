"""Law 1 at every step of growing: nobody is scored by a model that saw them, members and outsiders alike."""

from copy import copy
from dataclasses import replace
from hashlib import blake2b

import numpy as np
import pytest
from memory_learner import MemoryLearner

import unseen
from unseen.core.exposure import Observation
from unseen.engine.runs import RunDirectory
from unseen.growing import Loop

N, CLASSES = 90, 3


class Spy(MemoryLearner):
    """Certain of the label of content that it was trained on; of all else it has a weak opinion of its own."""

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        seen = {row.tobytes() for row in data.take(self.trained_on(data, fit))}
        taken = data.take(fit.unseen)
        logits = np.stack([weak_opinion(row) for row in taken]) if len(taken) else np.zeros((0, CLASSES))
        known = [row.tobytes() in seen for row in taken]
        logits[known] = 0.0
        logits[known, data.labels[fit.unseen[known]]] = 1000.0
        sink.observe("unseen", Observation(fit.unseen, 1, logits))
        if len(fit.seen):
            sink.observe("seen", Observation(fit.seen, 1, np.zeros((len(fit.seen), CLASSES))))


class LeakingSpy(Spy):
    """Trains on everything, whatever it is told."""

    def trained_on(self, data, fit):
        return np.arange(len(data))


def weak_opinion(content):
    """Small logits that depend on the content alone."""
    digest = blake2b(content.tobytes(), digest_size=CLASSES).digest()
    return np.frombuffer(digest, np.uint8) / 255.0


def data(content=None):
    x = np.arange(N) if content is None else content
    return x.astype(np.float32)[:, None], np.arange(N) % CLASSES


def scorings(run):
    """The table of each scoring of a run, by name."""
    return {path.name: RunDirectory(path).table() for path in sorted((run / "parts").iterdir())}


def grown(run, learner=None, content=None, **more):
    arguments = {"keep": 40, "steps": 2, "rule": "stratified", **more}  # by default a spy is too weak to choose
    result = unseen.grow(data(content), learner=learner or Spy(), out=run, **arguments)
    return result, scorings(run)


def assert_nobody_was_seen(tables):
    for name, table in tables.items():
        values = table.values["el2n" if name == "start" else "entropy"]
        judged = np.isfinite(values)
        assert judged.any()
        # Certain of content that it was trained on: no error and no doubt.
        assert (values[judged] > 0.1).all(), f"{name}: a model was asked about content that it was trained on"


@pytest.mark.parametrize("plan", [None, unseen.folds(3)], ids=["halves", "folds"])
def test_every_step(tmp_path, plan):
    result, tables = grown(tmp_path / "run", plan=plan)
    assert sorted(tables) == ["start", "step-1", "step-2"]
    assert_nobody_was_seen(tables)
    for step in (1, 2):
        members = result.history.members(step - 1)
        assert np.isnan(tables[f"step-{step}"].values["entropy"][:, members]).all()


def test_groups_of_the_user(tmp_path):
    groups = np.arange(N) // 15  # every group has members
    result, tables = grown(tmp_path / "run", content=np.arange(N) // 15 * 3 + np.arange(N) % 3, groups=groups + 7)
    assert_nobody_was_seen(tables)
    inside = np.bincount(groups[result.coreset.indices], minlength=groups.max() + 1)
    assert ((inside > 0) & (inside < np.bincount(groups))).any()  # they need not enter as a whole


@pytest.mark.slow
def test_worker_processes(tmp_path):
    assert_nobody_was_seen(grown(tmp_path / "run", steps=1, jobs=2)[1])


def test_copies_of_members_are_not_asked_about(tmp_path):
    content = np.arange(N) // 6 * 3 + np.arange(N) % 3  # two of each, of one label
    result, tables = grown(tmp_path / "run", content=content, keep=30)
    assert_nobody_was_seen(tables)
    for step in (1, 2):
        members = result.history.members(step - 1)
        asked = np.flatnonzero(np.isfinite(tables[f"step-{step}"].values["entropy"][0]))
        assert not np.isin(content[asked], content[members]).any()


# Planted violations.


def test_planted_leaking_learner_is_caught(tmp_path):
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(grown(tmp_path / "run", LeakingSpy())[1])


def test_planted_groups_that_nobody_told_of_are_caught(tmp_path):
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(grown(tmp_path / "run", content=np.arange(N) // 4, groups=None)[1])


def test_planted_step_that_forgets_the_copies_is_caught(tmp_path, monkeypatch):
    original = Loop._plan_step

    def step(self, number, members, outside, room):
        forgetful = copy(self)
        forgetful.work = copy(self.work)
        forgetful.work.samples = replace(self.work.samples, groups=None)
        return original(forgetful, number, members, outside, room)

    monkeypatch.setattr(Loop, "_plan_step", step)
    content = np.arange(N) // 6 * 3 + np.arange(N) % 3
    with pytest.raises(unseen.ExposureError, match="has groups on both sides"):  # the plan itself refuses it
        grown(tmp_path / "run", content=content)
