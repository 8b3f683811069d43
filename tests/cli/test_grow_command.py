"""`unseen grow`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from command_line import content, digits_file_fixture, refused, unseen_says_fixture  # noqa: F401

import unseen


@pytest.fixture(name="grow")
def grow_fixture(digits_file):
    """A quick command, but for its --out."""
    return ["grow", digits_file, "--learner", "logistic", "--folds", "2", "--threads", "1", "--keep", "0.4"]


def test_it_tells_what_it_will_do_each_step_and_the_result(unseen_says, grow, tmp_path):
    run = tmp_path / "run"
    said = unseen_says(*grow, "--release", "0.1", "--confirm", "--out", run)
    assert said.code == 0, said.err
    assert re.search(r"steps +32 to 48, 48 to 64, 64 to 80 samples", said.err)
    assert "8 trainings by sklearn:LogisticRegression, epochs fixed, 1 thread each" in said.err
    assert re.search(r"^start: 32 samples, accuracy \d+\.\d % \(", said.err, re.M)
    assert re.search(r"^step 1: 48 samples, \d+ entered, \d released, accuracy .* change", said.err, re.M)
    assert re.search(
        r"^kept +80 of 200 samples \(40\.0 %\), by stratified; stopped at the budget of 80$", said.out, re.M
    )
    assert re.search(
        r"^quality +accuracy on 200 samples, each by models that never saw it, nor a copy of it$", said.out, re.M
    )
    assert said.out.count("95 % interval") == 1
    assert {"coreset.parquet", "history.parquet", "scores.parquet", "command.json"} <= {p.name for p in run.iterdir()}
    assert len(unseen.load(run).coreset) == 80


def test_json_is_one_object_of_numbers(unseen_says, grow, tmp_path):
    said = unseen_says(*grow, "--stop", "quality", "--json", "--out", tmp_path / "run")
    assert said.code == 0
    assert said.err == ""
    result = json.loads(said.out)
    assert result["kept"] + result["pruned"] == result["n"] == 200
    assert result["steps"][0].keys() == {
        "step", "size", "entered", "released", "dropped", "collapsed", "accuracy", "change", "class_errors"
    }  # fmt: skip
    assert result["steps"][0]["change"] is None
    assert result["steps"][0]["accuracy"].keys() == {"value", "low", "high"}
    assert len(result["steps"][0]["class_errors"]) == 10
    assert result["steps"][result["taken"]]["size"] == result["kept"]


def test_a_finished_run_is_shown_by_resume_wherever_it_is(unseen_says, grow, tmp_path):
    first = unseen_says(*grow, "--quiet", "--out", tmp_path / "run")
    before = content(tmp_path / "run")
    shutil.move(tmp_path / "run", tmp_path / "moved")
    second = unseen_says("resume", tmp_path / "moved", "--quiet")
    assert second.code == 0, second.err
    assert second.out.replace("/moved/", "/run/") == first.out
    again = content(tmp_path / "moved")
    again.pop("command.json"), before.pop("command.json")
    assert again == before


def test_a_coreset_of_another_run_is_refined(unseen_says, grow, tmp_path):
    assert unseen_says(*grow, "--quiet", "--out", tmp_path / "first").code == 0
    said = unseen_says(
        *grow, "--start", tmp_path / "first", "--schedule", "refine", "--steps", "1", "--quiet", "--out", tmp_path / "b"
    )
    assert said.code == 0, said.err
    assert re.search(r"^start +80 ", said.out, re.M)
    file = tmp_path / "first/coreset.parquet"
    again = unseen_says(
        *grow, "--start", file, "--schedule", "refine", "--steps", "1", "--quiet", "--out", tmp_path / "c"
    )
    assert again.out.replace("/c/", "/b/") == said.out


def test_sizes_one_by_one(unseen_says, grow, tmp_path):
    sizes = ["--size", "40", "--size", "0.3", "--size", "80"]
    said = unseen_says(*grow[:-2], *sizes, "--json", "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert [step["size"] for step in json.loads(said.out)["steps"]] == [40, 60, 80]


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (["--keep", "0.04"], "the budget of 8 samples is too small"),
        (["--start-size", "90"], "needs a start below the budget, got 90 for a budget of 80"),
        (["--start-size", "half"], r"--start-size must be a count \(700\) or a fraction \(0\.7\), got 'half'"),
        (["--size", "50", "--size", "60"], "sizes must end at the budget of 80, got 50, 60"),
        (["--start", "nowhere"], "--start must be random, unseen, or a run or parquet file with a coreset"),
        (["--release", "1"], r"release must be a fraction in \[0, 1\)"),
        (["--score", "aum"], "score 'aum' needs 2 epochs"),
        (["--rule", "tpo"], "unknown rule 'tpo'; did you mean 'top'"),
        (["--fix", "iterations"], "needs a learner that trains in steps"),
    ],
)
def test_refused(unseen_says, grow, tmp_path, options, pattern):
    refused(unseen_says(*grow, *options, "--out", tmp_path / "run"), 1, pattern)
    assert not (tmp_path / "run").exists()


def test_a_start_without_a_coreset_is_refused(unseen_says, grow, digits_file, tmp_path):
    quick = ["--learner", "logistic", "--folds", "2", "--threads", "1"]
    assert unseen_says("score", digits_file, *quick, "--quiet", "--out", tmp_path / "scored").code == 0
    said = unseen_says(*grow, "--start", tmp_path / "scored", "--out", tmp_path / "run")
    refused(said, 1, "holds no coreset; choose one with `unseen select`")


def test_another_configuration_is_refused(unseen_says, grow, tmp_path):
    assert unseen_says(*grow, "--quiet", "--out", tmp_path / "run").code == 0
    refused(unseen_says(*grow, "--steps", "2", "--out", tmp_path / "run"), 3, r"grow\.sizes")


def test_help_has_panels_and_examples(unseen_says):
    said = unseen_says("grow", "--help")
    assert said.code == 0
    for panel in ("Choice", "Steps", "Work", "Data"):
        assert f"─ {panel} ─" in said.out
    assert re.search(r"Examples:\s*\n\s*unseen grow digits --keep 0\.3 --out runs/grown", said.out)
