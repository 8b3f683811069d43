"""The scripts of the study: features know no label, the GPU tier stops and goes on, costs are what is trained."""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import unseen
from unseen.data import from_npz
from unseen.rules.registry import too_unsure

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "quality"))
import costs
import cut_off
import equal_rows
import features
import gpu_tier
import imagenet
import real_networks
import recall
import unsure

import tables

pytest.importorskip("torch", reason="images become features, and networks learn, by torch")


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(features, "PATCHES", 20)
    monkeypatch.setattr(features, "IMAGE_DIMENSIONS", 8)
    monkeypatch.setattr(features, "TEXT_DIMENSIONS", 3)


def pictures(seed, n):
    coarse = np.random.default_rng(seed).integers(0, 256, (n, 6, 6, 3), dtype=np.uint8)
    return coarse.repeat(3, axis=1).repeat(3, axis=2)


def last(stages):
    return list(stages)[-1]


# ---- features --------------------------------------------------------------------------------------------------------


def test_image_features_are_deterministic_and_of_the_stated_shape(small):
    train, test = pictures(0, 30), pictures(1, 7)
    (every, every_test), (reduced, reduced_test) = features.images(train, test, 0)
    assert every.shape == (30, 20 * 2 * 4)
    assert every_test.shape == (7, 20 * 2 * 4)
    assert (reduced.shape, reduced_test.shape, reduced.dtype) == ((30, 8), (7, 8), np.float32)
    again = last(features.images(train, test, 0))
    assert again[0].tobytes() == reduced.tobytes()
    assert again[1].tobytes() == reduced_test.tobytes()
    assert not np.allclose(last(features.images(train, test, 1))[0], reduced)


def test_image_features_are_fitted_on_training_images_alone(small):
    train = pictures(0, 30)
    with_one, with_other = (last(features.images(train, pictures(seed, 7), 0)) for seed in (1, 2))
    assert with_one[0].tobytes() == with_other[0].tobytes()
    assert with_one[1].tobytes() != with_other[1].tobytes()


def test_no_label_takes_part_in_the_features(small, tmp_path):
    labels = np.arange(30) % 3
    mixed = labels[::-1].copy()
    raws = [features.Split(pictures(0, 30), y, pictures(1, 7), np.arange(7) % 3) for y in (labels, mixed)]
    one, other = (features.load(features.build("cifar10", raw, tmp_path / f"{i}.npz")) for i, raw in enumerate(raws))
    assert one.X.tobytes() == other.X.tobytes()
    assert one.X_test.tobytes() == other.X_test.tobytes()
    assert (one.y != other.y).any()


def test_text_features_are_fitted_on_training_texts_alone(small):
    train = np.array(["a good film", "a bad film", "good good fun", "no fun at all", "bad"], object)
    one = last(features.texts(train, np.array(["a film"], object), 0))
    other = last(features.texts(train, np.array(["quite another thing", "a film"], object), 0))
    assert one[0].shape == (5, 3)
    np.testing.assert_array_equal(one[0], other[0])
    np.testing.assert_allclose(one[1][0], other[1][1], rtol=1e-6)


def test_table_features_know_categories_numbers_and_gaps():
    train = np.array([["a", 1.0], ["b", 3.0], [None, 5.0]], object)
    X, X_test = last(features.tables(train, np.array([["b", 3.0], ["new", 5.0]], object), 0))
    assert X.dtype == np.float32
    np.testing.assert_array_equal(X[:, :3].sum(axis=1), 1)
    np.testing.assert_allclose(X_test[0], X[1])
    np.testing.assert_array_equal(X_test[1, :3], 0)
    np.testing.assert_allclose(X_test[1, 3], np.sqrt(1.5), rtol=1e-6)


def test_digits_are_written_once_and_read_by_the_library(tmp_path):
    path = features.cached("digits", tmp_path, tmp_path)
    written = path.stat().st_mtime_ns
    assert features.cached("digits", tmp_path, tmp_path) == path
    assert path.stat().st_mtime_ns == written
    train, test = from_npz(path), from_npz(path, x="X_test", y="y_test")
    assert (len(train), len(test), train.sample_shape) == (1198, 599, (64,))
    shares = [np.bincount(part.labels) / len(part) for part in (train, test)]
    np.testing.assert_allclose(*shares, atol=2e-3)
    said = json.loads(path.with_suffix(".json").read_text())
    assert said["ridge"]["64"]["test"] > 0.9
    assert {"processor", "versions", "commit"} <= said["about"].keys()


