from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
import pytest
from sklearn.datasets import load_digits


@dataclass
class Said:
    """What the program said, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def unseen_says(monkeypatch, capfd):
    """The program in this process, as from its console script."""

    def call(*argv) -> Said:
        from unseen.cli import main

        monkeypatch.setenv("COLUMNS", "100")
        monkeypatch.setattr(sys, "argv", ["unseen", *map(str, argv)])
        capfd.readouterr()
        code = 0
        try:
            main()
        except SystemExit as end:
            code = end.code or 0
        return Said(code, *capfd.readouterr())

    return call


@pytest.fixture(scope="session")
def digits_file(tmp_path_factory):
    """200 digits in a .npz file."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    X, y = load_digits(return_X_y=True)
    np.savez(path, x=X[:200].astype(np.float32), y=y[:200])
    return path


@pytest.fixture
def prune(digits_file):
    """A quick command, but for its --out."""
    return ["prune", digits_file, "--learner", "logistic", "--folds", "2", "--threads", "1", "--keep", "0.5"]


@pytest.fixture
def finished(unseen_says, prune, tmp_path):
    """A finished run."""
    said = unseen_says(*prune, "--out", tmp_path / "finished")
    assert said.code == 0, said.err
    return tmp_path / "finished"
