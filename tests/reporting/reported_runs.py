"""Runs to report on, made without training: images of odd names and sizes, texts, a table; and digits, scored for real.

The fixtures are imported by the test modules: a second `conftest` module would clash with the first.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

import unseen
from unseen.data import resolve
from unseen.engine.runs import RunDirectory

SCRIPT = "<script>alert(1)</script>"
QUOTES = "a \"quoted\" 'name' & <b>bold<"
ODD_CLASSES = ("<img src=x onerror=alert(1)>", "&lt;b&gt;", "שלום עולם")


def made(run, data, *, source=None, seed=0, plan="folds", **read):
    """A run of these samples with scores and predictions drawn at random; `source` and how it is read are on record."""
    rng = np.random.default_rng(seed)
    n, classes = len(data), len(data.class_names)
    table = unseen.ScoreTable(
        ids=data.ids,
        labels=data.labels,
        class_names=data.class_names,
        folds=np.zeros((1, n), np.int32),
        values={"el2n": rng.beta(1, 3, (1, n)), "label_issue": (rng.random((1, n)) < 0.1).astype(float)},
        directions={"el2n": "harder", "label_issue": "harder"},
        mean_confidence=rng.random(n),
        predictions=rng.integers(0, classes, n),
        provenance={"plan": {"plan": plan, "k": 5}, "learner": {"learner": "toy"}},
    )
    with RunDirectory(run) as kept:
        kept.open({"format": 1, "seed": 0, "versions": {"unseen": "0"}, "fingerprint": data.fingerprint()})
        kept.save_table(table)
        if plan != "seen":
            kept.save_coreset(unseen.select(table, rule="top", keep=0.6, score="el2n"))
    if source is not None:
        options = {"data": str(source), "quiet": True, "json": False, **read}
        (run / "command.json").write_text(json.dumps({"command": "prune", "options": options}))
    return run


@pytest.fixture(name="digits_run", scope="module")
def digits_run_fixture(tmp_path_factory):
    """Digits scored and pruned for real."""
    run = tmp_path_factory.mktemp("runs") / "digits"
    unseen.prune("digits", keep=0.6, rule="top", score="el2n", learner="logistic", threads=1, out=run)
    (run / "command.json").write_text(json.dumps({"command": "prune", "options": {"data": "digits"}}))
    return run


@pytest.fixture(name="pictures", scope="module")
def pictures_fixture(tmp_path_factory):
    """A folder of images: classes and files of odd names, sizes from a dot to a banner, some of them grey."""
    root = tmp_path_factory.mktemp("pictures") / QUOTES
    rng = np.random.default_rng(0)
    for name in ODD_CLASSES:
        (root / name).mkdir(parents=True)
        for i in range(12):
            width, height = [(4, 4), (60, 40), (700, 30), (300, 300)][i % 4]
            pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
            Image.fromarray(pixels).convert("L" if i < 4 else "RGB").save(root / name / f"{i}'\"<i>.png")
    return root


@pytest.fixture(name="pictures_run", scope="module")
def pictures_run_fixture(tmp_path_factory, pictures):
    """Scores of these images."""
    data = resolve(str(pictures), image_size=8)
    return made(tmp_path_factory.mktemp("runs") / QUOTES, data, source=pictures, image_size=8)


@pytest.fixture(name="texts_run", scope="module")
def texts_run_fixture(tmp_path_factory):
    """Texts, one of them code and one from right to left, in classes of such names."""
    folder = tmp_path_factory.mktemp("texts")
    texts = [f"{words} {i}" for i in range(30) for words in (f"good {SCRIPT}", "مرحبا بالعالم")]
    pq.write_table(pa.table({"text": texts, "label": [SCRIPT, "العربية"] * 30}), folder / "texts.parquet")
    return made(folder / "run", resolve(folder / "texts.parquet"), source=folder / "texts.parquet")
