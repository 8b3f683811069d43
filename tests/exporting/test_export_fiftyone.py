"""Fields for FiftyOne: by the paths that it gives its samples, values where something was measured.

The last tests use the library itself where it and its database are installed. They were last seen to pass with FiftyOne
1.22.1, with a server that speaks MongoDB's protocol (SecantusDB 0.7.0b3) in the place of `mongod`.
"""

from __future__ import annotations

import importlib.util
import io
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small_exports import coreset_of, photos, table_of

import unseen
from unseen.core.coreset import Coreset
from unseen.data import from_arrays, from_folder
from unseen.errors import ArgumentError
from unseen.exporting.api import KINDS
from unseen.pruning import Scored

KEPT = [0, 4, 8]
NO_DATABASE = 77
OPENED = """
import json, sys
import fiftyone as fo
from fiftyone.core.config import FiftyOneConfigError

use, photos = sys.argv[1:]
try:
    fo.list_datasets()
except FiftyOneConfigError as error:
    sys.exit(print(error, file=sys.stderr) or {NO_DATABASE})
tree = fo.types.ImageClassificationDirectoryTree
dataset = fo.Dataset.from_dir(photos, dataset_type=tree, label_field="label", progress=False)
exec(use)
""".replace("{NO_DATABASE}", str(NO_DATABASE))
LOADED = """
kept = dataset.match(fo.ViewField("unseen_kept"))
names = [name for name in dataset.get_field_schema() if name.startswith("unseen_")]
print(json.dumps({
    "types": {name: type(dataset.get_field(name)).__name__ for name in names},
    "values": {name: dict(zip(dataset.values("filepath"), dataset.values(name))) for name in names},
    "kept": kept.values("filepath"),
    "labels": kept.values("label.label"),
}))
"""


def exported(source, out, **more):
    data = from_folder(source)
    table = table_of(data, mean_confidence=np.full(12, 0.25), predictions=np.array([-1, *[2] * 11]))
    table.values["el2n"][0, 3] = np.nan
    table.values.update(more)
    table.directions.update(dict.fromkeys(more, "easier"))
    return unseen.export(Scored(table, coreset_of(data, KEPT)), "fiftyone", out, data=source)


def fields_in(path):
    return json.loads(path.read_text())["fields"]


def test_fiftyone_gets_fields_by_path(tmp_path):
    source = photos(tmp_path / "photos")
    out = exported(source, tmp_path / "f.json")
    assert json.loads(out.read_text())["key_field"] == "filepath"
    fields = fields_in(out)
    assert sorted(fields) == ["unseen_el2n", "unseen_kept", "unseen_mean_confidence", "unseen_prediction"]
    paths = [str(source.absolute() / name) for name in from_folder(source).ids]
    assert all(list(values) == paths for values in fields.values())
    assert all(path in fields["unseen_kept"] for path in map(str, source.rglob("*.png")))
    assert list(fields["unseen_kept"].values()) == [row in KEPT for row in range(12)]
    assert list(fields["unseen_el2n"].values())[:5] == [0.0, 1.0, 2.0, None, 4.0]
    assert list(fields["unseen_prediction"].values())[:2] == [None, "owl"]
    assert fields["unseen_mean_confidence"][paths[0]] == 0.25


def test_the_score_confidence_keeps_its_own_values(tmp_path):
    fields = fields_in(exported(photos(tmp_path / "photos"), tmp_path / "f.json", confidence=np.full((1, 12), 0.75)))
    assert set(fields["unseen_confidence"].values()) == {0.75}
    assert set(fields["unseen_mean_confidence"].values()) == {0.25}


def test_fields_without_a_value_are_left_out(tmp_path):
    out = exported(photos(tmp_path / "photos"), tmp_path / "f.json", leverage=np.full((1, 12), np.nan))
    assert "unseen_leverage" not in fields_in(out)


def test_paths_are_written_as_fiftyone_writes_them(tmp_path, monkeypatch):
    (tmp_path / "below").mkdir()
    source = photos(tmp_path / "photos")
    (tmp_path / "linked").symlink_to(source)
    monkeypatch.chdir(tmp_path / "below")
    for given, meant in (("../photos", source), ("../linked", tmp_path / "linked")):
        fields = fields_in(exported(given, tmp_path / f"{meant.name}.json"))
        assert list(fields["unseen_kept"]) == [str(meant / name) for name in from_folder(source).ids]


