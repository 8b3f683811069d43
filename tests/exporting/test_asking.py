"""What is exported, and of which data set: the one that was scored, or nothing."""

from __future__ import annotations

import json
import os
import shutil

import numpy as np
import pyarrow.parquet as pq
import pytest
from small_exports import coreset_of, photos, pictures_table, same_samples

import unseen
from unseen.core.coreset import Coreset
from unseen.data import from_arrays, from_folder, from_huggingface, from_parquet
from unseen.data.images import FolderFormat
from unseen.errors import ArgumentError, DataError, RunError, RunMismatchError, UnknownNameError

X = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
Y = np.arange(40) % 2


@pytest.fixture(name="run", scope="module")
def run_fixture(tmp_path_factory):
    """A run begun in Python on a parquet file."""
    folder = tmp_path_factory.mktemp("asked")
    write_table(folder / "t.parquet", X)
    data = from_parquet(folder / "t.parquet", label="y", id="key")
    unseen.prune(data, keep=0.5, rule="top", learner="logistic", plan=unseen.folds(2), out=folder / "run", threads=1)
    return folder / "run"


def write_table(path, x):
    import pyarrow as pa

    columns = {f"x{i}": x[:, i] for i in range(3)}
    keys = [f"k{i}" for i in range(len(x))]
    pq.write_table(pa.table({**columns, "y": Y[: len(x)], "key": keys, "more": keys}), path)


READ = {"label": "y", "id": "key"}


def test_a_run_its_results_and_the_file_of_its_coreset_are_one(run, tmp_path):
    source = run.parent / "t.parquet"
    options = {"data": source, "data_options": READ}
    ways = [run, unseen.load(run), unseen.load(run).coreset, run / "coreset.parquet"]
    made = [unseen.export(way, "parquet", tmp_path / f"{i}.parquet", **options) for i, way in enumerate(ways)]
    tables = [pq.read_table(path) for path in made]
    assert all(table.equals(tables[0]) for table in tables)
    kept = unseen.load(run).coreset
    assert tables[0].column("more").to_pylist() == kept.ids.tolist() == [f"k{i}" for i in kept.indices]


def test_another_coreset_of_the_run(run, tmp_path):
    table = unseen.load(run).scores
    other = unseen.select(table, rule="random", keep=5)
    other.save(tmp_path / "five.parquet")
    for i, coreset in enumerate((other, tmp_path / "five.parquet")):
        out = unseen.export(run, "npy", tmp_path / f"{i}.npy", coreset=coreset)
        assert np.load(out).tolist() == other.indices.tolist()
    strange = Coreset(np.array([1, 2]), np.array([1, 2]), len(table))
    with pytest.raises(RunMismatchError, match="the coreset is of other samples than the run"):
        unseen.export(run, "npy", tmp_path / "s.npy", coreset=strange)
    data = from_arrays(X, 1 - Y, ids=[f"k{i}" for i in range(40)])  # as many samples of the same names
    relabelled = unseen.prune(data, keep=0.5, rule="top", learner="logistic", threads=1).coreset
    with pytest.raises(RunMismatchError, match="of other data than the run: the labels differ"):
        unseen.export(run, "npy", tmp_path / "s.npy", coreset=relabelled)
    with pytest.raises(ArgumentError, match="coreset must be a Coreset, or the file of one, got ScoreTable"):
        unseen.export(run, "npy", tmp_path / "s.npy", coreset=run / "scores.parquet")


def test_a_run_begun_in_python_does_not_say_where_its_data_is(run, tmp_path):
    with pytest.raises(RunError, match="name the data set"):
        unseen.export(run, "parquet", tmp_path / "kept.parquet")
    with pytest.raises(ArgumentError, match="a coreset alone does not say which data set it is of: name the run"):
        unseen.export(unseen.load(run).coreset, "parquet", tmp_path / "kept.parquet")
    with pytest.raises(UnknownNameError, match="from_parquet has no option"):
        unseen.export(
            run, "parquet", tmp_path / "k.parquet", data=run.parent / "t.parquet", data_options={"lable": "y"}
        )
    assert not list(tmp_path.iterdir())


def test_changed_data_is_refused_with_what_differs(run, tmp_path):
    changed = X.copy()
    changed[7] += 1
    for name, x, message in [
        ("other", changed, r"is not the one that was scored.*\n.*sample: '\w+' \(run\) != '\w+' \(now\)"),
        ("fewer", X[:39], r"n: 40 \(run\) != 39 \(now\)"),
    ]:
        write_table(tmp_path / f"{name}.parquet", x)
        for to in ("parquet", "webdataset"):
            with pytest.raises(RunMismatchError, match=message):
                unseen.export(run, to, tmp_path / "kept", data=tmp_path / f"{name}.parquet", data_options=READ)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fewer.parquet", "other.parquet"]


def test_a_copy_with_other_times_is_the_same_data_where_it_is_named(tmp_path):
    source = photos(tmp_path / "photos")
    data = from_folder(source)
    coreset = coreset_of(data, [0, 4, 8])
    shutil.copytree(source, tmp_path / "moved", copy_function=shutil.copyfile)
    for path in (tmp_path / "moved").rglob("*.png"):
        os.utime(path, (1, 1))
    same_samples(unseen.export(coreset, "folder", tmp_path / "kept", data=tmp_path / "moved"), data, [0, 4, 8])
    picture = next((tmp_path / "moved").rglob("*.png"))
    picture.write_bytes(picture.read_bytes() + b"more")
    with pytest.raises(RunMismatchError, match="bytes: "):
        unseen.export(coreset, "folder", tmp_path / "again", data=tmp_path / "moved")


