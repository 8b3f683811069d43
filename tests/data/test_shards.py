from __future__ import annotations

import numpy as np
import pytest

import unseen
from unseen.data import from_arrays, from_shards, resolve

RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 6)).astype(np.float16)
X[77] = X[400]
Y = RNG.integers(0, 3, 500)


def everything(data):
    return data.take(np.arange(len(data)))


def write(folder, shards, x=X, y=Y, **more):
    """npy shards of about equal size."""
    folder.mkdir(exist_ok=True)
    for stem, array in {"x": x, "y": y, **more}.items():
        for number, part in enumerate(np.array_split(array, shards)):
            np.save(folder / f"{stem}-{number:05}.npy", part)
    return folder


@pytest.fixture
def folder(tmp_path):
    return write(tmp_path / "set", 37)


@pytest.mark.parametrize(
    "rows",
    [
        np.arange(500),
        np.arange(3, 222),
        np.arange(499, -1, -1),
        np.arange(0, 500, 7),
        RNG.permutation(500),
        np.array([5, 5, 499, 0, 5]),
        np.array([13, 14]),
        np.array([], int),
    ],
)
def test_any_rows_in_any_order_are_those_of_the_array_in_memory(folder, rows):
    taken, expected = from_shards(folder).take(rows), from_arrays(X, Y).take(rows)
    assert (taken.dtype, taken.shape) == (np.float32, expected.shape)
    assert taken.tobytes() == expected.tobytes()


def test_scores_copies_and_content_do_not_depend_on_the_shards(folder, tmp_path):
    one = write(tmp_path / "one", 1)
    plan, learner = unseen.leave_one_out(), "ridge:lam=1.0"
    tables = [unseen.score(source, plan=plan, learner=learner) for source in (folder, one, (X, Y))]
    for table in tables[1:]:
        for name, values in tables[0].values.items():
            assert values.tobytes() == table.values[name].tobytes(), name
    data = [resolve(folder), resolve(one), from_arrays(X, Y)]
    assert all(d.duplicate_groups()[400] == 77 for d in data)
    full = [d.fingerprint(full=True) for d in data]
    assert full[0] == full[1] == full[2]
    assert data[0].fingerprint() != data[1].fingerprint(), "the cheap one knows files"