def test_ridge_is_refitting_without_each_row():
    from sklearn.linear_model import Ridge

    draw = np.random.default_rng(0)
    X, X_test = (draw.standard_normal((n, 4)).astype(np.float32) + 5 for n in (40, 25))
    y, y_test = (((part[:, 0] + draw.standard_normal(len(part)) > 5).astype(int)) for part in (X, X_test))
    said = features.ridge(features.Split(X, y, X_test, y_test))
    model = Ridge(alpha=said["penalty_over_n"] * len(X))
    targets = np.eye(2)[y]
    left_out = []
    for row in range(len(X)):
        others = np.arange(len(X)) != row
        left_out.append(model.fit(X[others], targets[others]).predict(X[row : row + 1]).argmax() == y[row])
    assert said["left_out"] == pytest.approx(np.mean(left_out))
    assert said["test"] == pytest.approx((model.fit(X, targets).predict(X_test).argmax(axis=1) == y_test).mean())


# ---- recall of rarer classes -----------------------------------------------------------------------------------------


def test_the_study_of_recall_draws_a_long_tail_and_goes_on(monkeypatch, tmp_path, capsys):
    from sklearn.naive_bayes import GaussianNB

    monkeypatch.setattr(
        recall, "ESTIMATORS", {name: lambda seed: GaussianNB(var_smoothing=0.01) for name in recall.ESTIMATORS}
    )
    monkeypatch.setattr(recall, "KEEPS", (0.5,))
    argv = ["recall.py", "--data", ".", "--cache", ".", "--out", tmp_path, "--side", "report", "--beds", "digits"]
    monkeypatch.setattr(sys, "argv", [*map(str, argv), "--rows", "300", "--seeds", "2"])
    recall.main()
    path = tmp_path / "recall_digits.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["seed"], line["tail"]) for line in lines] == [
        (s, t) for s in (0, 1) for t in (False,) * 3 + (True,) * 3
    ]
    even, tailed = sorted(lines[0]["sizes"]), sorted(lines[3]["sizes"])
    assert sum(even) == 300
    assert even[-1] < 2 * even[0]
    assert tailed[-1] / tailed[0] == pytest.approx(20, rel=0.2)
    for line in lines:
        assert set(line["arms"]) == {"random", "width (was the default)", "default", "everything"}
        assert all(
            0 < accuracy <= 1 and 0 < mean <= 1 for by in line["arms"].values() for accuracy, mean in by.values()
        )
        uneven = max(line["sizes"]) >= 1.25 * np.mean(line["sizes"])
        if not uneven:
            assert line["arms"]["default"] == line["arms"]["width (was the default)"]
    recall.main()
    assert len(path.read_text().splitlines()) == len(lines), "what is done is not done again"
    assert [row.split(" | ")[0] for row in tables.recall(lines)[2:-1]] == ["| width (was the default)", "| default"]
    assert tables.recall_by_bed(lines)[2].startswith("| digits | ")


def test_the_designs_of_recall_keep_the_quotas():
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 60, 20])
    table = unseen.ScoreTable(
        ids=np.arange(380), labels=labels, class_names=("a", "b", "c"), folds=np.zeros((1, 380), np.int32),
        values={"el2n": rng.random((1, 380))}, directions={"el2n": "harder"}, predictions=np.zeros(380, np.int64),
    )  # fmt: skip
    quotas = unseen.select(table, rule="random:quota=floored", keep=0.3).provenance["quota"]
    for name, choose in recall.choices(table, 0.3, 0).items():
        rows = choose()
        assert len(np.unique(rows)) == len(rows) == 114, name
        if name in recall.WAYS:
            assert np.bincount(labels[rows]).tolist() == list(quotas.values()), name


