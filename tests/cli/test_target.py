"""Regression targets on the command line."""

from __future__ import annotations

import re
import warnings

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import digits_file_fixture, is_aligned, refused, unseen_says_fixture  # noqa: F401


def test_a_target_is_scored_pruned_and_selected_by_its_residuals(unseen_says, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 3))
    columns = {"a": x[:, 0], "b": x[:, 1], "price": 3 * x[:, 0] + rng.normal(size=80)}
    houses, scored, pruned = tmp_path / "houses.parquet", tmp_path / "scored", tmp_path / "pruned"
    pq.write_table(pa.table(columns), houses)
    said = unseen_says(
        "score", houses, "--target", "price", "--plan", "leave_one_out", "--threads", "1", "--out", scored
    )
    assert said.code == 0, said.err
    assert "80 samples, a target in 10 bins" in said.err
    assert "by ridge" in said.err
    assert "column 'price' is regressed on" in said.err
    assert re.search(r"loss\s+harder when higher", said.out)
    assert unseen_says("select", scored, "--keep", "20", "--out", tmp_path / "c.parquet").code == 0
    said = unseen_says("prune", houses, "--target", "price", "--keep", "0.5", "--no-report", "--out", pruned)
    assert said.code == 0, said.err
    assert "40 of 80 samples" in said.out
    assert "accuracy" not in said.out
    (pruned / "coreset.parquet").unlink()
    assert unseen_says("resume", pruned).out == said.out


def test_outliers_are_told_at_the_command_line_and_in_the_report(unseen_says, tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    price = 3 * x + rng.normal(size=200)
    price[:4] += 90
    pq.write_table(pa.table({"a": x, "price": price}), tmp_path / "houses.parquet")
    said = unseen_says(
        "prune", tmp_path / "houses.parquet", "--target", "price", "--keep", "0.5", "--out", tmp_path / "run"
    )
    assert re.search(r"outliers\s+4 left out", said.out)
    assert "left out 100, 4 of them as outliers" in (tmp_path / "run" / "report.html").read_text()


@pytest.mark.parametrize(
    ("options", "pattern"),
    [
        (["--score", "el2n"], "score 'el2n' needs classes, but this data set has a target; use 'loss'"),
        (["--learner", "logistic"], "learns classes, but this data set has a target; use the learner 'ridge'"),
    ],
)
def test_what_needs_classes_is_refused_of_a_target(unseen_says, digits_file, tmp_path, options, pattern):
    said = unseen_says("score", digits_file, "--target", "y", *options, "--out", tmp_path / "run")
    refused(said, 1, pattern)


def test_the_command_line_says_r2(tmp_path, unseen_says):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(300, 4)), columns=list("abcd"))
    table["price"] = table.to_numpy() @ [1.0, 2.0, 3.0, 4.0] + rng.normal(size=300) * 3
    table.to_csv(tmp_path / "homes.csv", index=False)
    homes, learner = tmp_path / "homes.csv", ("--learner", "ridge")
    assert (
        unseen_says("prune", homes, "--target", "price", "--keep", "0.5", *learner, "--out", tmp_path / "a").code == 0
    )
    said = unseen_says("evaluate", tmp_path / "a", "--seeds", "2", "--out", tmp_path / "e")
    assert said.code == 0, said.err
    assert said.out.split()[:5] == ["arm", "trained", "kept", "epochs", "R²"]
    assert "full: R² " in said.err
    assert "bins against full: " in said.out
    assert is_aligned(said.out, "fixed", "report")
    page = (tmp_path / "e" / "report.html").read_text()
    assert "test R²" in page
    assert "test accuracy" not in page
    for verb in ("sweep", "advise"):
        more = ("--keep", "0.5", "--seeds", "2") if verb == "sweep" else ("--step", "0.5", "--quick", "--margin", "10")
        said = unseen_says(verb, homes, "--target", "price", *learner, *more, "--out", tmp_path / verb)
        assert said.code == 0, said.err
        assert "folds/loss/trimmed" in said.out
    said = unseen_says("grow", homes, "--target", "price", "--keep", "0.5", "--out", tmp_path / "g")
    assert said.code != 0
    assert "`prune` works without classes" in said.err


def test_warnings_on_reading_come_once_for_a_run(tmp_path, unseen_says):
    rng = np.random.default_rng(0)
    table = pd.DataFrame({"x": rng.normal(size=60), "said": [f"words {at}" for at in rng.permutation(60)]})
    table.assign(price=rng.normal(size=60)).to_csv(tmp_path / "t.csv", index=False)
    prune = ("prune", tmp_path / "t.csv", "--target", "price", "--keep", "0.5", "--out", tmp_path / "run")
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        assert "text that differs in most rows" in unseen_says(*prune).err
    for command in (
        ("evaluate", tmp_path / "run", "--seeds", "2", "--learner", "forest:n_estimators=3", "--out", tmp_path / "ev"),
        ("export", tmp_path / "run", "--to", "csv", "--out", tmp_path / "kept.csv"),
        ("report", tmp_path / "run"),
    ):
        said = unseen_says(*command)  # warnings are errors here
        assert said.code == 0, said.err
