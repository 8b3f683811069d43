"""`unseen embed`: what it says, what it makes, what it refuses; and closed forms that are told the label."""

import json
import signal
import warnings
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import refused, unseen_says_fixture  # noqa: F401

import unseen
from unseen.cli import _prune
from unseen.embedding import api
from unseen.evaluating.costs import Range
from unseen.learners import registry


@pytest.fixture
def table(tmp_path):
    """A parquet file: two splits, categories, numbers, gaps, ids, a group, and odd classes."""
    rng = np.random.default_rng(0)
    n = 60
    colour = rng.choice(["red", "green", "blue"], n)
    path = tmp_path / "table.parquet"
    pq.write_table(
        pa.table(
            {
                "name": [f"n{i}" for i in range(n)],
                "colour": colour,
                "size": [None if i % 9 == 0 else float(i % 7) for i in range(n)],
                "house": [i // 2 for i in range(n)],
                "split": ["train"] * 40 + ["test"] * 20,
                "label": np.where((colour == "red") ^ (rng.random(n) < 0.2), "it's red", "no, 'not'"),
            }
        ),
        path,
    )
    return path


def embed(unseen_says, table, out, *more):
    return unseen_says(
        "embed", table, "--out", out, "--split", "train", "--id", "name", "--group", "house", "--by", "columns:rare=2",
        *more,
    )  # fmt: skip


def test_a_table_becomes_vectors_that_every_command_reads(unseen_says, table, tmp_path):
    out = tmp_path / "vectors"
    said = embed(unseen_says, table, out, "--test-split", "test")
    assert said.code == 0, said.err
    assert "embedded  40 samples, 5 columns" in said.out
    assert "embedded by columns: it uses no labels" in said.out
    assert "40 samples, 20 to test" in said.err
    assert "train: 40 of 40" in said.err
    data = unseen.data.resolve(out)
    assert data.ids.tolist() == [f"n{i}" for i in range(40)]
    assert data.class_names == ("it's red", "no, 'not'")
    assert len(np.unique(data.groups)) == 20

    run = tmp_path / "run"
    said = unseen_says(
        "prune", out, "--learner", "ridge", "--plan", "leave_one_out", "--keep", "0.5", "--rule", "top", "--no-report",
        "--out", run,
    )  # fmt: skip
    assert said.code == 0, said.err
    assert "embedded by columns" in said.err
    manifest = json.loads((run / "manifest.json").read_text())
    assert manifest["fingerprint"]["embedding"] == {"by": "columns", "rare": 2, "labels": "none"}
    said = unseen_says(
        "evaluate", run, "--test", out / "test", "--overlap", "drop", "--seeds", "2", "--no-report",
        "--out", tmp_path / "evaluation",
    )  # fmt: skip
    assert said.code == 0, said.err
    assert said.err.count("embedded by columns") == 1  # of both parts, told once


def test_the_same_command_again_opens_and_another_is_refused(unseen_says, table, tmp_path):
    first = embed(unseen_says, table, tmp_path / "v")
    again = embed(unseen_says, table, tmp_path / "v")
    assert (first.code, again.code, again.err) == (0, 0, "")
    assert again.out == first.out
    refused(embed(unseen_says, table, tmp_path / "v", "--seed", "3"), 3, r"seed: 0 \(run\) != 3 \(now\)")


def test_json_is_one_object(unseen_says, table, tmp_path):
    said = embed(unseen_says, table, tmp_path / "v", "--json")
    assert said.err == ""
    assert json.loads(said.out) == {
        "data": str(tmp_path / "v"),
        "n": 40,
        "columns": 5,
        "embedding": {"by": "columns", "rare": 2, "labels": "none"},
    }


def test_copies_are_told(unseen_says, tmp_path):
    np.savez(tmp_path / "t.npz", x=np.array(["a b", "c d", "a b", "a b", "e"]), y=np.array([0, 1, 0, 1, 1]))
    said = unseen_says("embed", tmp_path / "t.npz", "--by", "tfidf:dimensions=2", "--out", tmp_path / "v")
    assert "2 are exact copies, embedded once; at most 3 alike" in said.err


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (("--by", "patches"), "makes vectors of images, but this is table data"),
        (("--by", "columns", "--labels", "these"), "labels= is for backbones"),
        (("--by", "columns", "--device", "cpu"), "the embedding columns has no option 'device'"),
        (("--by", "colums"), "unknown embedding 'colums'; did you mean 'columns'"),
        (("--test-split", "dev"), "split must be one of test, train, got 'dev'"),
    ],
)
def test_refusals(unseen_says, table, tmp_path, more, message):
    refused(unseen_says("embed", table, "--out", tmp_path / "v", "--split", "train", *more), 1, message)
    assert not (tmp_path / "v").exists()


def test_backbone_and_by_are_one_option(unseen_says, table, tmp_path):
    first = embed(unseen_says, table, tmp_path / "v")
    again = unseen_says(
        "embed", table, "--out", tmp_path / "v", "--split", "train", "--id", "name", "--group", "house",
        "--backbone", "columns:rare=2",
    )  # fmt: skip
    assert (again.code, again.out, again.err) == (0, first.out, "")  # opened: it is the same embedding