# ---- models that are right but unsure --------------------------------------------------------------------------------


def test_the_study_of_unsure_models_compares_c_and_goes_on(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    topics = np.repeat(["air", "sea"], 60)
    words = [f"{topic} " + " ".join(f"w{k}" for k in rng.integers(0, 300, 8)) for topic in topics]
    pq.write_table(pa.table({"text": words, "label": topics}), tmp_path / "bbc.parquet")
    argv = ["unsure.py", "--data", ".", "--texts", tmp_path, "--cache", ".", "--out", tmp_path, "--side", "learners"]
    names = [f"{kind}bbc@{C}" for kind in ("", "flipped ") for C in (1, 100)]
    monkeypatch.setattr(sys, "argv", [*map(str, argv), "--seeds", "1", "--only", *names])
    unsure.main()
    cells = {path.stem: path.read_text() for path in tmp_path.glob("unsure_*.jsonl")}
    unsure.main()
    assert cells == {path.stem: path.read_text() for path in tmp_path.glob("unsure_*.jsonl")}, "done twice"
    lines = [json.loads(line) for text in cells.values() for line in text.splitlines()]
    assert len(lines) == 4 * len(unsure.LINEAR)
    at = {line["bed"]: line for line in lines if line["estimator"] == "logistic"}
    assert at["bbc@1"]["el2n"]["median"] > at["bbc@100"]["el2n"]["median"], "the less penalised model is surer"
    assert len([row for row in tables.unsure_by_strength(lines) if row.startswith("| C = ")]) == 4 * 2


@pytest.mark.parametrize("spread", [0.3, 8.0])
def test_the_designs_for_unsure_models_keep_the_quotas(spread):
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [300, 60, 40])
    logits = spread * (np.eye(3)[labels] + 0.3 * rng.normal(size=(400, 3)))
    table = unseen.ScoreTable(
        ids=np.arange(400), labels=labels, class_names=("a", "b", "c"), folds=np.zeros((1, 400), np.int32),
        values={
            "el2n": unseen.functional.el2n(logits, labels)[None],
            "memorization": rng.random((1, 400)),
            "label_issue": (rng.random((1, 400)) < 0.1).astype(float),
        },
        directions=dict.fromkeys(("el2n", "memorization", "label_issue"), "harder"),
        predictions=logits.argmax(axis=1),
    )  # fmt: skip
    quotas = unseen.select(table, rule="random:quota=floored", keep=0.3).provenance["quota"]
    for arm in unsure.arms_of("tuning")[1:]:
        rows = unsure.choose(table, 0.3, 0, arm)
        assert len(np.unique(rows)) == len(rows) == 120, arm
        assert np.bincount(labels[rows]).tolist() == list(quotas.values()), arm
    same = np.array_equal(unsure.choose(table, 0.3, 0, unsure.SAFE), unsure.choose(table, 0.3, 0, "equal width"))
    assert same == (too_unsure(table) is None) == (spread > 1)


# ---- where most labels are right, and equal rows ---------------------------------------------------------------------


@pytest.fixture
def right():
    """Scores of 400 samples, most of them easy, none labelled wrong."""
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1], 200)
    logits = np.eye(2)[labels] * rng.exponential(6, 400)[:, None] + rng.normal(size=(400, 2))
    return unseen.ScoreTable(
        ids=np.arange(400), labels=labels, class_names=("a", "b"), folds=np.zeros((1, 400), np.int32),
        values={
            "el2n": unseen.functional.el2n(logits, labels)[None],
            "memorization": (logits.argmax(axis=1) != labels)[None].astype(float),
            "label_issue": (np.arange(400) % 100 == 0)[None].astype(float),
        },
        directions=dict.fromkeys(("el2n", "memorization", "label_issue"), "harder"),
        predictions=logits.argmax(axis=1),
    )  # fmt: skip


