"""Data sets by name on the command line; the libraries that download are replaced where they are called."""

from __future__ import annotations

import json
import socket
from types import SimpleNamespace
from urllib.error import URLError

import datasets
import huggingface_hub
import numpy as np
import pandas as pd
import pytest
import sklearn.datasets
from command_line import refused, unseen_says_fixture  # noqa: F401


def fetch(name, **options):
    if name != "adult":
        raise ValueError(f"No active dataset {name} found.")
    rng = np.random.default_rng(options["version"] == 2)
    frame = pd.DataFrame({"age": rng.integers(18, 80, 60), "job": rng.choice(["cook", "smith"], 60)})
    frame["class"] = np.where(frame["age"] > 45, ">50K", "<=50K")
    return SimpleNamespace(frame=frame, target_names=["class"], details={"name": name, "version": "1", "id": "7"})


def load(name, split):
    return datasets.Dataset.from_dict({"text": [f"word{row} {row % 2}" for row in range(40)], "label": [0, 1] * 20})


@pytest.fixture(autouse=True)
def networks(monkeypatch):
    monkeypatch.setattr(sklearn.datasets, "fetch_openml", fetch)
    monkeypatch.setattr(datasets, "load_dataset", load)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", lambda *_, **__: None)


@pytest.mark.parametrize(("name", "n"), [("openml:adult", 60), ("hf:user/name:train", 40)])
def test_a_run_of_named_data_goes_on_by_itself(unseen_says, tmp_path, name, n):
    run = tmp_path / "run"
    command = ["prune", name, "--keep", "0.5", "--folds", "2", "--no-report", "--out", run]
    said = unseen_says(*command)
    assert said.code == 0, said.err
    assert f"{n // 2} of {n} samples" in said.out
    assert json.loads((run / "command.json").read_text())["options"]["data"] == name
    for again in (["resume", run, "--dry-run", "--trust"], ["resume", run], ["report", run], command):
        said = unseen_says(*again)
        assert said.code == 0, said.err
    assert unseen_says("export", run, "--to", "parquet", "--out", tmp_path / "kept.parquet").code == 0
    assert len(pd.read_parquet(tmp_path / "kept.parquet")) == n // 2
    said = unseen_says("evaluate", run, "--seeds", "1", "--no-report", "--out", tmp_path / "evaluated")
    assert said.code == 0, said.err


def test_another_version_is_another_data_set(unseen_says, tmp_path):
    command = ["--keep", "0.5", "--learner", "logistic", "--folds", "2", "--no-report", "--out", tmp_path / "run"]
    assert unseen_says("prune", "openml:adult@1", *command).code == 0
    refused(unseen_says("prune", "openml:adult@2", *command), 3, "fingerprint")


def test_an_unknown_name_and_no_network_are_one_line(unseen_says, tmp_path, monkeypatch):
    command = ["--keep", "0.5", "--out", tmp_path / "run"]
    refused(
        unseen_says("prune", "openml:adlt", *command), 1, "^error: openml:adlt cannot be read from OpenML: No active"
    )
    refused(unseen_says("prune", "hf:ag_news", *command), 1, r"as in hf:ag_news:train, got 'hf:ag_news'$")

    def unreachable(*_, **__):
        raise URLError(socket.gaierror(-2, "Name or service not known"))

    monkeypatch.setattr(sklearn.datasets, "fetch_openml", unreachable)
    monkeypatch.setattr(huggingface_hub.HfApi, "dataset_info", unreachable)
    for name in ("openml:adult", "hf:user/name:train"):
        said = unseen_says("prune", name, *command)
        refused(
            said, 1, f"^error: {name} cannot be downloaded: .*Name or service not known.*; try again with a network"
        )
        assert said.err.count("\n") == 1
