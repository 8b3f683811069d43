"""Readers of data sets: arrays, files and data sets of other libraries, as `unseen.core.protocols.Data`."""

from unseen.data.arrays import digits, from_arrays, from_npz
from unseen.data.datasets import from_dataset, from_huggingface
from unseen.data.frames import from_csv, from_frame, from_json_lines
from unseen.data.images import from_folder
from unseen.data.shards import from_batches, from_shards
from unseen.data.sources import resolve
from unseen.data.tables import from_parquet

__all__ = [
    "digits",
    "from_arrays",
    "from_batches",
    "from_csv",
    "from_dataset",
    "from_folder",
    "from_frame",
    "from_huggingface",
    "from_json_lines",
    "from_npz",
    "from_parquet",
    "from_shards",
    "resolve",
]
