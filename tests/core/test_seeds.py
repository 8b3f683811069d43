import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from unseen.core import seeds

MANY = np.arange(100_000)


def test_frozen_numbers():
    """A change here changes every fold and every run that was ever made."""
    assert seeds.derive(0, "init", 1) == 1275290051528039157
    assert seeds.keys(0, np.array([0, 1, -5]), "deal").tolist() == [
        14278839922398662243,
        8746963912806322673,
        1908317569621331082,
    ]
    assert seeds.keys(0, np.array(["a", "ä"]), "deal").tolist() == [12916519838766185902, 11229381947116059502]


def test_another_process_gives_the_same():
    code = "from unseen.core import seeds; print(seeds.derive(7, 'x', 3), *seeds.keys(7, ['a', 'b'], 'y'))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert [int(v) for v in out] == [seeds.derive(7, "x", 3), *seeds.keys(7, np.array(["a", "b"]), "y").tolist()]


def test_purposes_do_not_collide():
    purposes = [(), ("a",), ("b",), ("a", 1), ("a", "1"), ("a", 1, 1), ("a", 11), ("a", "1", "1"), (1,), ("1",)]
    derived = {seeds.derive(seed, *purpose) for seed in (0, 1, 10, -1) for purpose in purposes}
    assert len(derived) == 4 * len(purposes)
    assert all(0 <= value < 2**63 for value in derived)


@pytest.mark.parametrize("ids", [MANY, MANY * 1_000_003, MANY << 32, -MANY - 1], ids=["0..", "far", "high", "below"])
def test_keys_are_uniform_and_unique(ids):
    keys = seeds.keys(0, ids, "deal")
    assert len(np.unique(keys)) == len(ids)
    assert stats.kstest(keys / 2.0**64, "uniform").pvalue > 1e-4
    # Neither the id nor another purpose nor another seed tells anything.
    for other in (ids, seeds.keys(0, ids, "x"), seeds.keys(1, ids, "deal")):
        assert abs(stats.spearmanr(keys, other).statistic) < 0.02


def test_keys_belong_to_the_id_alone():
    for ids in (np.arange(50), np.array([f"img/{i}" for i in range(50)])):
        keys = seeds.keys(3, ids, "deal")
        np.testing.assert_array_equal(seeds.keys(3, ids[::-1], "deal"), keys[::-1])
        np.testing.assert_array_equal(seeds.keys(3, ids[7:8], "deal"), keys[7:8])
        np.testing.assert_array_equal(
            seeds.keys(3, ids.astype(object if ids.dtype.kind == "U" else np.int32), "deal"), keys
        )


def test_order_is_a_permutation_that_moves_with_the_ids():
    ids = np.array([30, 10, 20, 50])
    order = seeds.order(1, ids, "x")
    assert sorted(order) == [0, 1, 2, 3]
    shuffle = np.array([2, 0, 3, 1])
    np.testing.assert_array_equal(ids[shuffle][seeds.order(1, ids[shuffle], "x")], ids[order])


def test_ties_of_keys_go_by_id(monkeypatch):
    monkeypatch.setattr(seeds, "keys", lambda seed, ids, *purpose: np.zeros(len(ids), np.uint64))
    assert seeds.order(0, np.array([5, 3, 9])).tolist() == [1, 0, 2]


def test_generators_are_their_own():
    before = np.random.get_state()[1].copy()  # noqa: NPY002 - that it is not touched is the point
    a, b = seeds.generator(0, "a"), seeds.generator(0, "b")
    assert a.random() == seeds.generator(0, "a").random() != b.random()
    np.testing.assert_array_equal(before, np.random.get_state()[1])  # noqa: NPY002