def used(out):
    return KINDS.get("fiftyone").use.format(out=str(out))


def test_images_that_the_run_does_not_know_are_named(tmp_path):
    """What we say to run fails where paths differ, instead of filling a data set with nothing."""
    source = photos(tmp_path / "photos")
    out = exported(source, tmp_path / "f.json")
    paths, got = list(fields_in(out)["unseen_kept"])[::-1], {}
    dataset = SimpleNamespace(values=lambda field: paths, set_values=got.__setitem__)
    exec(used(out), {"json": json, "dataset": dataset, "open": lambda path: io.StringIO(out.read_text())})
    assert got["unseen_kept"] == [row in KEPT for row in range(12)][::-1]
    paths[0] = "/elsewhere/0.png"
    with pytest.raises(KeyError, match="/elsewhere/0"):
        exec(used(out), {"json": json, "dataset": dataset, "open": lambda path: io.StringIO(out.read_text())})


def test_fiftyone_of_a_coreset_alone(tmp_path):
    source = photos(tmp_path / "photos")
    out = unseen.export(coreset_of(from_folder(source), [0, 4]), "fiftyone", tmp_path / "f.json", data=source)
    fields = json.loads(out.read_text())["fields"]
    assert list(fields) == ["unseen_kept"]
    assert sum(fields["unseen_kept"].values()) == 2
    vectors = from_arrays(np.zeros((200, 2), np.float32), np.arange(200) % 2)
    with pytest.raises(ArgumentError, match="the data set must be a folder of images"):
        unseen.export(Coreset(np.arange(3), np.arange(3), 200), "fiftyone", tmp_path / "g.json", data=vectors)


def in_fiftyone(code, tmp_path, source):
    """What code prints that has `dataset`, of the images in `source`: in its own process, with nothing left behind.

    A server that FiftyOne starts ends with it.
    """
    if importlib.util.find_spec("fiftyone") is None:
        pytest.skip("pip install fiftyone")
    own = {"HOME": str(tmp_path), "FIFTYONE_DATABASE_DIR": str(tmp_path / "db"), "FIFTYONE_DATABASE_NAME": "of_a_test"}
    said = subprocess.run(
        [sys.executable, "-c", OPENED, code, str(source)],
        env=os.environ | own | {"FIFTYONE_DO_NOT_TRACK": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    if said.returncode == NO_DATABASE:
        pytest.skip(f"FiftyOne has no database here: {said.stderr.strip().splitlines()[-1]}")
    assert said.returncode == 0, said.stderr
    return said.stdout


def test_fiftyone_itself_takes_the_fields(tmp_path):
    source = photos(tmp_path / "photos")
    out = exported(source, tmp_path / "f.json")
    found = json.loads(in_fiftyone(used(out) + LOADED, tmp_path, source).splitlines()[-1])
    assert found["types"] == {
        "unseen_kept": "BooleanField",
        "unseen_el2n": "FloatField",
        "unseen_mean_confidence": "FloatField",
        "unseen_prediction": "StringField",
    }
    assert found["values"] == fields_in(out)
    ids = from_folder(source).ids
    assert sorted(found["kept"]) == sorted(str(source / ids[row]) for row in KEPT)
    assert sorted(found["labels"]) == ["cat", "dog", "owl"]


def test_fiftyone_itself_exports_what_is_read(tmp_path):
    source, out = photos(tmp_path / "photos"), tmp_path / "from_fiftyone"
    code = f"dataset.export(export_dir={str(out)!r}, dataset_type=tree, label_field='label', progress=False)"
    in_fiftyone(code, tmp_path, source)
    mine, theirs = from_folder(source), from_folder(out)
    assert theirs.class_names == mine.class_names
    for label in range(len(mine.class_names)):
        images = [
            sorted(image.tobytes() for image in data.take(np.flatnonzero(data.labels == label)))
            for data in (mine, theirs)
        ]
        assert images[0] == images[1]
