"""`unseen export`: what it says and makes, from the data that the run itself names."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import digits_file_fixture, finished_fixture, prune_fixture, refused, unseen_says_fixture  # noqa: F401
from PIL import Image

import unseen
from unseen.exporting.api import KINDS


@pytest.fixture(name="photos")
def photos_fixture(unseen_says, tmp_path):
    """A run on a folder of images."""
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).mkdir(parents=True)
        for i in range(8):
            image = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(image).save(tmp_path / "photos" / name / f"{i}.png")
    said = unseen_says(
        "prune", tmp_path / "photos", "--keep", "8", "--rule", "top", "--folds", "2", "--learner", "mlp:epochs=1",
        "--threads", "1", "--no-report", "--out", tmp_path / "run",
    )  # fmt: skip
    assert said.code == 0, said.err
    return tmp_path / "run"


def test_a_run_knows_its_data(unseen_says, photos, tmp_path):
    said = unseen_says("export", photos, "--to", "folder", "--out", tmp_path / "kept")
    assert said.code == 0, said.err
    assert "made  folder: the images in one folder a class" in said.out
    assert f"use   torchvision.datasets.ImageFolder('{tmp_path / 'kept'}')" in said.out
    made = {path.relative_to(tmp_path / "kept").as_posix() for path in (tmp_path / "kept").rglob("*.png")}
    assert made == set(unseen.load(photos).coreset.ids)
    said = unseen_says("export", photos, "--to", "fiftyone", "--out", tmp_path / "f.json", "--json")
    assert json.loads(said.out) == {"run": str(photos), "to": "fiftyone", "out": str(tmp_path / "f.json")}


def test_data_that_has_moved_is_named(unseen_says, photos, tmp_path):
    (tmp_path / "photos").rename(tmp_path / "moved")
    out = ["--to", "folder", "--link", "symlink", "--out", tmp_path / "kept"]
    gone = "read .*photos, which is not there any more; name where it is now .--data"
    refused(unseen_says("export", photos, *out), 1, gone)
    assert unseen_says("export", photos, *out, "--data", tmp_path / "moved").code == 0
    (tmp_path / "moved" / "cat" / "0.png").unlink()
    out[-1] = tmp_path / "again"
    refused(
        unseen_says("export", photos, *out, "--data", tmp_path / "moved"),
        3,
        r"(?s)not the one that was scored.*\n  n: 16",
    )


def test_options_by_which_a_table_was_read_are_those_of_the_run(unseen_says, tmp_path):
    rng = np.random.default_rng(0)
    columns = {"a": rng.normal(size=60), "b": rng.normal(size=60), "y": np.arange(60) % 2}
    names = [f"n{i}" for i in range(60)]
    pq.write_table(pa.table({**columns, "name": names, "rest": names}), tmp_path / "t.parquet")
    said = unseen_says(
        "prune", tmp_path / "t.parquet", "--label", "y", "--feature", "a", "--feature", "b", "--id", "name",
        "--keep", "30", "--rule", "top", "--folds", "2", "--learner", "logistic", "--threads", "1",
        "--no-report", "--out", tmp_path / "run",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert unseen_says("export", tmp_path / "run", "--to", "parquet", "--out", tmp_path / "kept.parquet").code == 0
    kept = pq.read_table(tmp_path / "kept.parquet")
    assert kept.column("rest").to_pylist() == unseen.load(tmp_path / "run").coreset.ids.tolist()
    assert unseen_says("export", tmp_path / "run", "--to", "cleanlab", "--out", tmp_path / "cl").code == 0
    assert np.load(tmp_path / "cl" / "pred_probs.npy").shape == (60, 2)


def test_another_coreset_and_the_options_of_kinds(unseen_says, finished, tmp_path):
    assert unseen_says("select", finished, "--keep", "7", "--rule", "random", "--out", tmp_path / "c.parquet").code == 0
    export = ["export", finished, "--coreset", tmp_path / "c.parquet"]
    assert unseen_says(*export, "--to", "npy", "--column", "id", "--out", tmp_path / "ids.npy").code == 0
    ids = np.load(tmp_path / "ids.npy")
    assert len(ids) == 7
    said = unseen_says(*export, "--to", "webdataset", "--keys", "--out", tmp_path / "keys.txt")
    assert "made  webdataset: the keys of samples, one a line" in said.out
    assert (tmp_path / "keys.txt").read_text().splitlines() == [str(value) for value in ids]
    assert unseen_says(*export, "--to", "webdataset", "--shard-bytes", "1000", "--out", tmp_path / "kept").code == 0
    shard = next((tmp_path / "kept").glob("*.tar"))
    refused(
        unseen_says(*export, "--to", "webdataset", "--shard", shard, "--out", tmp_path / "copied"),
        1, r"the shards lack \d samples of the coreset",
    )  # fmt: skip
    refused(
        unseen_says("export", tmp_path / "c.parquet", "--to", "xlsx", "--out", tmp_path / "c.xlsx"),
        1, "export has no kind 'xlsx'",
    )  # fmt: skip


def test_what_cannot_be_done_is_said_in_one_line(unseen_says, finished, tmp_path):
    out = ["--out", tmp_path / "kept"]
    refused(unseen_says("export", finished, "--to", "npyy", *out), 1, "export has no kind 'npyy'; did you mean 'npy'")
    refused(unseen_says("export", finished, "--to", "npy", "--link", "hard", *out), 1, "'npy' has no option 'link'")
    refused(unseen_says("export", finished, "--to", "npy", "--out", finished), 1, "exists already")
    refused(unseen_says("export", finished, "--to", "folder", *out), 1, "is for images")
    refused(unseen_says("export", tmp_path / "none", "--to", "npy", *out), 3, "there is no run or file")
    (tmp_path / "file").touch()
    refused(
        unseen_says("export", finished, "--to", "npy", "--out", tmp_path / "file" / "a.npy"), 3, "cannot write .*a.npy"
    )
    shutil.rmtree(finished / "fits")
    refused(unseen_says("export", finished, "--to", "cleanlab", *out), 1, "holds no results of fits")
    assert not (tmp_path / "kept").exists()


def test_help_names_every_kind_and_examples_parse(unseen_says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    said = unseen_says("export", "--help")
    assert said.code == 0
    words = " ".join(said.out.replace("│", " ").split())
    assert all(kind in words for kind in KINDS)
    examples = [line.split()[1:] for line in said.out.splitlines() if line.strip().startswith("unseen export")]
    assert len(examples) == 4
    for example in examples:
        refused(unseen_says(*example), 3, "there is no run")


def test_rows_that_vectors_were_made_of_are_read_as_is_said(unseen_says, tmp_path):
    lines = [f"{'good' if i % 2 else 'bad'} word{i % 7},{'yes' if i % 3 else 'no'}\n" for i in range(60)]
    (tmp_path / "t.csv").write_text("".join(["review,liked\n", *lines]))
    said = unseen_says(
        "embed", tmp_path / "t.csv", "--label", "liked", "--by", "tfidf:dimensions=8", "--out", tmp_path / "v"
    )
    assert said.code == 0, said.err
    said = unseen_says(
        "prune", tmp_path / "v", "--learner", "ridge", "--rule", "random", "--keep", "9", "--no-report", "--out",
        tmp_path / "run",
    )  # fmt: skip
    assert said.code == 0, said.err
    export = ("export", tmp_path / "run", "--to", "csv", "--out", tmp_path / "kept.csv", "--label", "liked")
    refused(unseen_says(*export), 1, "--label and other options of reading go with --data; give both, or neither")
    assert unseen_says(*export, "--data", tmp_path / "t.csv").code == 0
    kept = [lines[row] for row in unseen.load(tmp_path / "run").coreset.indices]
    assert (tmp_path / "kept.csv").read_text() == "".join(["review,liked\n", *kept])
