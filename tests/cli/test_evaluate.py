"""`unseen evaluate`: which runs belong together, the table, the test set, resumption, refusals."""

import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from command_line import (  # noqa: F401
    content,
    digits_file_fixture,
    finished_run,
    prune_fixture,
    refused,
    unseen_says_fixture,
)
from sklearn.datasets import load_digits

import unseen

QUICK = ["--seeds", "2", "--threads", "1", "--no-report"]


@pytest.fixture
def runs(prune, tmp_path_factory, tmp_path):
    """Two runs that differ in their seed, and one of another rule."""
    made = {"s0": [], "s1": ["--seed", "1"], "top": ["--rule", "top"]}
    return [finished_run(prune, tmp_path_factory, tmp_path / name, *options) for name, options in made.items()]


@pytest.fixture(scope="module")
def test_file(tmp_path_factory):
    X, y = load_digits(return_X_y=True)
    path = tmp_path_factory.mktemp("test") / "test.npz"
    np.savez(path, x=X[200:400].astype(np.float32), y=y[200:400])
    return path


def test_the_table_and_what_is_said_of_each_coreset(unseen_says, runs, test_file, tmp_path):
    said = unseen_says("evaluate", *runs, "--test", test_file, *QUICK, "--out", tmp_path / "ev")
    assert said.code == 0, said.err
    lines = said.out.splitlines()
    assert lines[0].split()[:5] == ["arm", "trained", "kept", "epochs", "accuracy"]
    assert [re.split("  +", line)[0] for line in lines[1:6]] == [
        "full", "s0 and 1 more", "top", "random", "random-stratified"
    ]  # fmt: skip
    assert "…" not in said.out, "no figure is cut off"
    assert re.search(r"^s0 and 1 more +interval of this method: .* over 2 coresets, and the test set$", said.out, re.M)
    assert re.search(r"^top +interval of the test set alone: all trainings came to the same accuracy", said.out, re.M)
    assert re.search(r"against full: (loses .*|lossless|undecided) for logistic regression", said.out)
    assert "classes against full: " in said.out
    assert "choosing 0 s, 200 samples seen; training 0 s, 100 samples seen" in said.out
    paid = "by samples seen, choosing cost 1.0 trainings on everything; each training on the coreset saves 0.50"
    assert f"{paid} of one, so choosing is paid for after 2\n" in said.out
    assert re.search(r"near +\d+ of 200 test samples", said.out)
    # What is going to be done was said before the first training.
    assert said.err.index("5 arms x 2 seeds: 10 trainings by sklearn") < said.err.index("fit full-r0")
    assert unseen.Evaluation.load(tmp_path / "ev").about["margin"] == 0.005


def test_json_and_quiet(unseen_says, runs, tmp_path):
    command = ["evaluate", runs[2], *QUICK, "--baseline", "full", "--margin", "2"]
    said = unseen_says(*command, "--json", "--out", tmp_path / "ev")
    assert said.err == ""
    told = json.loads(said.out)
    assert told["margin"] == 0.02
    assert list(told["arms"]) == ["full", "top"]
    assert told["arms"]["top"]["against"]["full"]["verdict"] in ("lossless", "loses", "undecided")
    assert told["test"]["by"] == "probe split"
    assert unseen_says(*command, "--quiet", "--out", tmp_path / "ev").err == ""


