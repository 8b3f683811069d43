"""Small vectors, and how they lie in files."""

from __future__ import annotations

import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

HALF = pa.float16()
RNG = np.random.default_rng(0)
X = RNG.normal(size=(500, 6)).astype(np.float16)
X[77] = X[400]
Y = RNG.integers(0, 3, 500)


def everything(data):
    return data.take(np.arange(len(data)))


def write(folder, shards, x=X, y=Y, **more):
    """npy shards of about equal size."""
    folder.mkdir(exist_ok=True)
    for stem, array in {"x": x, "y": y, **more}.items():
        for number, part in enumerate(np.array_split(array, shards)):
            np.save(folder / f"{stem}-{number:05}.npy", part)
    return folder


def table(path, *, kind=HALF, x=X, rows=40, **more):
    """A parquet file of one embedding column, in row groups of 40 rows."""
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.ravel(x)).cast(kind), 6)
    columns = {"v": vectors.cast(pa.list_(kind)), "label": pa.array(Y[: len(x)]), **more}
    pq.write_table(pa.table(columns), path, row_group_size=rows)
    return path


def later(path):
    """Another time, as an edit would leave."""
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1_000_000))
