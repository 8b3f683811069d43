"""Vectors in a store, read by the workers of Ray; `memory://` would be another in each of them."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from parted_learner import Parted
from ray_cluster import cluster_fixture as cluster_fixture

import unseen
from unseen.data import from_parquet, from_shards
from unseen.errors import DataError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

RNG = np.random.default_rng(0)
X = RNG.normal(size=(650, 8)).astype(np.float32)
Y = RNG.integers(0, 3, 650)


@pytest.fixture(name="shards")
def shards_fixture(tmp_path):
    (tmp_path / "npy").mkdir()
    for k, rows in enumerate(np.array_split(np.arange(650), 5)):
        np.save(tmp_path / "npy" / f"x-{k:05}.npy", X[rows])
        np.save(tmp_path / "npy" / f"y-{k:05}.npy", Y[rows])
    return tmp_path / "npy"


@pytest.fixture(name="opened", params=["npy", "parquet"])
def opened_fixture(request, shards, tmp_path):
    if request.param == "npy":
        return from_shards(f"file://{shards}")
    (tmp_path / "tables").mkdir()
    for k, rows in enumerate(np.array_split(np.arange(650), 5)):
        pq.write_table(pa.table({"v": list(X[rows]), "label": Y[rows]}), tmp_path / "tables" / f"{k}.parquet")
    return from_parquet(f"local://{tmp_path / 'tables'}", memory_limit=0)


def score(data, **more):
    return unseen.score(data, plan=unseen.leave_one_out(), learner=Parted(), threads=1, **more)


def test_workers_that_read_a_store_give_the_numbers_of_arrays(opened):
    remote, local = score(opened, executor="ray", jobs=2), score((X, Y))
    for name, values in local.values.items():
        np.testing.assert_array_equal(remote.values[name], values)
    np.testing.assert_array_equal(remote.predictions, local.predictions)


def test_a_shard_that_changes_before_the_second_pass_is_named(shards):
    data, changed = from_shards(f"file://{shards}"), []

    def report(kind, **fields):
        if kind == "part" and not changed:  # of the first pass
            changed.append(np.save(shards / "x-00004.npy", X[:130]))

    with pytest.raises(DataError, match=r"file://.*x-00004.npy has changed since it was opened"):
        score(data, executor="ray", jobs=1, report=report)
    assert changed
