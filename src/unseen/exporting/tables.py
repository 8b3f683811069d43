"""The rows kept, with all columns of the source: parquet, and data sets of Hugging Face."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from unseen.errors import MissingDependencyError
from unseen.exporting.asking import Asked
from unseen.exporting.places import new_file, new_folder
from unseen.exporting.sources.huggingface import HuggingFaceRows

__all__ = ["to_huggingface", "to_parquet"]

_GROUP = 64 << 20  # bytes of a row group, before compression


def to_parquet(asked: Asked, out: Path) -> None:
    """One parquet file with the rows kept, in the order of the data set, and every column that it has.

    Written row group by row group. From a folder of images: `image` (bytes and path), `label` and `id`; from arrays:
    see `unseen.exporting.sources.arrays.OpenData`.

    Args:
        asked: the coreset.
        out: the file.

    """
    schema = asked.source.schema

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            for group in _gathered(asked.tables()):
                writer.write_table(group, row_group_size=len(group))

    new_file(out, write)


def to_huggingface(asked: Asked, out: Path) -> None:
    """A folder of `Dataset.save_to_disk`, which `datasets.load_from_disk` opens.

    Of a `Dataset` it is `ds.select(rows)`, rows ascending; of other data sets it has the columns of `to_parquet`, and
    takes twice its room while it is written.

    Args:
        asked: the coreset.
        out: the folder that is made.

    Raises:
        MissingDependencyError: `datasets` is not installed.

    """
    try:
        import datasets
    except ImportError as error:
        raise MissingDependencyError("datasets", "to='huggingface'", "huggingface") from error
    source = asked.source
    with new_folder(out) as part, _quiet(datasets):
        if isinstance(source, HuggingFaceRows):
            source.ds.select(asked.rows).save_to_disk(part)
            return
        spool = part / "spool"
        spool.mkdir()
        with pa.ipc.new_stream(str(spool / "rows.arrow"), source.schema) as stream:
            for table in asked.tables():
                stream.write_table(table)
        datasets.Dataset.from_file(str(spool / "rows.arrow")).save_to_disk(part)
        shutil.rmtree(spool)


def _gathered(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Pieces put together to row groups of a useful size."""
    held: list[pa.Table] = []
    for table in tables:
        held.append(table)
        if sum(piece.nbytes for piece in held) >= _GROUP:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


@contextmanager
def _quiet(datasets: Any) -> Iterator[None]:
    """Without the progress bars of the library, which are set for the whole process."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()
