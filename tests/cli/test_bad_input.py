"""What bad input gets: one message that says what to do, before any training, and nothing is lost."""

from __future__ import annotations

import lzma
import os
import re
import resource
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import (  # noqa: F401
    content,
    damaged_arrays,
    digits_file_fixture,
    finished_fixture,
    prune_fixture,
    refused,
    unseen_says_fixture,
)
from PIL import Image

QUICK = ["--learner", "logistic", "--folds", "2", "--threads", "1", "--no-report"]


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        ([], "exactly one of --keep and --prune, got none"),
        (["--keep", "0.5", "--prune", "0.5"], r"exactly one of --keep and --prune, got --keep 0\.5 and --prune 0\.5"),
        (["--keep", "0"], r"keep as a count must be in 1\.\.200 for 200 samples, got 0"),
        (["--keep", "0.0"], r"keep as a fraction must be in \(0, 1\], got 0\.0"),
        (["--keep", "201"], r"keep as a count must be in 1\.\.200 for 200 samples, got 201"),
        (["--keep", "1.5"], r"keep as a fraction must be in \(0, 1\], got 1\.5; a count must be an int"),
        (["--keep", "-3"], "got -3"),
        (["--keep", "nan"], "got nan"),
        (["--keep", "half"], "keep must be a count .* a fraction .* got 'half'"),
        (["--prune", "200"], r"prune as a count must be in 0\.\.199"),
        (["--prune", "1.0"], r"prune as a fraction must be in \[0, 1\)"),
        (["--keep", "0.5", "--score", "el2m"], "unknown score 'el2m'; did you mean 'el2n'"),
        (["--keep", "0.5", "--also", "lss"], "unknown score 'lss'; did you mean 'loss'"),
        (["--keep", "0.5", "--score", "el2n:epoch=3"], "score 'el2n' has no option 'epoch'; its options: epochs"),
        (["--keep", "0.5", "--score", "el2n:3"], r"expected name:option=value,\.\.\. but got 'el2n:3'"),
        (["--keep", "0.5", "--rule", "topp"], "unknown rule 'topp'; did you mean 'top'"),
        (["--keep", "0.5", "--rule", "stratified:cutof=0.1"], "'cutof'; did you mean 'cutoff'"),
        (["--keep", "0.5", "--learner", "logistik"], "unknown learner 'logistik'; did you mean 'logistic'"),
        (["--keep", "0.5", "--learner", "logistic:c=3"], "learner 'logistic' has no option 'c'; its options: C, "),
        (["--keep", "0.5", "--learner", "mlp:epoch=3"], "unknown recipe field 'epoch'; did you mean 'epochs'"),
        (["--keep", "0.5", "--learner", "sklearn:nowhere:f"], "'nowhere:f' must be module:function, but it cannot be"),
        (["--keep", "0.5", "--score", "aum"], "'aum' needs 2 epochs, but the learner 'sklearn:.*' has no epochs"),
        (["--keep", "0.5", "--score", "dual"], "'dual' needs 10 epochs, but .* has no epochs"),
        (["--keep", "0.5", "--score", "grand"], "'grand' reads grad_norm, which the learner .* does not give"),
        (["--keep", "0.5", "--score", "memorization"], "the plan 'folds' asks on one side only; use halves"),
        (["--keep", "0.5", "--rule", "stratified:cutoff=0.6"], r"cutoff=0\.6 \(keep \+ cutoff must be at most 1\)"),
        (["--keep", "0.5", "--rule", "herding"], r"herding reads features: give features="),
        (["--keep", "0.5", "--rule", "top", "--features", "x.npy"], "--features is for rules that read features"),
        (["--keep", "0.5", "--rule", "herding", "--features", "no.npy"], "there is no file or folder no.npy"),
        (["--keep", "0.5", "--rule", "herding", "--features", "no.npz"], r"--features must be a \.npy file"),
        (["--keep", "0.5", "--quota", "equal"], "quota must be one of 'proportional', 'floored', 'uniform', 'error'"),
        (["--keep", "0.5", "--align", "rank"], "rule stratified needs --align 'none', got 'rank'"),
        (["--keep", "0.5", "--folds", "1"], "k must be an integer of at least 2, got 1"),
        (["--keep", "0.5", "--folds", "201"], "k must be at most the number of samples, got k=201 for 200 samples"),
        (["--keep", "0.5", "--repeats", "0"], "repeats must be an integer of at least 1, got 0"),
        (["--keep", "0.5", "--jobs", "0"], "jobs must be an integer of at least 1, got 0"),
        (["--keep", "0.5", "--threads", "0"], "threads must be an integer of at least 1, got 0"),
        (["--keep", "0.5", "--plan", "seen"], "--folds is for the plan 'folds', got --plan seen"),
        (["--keep", "0.5", "--text", "y"], "--text 'y' names a column, and from_npz has none; its options: x, label,"),
    ],
)
def test_refused_argument(unseen_says, digits_file, tmp_path, options, pattern):
    said = unseen_says("prune", digits_file, *QUICK, *options, "--out", tmp_path / "run")
    refused(said, 1, pattern)
    assert not (tmp_path / "run").exists()


