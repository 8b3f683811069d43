"""From whatever names a data set to its source."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.data.folders import from_folder
from unseen.data.huggingface import from_huggingface
from unseen.data.sources import from_disk, loaded, reader_of, resolve
from unseen.data.tables import from_parquet
from unseen.errors import UnknownNameError
from unseen.exporting.sources.arrays import OpenData
from unseen.exporting.sources.base import Source
from unseen.exporting.sources.folder import FolderSource
from unseen.exporting.sources.huggingface import HuggingFaceRows
from unseen.exporting.sources.parquet import ParquetRows

__all__ = ["source_of"]


def source_of(named: Any, options: Mapping[str, Any]) -> Source:
    """The source of what `unseen.data.resolve(named, **options)` opens."""
    if isinstance(named, (str, Path)) or hasattr(named, "with_format"):
        reader = reader_of(named)[0]
        for name in options:
            if name not in inspect.signature(reader).parameters:
                raise UnknownNameError(f"option of {reader.__name__}", name, list(inspect.signature(reader).parameters))
        if reader is from_folder:
            return FolderSource(named, options)
        if reader is from_parquet:
            return ParquetRows(named, options)
        if reader in (from_huggingface, from_disk):
            return HuggingFaceRows(loaded(named) if reader is from_disk else named, options)
    return OpenData(resolve(named, **options))
