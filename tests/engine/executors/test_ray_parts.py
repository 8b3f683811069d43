"""The closed form on Ray: parts as tasks, the numbers of one process, and what becomes of parts when others fail."""

import random

import numpy as np
import pytest
from parted_learner import Mortal, Parted, Tiny
from ray_cluster import cluster_fixture as cluster_fixture
from ray_cluster import soon, training

import unseen
from unseen.errors import DataError

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("cluster")]

PLANS = {"leave one out": unseen.leave_one_out(), "folds": unseen.folds(4), "repeats": unseen.folds(3, repeats=2)}


def score(learner, plan="leave one out", out=None, data="digits", **more):
    scores = ["el2n", "label_issue", "el2n@temperature", *(["cooks_distance"] if plan == "leave one out" else [])]
    return unseen.score(data, scores=scores, plan=PLANS[plan], learner=learner, threads=1, out=out, **more)


def same(one, other):
    for name in one.values:
        np.testing.assert_array_equal(one.values[name], other.values[name])
    np.testing.assert_array_equal(one.predictions, other.predictions)
    np.testing.assert_array_equal(one.mean_confidence, other.mean_confidence)


def parts(told, which):
    return [fields[which] for kind, fields in told if kind == "part" and which in fields]


@pytest.mark.parametrize("plan", PLANS)
def test_any_number_of_workers_gives_the_local_numbers(plan):
    local = score(Parted(), plan)
    for jobs in (1, 2, 4):
        told = []
        same(score(Parted(), plan, executor="ray", jobs=jobs, report=lambda k, **f: told.append((k, f))), local)  # noqa: B023
    fits = PLANS[plan].repeats
    assert sorted(parts(told, "sums")) == sorted([*range(18)] * fits), "1,797 rows in parts of 100"
    assert set(parts(told, "judged")) == set(range(18))
    assert [k for k, _ in told].count("fit_end") == fits


def test_hundreds_of_parts_report_each_hundredth_only():
    told = []
    same(score(Tiny(), executor="ray", jobs=2, report=lambda k, **f: told.append((k, f))), score(Tiny()))
    # The driver takes a message in half a millisecond, and there may be ten thousand parts.
    assert len(parts(told, "judged")) == 100, "of the 300 parts that are judged"
    assert [fields["part"] for kind, fields in told if kind == "part"][-1] == 1


@pytest.mark.filterwarnings("ignore:601 of 900 samples are equal to others")
def test_copies_are_left_out_together_in_parts_too():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 6)).astype(np.float32)
    x[500:] = x[rng.integers(0, 250, 400)]
    y = np.arange(900) % 3
    y[500:] = rng.integers(0, 3, 400)
    same(score(Parted(), data=(x, y), executor="ray", jobs=2), score(Parted(), data=(x, y)))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_killed_worker_costs_its_part(tmp_path, seed):
    draw, told = random.Random(seed), []
    deaths = [("sums", draw.randrange(18)), ("judged", draw.randrange(18))]
    broken = score(Mortal().dying(tmp_path, deaths), executor="ray", jobs=2, report=lambda k, **f: told.append((k, f)))
    same(broken, score(Parted()))
    assert {mark.name for mark in tmp_path.iterdir()} == {f"{which}-{part}" for which, part in deaths}
    for which in ("sums", "judged"):
        assert sorted(parts(told, which)) == list(range(18)), "no part was done twice"
    assert [fields["retry"] for kind, fields in told if kind == "retry"] == [1, 1]


@pytest.mark.parametrize("which", ["sums", "judged"])
def test_a_killed_driver_continues_with_the_missing_parts(tmp_path, which):
    told, out = [], tmp_path / "run"

    class Ended(Exception):  # noqa: N818 - it is no error
        pass

    def report(kind, **fields):
        told.append((kind, fields))
        if len(parts(told, which)) == 10:
            assert soon(lambda: len(list(out.glob("fits/*/checkpoint-sums-*.npz"))) >= 2)
            raise Ended

    with pytest.raises(Ended):
        score(Parted(), out=out, executor="ray", jobs=2, report=report)
    assert soon(lambda: not training())
    told.clear()
    again = score(Parted(), out=out, executor="ray", jobs=2, report=lambda k, **f: told.append((k, f)))
    same(again, score(Parted()))
    # Sums are kept in groups of three, and the reports of a few last parts may be lost.
    assert len(parts(told, which)) <= 18 - (8 if which == "judged" else 6)
    if which == "judged":
        assert parts(told, "sums") == []
    assert not list(out.glob("fits/*/checkpoint*")), "parts are dropped with the fit"


def test_parts_that_cannot_be_read_are_named_when_the_others_are_done(tmp_path):
    told = []
    with pytest.raises(DataError, match=r"x-00005\.npy is damaged") as caught:
        score(
            Mortal().dying(tmp_path, poisoned=[5, 11]),
            executor="ray",
            jobs=2,
            report=lambda k, **f: told.append((k, f)),
        )
    assert "1 more parts failed; the others are done" in caught.value.__notes__
    assert sorted(parts(told, "sums")) == [part for part in range(18) if part not in (5, 11)]


def test_a_run_may_change_between_executors(tmp_path):
    class Ended(Exception):  # noqa: N818 - it is no error
        pass

    def report(kind, **fields):
        if kind == "part" and fields["part"] > 0.7:
            raise Ended

    with pytest.raises(Ended):
        score(Parted(), out=tmp_path / "run", executor="ray", jobs=2, report=report)
    same(score(Parted(), out=tmp_path / "run"), score(Parted()))


def test_shards_on_disk_are_read_where_the_tasks_are(tmp_path):
    rng = np.random.default_rng(0)
    for k in range(5):
        np.save(tmp_path / f"x-{k:05}.npy", rng.normal(size=(130, 8)).astype(np.float16))
        np.save(tmp_path / f"y-{k:05}.npy", rng.integers(0, 3, 130))
    same(
        score(Parted(), data=tmp_path, executor="ray", jobs=2),
        score(Parted(), data=tmp_path),
    )