def test_the_designs_of_the_cutoff_hold_the_default_and_leave_out_fewer(right):
    hardest = np.argsort(-right.column("el2n"))[:40]

    def kept_of_the_hardest(arm, keep):
        rows = cut_off.choose(right, keep, 0, arm)
        assert len(np.unique(rows)) == len(rows) == round(400 * keep)
        return np.isin(hardest, rows).sum()

    for keep in cut_off.KEEPS:
        default = unseen.select(right, keep=keep, seed=0).indices
        assert np.array_equal(np.sort(cut_off.choose(right, keep, 0, "cap p^4")), np.sort(default))
        kept = [np.sort(cut_off.choose(right, keep, 0, arm)).tolist() for arm in ("as before", "before")]
        assert kept[0] == kept[1]
    for keep in cut_off.KEEPS:  # twice the budget is everything from half kept on
        among, before = (np.sort(cut_off.choose(right, keep, 0, arm)) for arm in ("among 2.0", "before"))
        assert np.array_equal(among, before) == (keep >= 0.5)
    found = [kept_of_the_hardest(arm, 0.5) for arm in ("as before", "at most twice the issues", "none")]
    assert found == sorted(found)
    assert found[0] < found[1]
    for arm in ("rate 2.0", "cap 0.7", "cap p^4", "random p^4"):
        assert kept_of_the_hardest(arm, 0.1) < kept_of_the_hardest("before", 0.1), arm


def test_the_study_of_the_cutoff_goes_on_and_makes_its_tables(monkeypatch, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(200, 3)), columns=list("abc"))
    monkeypatch.setattr(cut_off, "opened", lambda name, folder: (frame, (frame["a"] > 0).to_numpy().astype(int)))
    monkeypatch.setattr(cut_off, "MODELS", {"logistic": cut_off.MODELS["logistic"]})
    written = {}
    monkeypatch.setattr(cut_off, "write", lambda name, result: written.update({name: result}))
    argv = ["x", "--data", ".", "--tables", ".", "--cache", ".", "--out", tmp_path, "--side", "second report"]
    for more in ([], [], ["--write"]):
        names = ["phoneme", "flipped phoneme"]
        monkeypatch.setattr(sys, "argv", [*map(str, argv), "--seeds", "0", "--only", *names, *more])
        cut_off.main()
    result = written["cut_off_second_report"]
    assert len(result["cells"]) == 2, "done twice"
    rows = tables.cut_off(tables._as_recall(result))
    assert [row.split(" | ")[:2] for row in rows[2:] if row] == [
        [f"| {kind}", arm] for kind in ("as they are", "a tenth flipped") for arm in ("before", "twice, rate 5.0")
    ]
    assert tables.cut_off_by_table(tables._as_recall(result))[2].startswith("| phoneme | ")


def test_the_study_of_equal_rows_counts_them_and_holds_them_apart(monkeypatch):
    monkeypatch.setattr(equal_rows, "MODELS", {"logistic": equal_rows.MODELS["logistic"]})
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"a": rng.integers(0, 3, 300), "b": rng.integers(0, 2, 300)}).map(lambda level: f"l{level}")
    y = (rng.random(300) < 0.5).astype(int)
    assert equal_rows.agreement(frame, y) == (1.0, 1.0)
    assert equal_rows.agreement(frame, (frame["a"] == "l0").to_numpy()) == (1.0, 0.0)
    with pytest.warns(UserWarning, match="their scores are not used"):
        cells = list(equal_rows.cells("made", frame, y, 0))
    assert [cell["keep"] for cell in cells] == list(equal_rows.KEEPS)
    assert set(cells[0]["arms"]) == {"together", "apart", "random", "everything"}
    assert tables.equal_rows(cells)[2].startswith("| made | 100 % | 100 % | ")


# ---- the GPU tier ----------------------------------------------------------------------------------------------------


@pytest.fixture
def tiny(monkeypatch):
    """One arm, one seed, one rate, a small network."""
    monkeypatch.setattr(gpu_tier, "ARMS", {"unseen": "folds:k=2/el2n/top"})
    monkeypatch.setattr(gpu_tier, "SEEDS", 1)
    monkeypatch.setattr(gpu_tier, "TOY", [(0.5, "toy")])
    monkeypatch.setitem(gpu_tier.RECIPES, "toy", "mlp:epochs=2")

    def call(*arguments):
        monkeypatch.setattr(sys, "argv", ["gpu_tier.py", "--toy", *map(str, arguments)])
        gpu_tier.main()

    return call