def test_a_pretrained_backbone_of_texts_is_named_with_its_origin(unseen_says, tmp_path):
    pytest.importorskip("wordllama", reason="needs the vectors: pip install 'unseen[embed]'")
    np.savez(tmp_path / "t.npz", x=np.array(["a b", "c d", "e", "f"]), y=np.array([0, 1, 0, 1]))
    said = unseen_says("embed", tmp_path / "t.npz", "--backbone", "wordllama", "--out", tmp_path / "v")
    assert said.code == 0, said.err
    assert "embedded  4 samples, 256 columns" in said.out
    assert "trained on token vectors of language models" in said.out
    manifest = json.loads((tmp_path / "v" / "provenance.json").read_text())
    assert len(manifest["embedding"]["weights"]["sha256"]) == 64


@pytest.mark.parametrize("name", ["efficientnet_lite0", "wordllama"])
def test_a_backbone_whose_package_is_absent_is_refused_in_one_line(unseen_says, table, tmp_path, monkeypatch, name):
    monkeypatch.setattr("unseen.embedding.backbones.find_spec", lambda package: None)
    said = unseen_says("embed", table, "--out", tmp_path / "v", "--backbone", name)
    refused(said, 1, rf"--by '{name}' needs the package .* pip install 'unseen\[embed\]'")


@pytest.mark.parametrize(("sent", "code", "word"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "terminated")])
def test_an_interrupted_command_says_so_and_leaves_nothing(unseen_says, table, tmp_path, monkeypatch, sent, code, word):
    before = {name: signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)}

    def stop(*args):
        signal.raise_signal(signal.Signals[sent])

    monkeypatch.setattr("unseen.embedding.api.fill", stop)
    try:
        said = embed(unseen_says, table, tmp_path / "new" / "v")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert said.code == code
    assert said.err.count(f"{word}; nothing was kept; the same command begins again\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["table.parquet"]


@pytest.mark.parametrize("plan", ["leave_one_out", "folds"])
def test_features_that_hold_the_label_are_warned_of(unseen_says, tmp_path, plan):
    X, y = np.random.default_rng(0).normal(size=(60, 4)), np.arange(60) % 2
    np.savez(tmp_path / "told.npz", x=np.column_stack([X, y]), y=y)
    np.savez(tmp_path / "fair.npz", x=X, y=y)
    words = ("--learner", "ridge:lam=0.1,temperature=1.0", "--plan", plan)
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        said = unseen_says("score", tmp_path / "told.npz", *words, "--out", tmp_path / "told")
    assert said.code == 0
    assert "warning: ridge is right about every one of 60 samples that it never saw" in said.err
    assert "a column that is the label" in said.err
    assert unseen_says("score", tmp_path / "fair.npz", *words, "--out", tmp_path / "fair").code == 0  # no warning


def test_in_sample_scores_that_are_right_everywhere_are_nothing_to_warn_of(unseen_says, tmp_path):
    y = np.arange(20) % 2
    np.savez(tmp_path / "told.npz", x=np.column_stack([y, np.arange(20)]), y=y)
    said = unseen_says(
        "score", tmp_path / "told.npz", "--learner", "ridge:lam=0.1,temperature=1.0", "--plan", "seen",
        "--out", tmp_path / "told",
    )  # fmt: skip
    assert said.code == 0, said.err  # a warning would be an error here


@pytest.fixture
def images(tmp_path, monkeypatch):
    """A few images, for which a training is said to take 20 minutes."""
    pytest.importorskip("torch", reason="the default for images is a network of torch")
    monkeypatch.setattr(_prune, "MANY_PIXELS", 0)
    monkeypatch.setattr(registry, "MOST_EPOCHS", 1)  # few images would get many
    monkeypatch.setattr(unseen, "estimate", lambda *args, **more: SimpleNamespace(wall_seconds=Range.exactly(1200)))
    np.savez(
        tmp_path / "i.npz", x=np.random.default_rng(0).integers(0, 256, (24, 8, 8, 3), np.uint8), y=np.arange(24) % 2
    )
    return tmp_path / "i.npz"


def pruned(unseen_says, images, *more):
    said = unseen_says("prune", images, "--keep", "0.5", "--no-report", "--out", images.parent / "run", *more)
    assert said.code == 0, said.err
    return said.err


def test_where_training_takes_long_prune_names_a_pretrained_backbone_once(unseen_says, images, monkeypatch):
    monkeypatch.setattr(api, "seconds_to_embed", lambda data, by: {"efficientnet_lite0": 180.0}[by])
    told = pruned(unseen_says, images)
    assert told.splitlines()[0] == (
        "convnet will take about 20 min; vectors of a network that was trained on other data take about 3 min: "
        "`unseen embed DATA --backbone efficientnet_lite0`, then `--learner ridge --plan leave_one_out`"
    )
    assert "--backbone" not in pruned(unseen_says, images)  # the run is there


@pytest.mark.parametrize(
    ("seconds", "more"), [(900.0, ()), (180.0, ("--learner", "convnet:epochs=1")), (180.0, ("--quiet",))]
)
def test_no_backbone_is_named_where_it_saves_little_or_was_not_asked(unseen_says, images, monkeypatch, seconds, more):
    monkeypatch.setattr(api, "seconds_to_embed", lambda data, by: seconds)
    assert "--backbone" not in pruned(unseen_says, images, *more)


def test_a_backbone_that_is_not_installed_is_named_without_its_minutes(unseen_says, images, monkeypatch):
    monkeypatch.setattr("unseen.embedding.backbones.find_spec", lambda package: None)
    assert "convnet will take about 20 min; vectors of a network" in (told := pruned(unseen_says, images))
    assert "take less: `unseen embed" in told
