"""Small stand-ins for the rooms that the torch learner meets: data, sink, checkpoint store."""

import numpy as np

from unseen.core.exposure import Fit
from unseen.core.protocols import Data
from unseen.learners.torch import Recipe, TorchLearner


class Arrays(Data):
    """Arrays in memory."""

    def __init__(self, x, y, *, ids=None, kind="vector", classes=None):
        self.x = np.asarray(x)
        self.labels = np.asarray(y, dtype=np.int64)
        self.ids = np.arange(len(x)) if ids is None else np.asarray(ids)
        self.kind = kind
        self.class_names = tuple(str(c) for c in range(classes or int(self.labels.max()) + 1))
        self.sample_shape = self.x.shape[1:]
        self.dtype = self.x.dtype

    def take(self, rows):
        return self.x[rows]

    def fingerprint(self, *, full=False):
        return {}


class Tape:
    """A sink that keeps everything, and can tell that as its state."""

    def __init__(self, wants=("logits",), epochs=None):
        self.words = frozenset(wants)
        self.epochs = epochs
        self.taken = {}
        self.restored = None

    def wants(self, side, epoch, last):
        return self.words if self.epochs is None or epoch in self.epochs else frozenset()

    def observe(self, side, observation):
        for name in ("logits", "features", "grad_norm"):
            value = getattr(observation, name)
            if value is not None:
                rows = np.asarray(observation.rows)
                self.taken.setdefault(f"{side}.{observation.epoch}.{name}", []).append(value.numpy().copy())
                assert len(value) == len(rows)
        self.taken.setdefault(f"{side}.{observation.epoch}.rows", []).append(np.array(observation.rows))

    def get(self, name):
        return np.concatenate(self.taken[name])

    def state(self):
        return {name: np.concatenate(parts) for name, parts in self.taken.items()}

    def restore(self, state):
        self.restored = dict(state)
        self.taken = {name: [np.array(array)] for name, array in state.items()}


class Store:
    """A checkpoint store in memory; `die_after` raises once that epoch is saved."""

    def __init__(self, die_after=None):
        self.saved = None
        self.history = []
        self.die_after = die_after

    def load(self):
        return self.saved

    def save(self, arrays):
        assert all(isinstance(a, np.ndarray) and a.dtype != object for a in arrays.values())
        self.saved = {name: array.copy() for name, array in arrays.items()}
        self.history.append(self.saved)
        if self.die_after is not None and int(arrays["epoch"]) == self.die_after:
            self.die_after = None
            raise KeyboardInterrupt


def pictures(n=96, *, side=8, channels=1, classes=3, seed=0, ids=None):
    """Random images of which the class is a bright quadrant."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 120, (n, side, side, channels), dtype=np.uint8)
    y = rng.integers(0, classes, n)
    half = side // 2
    for i, label in enumerate(y):
        top, left = divmod(label, 2)
        x[i, top * half : top * half + half, left * half : left * half + half] += 100
    return Arrays(x, y, ids=ids, kind="image", classes=classes)


def split(data, *, every=4):
    rows = np.arange(len(data))
    return Fit(train=rows[rows % every != 0], unseen=rows[rows % every == 0])


def train(data, recipe, *, fit=None, sink=None, store=None, seed=0, **options):
    """Train once; the sink, the store and the reports."""
    options.setdefault("device", "cpu")
    learner = TorchLearner(recipe, **options)
    sink = Tape() if sink is None else sink
    store = Store() if store is None else store
    reports = []
    learner.check(data)
    learner.fit(
        data, fit or split(data), sink, store, seed=seed, report=lambda kind, **fields: reports.append((kind, fields))
    )
    return sink, store, reports


def quick(network="convnet", **changes):
    options = {"network": network, "epochs": 3, "batch_size": 16, "lr": 0.05, "threads": 1, **changes}
    return Recipe(**options)


def same(a, b, but=()):
    """Bit for bit the same named arrays."""
    assert a.keys() == b.keys()
    for name in a:
        if name not in but:
            np.testing.assert_array_equal(a[name], b[name], err_msg=name, strict=True)
