"""Each benchmark of speed still runs, on a little of its work: what it builds on changes, and it is run seldom."""

import json
import subprocess
import sys
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

SPEED = Path(__file__).parents[2] / "benchmarks" / "speed"
IMAGES = 160
CASES = {
    "busy": ["--part", "50", "--rounds", "1"],
    "closed_form": ["--features", "{folder}/vectors.npz", "--folds", "3", "--repeats", "1"],
    "closed_form_size": [
        "--folder", "{folder}", "--rows", "2000", "--width", "8", "--classes", "3", "--learners", "ridge", "--line",
    ],
    "end_to_end": ["--data", "{folder}/images.parquet", "--learner", "convnet:epochs=1"],
    "large_images": ["--images", "12", "--bases", "3", "--size", "32"],
    "loop_parts": ["--images", "64", "--epochs", "2"],
    "overhead": ["--data", "{folder}/images.parquet", "--samples", "64", "--epochs", "2", "--repeats", "1"],
    "report_size": ["--folder", "{folder}", "--n", "300", "--classes", "3"],
    "rules": ["--scores", "2000", "--samples", "300", "--width", "4", "--budget", "20", "--repeats", "1"],
    "scores": ["--samples", "1000", "--repeats", "1"],
    "sweep": ["--samples", "3400", "--features", "4", "--methods", "2", "--budgets", "1", "--seeds", "1"],
    "training_loop": [
        "--data", "{folder}/images.parquet", "--train", "100", "--epochs", "1", "--seeds", "1", "--resnet-steps", "1",
    ],
}  # fmt: skip
ON_RAY = {
    "on_ray": ["--epochs", "1", "--repeats", "1", "--shards", "20", "--workers", "2"],
    "parts_on_ray": [
        "--folder", "{folder}", "--shapes", "3200x8x3", "--repeats", "1", "--parts", "20", "--workers", "2",
    ],
}  # fmt: skip


def write_images(folder: Path) -> None:
    """Write a parquet file of images as CIFAR-10's is, and an npz file of vectors."""
    pyarrow = pytest.importorskip("pyarrow", reason="needs pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet", reason="needs pyarrow")
    rng = np.random.default_rng(0)
    labels = np.arange(IMAGES) % 10
    files = []
    for pixels in rng.integers(256, size=(IMAGES, 32, 32, 3), dtype=np.uint8):
        file = BytesIO()
        Image.fromarray(pixels).save(file, "png")
        files.append({"bytes": file.getvalue(), "path": None})
    kind = pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())])
    parquet.write_table(
        pyarrow.table({"image": pyarrow.array(files, kind), "label": labels}), folder / "images.parquet"
    )
    np.savez(folder / "vectors.npz", X=rng.standard_normal((300, 6), np.float32), y=np.arange(300) % 3)


def run_script(name: str, options: list[str], folder: Path) -> dict:
    """Run a benchmark to its end and return what it wrote."""
    write_images(folder)
    out = folder / "result.json"
    options = [option.format(folder=folder) for option in options]
    done = subprocess.run(
        [sys.executable, SPEED / f"{name}.py", *options, "--out", out],
        capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(out.read_text())


def test_every_script_has_a_case():
    assert {path.stem for path in SPEED.glob("*.py")} == {*CASES, *ON_RAY}


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_script_runs(name, tmp_path):
    pytest.importorskip("torch", reason="needs torch")
    result = run_script(name, CASES[name], tmp_path)
    assert result["about"]["versions"]


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.parametrize("name", ON_RAY)
def test_script_on_ray_runs(name, tmp_path):
    pytest.importorskip("ray", reason="needs ray")
    result = run_script(name, ON_RAY[name], tmp_path)
    if name == "parts_on_ray":
        assert result["beside_local"][0]["largest_difference"] < 1e-10