def test_the_gpu_tier_goes_on_to_the_same_cells(tiny, tmp_path, monkeypatch, capsys):
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    tiny("--out", whole)
    assert "all of it is finished" in capsys.readouterr().out

    class Breaks(gpu_tier.Watch):
        left = 3  # epochs, the third of them in the middle of a training

        def __call__(self, kind, **fields):
            super().__call__(kind, **fields)
            self.left -= kind == "epoch"
            if not self.left:
                raise gpu_tier.OutOfTimeError

    with monkeypatch.context() as patch:
        patch.setattr(gpu_tier, "Watch", Breaks)
        for _ in range(2):
            tiny("--out", broken)
            assert "the same command goes on" in capsys.readouterr().out
    tiny("--out", broken)
    name = "toy-toy-iterations-0.5"
    cells = [json.loads((out / f"{name}.json").read_text())["cells"] for out in (whole, broken)]
    assert cells[0]["arm"] == ["full", "random", "unseen"]
    for column in ("method", "budget", "replicate", "accuracy", "loss", "samples_seen"):
        assert cells[0][column] == cells[1][column], column
    assert len(unseen.Sweep.load(whole / f"{name}.parquet")) == 3


def test_the_watch_stops_before_an_epoch_that_would_end_too_late():
    gpu_tier.Watch(None)("epoch", seconds=1e9, observe_seconds=0.0)
    gpu_tier.Watch(10)("epoch", seconds=500.0, observe_seconds=50.0)
    with pytest.raises(gpu_tier.OutOfTimeError):
        gpu_tier.Watch(10)("epoch", seconds=500.0, observe_seconds=150.0)


def test_the_plan_of_the_gpu_tier_counts_what_is_trained(tiny, tmp_path, capsys):
    tiny("--plan", "--images-per-second", 1000)
    rows = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert [row[2] for row in rows] == ["full", "random", "unseen"]
    tiny("--out", tmp_path)
    done = [line for line in capsys.readouterr().out.splitlines() if " s  " in line]
    assert sum(int(row[3]) for row in rows) == len(done) == 5


def test_costs_are_the_images_of_each_training():
    from unseen.engine.work import Work
    from unseen.evaluating.methods import Method

    work = Work(unseen.data.resolve("digits"), "mlp:epochs=2", groups=None)
    n = 1797
    folds = costs.scorings(work, Method.of("folds:k=3/el2n/top"), 900)
    assert [training.trained for training in folds] == [2 * n * 2 / 3] * 3
    assert costs.total(folds) == pytest.approx(3 * 2 * n * 2 / 3 + n / 3)
    (seen,) = costs.scorings(work, Method.of("seen/aum/top"), 900)
    assert (seen.trained, seen.watched) == (2 * n, 2 * n)
    grown = costs.scorings(work, Method.of("grow:steps=2/el2n/top"), 800)
    assert [training.trained for training in grown] == pytest.approx([n, n, 2 * 400, 2 * 600], abs=5)
    assert costs.test(work, 900, "epochs", n, 100).images == pytest.approx(2 * 900 + 100 / 3)
    assert costs.test(work, 450, "iterations", n, 100).trained == 2 * 450 * round(15 / 4)


