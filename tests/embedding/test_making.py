"""The folder of an embedding: whole or not there, the same samples as before, its provenance read and told."""

import json
import os

import numpy as np
import pytest

import unseen
from unseen.core.files import LOCK, Lock
from unseen.data import from_arrays, resolve
from unseen.embedding import api
from unseen.errors import ArgumentError, DataError, RunLockedError, RunMismatchError


@pytest.fixture(autouse=True)
def _few_hashes(monkeypatch):
    monkeypatch.setattr("unseen.embedding.features.HASHES", 2**8)


TEXTS = ["a good film", "a bad film", "good good fun", "no fun at all", "bad", "a good film"]
NAMES = ("zebra: 'odd'\n", "10", "9")


def source(**about):
    about = {"ids": [f"t{i}" for i in range(6)], "groups": ["a", "b", "a", "c", "d", "e"], **about}
    return from_arrays(TEXTS, [2, 0, 2, 1, 1, 2], class_names=NAMES, **about)


def embedded(tmp_path, data=None, **more):
    return unseen.embed(source() if data is None else data, by="tfidf:dimensions=3", out=tmp_path / "e", **more)


def files(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_ids_groups_labels_and_odd_class_names_survive(tmp_path):
    before, made = source(), embedded(tmp_path)
    for after in (made, resolve(tmp_path / "e"), resolve(str(tmp_path / "e" / "x.npy"))):
        assert (after.kind, after.sample_shape, after.class_names) == ("vector", (3,), NAMES)
        assert after.ids.tolist() == before.ids.tolist()
        assert after.labels.tolist() == before.labels.tolist()
        assert after.groups.tolist() == before.groups.tolist()
    assert sorted(files(tmp_path / "e")) == ["group.npy", "id.npy", "provenance.json", "x.npy", "y.npy"]


def test_what_is_given_goes_before_what_was_written(tmp_path):
    embedded(tmp_path)
    data = resolve(tmp_path / "e", class_names=["u", "v", "w"], group="y")
    assert data.class_names == ("u", "v", "w")
    assert data.groups.tolist() == data.labels.tolist()
    assert data.ids.tolist()[0] == "t0"


def test_in_memory_and_in_a_folder_are_the_same_data(tmp_path):
    held = unseen.embed(source(), by="tfidf:dimensions=3")
    made = embedded(tmp_path)
    assert held.take(np.arange(6)).tobytes() == made.take(np.arange(6)).tobytes()
    assert held.notes == made.notes
    assert held.fingerprint(full=True) == made.fingerprint(full=True)


def test_the_provenance_says_everything(tmp_path):
    embedded(tmp_path, seed=4, threads=1)
    said = json.loads((tmp_path / "e" / "provenance.json").read_text())
    assert said["embedding"] == {"by": "tfidf", "dimensions": 3}
    assert (said["seed"], said["labels"], said["n"], said["columns"], said["threads"]) == (4, "none", 6, 3, 1)
    assert said["source"] == source().fingerprint()
    assert {"numpy", "scikit-learn", "unseen"} <= said["versions"].keys()


def test_equal_calls_write_equal_bytes_and_the_second_one_opens(tmp_path, monkeypatch):
    embedded(tmp_path)
    unseen.embed(source(), by="tfidf:dimensions=3", out=tmp_path / "f")
    assert files(tmp_path / "e") == files(tmp_path / "f")
    monkeypatch.setattr("unseen.embedding.api.write", None)
    assert len(embedded(tmp_path)) == 6


@pytest.mark.parametrize(
    ("more", "differs"),
    [({"seed": 1}, "seed: 0"), ({"data": source(groups=None)}, "source.groups"), ({"threads": 7}, "threads")],
)
def test_a_folder_of_another_embedding_is_refused_and_kept(tmp_path, more, differs):
    embedded(tmp_path, threads=1)
    before = files(tmp_path / "e")
    with pytest.raises(RunMismatchError, match=differs):
        embedded(tmp_path, **{"threads": 1, **more})
    assert files(tmp_path / "e") == before


def test_a_folder_of_something_else_is_refused(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "notes.txt").write_text("mine")
    with pytest.raises(ArgumentError, match="holds something else"):
        embedded(tmp_path)
    assert [path.name for path in (tmp_path / "e").iterdir()] == ["notes.txt"]


@pytest.mark.parametrize("end", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_an_interrupted_call_leaves_nothing(tmp_path, monkeypatch, end):
    def stop(*args):
        assert (tmp_path / ".e.part" / "x.npy").exists()
        raise end

    full = isinstance(end, OSError)
    monkeypatch.setattr(*(os, "posix_fallocate", stop) if full else (api, "fill", stop))
    with pytest.raises(unseen.errors.StorageError if full else KeyboardInterrupt):
        embedded(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_call_left_is_no_data_set_and_is_cleared(tmp_path):
    part = tmp_path / ".e.part"
    (part / "test").mkdir(parents=True)
    for name in ("x.npy", LOCK, "test/x.npy"):
        (part / name).write_bytes(b"half")
    with pytest.raises(DataError, match="there is no file or folder"):
        resolve(tmp_path / "e")
    embedded(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["e"]
    assert "test/x.npy" not in files(tmp_path / "e")


def test_a_second_call_at_the_same_time_is_refused(tmp_path):
    lock = Lock(tmp_path / ".e.part" / LOCK)
    with pytest.raises(RunLockedError, match="in use by process"):
        embedded(tmp_path)
    lock.release()


def test_the_test_set_is_embedded_alike_and_nothing_is_fitted_on_it(tmp_path):
    test = from_arrays([*TEXTS[:2], "quite another thing"], ["9", "10", "9"])
    train = embedded(tmp_path, test=test)
    found = resolve(tmp_path / "e" / "test")
    np.testing.assert_allclose(found.take(np.arange(2)), train.take(np.arange(2)), rtol=1e-6)
    assert [found.class_names[label] for label in found.labels] == ["9", "10", "9"]
    alone = unseen.embed(source(), by="tfidf:dimensions=3", out=tmp_path / "alone")
    assert alone.take(np.arange(6)).tobytes() == train.take(np.arange(6)).tobytes()
    with pytest.raises(RunMismatchError, match="test"):
        embedded(tmp_path)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"labels": "none"}, "labels= is for backbones"),
        ({"out": None, "test": (["x"], [0])}, "pass out"),
        ({"test": (["x", "y"], ["new", "9"])}, "classes that the training set lacks: 'new'"),
        ({"threads": 0}, "threads must be an integer of at least 1"),
        ({"device": "cpu"}, "the embedding tfidf has no option 'device'"),
    ],
)
def test_refused_before_anything_is_written(tmp_path, more, message):
    with pytest.raises((ArgumentError, DataError), match=message):
        unseen.embed(source(), **{"by": "tfidf:dimensions=3", "out": tmp_path / "e", **more})
    assert list(tmp_path.iterdir()) == []


