"""The program in a process of its own or in this one; refusals; what a run holds; data that is refused.

The fixtures are imported by the test modules: a second `conftest` module would clash with the first.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

SCRIPT = Path(sys.executable).with_name("unseen")


def refused(said, code, pattern):
    """One message on stderr that says this, no traceback, nothing on stdout."""
    assert said.code == code, said.err
    assert said.out == ""
    assert "Traceback" not in said.err
    assert said.err.count("error: ") == 1
    assert said.err.startswith("error: ")
    assert re.search(pattern, said.err), said.err


def damaged_arrays(folder, X, y):
    """Files of arrays, each with one thing wrong."""
    nan, inf, low = X.copy(), X.copy(), y.copy()
    nan[7, 3], inf[8, 1], low[0] = np.nan, np.inf, -1
    for name, arrays in {
        "nan": {"x": nan, "y": y},
        "inf": {"x": inf, "y": y},
        "one-class": {"x": X, "y": np.zeros(len(X), int)},
        "counts": {"x": X, "y": y[:-1]},
        "no-label": {"x": X, "y": low},
        "half-label": {"x": X, "y": y + 0.5},
        "empty": {"x": X[:0], "y": y[:0]},
        "four": {"x": X[:4], "y": np.array([0, 1, 0, 1])},
        "without-y": {"x": X},
    }.items():
        np.savez(folder / f"{name}.npz", **arrays)


def content(run: Path) -> dict[str, bytes]:
    """Every file of a run but its log and its lock."""
    return {
        str(path.relative_to(run)): path.read_bytes()
        for path in sorted(run.rglob("*"))
        if path.is_file() and path.name not in ("events.jsonl", "lock", "report.html")
    }


@dataclass
class Said:
    """What the program said, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture(name="unseen_says")
def unseen_says_fixture(monkeypatch, capfd):
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


@pytest.fixture(name="digits_file", scope="session")
def digits_file_fixture(tmp_path_factory):
    """200 digits in a .npz file."""
    path = tmp_path_factory.mktemp("data") / "digits.npz"
    X, y = load_digits(return_X_y=True)
    np.savez(path, x=X[:200].astype(np.float32), y=y[:200])
    return path


@pytest.fixture(name="prune")
def prune_fixture(digits_file):
    """A quick command, but for its --out."""
    return ["prune", digits_file, "--learner", "logistic", "--folds", "2", "--threads", "1", "--keep", "0.5"]


@pytest.fixture(name="finished")
def finished_fixture(unseen_says, prune, tmp_path):
    """A finished run."""
    said = unseen_says(*prune, "--out", tmp_path / "finished")
    assert said.code == 0, said.err
    return tmp_path / "finished"