@pytest.mark.slow
def test_the_gpu_tier_runs_whole_at_toy_size(tmp_path):
    command = [sys.executable, gpu_tier.__file__, "--toy", "--out", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "all of it is finished" in done.stdout
    for prune in ("0.5", "0.8"):
        result = json.loads((tmp_path / f"toy-toy-iterations-{prune}.json").read_text())
        assert sorted(result["cells"]["arm"]) == sorted(["full", "random", "unseen", "seen", "grown"] * 3)
    again = subprocess.run(command, capture_output=True, text=True, check=True)
    assert " s  " not in again.stdout, "nothing is trained twice"


# ---- real networks ---------------------------------------------------------------------------------------------------


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The tier of real networks on digits: its lines, and what it printed."""

    def call(capsys, *arguments):
        argv = ["real_networks.py", "--sets", "toy", "--out", tmp_path, "--seeds", 1, "--keeps", 0.5, *arguments]
        monkeypatch.setattr(sys, "argv", [str(argument) for argument in argv])
        real_networks.main()
        path = tmp_path / "toy.jsonl"
        lines = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
        return lines, capsys.readouterr().out

    return call


def test_a_cell_of_the_real_networks_says_what_it_came_to_and_what_choosing_took(toy, tmp_path, capsys):
    lines, said = toy(capsys, "--arms", "random", "default")
    assert "2 cells to do, predicted" in said
    random, default = lines
    assert (random["arm"], default["arm"], random["budget"], default["budget"]) == ("random", "default", 150, 150)
    assert random["choosing"]["trained"] == 0
    # Two folds of 300 images, 2 epochs; each fold is looked at once, after the last epoch.
    assert (default["choosing"]["trained"], default["choosing"]["watched"]) == (600, 300)
    assert default["choosing"]["seconds"] > 0
    assert default["samples_seen"] == random["samples_seen"] == 300
    for line in lines:
        assert sum(line["kept_of_class"]) == 150
        assert len(line["recall"]) == 10
        assert 0 <= line["accuracy"] <= 1
    result = json.loads((tmp_path / "real_networks_toy.json").read_text())
    assert result["cells"] == lines
    assert {"processor", "versions", "commit"} <= result["about"].keys()

    again, said = toy(capsys, "--arms", "random", "default")
    assert again == lines
    assert "2 of them done" in said
    assert " s  " not in said, "nothing is trained twice"


def test_the_study_of_the_cutoff_trains_a_real_network(tmp_path):
    given = argparse.Namespace(out=tmp_path, data=None)
    ((*who, table, test),) = cut_off.trials("network:toy", 0, given)
    cell = cut_off.cell_of("network:toy", 0, *who, table, test, ("random", *cut_off.AMONG), (0.5,))
    assert cell["everything"] is None
    assert set(cell["arms"]) == {"random", "among 2.0", "among 3.0"}
    kept = cut_off.choose(table, 0.5, 0, "random")
    assert cell["arms"]["random"]["0.5"] == test(kept)
    assert len(kept) == 150


def test_the_default_arm_chooses_as_prune_does(toy, capsys, tmp_path):
    (line,), _ = toy(capsys, "--arms", "default")
    train, _ = real_networks.read("toy", None)
    who = real_networks.TorchLearner(real_networks.Recipe.named("mlp", epochs=2, batch_size=16), device="cpu")
    _, coreset = unseen.prune(train, keep=0.5, learner=who.with_threads(1), seed=0, threads=1)
    kept = np.bincount(train.labels[coreset.indices], minlength=10)
    assert line["kept_of_class"] == kept.tolist()


def test_the_default_arm_is_trained_again_where_the_library_chooses_otherwise(toy, capsys, monkeypatch):
    before, _ = toy(capsys, "--arms", "random", "default")
    select = unseen.select
    monkeypatch.setattr(unseen, "select", lambda table, **given: select(table, rule="top", **given))
    after, said = toy(capsys, "--arms", "random", "default")
    assert after[:2] == before
    assert [line["choosing"]["rule"] for line in after[2:]] == ["top"]
    assert said.count(" s  ") == 1


def test_the_real_networks_stop_in_time_and_go_on(toy, capsys):
    lines, said = toy(capsys, "--arms", "full", "--hours", 0)
    assert not lines
    assert "the same command goes on" in said
    (line,), said = toy(capsys, "--arms", "full")
    assert line["budget"] == 300
    assert "all of it is finished" in said


def test_the_table_of_real_networks_pairs_by_seed():
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location("quality_tables", Path(real_networks.__file__).with_name("tables.py"))
    tables = module_from_spec(spec)
    spec.loader.exec_module(tables)

    def cell(arm, keep, seed, accuracy, recall, trained=0):
        found = {"arm": arm, "keep": keep, "seed": seed, "accuracy": accuracy, "recall": recall, "fix": "epochs"}
        return {**found, "choosing": {"trained": trained}}

    cells = [cell("full", 1.0, 0, 0.9, [0.9, 0.9])]
    for seed in range(3):
        cells.append(cell("random", 0.5, seed, 0.80 + seed / 100, [0.8, 0.8]))
        cells.append(cell("default", 0.5, seed, 0.82 + seed / 100 + 0.001 * (seed == 1), [0.9, 0.75], trained=1000))
    text = "\n".join(tables.real_networks({"cells": cells, "training": {"samples": 1000}}))
    assert "With epochs fixed; everything comes to 90.0" in text
    assert "| random | 0.0 | 81.0 ± 2.5 |" in text
    assert "| default | 1.0 | 83.0 ± 2.5 (+2.0 ± 0.1 *; worst class -5.0) |" in text


# ---- ImageNet --------------------------------------------------------------------------------------------------------


@pytest.fixture
def folders(tmp_path):
    from PIL import Image

    for part, each in (("train", 6), ("val", 2)):
        for label in ("cat", "dog"):
            for i, array in enumerate(pictures(10 * each + (label == "dog"), each)):
                place = tmp_path / part / label / f"{i}.png"
                place.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(array).resize((40, 32)).save(place)
    return tmp_path


def imagenet_run(monkeypatch, folder, *more):
    arguments = ["run", "--train", folder / "train", "--test", folder / "val", "--out", folder / "out"]
    arguments += ["--json", folder / "result.json", "--data-workers", 0, *more]
    monkeypatch.setattr(sys, "argv", ["imagenet.py", *map(str, arguments)])
    imagenet.main()
    return json.loads((folder / "result.json").read_text())


def test_a_folder_streams_end_to_end(monkeypatch, folders):
    from unseen.learners.torch import inputs

    def hold(self, *args, **kwargs):
        raise AssertionError("the data set is held in memory")

    monkeypatch.setattr(inputs.Held, "__init__", hold)
    more = ("--image-size", 16, "--memory-limit", 1000, "--learner", "convnet:epochs=1,batch_size=4")
    result = imagenet_run(monkeypatch, folders, *more)
    assert (result["train"], result["test"], result["image_shape"]) == (12, 4, [16, 16, 3])
    assert not result["held_in_memory"]
    assert result["cells"]["method"] == ["full", "random", imagenet.METHOD]
    assert result["cells"]["budget"] == [12, 8, 8]
    assert result["cost"]["hours"].keys() == {"1", "8", "64"}
    with pytest.raises(AssertionError, match="held in memory"):
        imagenet_run(monkeypatch, folders, *more[:3], 10**9, *more[4:], "--out", folders / "other")


@pytest.mark.slow
@pytest.mark.parametrize("network", ["resnet34", "resnet50"])
def test_the_large_networks_take_a_folder(monkeypatch, folders, network):
    more = ("--image-size", 32, "--memory-limit", 1000, "--learner", f"{network}:epochs=1,batch_size=8,lr=0.0001")
    assert imagenet_run(monkeypatch, folders, *more)["learner"]["recipe"]["network"] == network


def test_the_cost_is_the_formula():
    said = imagenet.cost(100.0, epochs=3, keep=0.5, seeds=2, n=1200, tested=60, k=2)
    score, whole, part = (600 * 3 + 200) / 360_000, (3600 + 20) / 360_000, (1800 + 20) / 360_000
    hours = said["gpu_hours"]
    assert hours["choose_one_coreset"] == pytest.approx(2 * score)
    assert hours["train_on_full"] == pytest.approx(whole)
    assert hours["in_all"] == pytest.approx(2 * (2 * score + whole + 2 * part))
    assert said["hours"]["1"] == pytest.approx(hours["in_all"])
    assert said["hours"]["64"] == pytest.approx(whole + part), "beyond the trainings at a time, GPUs stand idle"
    assert said["trainings_until_it_pays"] == pytest.approx(2 * score / (whole - part))
    fixed = imagenet.cost(100.0, epochs=3, keep=0.5, fix="iterations", n=1200, tested=60)
    assert fixed["trainings_until_it_pays"] is None
    assert imagenet.makespan([3, 3, 2, 2, 2], 2) == 7