def test_an_unknown_plan_is_refused(unseen_says, tmp_path):
    said = unseen_says("prune", "digits", "--keep", "0.5", "--plan", "fold", "--out", tmp_path / "run")
    refused(said, 1, "unknown plan 'fold'; did you mean 'folds'")


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (["prune", "digits", "--keep", "0.5"], "Missing option '--out'"),
        (["prune", "--out", "x"], "Missing argument 'DATA'"),
        (["prune", "digits", "--kep", "0.5", "--out", "x"], "No such option: --kep.*--keep"),
        (["prune", "digits", "--folds", "two", "--out", "x"], "Invalid value for '--folds'"),
        (["trim", "digits"], "No such command 'trim'"),
    ],
)
def test_wrong_usage(unseen_says, options, pattern):
    said = unseen_says(*options)
    assert said.code == 2
    assert said.out == ""
    assert "Traceback" not in said.err
    assert re.search(pattern, " ".join(said.err.split())), said.err


@pytest.fixture(scope="module")
def bad_data(tmp_path_factory, digits_file):
    folder = tmp_path_factory.mktemp("bad")
    X, y = (np.load(digits_file)[name] for name in "xy")
    damaged_arrays(folder, X, y)
    pq.write_table(pa.table({"f0": X[:, 10], "f1": X[:, 20], "y": y}), folder / "table.parquet")
    (folder / "cut.parquet").write_bytes((folder / "table.parquet").read_bytes()[:-40])
    (folder / "nothing").mkdir()
    (folder / "notes.txt").write_text("no data")
    (folder / "table.csv.xz").write_bytes(lzma.compress(b"a,label\n1,2\n"))
    (folder / "texts" / "a").mkdir(parents=True)
    (folder / "texts" / "a" / "1.txt").write_text("good")
    for i in range(12):
        (folder / "images" / "ab"[i % 2]).mkdir(parents=True, exist_ok=True)
        pixels = np.full((8, 8, 3), 20 * i, np.uint8)
        Image.fromarray(pixels).save(folder / "images" / "ab"[i % 2] / f"{i}.png")
    shutil.copytree(folder / "images", folder / "empty-class")
    (folder / "empty-class" / "c").mkdir()
    shutil.copytree(folder / "images", folder / "truncated")
    broken = folder / "truncated" / "a" / "4.png"
    broken.write_bytes(broken.read_bytes()[:50])
    return folder


