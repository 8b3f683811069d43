"""Parquet files with JSON metadata: how tables and coresets are kept. Nothing in them is ever unpickled."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.errors import CorruptFileError, StorageError

__all__ = ["read_parquet", "write_parquet"]


def write_parquet(path: Path, columns: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Path:
    """Write arrays as parquet with JSON metadata; the bytes depend on the content alone. Atomic."""
    table = pa.table({name: pa.array(_plain(values)) for name, values in columns.items()})
    table = table.replace_schema_metadata({"unseen": json.dumps(about, sort_keys=True)})
    temporary = path.with_name(f".{path.name}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, temporary, write_page_checksum=True)
        os.replace(temporary, path)  # noqa: PTH105 - the name that the fault tests stop at
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error}") from error
    return path


def read_parquet(path: Path, kind: str) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Read what `write_parquet` wrote; a damaged or foreign file is an error that names it."""
    try:
        table = pq.read_table(path, page_checksum_verification=True)
        about: dict[str, Any] = json.loads(table.schema.metadata[b"unseen"])
    except FileNotFoundError:
        raise
    except (pa.ArrowException, OSError, KeyError, TypeError, ValueError) as error:
        raise CorruptFileError(f"{path} is damaged or was not written by unseen: {error}") from error
    if about.get("kind") != kind:
        raise CorruptFileError(f"{path} must hold a file of kind {kind!r}, but it holds {about.get('kind')!r}")
    return {name: table.column(name).to_numpy() for name in table.column_names}, about


def _plain(values: npt.NDArray[Any]) -> npt.NDArray[Any] | list[str]:
    return [str(v) for v in values] if values.dtype.kind in "USO" else values