def test_what_vectors_were_made_of_is_exported_where_it_is_named(tmp_path):
    source = photos(tmp_path / "photos")
    vectors = unseen.embed(source, out=tmp_path / "vectors")
    coreset = coreset_of(vectors, [0, 4, 8])
    same_samples(unseen.export(coreset, "folder", tmp_path / "kept", data=source), from_folder(source), [0, 4, 8])
    moved = next(source.rglob("*.png"))
    moved.rename(moved.with_name("other.png"))
    with pytest.raises(RunMismatchError, match=r"not the one that was scored.*\n  ids: [^\n]*$"):
        unseen.export(coreset, "folder", tmp_path / "again", data=source)


def test_what_the_run_read_must_have_the_times_it_had(tmp_path):
    source = photos(tmp_path / "photos")
    table = unseen.prune(from_folder(source), **CHEAP, out=tmp_path / "run").scores
    command = {"command": "prune", "options": {"data": str(source), "feature": []}}
    (tmp_path / "run" / "command.json").write_text(json.dumps(command))
    unseen.export(tmp_path / "run", "folder", tmp_path / "kept", link="copy")
    os.utime(source / table.ids[0], (1, 1))
    with pytest.raises(RunMismatchError, match=r"if it is a copy, say so by data=\n  stamps: "):
        unseen.export(tmp_path / "run", "folder", tmp_path / "again")
    unseen.export(tmp_path / "run", "folder", tmp_path / "again", data=source)
    shutil.rmtree(source)
    with pytest.raises(DataError, match="photos, which is not there any more"):
        unseen.export(tmp_path / "run", "folder", tmp_path / "third")


CHEAP = {"keep": 6, "rule": "random", "learner": "mlp:epochs=1", "plan": unseen.folds(2), "threads": 1}


def test_files_with_their_stamps_are_not_decoded_again(tmp_path, monkeypatch):
    source = photos(tmp_path / "photos")
    coreset = coreset_of(from_folder(source), [0, 4, 8])
    monkeypatch.setattr(FolderFormat, "open", lambda self: pytest.fail("all images are read"))
    unseen.export(coreset, "folder", tmp_path / "kept", data=source)


def test_a_full_fingerprint_is_compared_in_full(tmp_path):
    path = pictures_table(tmp_path / "t.parquet")
    data = from_parquet(path)
    coreset = Coreset(
        data.ids[:2], np.arange(2), 12, provenance={"scores": {"fingerprint": data.fingerprint(full=True)}}
    )
    os.utime(path, (1, 1))
    unseen.export(coreset, "parquet", tmp_path / "kept.parquet", data=path)
    coreset.provenance["scores"]["fingerprint"]["content"] = "another"
    with pytest.raises(RunMismatchError, match="content: 'another'"):
        unseen.export(coreset, "parquet", tmp_path / "again.parquet", data=path)


def test_a_coreset_of_unknown_scores_is_checked_by_what_it_has(tmp_path):
    data = from_arrays(X, Y)
    out = unseen.export(Coreset(np.array([3]), np.array([3]), 40), "parquet", tmp_path / "a.parquet", data=(X, Y))
    assert pq.read_table(out).column("label").to_pylist() == [1]
    with pytest.raises(RunMismatchError, match="the coreset is of 50 samples, but the data set has 40"):
        unseen.export(Coreset(np.array([3]), np.array([3]), 50), "parquet", tmp_path / "b.parquet", data=data)
    with pytest.raises(DataError, match="lacks 1 samples of the coreset: other"):
        unseen.export(Coreset(np.array(["other"]), np.array([3]), 40), "parquet", tmp_path / "b.parquet", data=data)


def test_a_coreset_out_of_order_is_refused(tmp_path):
    for ids in ([5, 3], [3, 3]):
        coreset = Coreset(np.array(ids), np.array([3, 5]), 40)
        with pytest.raises(ArgumentError, match="must be in the order of the data set, each once"):
            unseen.export(coreset, "parquet", tmp_path / "a.parquet", data=(X, Y))


def test_how_far_it_is_is_told(tmp_path):
    told = []
    coreset = Coreset(np.arange(30), np.arange(30), 40)
    for to in ("parquet", "webdataset"):
        unseen.export(
            coreset, to, tmp_path / to, data=(X, Y), report=lambda kind, **fields: told.append((kind, fields))
        )
    assert told == [("exported", {"done": 30, "n": 30})] * 2


def test_hugging_face_data_is_compared_whole(tmp_path):
    import datasets

    ds = datasets.Dataset.from_dict({"v": X.tolist(), "label": Y.tolist()})
    coreset = coreset_of(from_huggingface(ds), [1, 2])
    with pytest.raises(RunMismatchError, match="n: 40"):
        unseen.export(coreset, "huggingface", tmp_path / "kept", data=ds.select(range(30)))


def test_a_run_of_an_evaluation_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("unseen.pruning.load", lambda path: object())
    with pytest.raises(ArgumentError, match="name a run of prune or grow, or the file of a coreset"):
        unseen.export(tmp_path, "npy", tmp_path / "a.npy")
    monkeypatch.undo()
    with pytest.raises(RunError, match="holds no run"):
        unseen.export(tmp_path, "npy", tmp_path / "a.npy")