@pytest.mark.parametrize(
    ("data", "options", "pattern"),
    [
        ("nowhere.npz", [], "there is no file or folder .*nowhere.npz"),
        ("notes.txt", [], "cannot read a data set from .*notes.txt; a data set is one of"),
        (
            "table.csv.xz",
            [],
            "table.csv.xz, which is packed; unpack it first: unxz -k table.csv.xz",
        ),
        ("texts", [], "texts holds texts, .* write the texts as one table, a csv or parquet file"),
        ("nothing", [], "nothing holds no class folders; images must be in one folder a class"),
        ("empty-class", [], "class folder 'c' holds no images"),
        ("truncated", [], r"4\.png"),
        ("nan.npz", [], r"features must be finite, .* row 7, column 3 \(nan\)"),
        ("inf.npz", [], r"features must be finite, .* row 8, column 1 \(inf\)"),
        ("one-class.npz", [], "at least 2 classes"),
        ("counts.npz", [], "X has 200 and y has 199"),
        ("no-label.npz", [], "y must not be negative, but is -1 in row 0"),
        ("half-label.npz", [], "y must hold classes, but row 0 has"),
        ("empty.npz", [], "the data set is empty"),
        ("four.npz", ["--folds", "9"], "k must be at most the number of samples, got k=9 for 4 samples"),
        ("without-y.npz", [], "without-y.npz"),
        ("cut.parquet", ["--label", "y"], "cut.parquet"),
        ("table.parquet", ["--label", "z"], "unknown column for label 'z'; known: f0, f1, y"),
        (
            "table.parquet",
            ["--label", "y", "--feature", "f2"],
            "unknown column for features 'f2'; did you mean 'f1' or 'f0'",
        ),
        ("table.parquet", ["--label", "y", "--id", "name"], "'name'"),
        ("table.parquet", ["--label", "y", "--id", "y"], "ids must be unique, but these occur more than once: 0, 1, "),
    ],
)
def test_refused_data(unseen_says, bad_data, tmp_path, data, options, pattern):
    said = unseen_says("prune", bad_data / data, *QUICK, "--keep", "0.5", *options, "--out", tmp_path / "run")
    refused(said, 1, pattern)
    assert not (tmp_path / "run").exists()


def test_images_of_several_sizes_are_resized_by_a_rule_that_is_stated(unseen_says, bad_data, tmp_path):
    shutil.copytree(bad_data / "images", tmp_path / "sizes")
    Image.fromarray(np.zeros((12, 9, 3), np.uint8)).save(tmp_path / "sizes" / "a" / "large.png")
    said = unseen_says("prune", tmp_path / "sizes", *QUICK, "--keep", "0.5", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "note    images are resized: shorter side to 8, then the central square; mode RGB" in said.err


def test_an_unreadable_image_is_dropped_if_asked_and_said(unseen_says, bad_data, tmp_path):
    command = ["prune", bad_data / "truncated", *QUICK, "--keep", "0.5", "--out", tmp_path / "run"]
    said = unseen_says(*command, "--on-error", "skip")
    assert said.code == 0, said.err
    assert "4.png" in said.err
    assert "11 samples" in said.err


def test_features_of_another_data_set_are_refused_before_training(unseen_says, prune, tmp_path):
    np.save(tmp_path / "f.npy", np.zeros((50, 3)))
    said = unseen_says(*prune, "--rule", "herding", "--features", tmp_path / "f.npy", "--out", tmp_path / "run")
    refused(said, 1, r"features must be numbers of shape \(200, d\), got float64 \(50, 3\)")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("change", "differs"),
    [
        (["--seed", "1"], r"seed: 0 \(run\) != 1 \(now\)"),
        (["--folds", "3"], r"plan\.k: 2 \(run\) != 3 \(now\)"),
        (["--repeats", "2"], r"plan\.repeats: 1 \(run\) != 2 \(now\)"),
        (["--learner", "logistic:C=3.0"], r"learner\.params\.\S*C: 1\.0 \(run\) != 3\.0 \(now\)"),
        (["--learner", "forest:n_estimators=3"], r"learner\.learner: 'sklearn:Log\w+' \(run\) != 'sklearn:Random"),
        (["--threads", "2"], r"settings\.threads: 1 \(run\) != 2 \(now\)"),
        (["--also", "loss"], r"scores\.loss: absent \(run\)"),
    ],
)
def test_another_configuration_is_refused_with_what_differs(unseen_says, prune, finished, change, differs):
    before = content(finished)
    said = unseen_says(*prune, *change, "--out", finished)
    refused(said, 3, "is a run of another configuration; repeat its options, or choose another --out")
    refused(said, 3, differs)
    assert content(finished) == before


