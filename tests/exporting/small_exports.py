"""Small coresets without any training, and data sets in the forms that people have."""

from __future__ import annotations

import io
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from unseen.core.coreset import Coreset
from unseen.core.table import ScoreTable
from unseen.data import resolve

NAMES = ["cat", "dog", "owl"]


def coreset_of(data, rows, *, of=None, **more):
    """These rows, as if chosen by scores of this data set."""
    rows = np.asarray(rows)
    known = {"scores": {"fingerprint": (of or data).fingerprint()}, "rule": "top"}
    return Coreset(data.ids[rows], rows, len(data), provenance=known, **more)


def table_of(data, **more):
    """Scores 0, 1, 2, ... of a data set."""
    n = len(data)
    return ScoreTable(
        ids=data.ids,
        labels=data.labels,
        class_names=data.class_names,
        folds=np.zeros((1, n), np.int32),
        values={"el2n": np.arange(n, dtype=float)[None]},
        directions={"el2n": "harder"},
        provenance={"fingerprint": data.fingerprint()},
        **more,
    )


def picture(seed):
    return np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG")
    return buffer.getvalue()


def photos(root, per_class=4):
    """A folder of PNG files, some of them deeper than others."""
    for c, name in enumerate(NAMES):
        for i in range(per_class):
            path = root / name / ("deep er" if i % 2 else "") / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(picture(100 * c + i)))
    return root


def pictures_table(path, n=12, *, names=NAMES, group=5, **columns):
    """A parquet file of images as Hugging Face writes them, in small row groups, with further columns."""
    labels = np.arange(n) % len(names)
    table = pa.table(
        {
            "image": [{"bytes": png(picture(i)), "path": f"{i}.png"} for i in range(n)],
            "label": pa.array(labels),
            "note": pa.array([f"note {i}" if i % 3 else None for i in range(n)]),
            **columns,
        }
    )
    about = {
        "image": {"_type": "Image"},
        "label": {"names": list(names), "_type": "ClassLabel"},
        "note": {"dtype": "string", "_type": "Value"},
    }
    about |= {name: {"dtype": str(table.schema.field(name).type), "_type": "Value"} for name in columns}
    table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": about}})})
    pq.write_table(table, path, row_group_size=group)
    return path


def everything(data):
    return data.take(np.arange(len(data)))


def same_samples(found, data, rows):
    """The samples and classes of these rows, and no others."""
    back = found if hasattr(found, "fingerprint") else resolve(found)
    taken = data.take(np.asarray(rows))
    order = np.argsort([x.tobytes() for x in everything(back)])
    wanted = np.argsort([x.tobytes() for x in taken])
    np.testing.assert_array_equal(everything(back)[order], taken[wanted])
    names = np.array(data.class_names)[data.labels[rows]][wanted]
    assert np.array(back.class_names)[back.labels][order].tolist() == names.tolist()


def left(folder):
    """Everything in a folder, hidden or not."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*"))
