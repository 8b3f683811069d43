"""The benchmark of parts on Ray still runs: its stub must follow the protocols of learners."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "speed" / "parts_on_ray.py"


@pytest.mark.ray
@pytest.mark.slow
def test_parts_on_ray(tmp_path):
    pytest.importorskip("ray", reason="needs ray")
    small = ["--rows", "3200", "--width", "8", "--repeats", "1", "--parts", "20", "--workers", "2"]
    out = tmp_path / "result.json"
    done = subprocess.run(
        [sys.executable, SCRIPT, "--folder", tmp_path, "--out", out, *small],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(out.read_text())["beside_local"]["largest_difference"] < 1e-10
