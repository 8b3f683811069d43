"""Index files: which samples were kept, for whatever reads rows or ids."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np

from unseen.errors import ArgumentError
from unseen.exporting.asking import Asked
from unseen.exporting.places import new_file

__all__ = ["to_npy"]


def to_npy(asked: Asked, out: Path, *, column: Literal["row", "id"] = "row") -> None:
    """Write one array (m,): rows, or ids, in dataset order. Text is fixed-width, so that nothing is pickled.

    Args:
        asked: the coreset.
        out: the file.
        column: `"row"`, what `torch.utils.data.Subset` takes, or `"id"`.

    """
    if column not in ("row", "id"):
        raise ArgumentError(f"column must be 'row' or 'id', got {column!r}")
    values = asked.coreset.indices if column == "row" else asked.coreset.ids
    plain = np.array(values.tolist()) if values.dtype.kind == "O" else values
    new_file(out, lambda file: np.save(file, plain, allow_pickle=False))
