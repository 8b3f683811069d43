"""The main job on real images: CIFAR-10 from its parquet file, through the command line."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import unseen

UNSEEN = Path(sys.executable).with_name("unseen")


@pytest.mark.data
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_thousand_images(real_data, tmp_path):
    """That the whole way works; the figures of all 50,000 are in docs/benchmarks.md."""
    pytest.importorskip("torch", reason="the learner is torch's")
    whole = unseen.data.resolve(str(real_data / "cifar10-train.parquet"))
    assert len(whole) == 50_000
    assert whole.take(np.array([0])).shape == (1, 32, 32, 3)
    rows = np.arange(5_000)
    np.savez(tmp_path / "part.npz", x=whole.take(rows), y=whole.labels[rows])
    command = [UNSEEN, "prune", tmp_path / "part.npz", "--keep", "0.5", "--rule", "stratified"]
    command += ["--folds", "2", "--learner", "convnet"]
    done = subprocess.run([*command, "--out", tmp_path / "run", "--json"], capture_output=True, text=True, check=True)
    summary = json.loads(done.stdout)
    assert (summary["n"], summary["kept"]) == (5_000, 2_500)
    assert summary["accuracy_is"] == "held-out"
    assert summary["accuracy"] > 0.4
    scores, coreset = unseen.load(tmp_path / "run")
    kept = scores.column("el2n")[coreset.indices]
    assert len(np.unique(scores.column("el2n"))) > 4_900, "held-out scores are not crowded"
    assert kept.min() < np.median(scores.column("el2n")) < kept.max(), "strata span easy and hard"
