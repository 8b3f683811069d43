"""`unseen advise`, the real training and the quick estimate; and `prune --rule bws`, which reads features."""

import json
import re

import numpy as np
import pytest
from command_line import digits_file_fixture, is_aligned, refused, unseen_says_fixture  # noqa: F401 - fixtures

import unseen

QUICK = ["--quick", "--method", "folds:k=2/el2n/top", "--step", "0.4", "--searching", "2", "--seeds", "3"]
NAIVE = ["--learner", "sklearn:sklearn.naive_bayes:GaussianNB", "--threads", "1"]
ESTIMATE = "an estimate under a linear head"


@pytest.fixture(scope="session", name="features")
def features_fixture(tmp_path_factory, digits_file):
    path = tmp_path_factory.mktemp("features") / "f.npy"
    with np.load(digits_file) as arrays:
        np.save(path, arrays["x"][:, ::2])
    return path


def test_advise_says_what_it_tried(unseen_says, digits_file, tmp_path):
    argv = ["advise", digits_file, *QUICK[1:], "--seeds", "4", "--margin", "50", *NAIVE, "--out", tmp_path / "a"]
    said = unseen_says(*argv)
    assert said.code == 0, said.err
    assert re.search(r"^keep +\d+ of 160 samples \(\d+\.0 %\) by folds:k=2/el2n/top$", said.out, re.MULTILINE)
    assert re.search(r"^confirming +\d+ % pruned, .* points \(random .*\)$", said.out, re.MULTILINE)
    assert "estimate" not in said.out + said.err
    assert is_aligned(said.out, "keep", "report")
    again = unseen_says("resume", tmp_path / "a", "--json")
    page = {"report": str(tmp_path / "a" / "report.html")}
    assert json.loads(again.out) == {**unseen.load(tmp_path / "a").to_json(), **page}
    assert (tmp_path / "a" / "report.html").exists()


def test_the_quick_answer_says_everywhere_that_it_is_an_estimate(unseen_says, digits_file, tmp_path):
    argv = ["advise", digits_file, *QUICK, "--margin", "20", "--out", tmp_path / "a"]
    said = unseen_says(*argv)
    assert said.code == 0, said.err
    assert said.out.startswith(f"note        {ESTIMATE}, not of training a network")
    assert ESTIMATE in said.err
    assert re.search(r"^searching +80 % pruned, .* points \(random .*\)$", said.out, re.MULTILINE)
    assert "trap        a backbone that was trained on these labels" in said.out
    again = unseen_says("resume", tmp_path / "a", "--json")
    assert json.loads(again.out)["estimate"] == ESTIMATE
    assert unseen.load(tmp_path / "a").estimate == ESTIMATE


def test_the_quick_answer_learns_from_features(unseen_says, digits_file, features, tmp_path):
    argv = ["advise", digits_file, *QUICK, "--margin", "20", "--no-report", "--json"]
    vectors = unseen_says(*argv, "--out", tmp_path / "a")
    given = unseen_says(*argv, "--out", tmp_path / "b", "--features", features)
    assert given.code == 0, given.err
    assert json.loads(given.out)["tried"] != json.loads(vectors.out)["tried"]
    said = unseen_says(*argv, "--out", tmp_path / "c", "--features", features, "--test", digits_file)
    refused(said, 1, "the test set brings no features")
    refused(unseen_says(*argv, "--out", tmp_path / "d", *NAIVE), 1, "trains a linear head in closed form")


def test_nothing_confirmed(unseen_says, digits_file, tmp_path):
    argv = ["advise", digits_file, *QUICK, "--margin", "0.0001", "--no-report", "--out", tmp_path / "a"]
    said = unseen_says(*argv)
    assert said.code == 0, said.err
    assert re.search(r"^keep +everything: no smaller share was confirmed$", said.out, re.MULTILINE)


def test_prune_by_the_best_window(unseen_says, digits_file, features, tmp_path):
    argv = [
        "prune",
        digits_file,
        "--keep",
        "0.5",
        "--folds",
        "2",
        *NAIVE,
        "--rule",
        "bws:steps=10",
        "--no-report",
        "--out",
        tmp_path / "a",
    ]
    refused(unseen_says(*argv), 1, "rule bws reads features: give features=")
    said = unseen_says(*argv, "--features", features)
    assert said.code == 0, said.err
    coreset = unseen.load(tmp_path / "a").coreset
    found = coreset.provenance["found"]
    assert found["offsets"] == list(range(0, 101, 20))
    assert set(coreset.sources.tolist()) == {f"offset {found['offset']}"}
    refused(unseen_says(*argv[:-1], tmp_path / "b", "--features", features, "--quota", "uniform"), 1, "inside one")
