"""Tables in text files on the command line."""

from __future__ import annotations

import numpy as np
import pytest
from command_line import refused, unseen_says_fixture  # noqa: F401

import unseen


@pytest.fixture(name="people")
def people_fixture(tmp_path):
    rng = np.random.default_rng(0)
    ages = rng.integers(18, 80, 60)
    jobs = rng.choice(["cook", "smith"], 60)
    rows = [f"{age},{job},{'>50K' if age > 45 else '<=50K'}" for age, job in zip(ages, jobs, strict=True)]
    path = tmp_path / "people.csv"
    path.write_text("age,job,income\n" + "\n".join(rows) + "\n")
    return path


def test_a_csv_file_is_pruned_and_resumed(unseen_says, people, tmp_path):
    out = tmp_path / "run"
    command = ["prune", people, "--label", "income", "--keep", "70%", "--learner", "logistic", "--no-report"]
    command += ["--out", out]
    said = unseen_says(*command)
    assert said.code == 0, said.err
    table, coreset = unseen.load(out)
    assert table.class_names == ("<=50K", ">50K")
    assert len(coreset) == 42
    assert unseen.prune(people, "income", keep=0.7, learner="logistic").coreset.ids.tolist() == coreset.ids.tolist()
    assert unseen_says("resume", out).code == 0
    assert unseen_says("export", out, "--to", "parquet", "--out", tmp_path / "kept.parquet").code == 0
    people.write_text(people.read_text().replace("cook", "cock"))
    refused(unseen_says(*command), 3, "fingerprint.sample")


def test_what_is_wrong_is_one_line(unseen_says, people, tmp_path):
    command = ["prune", people, "--keep", "0.7", "--out", tmp_path / "run"]
    refused(
        unseen_says(*command), 1, r"--label must name the column of labels, as in --label 'income'; the columns are age"
    )
    refused(unseen_says(*command, "--label", "incom"), 1, "unknown column for label 'incom'; did you mean 'income'")
    people.write_text(people.read_text() + "1,2\n")
    refused(unseen_says(*command, "--label", "income"), 1, r"row 62 of the file has 2: '1,2'; put")


def test_notes_name_options_as_they_are_typed(unseen_says, people, tmp_path):
    head, *rows = people.read_text().splitlines()
    people.write_text("\n".join([f"{head},split", *(f"{row},{'ab'[at % 2]}" for at, row in enumerate(rows))]) + "\n")
    command = ["prune", people, "--label", "income", "--keep", "0.5", "--learner", "logistic", "--no-report"]
    said = unseen_says(*command, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert "all splits are used: a, b; --split chooses one" in said.err
