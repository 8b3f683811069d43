"""What holds for every store of a run."""

import numpy as np
import pytest

from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.engine.runs import Run, RunDirectory
from unseen.errors import ArgumentError, RunError, RunMismatchError

MANIFEST = {"seed": 0, "plan": {"plan": "folds", "k": 5}, "fingerprint": {"labels": "a", "n": 10}}


@pytest.fixture(params=["memory", "directory"])
def run(request, tmp_path):
    made = Run() if request.param == "memory" else RunDirectory(tmp_path / "run")
    with made:
        made.open(MANIFEST)
        yield made


def arrays():
    return {
        "value": np.array([0.1, np.nan, np.inf]),
        "model/layer.0.weight": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "step": np.int64(7),
        "text": np.array(["a", "ü", ""]),
        "truth": np.array([True, False]),
        "empty": np.empty((0, 4), np.uint8),
        "when": np.array(["2026-01-01"], "datetime64[D]"),
    }


def assert_same(found, expected):
    assert list(found) == list(expected)
    for name, values in expected.items():
        np.testing.assert_array_equal(found[name], values, strict=False)
        assert found[name].dtype == values.dtype
        assert found[name].shape == values.shape


def test_a_result_comes_back_as_it_was_and_replaces_the_checkpoint(run):
    assert run.result("r0f0") is None
    store = run.checkpoints("r0f0")
    assert store.load() is None
    store.save({"epoch": np.int64(1)})
    store.save(arrays())
    assert_same(run.checkpoints("r0f0").load(), arrays())
    assert run.checkpoints("r0f1").load() is None
    run.save_result("r0f0", arrays())
    assert_same(run.result("r0f0"), arrays())
    assert run.checkpoints("r0f0").load() is None


def test_what_is_kept_does_not_change_with_the_array_it_was_made_from(run):
    values = np.zeros(3)
    store = run.checkpoints("r0f0")
    store.save({"v": values})
    values += 1
    np.testing.assert_array_equal(store.load()["v"], np.zeros(3))
    run.save_result("r0f0", {"v": values})
    values += 1
    run.result("r0f0")["v"][:] = 9
    np.testing.assert_array_equal(run.result("r0f0")["v"], np.ones(3))


@pytest.mark.parametrize("bad", [np.array([{}]), np.array([(1, 2)], dtype="i4,i4")])
def test_objects_are_refused_by_name(run, bad):
    with pytest.raises(ArgumentError, match=r"array 'bad' must hold numbers"):
        run.checkpoints("r0f0").save({"good": np.zeros(1), "bad": bad})
    with pytest.raises(ArgumentError, match=r"array 'bad' must hold numbers"):
        run.save_result("r0f0", {"bad": bad})
    assert run.result("r0f0") is None


def test_table_and_coreset_come_back(run):
    assert run.table() is None
    assert run.coreset() is None
    table = ScoreTable.of("el2n", [0.3, 1.2], direction="harder", ids=["b", "ü"])
    assert run.save_table(table) is table
    coreset = Coreset(ids=np.array(["b"]), indices=np.array([0]), n=2, provenance={"rule": "top"})
    assert run.save_coreset(coreset) is coreset
    assert run.table().column("el2n").tolist() == [0.3, 1.2]
    assert run.table().ids.tolist() == ["b", "ü"]
    assert run.coreset().ids.tolist() == ["b"]
    assert run.coreset().provenance == {"rule": "top"}
    run.save_coreset(Coreset(ids=np.array(["ü"]), indices=np.array([1]), n=2))
    assert run.coreset().ids.tolist() == ["ü"]
    assert run.table().ids.tolist() == ["b", "ü"]


def test_json_is_kept(run):
    assert run.read_json("command.json") is None
    run.write_json("command.json", {"argv": ("a", "b"), "n": np.int64(3)})
    assert run.read_json("command.json") == {"argv": ["a", "b"], "n": 3}


def test_events_say_when_who_and_what(run):
    run.event("epoch", fit="r0f0", epoch=1, seconds=0.5)
    run.event("epoch", fit="r0f0", epoch=2)
    events = [e for e in run.events() if e["kind"] == "epoch"]
    assert [e["epoch"] for e in events] == [1, 2]
    assert {"time", "pid", "host", "fit"} <= set(events[0])


def test_another_configuration_is_refused_and_every_difference_listed(run):
    other = {"seed": 1, "plan": {"plan": "folds", "k": 4}, "fingerprint": {"labels": "b", "n": 10}, "new": True}
    run.save_result("r0f0", {"v": np.zeros(1)})
    run.close()
    with pytest.raises(RunMismatchError) as caught:
        run.open(other)
    head, *lines = str(caught.value).split("\n  ")
    assert "choose another out=" in head
    assert lines == [
        "fingerprint.labels: 'a' (run) != 'b' (now)",
        "new: absent (run) != True (now)",
        "plan.k: 5 (run) != 4 (now)",
        "seed: 0 (run) != 1 (now)",
    ]
    run.open(MANIFEST)
    assert run.result("r0f0") is not None


def test_the_same_configuration_is_recognised_whatever_its_order_and_types(run):
    run.close()
    run.open({"fingerprint": {"n": np.int64(10), "labels": "a"}, "plan": {"k": 5, "plan": "folds"}, "seed": 0})
    assert run.manifest() == MANIFEST


def test_one_and_true_are_not_the_same(run):
    run.event("fit_start")
    run.close()
    with pytest.raises(RunMismatchError, match=r"seed: 0 \(run\) != False \(now\)"):
        run.open({**MANIFEST, "seed": False})


@pytest.mark.parametrize("name", ["", "../x", "a/b", ".hidden", "a b", "r0f0\n"])
def test_names_that_are_no_file_names_are_refused(run, name):
    with pytest.raises(ArgumentError, match="a name in a run must be"):
        run.checkpoints(name)
    with pytest.raises(ArgumentError, match="a name in a run must be"):
        run.save_result(name, {})


@pytest.mark.parametrize("bad", [float("nan"), object(), {1: 2, "a": 3}])
def test_a_manifest_that_is_not_json_is_refused(bad):
    with pytest.raises(ArgumentError, match="must be JSON"):
        Run().open({"x": bad})


@pytest.mark.parametrize("make", [Run, lambda: RunDirectory("nowhere")])
def test_nothing_is_written_before_open(make):
    with pytest.raises(RunError, match=r"not open: call open\(manifest\) first"):
        make().save_table(ScoreTable.of("el2n", [0.3], direction="harder"))
