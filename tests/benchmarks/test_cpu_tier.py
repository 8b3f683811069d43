"""The CPU tier of the study runs end to end, in a short cell."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_digits

QUALITY = Path(__file__).parents[2] / "benchmarks" / "quality"


@pytest.mark.slow
def test_a_short_cell(tmp_path):
    X, y = load_digits(return_X_y=True)
    X = (X / 16).astype(np.float32)
    np.savez(tmp_path / "digits.npz", X=X[:400], y=y[:400], X_test=X[400:800], y_test=y[400:800])
    command = [sys.executable, str(QUALITY / "cpu_tier.py"), "--cache", str(tmp_path), "--out", str(tmp_path / "out")]
    said = subprocess.run(
        [*command, "--sets", "digits", "--short", "--seeds", "2"], capture_output=True, text=True, check=True
    )
    assert said.stdout.splitlines()[1].startswith("24 trainings of about")
    found = json.loads((tmp_path / "out" / "quality_digits_report.json").read_text())
    assert set(found["accuracy"]) == {
        "full", "random", "seen/el2n/top", "folds:k=2/el2n/top", "grow:steps=2/el2n/top",
    }  # fmt: skip
    assert all(len(runs) == 2 for cells in found["accuracy"].values() for runs in cells.values())
    assert found["fix"] == "iterations"
