"""What every form of data set offers to exports: its rows as they are in the source, not as learners see them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa

from unseen.data.fingerprint import Files
from unseen.data.labelling import Labelling
from unseen.errors import DataError, some
from unseen.protocols import Data
from unseen.types import IdArray, IntArray

__all__ = ["IMAGE", "Source", "rows_of", "with_features"]

IMAGE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])  # how Hugging Face writes images


class Source(Protocol):
    """A data set where it lies.

    Attributes:
        files: names, sizes and times of the files behind it; None where there are none.
        labelling: ids, labels and classes of its rows, of which some may not have been scored (unreadable images).
        schema: of its columns.

    """

    files: Files | None
    labelling: Labelling
    schema: pa.Schema

    @property
    def data(self) -> Data:
        """The data set as it was scored; may read all of it."""

    def tables(self, rows: IntArray) -> Iterator[pa.Table]:
        """These rows, ascending, with all columns, in pieces that fit in memory."""


def rows_of(ids: IdArray, source: Source) -> IntArray:
    """int64 (m,) rows of these samples in the source.

    Raises:
        DataError: it lacks some of them.

    """
    known, wanted = source.labelling.ids, ids.tolist()
    if known.dtype.kind in "iu" and np.array_equal(known, np.arange(len(known))):
        found = [row if isinstance(row, int) and 0 <= row < len(known) else -1 for row in wanted]
    else:
        place = {identity: row for row, identity in enumerate(known.tolist())}
        found = [place.get(identity, -1) for identity in wanted]
    lost = [identity for identity, row in zip(wanted, found, strict=True) if row < 0]
    if lost:
        raise DataError(f"the data set lacks {len(lost):,} samples of the coreset: {some(lost)}")
    return np.array(found, dtype=np.int64)


def with_features(schema: pa.Schema, classes: Mapping[str, Sequence[str]]) -> pa.Schema:
    """The schema with what Hugging Face needs to know: which columns are images, and the names of classes.

    >>> about = with_features(pa.schema([("label", pa.int64())]), {"label": ["cat", "dog"]}).metadata[b"huggingface"]
    >>> json.loads(about)["info"]["features"]["label"]
    {'names': ['cat', 'dog'], '_type': 'ClassLabel'}

    """
    features: dict[str, Any] = {name: {"names": list(names), "_type": "ClassLabel"} for name, names in classes.items()}
    features |= {field.name: {"_type": "Image"} for field in schema if field.type == IMAGE}
    return schema.with_metadata({"huggingface": json.dumps({"info": {"features": features}})})
