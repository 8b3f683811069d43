"""Law 1 at every step of growing: nobody is scored by a model that saw them, members and outsiders alike."""

from hashlib import blake2b

import numpy as np
import pytest
from memory_learner import MemoryLearner

import unseen
from unseen.exposure import Members
from unseen.runs import RunDirectory
from unseen.types import Observation

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
    arguments = {"keep": 40, "folds": 3, "release": 0.2, "confirm": True, **more}
    result = unseen.grow(data(content), learner=learner or Spy(), out=run, **arguments)
    return result, scorings(run)


def assert_nobody_was_seen(tables):
    for name, table in tables.items():
        values = table.values["el2n"]
        assert np.isfinite(values).all()
        assert (values > 0.1).all(), f"{name}: a model was asked about content that it was trained on"


@pytest.mark.parametrize("scale", ["size", "rank"])
@pytest.mark.parametrize(
    "schedule",
    [
        {"schedule": "grow", "start": "unseen"},
        {"schedule": "shrink"},
        {"schedule": "refine"},
        {"sizes": [30, 60, 40], "keep": None, "repeats": 2},
    ],
    ids=["grow", "shrink", "refine", "sizes"],
)
def test_every_step_of_every_schedule(tmp_path, schedule, scale):
    result, tables = grown(tmp_path / "run", scale=scale, **schedule)
    assert len(tables) >= 3
    assert_nobody_was_seen(tables)
    if schedule.get("schedule") == "refine":
        assert sum(step.released for step in result.history.steps) > 0  # members left, and were asked about again


@pytest.mark.parametrize("scale", ["size", "rank"])
def test_users_groups(tmp_path, scale):
    """A model that saw any member of a group knows them all."""
    groups = np.arange(N) // 4
    result, tables = grown(tmp_path / "run", content=groups, scale=scale, groups=groups + 7, start="unseen")
    assert_nobody_was_seen(tables)
    inside = np.bincount(groups[result.coreset.indices], minlength=groups.max() + 1)
    assert ((inside > 0) & (inside < np.bincount(groups))).any()  # they need not enter as a whole


def test_a_probe_split(tmp_path):
    assert_nobody_was_seen({k: v for k, v in grown(tmp_path / "run", probe=0.2)[1].items() if k != "start"})


def test_worker_processes(tmp_path):
    assert_nobody_was_seen(grown(tmp_path / "run", steps=1, confirm=False, jobs=2)[1])


def test_copies_do_not_bind_here(tmp_path):
    """That the coreset already explains a copy outside is the point; but the single step of a start binds them."""
    content = np.arange(N) // 6 * 3 + np.arange(N) % 3  # two of each, of one label
    result, tables = grown(tmp_path / "run", content=content, start="unseen", start_size=20)
    start = tables.pop("start")
    assert_nobody_was_seen({"start": start})
    members = result.history.members(0)
    assert len(np.unique(content[members])) == len(members)
    values = tables["step-1"].values["el2n"][0]
    copies = np.setdiff1d(np.flatnonzero(np.isin(content, content[members])), members)
    assert (values[copies] < 0.1).any()
    assert (values[members] > 0.1).all()
    assert (values[np.setdiff1d(np.arange(N), np.concatenate([members, copies]))] > 0.1).all()
    for step, table in enumerate([*(tables[key] for key in sorted(tables) if key != "final"), tables["final"]], 1):
        marked = table.predictions < 0
        assert marked[table.values["el2n"][0] < 0.1].all(), "who was judged by a model that saw a copy is marked"
        assert result.history.steps[step - 1].judged == (~marked).sum() < N
    assert (tables["step-1"].predictions[members] >= 0).all()


def noise(copies=4):
    """Samples that say nothing of their labels, each several times over."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(150, 5)).astype(np.float32), rng.integers(0, 4, 150)
    return np.tile(x, (copies, 1)), np.tile(y, copies)


@pytest.mark.parametrize("scale", ["size", "rank"])
@pytest.mark.parametrize("stop", ["budget", "quality"])
def test_copies_count_in_no_accuracy(tmp_path, scale, stop):
    """Chance is 25 %, and a model that knows a copy by heart knows no more of the rest."""
    from sklearn.neighbors import KNeighborsClassifier

    found = unseen.grow(
        noise(), keep=0.125, steps=3, learner=KNeighborsClassifier(1), scale=scale, stop=stop, confirm=True
    )
    steps = [step for step in found.history.steps if step.accuracy is not None]
    assert steps
    for step in steps:
        assert abs(step.accuracy.value - 0.25) < 0.08
        assert step.judged < 600
    table = found.scores
    judged = table.predictions >= 0
    assert np.mean((table.predictions == table.labels)[~judged]) == 0
    if stop == "quality":
        assert found.history.stopped.startswith("before step 1, which gained nothing")


def test_where_every_model_saw_copies_nothing_is_claimed(tmp_path):
    from sklearn.neighbors import KNeighborsClassifier

    found = unseen.grow(noise(), keep=590, steps=1, learner=KNeighborsClassifier(1), confirm=True)
    last = found.history.steps[-1]
    assert last.judged == (found.scores.predictions >= 0).sum() < 60
    assert last.accuracy is None or last.accuracy.low < 0.25


def test_the_closed_form_leaves_copies_out_as_refitting_does(tmp_path):
    found = {
        learner: unseen.grow(noise(2), keep=0.3, steps=2, learner=learner, confirm=True)
        for learner in ("ridge:lam=1.0", "logistic")
    }
    for grown_by in found.values():
        assert (grown_by.scores.predictions < 0).any()
        last = grown_by.history.steps[-1]
        assert last.judged == (grown_by.scores.predictions >= 0).sum()
        assert abs(last.accuracy.value - 0.25) < 0.12


# Planted violations.


def test_planted_leaking_learner_is_caught(tmp_path):
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(grown(tmp_path / "run", LeakingSpy())[1])


def test_planted_groups_that_nobody_told_of_are_caught(tmp_path):
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(grown(tmp_path / "run", content=np.arange(N) // 4)[1])


@pytest.mark.parametrize("scale", ["size", "rank"])
def test_planted_plan_that_forgets_the_groups_is_caught(tmp_path, monkeypatch, scale):
    original = Members.fits

    def fits(self, ids, labels, *, groups=None, seed=0):
        return original(self, ids, labels, groups=None, seed=seed)

    monkeypatch.setattr(Members, "fits", fits)
    groups = np.arange(N) // 4
    with pytest.raises(AssertionError, match="trained on"):
        assert_nobody_was_seen(grown(tmp_path / "run", content=groups, scale=scale, groups=groups)[1])
