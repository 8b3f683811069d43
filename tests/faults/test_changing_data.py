"""Files that change during a run: refused by name, whatever kind of source is read again; scores are never mixed."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.naive_bayes import GaussianNB

import unseen
from unseen.data import from_arrays, from_dataset, from_folder, from_huggingface, from_parquet, from_shards, resolve
from unseen.data.parts import Joined, Part
from unseen.errors import DataError
from unseen.learners.sklearn import SklearnLearner

N, D = 90, 4
RNG = np.random.default_rng(0)
Y = np.arange(N) % 3
X = (RNG.normal(size=(N, D)) + Y[:, None]).astype(np.float32)
PICTURES = RNG.integers(0, 256, (N, 8, 8, 3), dtype=np.uint8)


def as_png(picture) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format="PNG")
    return file.getvalue()


class Pictures:
    """A map-style data set of files."""

    def __init__(self, folder):
        self.folder = folder

    def __len__(self):
        return N

    def __getitem__(self, row):
        return Image.open(self.folder / f"{row}.png").convert("RGB"), int(Y[row])


def npy_folder(folder):
    np.save(folder / "x.npy", X)
    np.save(folder / "y.npy", Y)
    return resolve(folder)


def npy_images(folder):
    np.save(folder / "x.npy", PICTURES[..., 0])  # the data set is a view of the map
    np.save(folder / "y.npy", Y)
    return resolve(folder)


def mapped_arrays(folder):
    np.save(folder / "x.npy", X)
    return from_arrays(np.load(folder / "x.npy", mmap_mode="r"), Y)


def shards(folder):
    for number, rows in enumerate(np.array_split(np.arange(N), 3)):
        np.save(folder / f"x-{number:05}.npy", X[rows])
        np.save(folder / f"y-{number:05}.npy", Y[rows])
    return from_shards(folder)


def parquet(folder):
    columns = {f"f{at}": X[:, at] for at in range(D)}
    pq.write_table(pa.table({**columns, "label": Y}), folder / "x.parquet", row_group_size=30)
    return from_parquet(folder / "x.parquet", memory_limit=0)


def image_folder(folder):
    for row in range(N):
        (folder / str(Y[row])).mkdir(exist_ok=True)
        (folder / str(Y[row]) / f"{row}.png").write_bytes(as_png(PICTURES[row]))
    return from_folder(folder, memory_limit=0, workers=1)


def parquet_images(folder):
    images = [{"bytes": as_png(picture), "path": None} for picture in PICTURES]
    pq.write_table(pa.table({"image": images, "label": Y}), folder / "x.parquet", row_group_size=30)
    return from_parquet(folder / "x.parquet", memory_limit=0, workers=1)


def huggingface_paths(folder):
    datasets = pytest.importorskip("datasets")
    paths = [str(folder / f"{row}.png") for row in range(N)]
    for row, path in enumerate(paths):
        Path(path).write_bytes(as_png(PICTURES[row]))
    ds = datasets.Dataset.from_dict({"image": paths, "label": Y}).cast_column("image", datasets.Image())
    return from_huggingface(ds, memory_limit=0, workers=1)


def huggingface_vectors(folder):
    datasets = pytest.importorskip("datasets")
    datasets.Dataset.from_dict({"x": X, "label": Y}).save_to_disk(folder / "set")
    return resolve(folder / "set")


def map_style(folder):
    for row in range(N):
        (folder / f"{row}.png").write_bytes(as_png(PICTURES[row]))
    return from_dataset(Pictures(folder), memory_limit=0, workers=0)


def reverse(folder):
    """In place, whatever is there, as a program beside the run may do."""
    for path in sorted(folder.rglob("*")):
        if path.suffix == ".npy" and not path.name.startswith("y"):
            array = np.load(path, mmap_mode="r+")
            array[:] = array[::-1].copy()
            array.flush()
        elif path.suffix == ".parquet":
            pq.write_table(_reversed(path), path, row_group_size=30)
        elif path.suffix == ".arrow":
            content = path.read_bytes()
            assert content.count(X.tobytes()) == 1
            with path.open("r+b") as file:
                file.write(content.replace(X.tobytes(), X[::-1].tobytes()))
        elif path.suffix == ".png":
            path.write_bytes(as_png(np.asarray(Image.open(path))[::-1]))


def _reversed(path):
    table = pq.read_table(path)
    inputs = table.drop_columns(["label"]).take(np.arange(N)[::-1])
    return inputs.append_column("label", table["label"])


VECTORS = [npy_folder, npy_images, mapped_arrays, shards, parquet, huggingface_vectors]
IMAGES = [image_folder, parquet_images, huggingface_paths, map_style]


def in_fit(monkeypatch, number, act):
    """Do something once fit `number` (1 is the first) has learned."""
    whole, fits = SklearnLearner.fit, []

    def fit(*args, **kwargs):
        whole(*args, **kwargs)
        fits.append(1)
        if len(fits) == number:
            act()

    monkeypatch.setattr(SklearnLearner, "fit", fit)
    return fits


def scores(data):
    return unseen.score(data, learner=GaussianNB(), plan=unseen.folds(3), threads=1)


@pytest.mark.parametrize("opened", [*VECTORS, *IMAGES])
def test_a_change_after_the_first_fit_is_refused(tmp_path, monkeypatch, opened):
    data = opened(tmp_path)
    fits = in_fit(monkeypatch, 1, lambda: reverse(tmp_path))
    with pytest.raises(DataError, match=r"when it was opened|has changed since it was opened .*") as refusal:
        scores(data)
    assert "\n" not in str(refusal.value)
    assert len(fits) == 1


@pytest.mark.parametrize("opened", VECTORS)
def test_a_change_during_the_last_fit_is_refused(tmp_path, monkeypatch, opened):
    data = opened(tmp_path)
    fits = in_fit(monkeypatch, 3, lambda: reverse(tmp_path))
    with pytest.raises(DataError, match=r"has changed since it was opened \(its .* differs.*begin again"):
        scores(data)
    assert len(fits) == 3


@pytest.mark.parametrize("opened", [*VECTORS, *IMAGES])
def test_what_stays_as_it_is_is_scored(tmp_path, opened):
    assert np.isfinite(scores(opened(tmp_path)).column("el2n")).all()


def test_what_was_read_whole_may_change(tmp_path, monkeypatch):
    np.savez(tmp_path / "set.npz", x=X, y=Y)
    expected = scores(resolve(tmp_path / "set.npz")).column("el2n")
    data = resolve(tmp_path / "set.npz")
    in_fit(monkeypatch, 1, lambda: np.savez(tmp_path / "set.npz", x=X[::-1], y=Y))
    np.testing.assert_array_equal(scores(data).column("el2n"), expected)


def test_a_file_that_another_took_the_place_of_is_refused(tmp_path):
    """Of the same size and time: a worker would map the other one."""
    data = npy_folder(tmp_path)
    times = (tmp_path / "x.npy").stat()
    np.save(tmp_path / "other.npy", X[::-1])
    os.utime(tmp_path / "other.npy", ns=(times.st_atime_ns, times.st_mtime_ns))
    data.check_unchanged()
    (tmp_path / "other.npy").replace(tmp_path / "x.npy")
    for part in (data, Part(data, np.arange(10)), Joined(from_arrays(X, Y), data)):
        with pytest.raises(DataError, match=r"x\.npy has changed since it was opened"):
            part.check_unchanged()


def test_a_file_that_is_gone_is_refused(tmp_path):
    data = npy_folder(tmp_path)
    (tmp_path / "y.npy").unlink()
    with pytest.raises(DataError, match=r"y\.npy has changed since it was opened"):
        data.check_unchanged()


@pytest.mark.slow
@pytest.mark.parametrize("jobs", [1, 2])
def test_the_program_ends_with_an_error_and_keeps_no_mixed_fit(tmp_path, jobs):
    """The case of the report: x is reversed after the first fit."""
    folder, run = tmp_path / "data", tmp_path / "run"
    folder.mkdir()
    npy_folder(folder)
    script = tmp_path / "script.py"
    script.write_text(
        "import sys, numpy as np, unseen.engine.work as ready\n"
        "whole = ready.Work.run_jobs\n"
        "def run_jobs(self, jobs, report):\n"
        "    for number, done in enumerate(whole(self, jobs, report)):\n"
        "        yield done\n"
        "        if number == 0:\n"
        f"            x = np.load({str(folder / 'x.npy')!r}, mmap_mode='r+')\n"
        "            x[:] = x[::-1].copy()\n"
        "            x.flush()\n"
        "if __name__ == '__main__':\n"
        "    ready.Work.run_jobs = run_jobs\n"
        "    from unseen.cli import main\n"
        "    main()\n"
    )
    asked = ["score", str(folder), "--learner", "logistic", "--jobs", str(jobs), "--threads", "1", "--out", str(run)]
    said = subprocess.run([sys.executable, script, *asked], capture_output=True, text=True, timeout=120, check=False)
    assert said.returncode != 0, said.stderr
    assert "x.npy has changed since it was opened" in said.stderr
    assert "Traceback" not in said.stderr
    assert not (run / "scores.parquet").exists()


@pytest.mark.parametrize("opened", [npy_folder, shards])
def test_an_embedding_of_data_that_changed_is_not_kept(tmp_path, opened):
    data = opened(tmp_path)

    def told(kind, **_):
        if kind == "embedding":  # once, before the first vector
            reverse(tmp_path)

    with pytest.raises(DataError, match=r"x.*\.npy has changed since it was opened"):
        unseen.embed(data, by="columns", out=tmp_path / "made", report=told)
    assert not (tmp_path / "made" / "x.npy").exists()