def test_a_damaged_provenance_is_named_and_a_foreign_one_left_alone(tmp_path):
    embedded(tmp_path)
    place = tmp_path / "e" / "provenance.json"
    place.write_text("{")
    with pytest.raises(DataError, match=r"provenance\.json is damaged"):
        resolve(tmp_path / "e")
    place.write_text('{"by": "hand"}')
    assert resolve(tmp_path / "e").class_names == ("0", "1", "2")


def said_trained_on(folder, labels):
    place = folder / "provenance.json"
    place.write_text(json.dumps({**json.loads(place.read_text()), "labels": labels}))
    return resolve(folder)


def test_vectors_that_have_seen_these_labels_are_warned_of_and_the_run_says_so(tmp_path):
    embedded(tmp_path)
    with pytest.warns(UserWarning, match="was trained on these labels.*not held out"):
        data = said_trained_on(tmp_path / "e", "these")
    assert "held-out scores from it are NOT held out" in data.notes[-1]
    table = unseen.score(data, plan=unseen.folds(2), learner="ridge:lam=1.0,temperature=1.0")
    assert table.provenance["fingerprint"]["embedding"] == {"by": "tfidf", "dimensions": 3, "labels": "these"}


@pytest.mark.parametrize(("labels", "note"), [("unknown", "it is not known whether"), ("others", "on other labels")])
def test_what_is_known_of_the_labels_is_in_the_notes(tmp_path, labels, note):
    embedded(tmp_path)
    assert note in said_trained_on(tmp_path / "e", labels).notes[-1]
