"""Data named by the URL of a store, from scoring to export."""

from __future__ import annotations

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from command_line import content, refused, unseen_says_fixture  # noqa: F401


@pytest.fixture(name="url")
def url_fixture(tmp_path):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(120, 4)).astype(np.float32), np.arange(120) % 3
    pq.write_table(pa.table({"v": list(x), "y": y}), tmp_path / "a.parquet", row_group_size=50)
    store = fsspec.filesystem("memory")
    store.put(str(tmp_path / "a.parquet"), "/bucket/folder/a.parquet")
    yield "memory://bucket/folder"
    store.rm("/bucket", recursive=True)


def test_from_score_to_export(url, tmp_path, unseen_says):
    common = ["--label", "y", "--learner", "ridge", "--plan", "leave_one_out", "--threads", "1", "--quiet"]
    run = tmp_path / "run"
    assert unseen_says("score", url, *common, "--out", run).code == 0
    assert unseen_says("score", tmp_path / "a.parquet", *common, "--out", tmp_path / "local").code == 0
    scores, local = (pq.read_table(place / "scores.parquet") for place in (run, tmp_path / "local"))
    assert scores.equals(local)
    before = content(run)
    assert unseen_says("resume", run, "--dry-run", "--trust").code == 0
    assert unseen_says("resume", run, "--quiet").code == 0
    assert content(run) == before
    assert unseen_says("select", run, "--keep", "0.5", "--out", tmp_path / "half.parquet").code == 0
    said = unseen_says(
        "export", run, "--coreset", tmp_path / "half.parquet", "--to", "parquet", "--out", tmp_path / "kept.parquet"
    )
    assert said.code == 0, said.err
    assert unseen_says("report", run).code == 0


def test_a_store_that_is_other_by_now(url, tmp_path, unseen_says):
    run = tmp_path / "run"
    common = ["--label", "y", "--learner", "ridge", "--plan", "leave_one_out", "--threads", "1", "--quiet"]
    assert unseen_says("score", url, *common, "--out", run).code == 0
    fsspec.filesystem("memory").put(str(tmp_path / "a.parquet"), "/bucket/folder/a.parquet")
    assert unseen_says("resume", run, "--dry-run", "--json", "--trust").code == 4
    refused(
        unseen_says("score", "memory://elsewhere", "--out", tmp_path / "no"), 1, "memory://elsewhere .* no such file"
    )
