"""Small image folders and parquet files, written with Pillow and pyarrow alone."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> np.ndarray:
    shape = (height, width, channels) if channels > 1 else (height, width)
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def png(array: np.ndarray, **options) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, format="PNG", **options)
    return buffer.getvalue()


def write_folder(root: Path, pictures: dict[str, np.ndarray]) -> Path:
    for name, array in pictures.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(array).save(path)
    return root


def write_images(
    path: Path, contents: list[bytes | None], labels: list[int], names: list[str] | None = None, **options
):
    table = pa.table(
        {
            "image": pa.array([{"bytes": c, "path": f"{i}.png"} for i, c in enumerate(contents)]),
            "label": pa.array(labels, pa.int64()),
        }
    )
    if names is not None:
        about = {"info": {"features": {"image": {"_type": "Image"}, "label": {"names": names, "_type": "ClassLabel"}}}}
        table = table.replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, path, **options)
    return path