def test_resumed_from_another_folder_and_finished_ones_train_nothing(unseen_says, runs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert unseen_says("evaluate", "s0", *QUICK, "--out", tmp_path / "ev").code == 0
    before = content(tmp_path / "ev")
    shutil.rmtree(tmp_path / "ev" / "fits" / "random-r1")
    (tmp_path / "ev" / "evaluation.parquet").unlink()
    monkeypatch.chdir("/")
    said = unseen_says("resume", tmp_path / "ev")
    assert said.code == 0, said.err
    assert "done  7 of 8 trainings finished earlier in this run" in said.err
    assert said.err.count(": done") == 1
    assert content(tmp_path / "ev") == before
    assert ": done" not in unseen_says("resume", tmp_path / "ev").err


def test_a_run_whose_name_is_no_utf8(unseen_says, runs, test_file, tmp_path):
    place = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9"))
    try:
        runs[2].rename(place)
    except OSError:
        pytest.skip("this file system takes no such names")
    said = unseen_says("evaluate", place, "--test", test_file, *QUICK, "--out", tmp_path / "ev")
    assert said.code == 0, said.err
    assert len(unseen.load(place).coreset) == 100
    assert unseen.Evaluation.load(tmp_path / "ev")["caf\ufffd"].kept.tolist() == [100] * 2


def test_the_split_of_the_test_set_is_its_own(unseen_says, tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    X, y = load_digits(return_X_y=True)
    columns = {f"f{i}": X[:300, i] for i in range(8, 40)}
    split = np.repeat(["train", "test"], [200, 100])
    pq.write_table(pa.table({**columns, "label": y[:300], "split": split}), tmp_path / "d.parquet")
    command = ["prune", tmp_path / "d.parquet", "--split", "train", "--learner", "logistic", "--no-report"]
    assert unseen_says(*command, "--keep", "0.5", "--folds", "2", "--out", tmp_path / "run").code == 0
    said = unseen_says("evaluate", tmp_path / "run", "--test-split", "test", *QUICK, "--json", "--out", tmp_path / "ev")
    assert said.code == 0, said.err
    told = json.loads(said.out)
    assert told["test"]["by"] == "test set"
    assert told["test"]["n"] == 100
    assert told["arms"]["full"]["kept"] == [200, 200]


def test_gaps_in_the_training_set_alone_and_a_moved_file(unseen_says, tmp_path):
    rows = [f"{a},{a * a % 7},{'yes' if a % 3 else 'no'}" for a in range(90)]
    (tmp_path / "train.csv").write_text("\n".join(["a,b,label", *rows[:60], "70.5,,no"]))
    (tmp_path / "test.csv").write_text("\n".join(["a,b,label", *rows[60:]]))
    run = tmp_path / "run"
    command = ["prune", tmp_path / "train.csv", "--label", "label", "--feature", "a", "--feature", "b"]
    assert unseen_says(*command, "--no-report", "--keep", "0.5", "--out", run).code == 0
    test = ["--test", tmp_path / "test.csv", *QUICK]
    assert unseen_says("evaluate", run, *test, "--out", tmp_path / "ev").code == 0
    (tmp_path / "train.csv").rename(tmp_path / "moved.csv")
    refused(
        unseen_says("evaluate", run, *test, "--out", tmp_path / "ev2"),
        1,
        r"not there any more; in Python, unseen.evaluate",
    )


def test_ids_of_a_test_set_are_no_features(unseen_says, tmp_path):
    """Read as the training set's are, or, where the test set has none, not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    X, y = load_digits(return_X_y=True)
    columns = {f"f{i}": X[:300, i] for i in range(8, 40)}
    split = np.repeat(["train", "test"], [200, 100])
    everything = pa.table({"name": np.arange(300) + 7, **columns, "label": y[:300], "split": split})
    pq.write_table(everything, tmp_path / "d.parquet")
    pq.write_table(everything.slice(200).drop_columns(["name", "split"]), tmp_path / "bare.parquet")
    command = ["prune", tmp_path / "d.parquet", "--split", "train", "--id", "name", "--learner", "logistic"]
    assert unseen_says(*command, "--no-report", "--keep", "0.5", "--folds", "2", "--out", tmp_path / "run").code == 0
    told = []
    for number, test in enumerate((["--test-split", "test"], ["--test", tmp_path / "bare.parquet"])):
        said = unseen_says("evaluate", tmp_path / "run", *test, *QUICK, "--json", "--out", tmp_path / f"ev{number}")
        assert said.code == 0, said.err
        told.append(json.loads(said.out)["arms"]["full"])
    assert told[0]["kept"] == [200, 200]
    assert told[0]["accuracy"] == told[1]["accuracy"]


def test_a_test_set_of_another_form(unseen_says, tmp_path):
    """It is read by those options of the training set that its form has."""
    from PIL import Image

    lines = ["file,kind"]
    for row in range(60):
        folder = tmp_path / ("train" if row < 40 else f"test/{'ab'[row % 2]}")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), 4 * row + 2 * (row % 2)).save(folder / f"{row}.png")
        lines += [f"train/{row}.png,{'ab'[row % 2]}"] if row < 40 else []
    (tmp_path / "train.csv").write_text("\n".join(lines))
    command = ["prune", tmp_path / "train.csv", "--image", "file", "--label", "kind", "--learner", "logistic"]
    assert unseen_says(*command, "--no-report", "--keep", "0.5", "--out", tmp_path / "run").code == 0
    evaluate = ["evaluate", tmp_path / "run", "--test", tmp_path / "test", *QUICK]
    said = unseen_says(*evaluate, "--json", "--out", tmp_path / "ev")
    assert said.code == 0, said.err
    assert json.loads(said.out)["test"]["n"] == 20
    said = unseen_says(*evaluate, "--test-split", "x", "--out", tmp_path / "ev2")
    refused(said, 1, "from_folder has no option 'split'; known: cache, image_size")


def test_refusals(unseen_says, runs, digits_file, tmp_path):
    out = ["--out", tmp_path / "ev"]
    refused(unseen_says("evaluate", tmp_path / "none", *out), 3, "there is no run")
    refused(
        unseen_says("evaluate", runs[0], "--test", digits_file, *out), 1, "200 of 200 test samples are exact copies"
    )
    refused(unseen_says("evaluate", runs[0], "--margin", "0", *out), 1, "margin must be an accuracy above 0")
    refused(unseen_says("evaluate", runs[0], "--baseline", "half", *out), 1, "unknown baseline 'half'")
    refused(unseen_says("evaluate", runs[0], "--fix", "iterations", *out), 1, "needs a learner that trains in steps")
    (runs[0] / "command.json").unlink()
    refused(unseen_says("evaluate", runs[0], *out), 3, "does not say which data it read")
    assert not (tmp_path / "ev").exists()
