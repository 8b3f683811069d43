"""Fields for FiftyOne: a JSON file of values by the paths of images, from which `dataset.set_values` is filled.

The library needs a database server, which the tests here do without: one of them runs where both are installed.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError
from unseen.exporting.asking import Asked
from unseen.exporting.places import new_file
from unseen.exporting.sources.folder import FolderSource

__all__ = ["to_fiftyone"]


def to_fiftyone(asked: Asked, out: Path) -> None:
    """One object: `key_field`, and `fields`, each an object of absolute path to value, for all samples.

    Fields: `unseen_kept`, and with the scores of the run `unseen_<score>`, `unseen_prediction` (a class held-out models
    gave) and `unseen_mean_confidence`. What was not measured is null. A field without any value is left out, since
    FiftyOne cannot tell its type.

    Args:
        asked: the coreset.
        out: the file.

    Raises:
        ArgumentError: the data set is no folder of images, so that samples have no paths.

    """
    coreset, table, source = asked.coreset, asked.table, asked.source
    if not isinstance(source, FolderSource):
        raise ArgumentError("to='fiftyone' goes by the paths of images, so the data set must be a folder of images")
    ids = source.paths if table is None else table.ids.tolist()
    values: dict[str, list[Any]] = {}
    if table is None:
        kept = np.zeros(len(ids), bool)
        kept[asked.rows] = True
        values["kept"] = kept.tolist()
    else:
        values["kept"] = coreset.mask.tolist()
        values |= {_field(name): _numbers(table.column(name)) for name in table.scores}
        if table.mean_confidence is not None:
            values["mean_confidence"] = _numbers(table.mean_confidence)
        if table.predictions is not None:
            names = table.class_names
            values["prediction"] = [names[code] if code >= 0 else None for code in table.predictions.tolist()]
    root = Path(os.path.abspath(source.root))  # noqa: PTH100 - FiftyOne takes `..` out of paths, but follows no link
    paths = [str(root / identity) for identity in ids]
    content = {
        "key_field": "filepath",
        "fields": {
            f"unseen_{name}": dict(zip(paths, column, strict=True))
            for name, column in values.items()
            if any(value is not None for value in column)
        },
    }
    text = json.dumps(content)
    new_file(out, lambda file: file.write(text.encode()))


def _field(name: str) -> str:
    """A name that MongoDB takes: without dots and dollars."""
    return "".join(sign if sign.isalnum() else "_" for sign in name)


def _numbers(values: npt.NDArray[Any]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
