"""docs/formats.md is a contract: a run is read by pyarrow, JSON and NumPy alone, by what that page says."""

import json
import re
import zipfile
from hashlib import blake2b
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.naive_bayes import GaussianNB

import unseen

PAGE = (Path(__file__).parents[2] / "docs" / "formats.md").read_text()


def promised(section):
    """The columns that a section of the page lists: name to type."""
    text = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)[1]
    return dict(re.findall(r"^\| `([^`]+)` \| ([^|]+?) \|", text, flags=re.M))


def digest(content):
    return blake2b(content, digest_size=16).hexdigest()


def seal_of(path):
    """The seal of a JSON file, once it is found to be what the page says."""
    content = json.loads(path.read_bytes())
    seal = content.pop("seal")
    assert seal == digest(json.dumps(content, sort_keys=True, indent=2).encode() + b"\n")
    return seal


def check_columns(path, section, kind, *, also=None):
    """Every column is one that the page lists, of the type that it says; the metadata says the kind."""
    table, known = pq.read_table(path), {**promised(section), **(also or {})}
    assert json.loads(table.schema.metadata[b"unseen"])["kind"] == kind
    assert b"unseen.digest" in table.schema.metadata
    for field in table.schema:
        assert field.name in known, f"{field.name} is not on the page"
        assert str(field.type) in known[field.name].split(" or "), field.name
    return table


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    path = tmp_path_factory.mktemp("formats") / "run"
    unseen.prune("digits", keep=0.3, rule="top", learner=GaussianNB(), plan=unseen.folds(2, repeats=2), out=path)
    return path


def test_the_manifest_and_the_digests_of_results(run):
    manifest = json.loads((run / "manifest.json").read_bytes())
    assert manifest["format"] == 1
    assert f"**format {manifest['format']}**" in PAGE
    for key in ("versions", "seed", "learner", "settings", "fingerprint", "plan", "scores"):
        assert key in manifest
        assert f"`{key}`" in PAGE
    outputs = json.loads((run / "outputs.json").read_bytes())
    seal_of(run / "outputs.json")
    assert outputs["manifest"] == seal_of(run / "manifest.json")
    assert outputs["digests"].keys() == {"scores.parquet", "coreset.parquet"}
    for name, found in outputs["digests"].items():
        assert found == digest((run / name).read_bytes())


def test_every_file_of_a_run_is_on_the_page(run):
    files = re.search(r"^## A run\n(.*?)^### ", PAGE, flags=re.M | re.S)[1]
    patterns = [re.sub(r"<\w+>", "[^/]+", name.replace(".", r"\.")) for name in re.findall(r"`([^`]+)`", files)]
    for path in (path for path in run.rglob("*") if path.is_file()):
        name = path.relative_to(run).as_posix()
        assert any(re.fullmatch(pattern, name) for pattern in patterns), name


def test_scores_and_coreset(run):
    repeats = {f"{name}{end}": kind for name, kind in (("fold", "int32"),) for end in (".0", ".1")}
    scores = {f"{name}{end}": "double" for name in ("el2n", "label_issue") for end in ("", ".std", ".0", ".1")}
    assert promised("scores.parquet")["<score>"] == "double"
    table = check_columns(run / "scores.parquet", "scores.parquet", "scores", also={**repeats, **scores})
    about = json.loads(table.schema.metadata[b"unseen"])
    assert (about["scores"], about["directions"]["el2n"]) == (["el2n", "label_issue"], "harder")
    for key in ("class_names", "repeats", "fold_repeats", "reliability", "provenance"):
        assert key in about
    el2n = table["el2n"].to_numpy()
    assert np.allclose(el2n, (table["el2n.0"].to_numpy() + table["el2n.1"].to_numpy()) / 2)
    coreset = check_columns(run / "coreset.parquet", "coreset.parquet", "coreset")
    assert json.loads(coreset.schema.metadata[b"unseen"])["n"] == table.num_rows
    assert coreset["id"].equals(table["id"].take(coreset["row"]))
    order = coreset["row"].to_numpy()[np.argsort(coreset["pick"].to_numpy())]
    loaded = unseen.load(run)
    assert order.tolist() == loaded.coreset.order.tolist()
    assert el2n.tolist() == loaded.scores.column("el2n").tolist()


def test_results_of_fits(run):
    for path in run.glob("fits/*/result.npz"):
        assert re.fullmatch(r"r\d+f\d+", path.parent.name)
        with zipfile.ZipFile(path) as members:
            comment = members.comment.decode()
            assert {info.compress_type for info in members.infolist()} == {zipfile.ZIP_STORED}
        assert comment == seal_of(run / "manifest.json") + digest(path.read_bytes()[:-32])
        with np.load(path, allow_pickle=False) as arrays:
            assert all(len(arrays[name]) for name in arrays)


def test_an_evaluation_a_sweep_and_a_history(run, tmp_path):
    learner = GaussianNB()
    unseen.evaluate("digits", coresets={"third": run}, learner=learner, seeds=2, out=tmp_path / "e")
    by_class = {f"accuracy.{name}": "double" for name in range(10)}
    check_columns(tmp_path / "e" / "evaluation.parquet", "evaluation.parquet", "evaluation", also=by_class)
    unseen.sweep("digits", methods=["folds:k=2/el2n/top"], prune=[0.5], learner=learner, seeds=1, out=tmp_path / "s")
    sweep = check_columns(tmp_path / "s" / "sweep.parquet", "sweep.parquet", "sweep")
    assert set(sweep.column_names) == set(promised("sweep.parquet"))
    unseen.grow("digits", keep=0.2, learner=learner, out=tmp_path / "g")
    history = check_columns(tmp_path / "g" / "history.parquet", "history.parquet", "history")
    assert set(history.column_names) == set(promised("history.parquet"))
    for folder in "esg":
        manifest = json.loads((tmp_path / folder / "manifest.json").read_bytes())
        assert manifest["format"] == 1


def test_an_embedding(tmp_path):
    unseen.embed(["a good film", "a bad film", "good fun"], [1, 0, 1], by="tfidf:dimensions=2", out=tmp_path / "v")
    provenance = json.loads((tmp_path / "v" / "provenance.json").read_bytes())
    keys = re.search(r"^## Embeddings\n(.*?)^## ", PAGE, flags=re.M | re.S)[1]
    listed = {name for line in re.findall(r"^\| (`.*?) \|", keys, flags=re.M) for name in re.findall(r"`(\w+)`", line)}
    assert provenance.keys() == listed
    assert provenance["format"] == "unseen embedding 1"
    assert np.load(tmp_path / "v" / "x.npy", allow_pickle=False).dtype == np.float32
    assert np.load(tmp_path / "v" / "y.npy", allow_pickle=False).dtype == np.int64
