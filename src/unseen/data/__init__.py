"""Readers of data sets: arrays, files and data sets of other libraries, as `unseen.core.protocols.Data`."""

from unseen.data.arrays import digits, from_arrays, from_npz
from unseen.data.batches import from_batches
from unseen.data.datasets import from_dataset, from_huggingface
from unseen.data.folders import from_folder
from unseen.data.frames import from_frame
from unseen.data.shards import from_shards
from unseen.data.sources import resolve
from unseen.data.tables import from_parquet
from unseen.data.text_tables import from_csv, from_json_lines

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