def test_data_read_with_other_options_are_refused(unseen_says, prune, finished):
    said = unseen_says(*prune, "--groups", "none", "--out", finished)
    refused(said, 3, "began with other data than this, or read it with other options; give the same, or choose another")
    refused(said, 3, r"fingerprint\.groups")


def test_data_that_was_only_touched_are_refused_with_a_way_on(unseen_says, prune, finished, digits_file, tmp_path):
    copy = shutil.copyfile(digits_file, tmp_path / digits_file.name)
    os.utime(copy, (1, 1))
    said = unseen_says("prune", copy, *prune[2:], "--out", finished)
    refused(
        said, 3, "finished began with other files than these, by their names, sizes or times; give those, or choose"
    )
    refused(said, 3, r"if their content is the same, its scores hold: unseen select \S+finished --out NEW")


def test_other_data_are_refused_and_named_as_what_differs(unseen_says, prune, finished, digits_file, tmp_path):
    arrays = dict(np.load(digits_file))
    arrays["x"][0, 0] += 1
    np.savez(tmp_path / "other.npz", **arrays)
    before = content(finished)
    said = unseen_says("prune", tmp_path / "other.npz", *prune[2:], "--out", finished)
    refused(said, 3, r"fingerprint\.\w+: .* \(run\) != .* \(now\)")
    assert content(finished) == before


def test_a_refused_argument_leaves_a_finished_run_as_it_was(unseen_says, prune, finished):
    before = content(finished)
    refused(unseen_says(*prune, "--keep", "0", "--out", finished), 1, "keep as a count")
    refused(unseen_says(*prune, "--score", "el2m", "--out", finished), 1, "unknown score")
    assert content(finished) == before


def test_a_second_process_on_the_same_run_is_refused(unseen_says, prune, finished):
    before = content(finished)
    holding = "import sys; from unseen.core.files import Lock; from pathlib import Path\n"
    holding += "lock = Lock(Path(sys.argv[1]) / 'lock'); print('held', flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", holding, str(finished)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        said = unseen_says(*prune, "--out", finished)
        resumed = unseen_says("resume", finished)
        selected = unseen_says("select", finished, "--keep", "9", "--out", finished.with_name("nine.parquet"))
        holder.stdin.close()
    refused(said, 3, rf"is in use by process {holder.pid} on \S+; wait for it or stop it, or choose another --out")
    assert (resumed.code, selected.code) == (0, 0)  # reading takes no lock, and a finished run is read alone
    assert content(finished) == before
    assert unseen_says(*prune, "--out", finished).code == 0


@pytest.mark.parametrize(
    ("place", "why"),
    [
        ("digits.npz/run", "cannot write .*; choose a folder that can be written"),
        ("digits.npz", "digits.npz is a file, and a run is a directory; choose another --out"),
    ],
)
def test_a_run_under_a_file_is_refused(unseen_says, prune, digits_file, place, why):
    before = digits_file.read_bytes()
    refused(unseen_says(*prune, "--out", digits_file.parent / place), 3, why)
    assert digits_file.read_bytes() == before


@pytest.mark.parametrize("rule", [(), ("--rule", "auto", "--yes")])
def test_files_of_somebody_else_are_not_replaced(unseen_says, prune, tmp_path, rule):
    (tmp_path / "scores.parquet").write_text("mine")
    said = unseen_says(*prune[:2], *rule, "--keep", "0.5", "--learner", "ridge", "--out", tmp_path)
    assert said.code == 3
    assert "holds no run, but scores.parquet, which a run would replace; choose another --out, such as" in said.err
    assert [file.name for file in tmp_path.iterdir() if file.is_file()] == ["scores.parquet"]
    assert (tmp_path / "scores.parquet").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(unseen_says, prune, tmp_path):
    tmp_path.chmod(0o555)
    refused(unseen_says(*prune, "--out", tmp_path / "run"), 3, "Permission denied; choose a folder that can be")


