"""Every registered learner keeps the contract; for each promise there is a planted violation, which is caught."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import unseen
from unseen.core.exposure import Observation
from unseen.core.protocols import Learner
from unseen.data import from_arrays
from unseen.engine.work import Work, _set_workers
from unseen.errors import ArgumentError
from unseen.learners import LEARNERS, RidgeLearner
from unseen.learners.torch import PRESETS
from unseen.testing import check_learner

SMALL = {
    "forest": "forest:n_estimators=5",
    "extra_trees": "extra_trees:n_estimators=5",
    "mlp": "mlp:epochs=2,threads=1",
}
RNG = np.random.default_rng(0)


def images():
    labels = np.arange(36) % 3
    x = RNG.integers(0, 99, (36, 8, 8, 1), dtype=np.uint8) + (50 * labels[:, None, None, None]).astype(np.uint8)
    return from_arrays(x, labels, ids=RNG.permutation(500)[:36])


def texts():
    words = np.array(["red green blue", "one two three four", "north south east"])
    labels = np.arange(48) % 3
    return from_arrays(np.array([f"{words[c]} {i % 7}" for i, c in enumerate(labels)], object), labels)


def regression():
    x = RNG.normal(size=(60, 4)).astype(np.float32)
    return from_arrays(x, target=x[:, 0] + RNG.normal(size=60))


@pytest.mark.parametrize("name", [name for name in LEARNERS if name not in PRESETS or name == "mlp"])
def test_every_learner_without_images_conforms(name):
    check_learner(SMALL.get(name, name), texts() if name == "tfidf" else None)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["convnet", "convnet7"])
def test_networks_of_images_conform(name):
    check_learner(f"{name}:epochs=2,batch_size=16,crop=0,lr=0.01,threads=1", images())


def test_closed_forms_conform_with_fixed_options_too():
    check_learner("ridge:lam=2.0,temperature=1.0")  # then folds at once are compared with folds one by one
    check_learner("softmax:lam=1.0")


def test_a_pipeline_and_a_regression_conform():
    check_learner(make_pipeline(StandardScaler(), LogisticRegression()))
    check_learner("ridge", regression())


class Descent(Learner):
    """Softmax regression by gradient descent, with all that is asked for; the violations below change one thing."""

    name = "descent"
    batch_size = 10

    def __init__(self, epochs=3):
        self.epochs = epochs

    def describe(self):
        return {"learner": self.name, "epochs": self.epochs}

    def with_epochs(self, epochs):
        return type(self)(epochs)

    def with_threads(self, threads):
        other = type(self)(self.epochs)
        other.threads = threads
        return other

    def steps(self, samples):
        return self.epochs * -(-samples // self.batch_size)

    def learned_from(self, data, fit):
        return fit.train

    def scale(self, data, fit):
        return data.take(fit.train).mean(0)

    def generator(self, seed, epoch):
        return np.random.default_rng([seed, epoch])

    def start(self, width, classes):
        return np.zeros((width, classes))

    def asked(self, rows):
        return rows

    def output(self, logits):
        return logits

    def wanted(self, sink, side, epoch):
        return sink.wants(side, epoch, self.epochs)

    def saved(self, checkpoints, state, sink):
        checkpoints.save({**state, **{f"sink/{name}": array for name, array in sink.state().items()}})

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        mean, onehot = self.scale(data, fit), np.eye(len(data.class_names))
        w, done = self.start(len(mean), len(onehot)), 0
        if (kept := checkpoints.load()) is not None:
            w, done = kept["w"], int(kept["epoch"])
            sink.restore({n.removeprefix("sink/"): array for n, array in kept.items() if n.startswith("sink/")})
        train = self.learned_from(data, fit)
        train = train[np.argsort(data.ids[train])]
        for epoch in range(done + 1, self.epochs + 1):
            for rows in np.array_split(self.generator(seed, epoch).permutation(train), -(-len(train) // 10)):
                x = data.take(rows) - mean
                p = np.exp(x @ w)
                w = w - 0.1 * x.T @ (p / p.sum(1, keepdims=True) - onehot[data.labels[rows]])
            for side in ("unseen", "seen"):
                if self.wanted(sink, side, epoch):
                    rows = self.asked(fit.watch(side))
                    sink.observe(side, Observation(rows, epoch, self.output((data.take(rows) - mean) @ w)))
            self.saved(checkpoints, {"w": w, "epoch": np.int64(epoch)}, sink)
            report("epoch", epoch=epoch, epochs=self.epochs)


def test_a_learner_that_does_all_of_it_passes():
    check_learner(Descent())
    check_learner(Descent(epochs=1))


def test_a_learner_of_another_package_reaches_what_is_optional():
    x = RNG.normal(size=(120, 5)).astype(np.float32)
    y = (x[:, 0] > 0).astype(int)
    work = Work(from_arrays(x, y), Descent(), threads=1)
    assert work.learner.threads == 1
    assert work.adapt_learner("iterations", 30, 60).epochs == 6  # 3 epochs of 6 steps, then 6 of 3
    half, test = unseen.rules.random(120, keep=0.5), (x[:40] + 0.01, y[:40])
    found = unseen.evaluate(x, y, coresets=half, test=test, learner=Descent(), fix="iterations", seeds=2, jobs=1)
    seen = {arm.name: arm.samples_seen for arm in found.arms}
    assert len(set(map(str, seen.values()))) == 1, seen  # as many steps on half as on all
    with pytest.raises(ArgumentError, match="batch"):
        work.check_batch(5)
    with pytest.raises(ArgumentError, match="workers must be 1 for learner 'descent'"):
        _set_workers(work.learner, 2)


def test_what_only_looks_like_a_learner_is_refused():
    class Duck:
        name, epochs, provides, closed_form = "duck", None, frozenset({"logits"}), False
        describe, fit = Descent.describe, Descent.fit

    with pytest.raises(ArgumentError, match=r"derive from unseen\.core\.protocols\.Learner, got an object of Duck"):
        unseen.prune(RNG.normal(size=(30, 2)), np.arange(30) % 3, keep=0.5, learner=Duck())


class TrainsOnTheWatched(Descent):
    def learned_from(self, data, fit):
        return np.concatenate([fit.train, fit.unseen])


class TrainsOnEverything(Descent):
    def learned_from(self, data, fit):
        return np.arange(len(data))


class ScalesByAll(Descent):
    def scale(self, data, fit):
        return data.take(np.arange(len(data))).mean(0)


class Unseeded(Descent):
    def generator(self, seed, epoch):
        return np.random.default_rng()


class GlobalState(Descent):
    def generator(self, seed, epoch):
        return np.random.mtrand._rand


class WarmStart(Descent):
    def start(self, width, classes):
        self.starts = getattr(self, "starts", 0) + 1
        return np.full((width, classes), 0.1 * self.starts) * np.arange(classes)


class LosesItself(Descent):
    """Its copy in another process is another."""

    def __getstate__(self):
        return {"epochs": self.epochs, "threads": 7}

    def start(self, width, classes):
        return (0.1 if self.threads == 7 else 0.0) * np.ones((width, classes)) * np.arange(classes)


class HoldsALambda(Descent):
    def __init__(self, epochs=3):
        super().__init__(epochs)
        self.hold = lambda: None


class SkipsARow(Descent):
    def asked(self, rows):
        return rows[1:]


class Repeats(Descent):
    def asked(self, rows):
        return np.concatenate([rows, rows[:1]])


class NotAsked(Descent):
    def wanted(self, sink, side, epoch):
        return True


class Forgets(Descent):
    """Its checkpoint lacks what was observed."""

    def saved(self, checkpoints, state, sink):
        checkpoints.save(state)


class BeginsAgain(Descent):
    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        class Blind:
            load, save = (lambda self: None), staticmethod(checkpoints.save)

        super().fit(data, fit, sink, Blind(), seed=seed, report=report)


class NeverSaves(Descent):
    def saved(self, checkpoints, state, sink):
        pass


class ByPosition(Descent):
    """Draws by rows, not by ids."""

    def learned_from(self, data, fit):
        return fit.train[np.argsort(data.labels[fit.train], kind="stable")][: len(fit.train) // 2]


class Renamed(Descent):
    def with_threads(self, threads):
        other = super().with_threads(threads)
        other.name = f"descent-{threads}"
        return other


class ChangesItself(Descent):
    def with_epochs(self, epochs):
        self.epochs = epochs
        return self


class StepsAlone(Descent):
    def with_epochs(self, epochs):
        return None


class StepsOfOneEpoch(Descent):
    def steps(self, samples):
        return -(-samples // self.batch_size)


class NoJson(Descent):
    def describe(self):
        return {"learner": self.name, "mean": np.zeros(2)}


class Address(Descent):
    def describe(self):
        return {"learner": self.name, "of": repr(object())}


class Writes(Descent):
    def learned_from(self, data, fit):
        data.labels[fit.unseen[:1]] = 2
        return fit.train


class Probabilities(Descent):
    def output(self, logits):
        return np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


class LeakingRidge(RidgeLearner):
    """Folds done at once are trained on all rows."""

    in_passes = False

    def fit(self, data, fit, sink, checkpoints, *, seed, report):
        if fit.apart is None:
            return super().fit(data, fit, sink, checkpoints, seed=seed, report=report)
        everything = np.arange(len(data))

        class Seen:
            wants = staticmethod(
                lambda side, epoch, last: sink.wants("unseen", 1, 1) if side == "seen" else frozenset()
            )
            observe = staticmethod(lambda side, observation: sink.observe("unseen", observation))

        from unseen.core.exposure import Fit

        whole = Fit(train=everything, unseen=everything[:0], seen=everything)
        return super().fit(data, whole, Seen(), checkpoints, seed=seed, report=report)


class PassesWithoutClosedForm(Descent):
    in_passes = True


BROKEN = [
    (TrainsOnTheWatched, "learns from fit.train only"),
    (TrainsOnEverything, "learns from fit.train only"),
    (ScalesByAll, "learns from fit.train only"),
    (Unseeded, "same seed gives the same bits|shuffled rows|learns from"),
    (GlobalState, "same seed|global random state|learns from"),
    (WarmStart, "learns from fit.train only|same bits"),
    (LosesItself, "a copy in another process gives the same bits"),
    (HoldsALambda, "travels to other processes"),
    (SkipsARow, "observes each watched row of the unseen side once"),
    (Repeats, "observes each watched row of the unseen side once"),
    (Probabilities, "logits are no probabilities"),
    (NotAsked, "observes only what the sink asks for"),
    (Forgets, "killed after epoch 1 and resumed"),
    (BeginsAgain, "killed after epoch 1|goes on after epoch 1"),
    (NeverSaves, "saves one checkpoint after each"),
    (ByPosition, "shuffled rows take their observations along"),
    (Renamed, "with_threads keeps its name"),
    (ChangesItself, "leave the learner as it is"),
    (StepsAlone, "steps go with with_epochs"),
    (StepsOfOneEpoch, "steps are in proportion to epochs"),
    (NoJson, r"describe\(\) is JSON"),
    (Address, "names no address in memory"),
    (Writes, "leaves the data set alone"),
    (PassesWithoutClosedForm, "in_passes goes with closed_form"),
]


@pytest.mark.parametrize(("broken", "rule"), BROKEN, ids=[broken.__name__ for broken, _ in BROKEN])
def test_a_broken_learner_is_caught(broken, rule):
    with pytest.raises(AssertionError, match=rule):
        check_learner(broken())


def test_a_closed_form_that_leaks_is_caught():
    with pytest.raises(AssertionError, match="folds done at once equal folds one by one"):
        check_learner(LeakingRidge(lam=1.0, temperature=1.0))
