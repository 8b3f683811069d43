"""The words people type: plans with options, several learners, a sweep without methods."""

from __future__ import annotations

import json
import re

import pytest
from command_line import digits_file_fixture, finished_fixture, prune_fixture, refused, unseen_says_fixture  # noqa: F401

import unseen
from unseen.cli._options import plan_of

BAYES = "sklearn:sklearn.naive_bayes:GaussianNB"


def test_a_plan_with_options_is_the_plan_of_its_numbers():
    assert plan_of("folds:k=3", None, 1) == plan_of("folds", 3, 1) == plan_of(None, 3, 1) == unseen.folds(3)
    assert plan_of("3", None, 1) == unseen.folds(3)
    assert plan_of("3", None, 2) == unseen.folds(3, 2)
    assert plan_of("folds:k=3", None, 2) == plan_of("folds:k=3,repeats=2", None, 1) == unseen.folds(3, 2)
    assert plan_of("halves", None, 2) == unseen.halves(2)
    assert plan_of("seen", None, 1) == unseen.seen()
    assert plan_of("folds", None, 1) == unseen.folds(5)
    assert plan_of(None, None, 1) is None


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--plan", "folds:k=3", "--folds", "2"], "--plan folds:k=3 says k already, got --folds 2"),
        (["--plan", "halves:repeats=3", "--repeats", "2"], "--plan halves:repeats=3 says repeats already"),
        (["--plan", "halves:k=3"], "plan 'halves' has no option 'k'"),
        (["--plan", "folds:k=1"], "k must be"),
    ],
)
def test_a_plan_that_contradicts_itself_is_refused(unseen_says, digits_file, argv, message, tmp_path):
    refused(unseen_says("prune", digits_file, "--keep", "0.5", *argv, "--out", tmp_path / "run"), 1, message)


def test_the_plan_of_one_text_is_trained(unseen_says, digits_file, tmp_path):
    argv = ["score", digits_file, "--learner", BAYES, "--threads", "1"]
    said = unseen_says(*argv, "--plan", "folds:k=3", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "folds (k=3, repeats=1): 3 trainings" in said.err
    again = unseen_says("resume", tmp_path / "run")
    assert again.code == 0, again.err
    assert again.out.replace(" ", "") == said.out.replace(" ", "")


@pytest.fixture(name="two")
def two_fixture(finished, tmp_path):
    """A command that tests two learners, but for its --out."""
    quick = ["--seeds", "2", "--threads", "1", "--no-report"]
    return ["evaluate", finished, "--learner", BAYES, "--learner", "logistic", *quick]


def test_a_verdict_for_each_learner(unseen_says, two, tmp_path):
    out = tmp_path / "both"
    said = unseen_says(*two[:-1], "--out", out)  # with its pages
    assert said.code == 0, said.err
    table = [re.split("  +", line)[:2] for line in said.out.splitlines() if re.search(r"^\S+ +\S.* \d", line)]
    assert [row for row in table if row[0] == "finished"] == [
        ["finished", "Gaussian NB"],
        ["finished", "logistic regression"],
    ]
    assert re.findall(r"^trained +(.*)$", said.out, re.M) == ["Gaussian NB", "logistic regression"]
    assert re.search(r"against full: .* for Gaussian NB", said.out)
    assert re.search(r"against full: .* for logistic regression", said.out)
    folders = sorted(path.parent.name for path in out.glob("*/evaluation.parquet"))
    assert folders == ["logistic", "sklearn_sklearn.naive_bayes_GaussianNB"]
    assert (out / "logistic" / "report.html").exists()
    alone = unseen_says(*two[:2], *two[4:], "--out", tmp_path / "alone")
    assert alone.code == 0, alone.err
    found, beside = unseen.Evaluation.load(tmp_path / "alone"), unseen.Evaluation.load(out / "logistic")
    assert [arm.accuracy.tolist() for arm in found.arms] == [arm.accuracy.tolist() for arm in beside.arms]


def test_an_evaluation_of_two_learners_is_resumed_whole(unseen_says, two, tmp_path):
    out = tmp_path / "both"
    said = unseen_says(*two, "--json", "--out", out)
    assert said.code == 0, said.err
    assert [one["run"] for one in json.loads(said.out)["evaluations"]] == [
        str(out / "sklearn_sklearn.naive_bayes_GaussianNB"), str(out / "logistic")
    ]  # fmt: skip
    (out / "logistic" / "evaluation.parquet").unlink()
    again = unseen_says("resume", out)
    assert again.code == 0, again.err
    assert json.loads(again.out)["evaluations"][0] == json.loads(said.out)["evaluations"][0]
    assert (out / "logistic" / "evaluation.parquet").exists()
    refused(unseen_says("resume", out, "--dry-run"), 1, r"look at one of them: .*logistic")
    part = unseen_says("resume", out / "logistic", "--dry-run")
    assert part.code == 0, part.err + part.out


def test_a_learner_that_does_not_exist_is_refused_before_another_trains(unseen_says, two, tmp_path):
    said = unseen_says(*two, "--learner", "logistik", "--out", tmp_path / "both")
    refused(said, 1, "did you mean 'logistic'")
    assert not (tmp_path / "both").exists()


def test_a_sweep_without_methods_compares_the_default_with_the_best_peer(unseen_says, digits_file, tmp_path):
    argv = ["sweep", digits_file, "--prune", "0.5", "--learner", BAYES, "--threads", "1", "--seeds", "2"]
    said = unseen_says(*argv, "--json", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    found = unseen.load(tmp_path / "run")
    assert found.methods == [
        "full",
        "random",
        "halves/el2n/stratified:cutoff=auto,quota=floored",
        "seen/label_margin:space=logits/stratified:cutoff=0",
    ]
    assert json.loads(said.out)["files"]["report"] == str(tmp_path / "run" / "report.html")
    assert (tmp_path / "run" / "report.html").read_text().startswith("<!DOCTYPE html>")
    options = json.loads((tmp_path / "run" / "command.json").read_text())["options"]
    assert options["method"] == found.methods[2:]
    assert not {"yes", "help_all", "testing", "running", "reading"} & set(options)
    assert unseen_says("resume", tmp_path / "run", "--dry-run", "--trust").code == 0


def test_the_best_peer_reads_the_epochs_where_there_are_several():
    from unseen.evaluating.methods import usual_methods

    data = unseen.data.resolve("digits")
    assert usual_methods("mlp", data)[1] == "seen/aum/stratified:cutoff=0"
    assert usual_methods("logistic", data)[1] == "seen/label_margin:space=logits/stratified:cutoff=0"
