"""`unseen grow`: what it prints and writes, and what it refuses."""

from __future__ import annotations

import json
import re
import shutil

import numpy as np
import pytest
from command_line import content, digits_file_fixture, refused, unseen_says_fixture  # noqa: F401

import unseen


@pytest.fixture(name="grow")
def grow_fixture(digits_file):
    """A quick command, but for its --out."""
    return ["grow", digits_file, "--learner", "logistic", "--threads", "1", "--no-report", "--keep", "0.4"]


def test_it_tells_what_it_will_do_each_step_and_the_result(unseen_says, grow, tmp_path):
    run = tmp_path / "run"
    said = unseen_says(*grow, "--steps", "2", "--out", run)
    assert said.code == 0, said.err
    assert re.search(r"steps +40 to 60, 60 to 80, by entropy", said.err)
    assert "4 trainings by sklearn:LogisticRegression, 1 thread each" in said.err
    assert re.search(r"^step 2: 80 samples, 20 entered$", said.err, re.M)
    assert re.search(r"^step 2 +80 +\+20 +entropy, by models of 60$", said.out, re.M)
    assert re.search(r"^kept +80 of 200 samples \(40\.0 %\), by stratified:cutoff=auto,quota=floored$", said.out, re.M)
    assert {"coreset.parquet", "history.parquet", "scores.parquet", "command.json"} <= {p.name for p in run.iterdir()}
    assert len(unseen.load(run).coreset) == 80


def test_no_help_lists_an_option_that_it_always_refuses(unseen_says, digits_file, tmp_path):
    for asked in ("--help", "--help-all"):
        assert "--target" not in unseen_says("grow", asked).out
        assert "--target" in unseen_says("prune", asked).out
    said = unseen_says("grow", digits_file, "--target", "y", "--keep", "0.4", "--out", tmp_path / "run")
    refused(said, 1, "this data set has a target; `prune` works without classes; classes are named by --label, not")


def test_json_is_one_object_of_numbers(unseen_says, grow, tmp_path):
    said = unseen_says(*grow, "--json", "--out", tmp_path / "run")
    assert said.code == 0
    assert said.err == ""
    result = json.loads(said.out)
    assert result["kept"] + result["pruned"] == result["n"] == 200
    assert result["sizes"] == [40, 60, 80]


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


def test_it_begins_with_the_coreset_of_another_run(unseen_says, grow, tmp_path):
    assert unseen_says(*grow, "--quiet", "--out", tmp_path / "first").code == 0
    more = [*grow[:-1], "0.5", "--quiet"]
    said = unseen_says(*more, "--start", tmp_path / "first", "--out", tmp_path / "b")
    assert said.code == 0, said.err
    assert re.search(r"^start +80 +a coreset of your own *$", said.out, re.M)
    again = unseen_says(*more, "--start", tmp_path / "first/coreset.parquet", "--out", tmp_path / "c")
    assert again.out.replace("/c/", "/b/") == said.out


def test_samples_added_at_random_are_not_said_to_enter_by_a_score(unseen_says, tmp_path):
    np.savez(tmp_path / "noise.npz", x=np.random.default_rng(0).normal(size=(400, 3)), y=np.arange(400) % 4)
    grow = ["grow", tmp_path / "noise.npz", "--learner", "logistic", "--keep"]
    first = unseen_says(*grow, "40", "--out", tmp_path / "first")
    assert re.search(r"^start +40 +random *$", first.out, re.M), first.out
    said = unseen_says(*grow, "100", "--start", tmp_path / "first", "--out", tmp_path / "run")
    assert "samples are added at random within each class" in said.err
    assert re.search(r"^start +40 +a coreset of your own *$", said.out, re.M)
    assert re.search(r"^step 1 +100 +\+60 +random *$", said.out, re.M)
    page = (tmp_path / "run/report.html").read_text()
    assert "60 in all; drawn at random" in page


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (["--keep", "0.04"], "the start of 4 samples is too small to train on"),
        (["--start", "1.5"], r"start must be a share of the budget in \(0, 1\)"),
        (["--start", "nowhere"], r"--start must be a share of the budget \(0\.5\), or a run or parquet file"),
        (["--steps", "0"], "steps must be an integer of at least 1"),
        (["--score", "aum"], "score 'aum' needs 2 epochs"),
        (["--refill", "entropie"], "unknown score 'entropie'; did you mean 'entropy'"),
        (["--rule", "tpo"], "unknown rule 'tpo'; did you mean 'top'"),
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
    refused(unseen_says(*grow, "--steps", "3", "--out", tmp_path / "run"), 3, r"grow\.sizes")


def test_help_has_panels_and_examples(unseen_says):
    said = unseen_says("grow", "--help")
    assert said.code == 0
    for panel in ("What is kept", "Steps", "Training", "Where it runs", "Data"):
        assert f"─ {panel} ─" in said.out
    assert re.search(r"Examples:\s*\n\s*unseen grow digits --keep 0\.3 --out runs/grown", said.out)