def test_no_space_left_is_said_and_the_run_goes_on_later(unseen_says, prune, finished, tmp_path, monkeypatch):
    # A limit on the size of files stands in for a full disk: it lets everything through but the score table.
    sizes = {name: len(data) for name, data in content(finished).items()}
    assert max(sizes, key=sizes.get) == "scores.parquet"
    limit = sizes["scores.parquet"] - 1
    run = tmp_path / "full"
    monkeypatch.setattr(sys, "dont_write_bytecode", True)  # which the limit would cut off, too
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        said = unseen_says(*prune, "--quiet", "--out", run)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    refused(said, 3, "scores.parquet")
    assert "free some space, then repeat the command: what was finished is kept" in said.err
    assert unseen_says("resume", run).code == 0
    same = ("manifest.json", "scores.parquet", "coreset.parquet")
    assert [content(run)[name] for name in same] == [content(finished)[name] for name in same]


@pytest.mark.parametrize("name", ["manifest.json", "scores.parquet", "coreset.parquet", "fits/r0f1/result.npz"])
@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_file_is_found_and_its_part_done_again(unseen_says, prune, finished, name, damage):
    before = content(finished)
    raw = bytearray(before[name])
    raw[len(raw) // 2] ^= 8
    (finished / name).write_bytes(raw[: len(raw) // 2] if damage == "cut" else raw)
    said = unseen_says(*prune, "--out", finished)
    assert said.code == 0, said.err
    after = content(finished)
    assert {key: after[key] for key in before} == before


def test_a_damaged_table_is_not_selected_from(unseen_says, finished):
    raw = (finished / "scores.parquet").read_bytes()
    (finished / "scores.parquet").write_bytes(raw[:-30])
    said = unseen_says("select", finished, "--keep", "0.5", "--out", finished.with_name("new.parquet"))
    refused(said, 3, r"scores\.parquet is damaged")
    assert not finished.with_name("new.parquet").exists()


@pytest.mark.parametrize(
    ("argv", "code", "pattern"),
    [
        (["select", "RUN", "--keep", "0.5", "--out", "RUN/scores.parquet"], 1, "exists already; choose another name"),
        (["select", "RUN", "--keep", "0.5", "--score", "lss", "--out", "new"], 1, "this table has no score 'lss'"),
        (["select", "RUN", "--keep", "900", "--out", "new"], 1, r"keep as a count must be in 1\.\.200"),
        (["select", "RUN", "--out", "new"], 1, "exactly one of --keep and --prune"),
        (
            ["select", "RUN", "--keep", "5", "--rule", "tip", "--out", "new"],
            1,
            "unknown rule 'tip'; did you mean 'top'",
        ),
        (["select", "RUN/coreset.parquet", "--keep", "5", "--out", "new"], 1, "holds no scores"),
        (["select", "RUN/command.json", "--keep", "5", "--out", "new"], 3, "was not written by unseen"),
        (["select", "RUN/fits", "--keep", "5", "--out", "new"], 3, r"holds no run: there is no manifest\.json"),
        (["select", "nowhere", "--keep", "5", "--out", "new"], 3, "there is no run or file nowhere"),
        (["resume", "nowhere"], 3, "there is no run nowhere"),
        (["report", "nowhere"], 3, "there is no run nowhere"),
        (["resume", "RUN/fits"], 3, "was not begun on the command line"),
    ],
)
def test_refused_run(unseen_says, finished, argv, code, pattern, monkeypatch):
    monkeypatch.chdir(finished.parent)
    before = content(finished)
    refused(unseen_says(*(a.replace("RUN", str(finished)) for a in argv)), code, pattern)
    assert content(finished) == before
    assert not (finished.parent / "new").exists()


@pytest.mark.parametrize("text", ["", "{", "[]", '{"command": "trim", "options": {}}', '{"command": "prune"}'])
def test_a_damaged_command_is_not_resumed(unseen_says, finished, text):
    (finished / "command.json").write_text(text)
    refused(unseen_says("resume", finished), 3, r"command\.json (is damaged or was edited; repeat|names the comm)")
