"""Index files: which samples were kept, for whatever reads rows or ids.

The rows kept, with all columns of the source: parquet, and data sets of Hugging Face.

Held-out probabilities and labels, as cleanlab and its like take them.

Fields for FiftyOne: a JSON file of values by the paths of images, from which `dataset.set_values` is filled.

The library needs a database server, which the tests here do without: one of them runs where both are installed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from unseen.core.table import ScoreTable
from unseen.engine.runs.files import mapped
from unseen.engine.runs.readonly import results_of
from unseen.errors import ArgumentError, DataError, MissingDependencyError, some
from unseen.exporting.files import new_file, new_folder
from unseen.exporting.request import Asked
from unseen.exporting.sources import FolderSource, HuggingFaceRows
from unseen.scores.label_quality import PROBABILITIES, ROWS

__all__ = ["to_cleanlab", "to_fiftyone", "to_huggingface", "to_npy", "to_parquet"]


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


_GROUP = 64 << 20  # bytes of a row group, before compression


def to_parquet(asked: Asked, out: Path) -> None:
    """One parquet file with the rows kept, in the order of the data set, and every column that it has.

    Written row group by row group. From a folder of images: `image` (bytes and path), `label` and `id`; from arrays:
    see `unseen.exporting.sources.OpenData`.

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


_HOW = "repeat it into another directory with --also self_confidence@probabilities (`also=` of `unseen.prune`)"


def to_cleanlab(asked: Asked, out: Path) -> None:
    """A folder: `pred_probs.npy` float32 (n, C), `labels.npy` int64 (n,), `ids.npy`: all samples, in dataset order.

    Each row is the mean, over the models that never saw the sample, of the probabilities they give to the C classes.
    The run must have kept them, which any score does whose name ends in `@probabilities`.

    Args:
        asked: the run.
        out: the folder that is made.

    Raises:
        ArgumentError: not a run, or one that kept no probabilities, or in-sample ones.
        DataError: some samples were judged by nobody.

    """
    table, run = asked.table, asked.run
    if run is None or table is None:
        raise ArgumentError("to='cleanlab' needs the directory of a run, in which the probabilities are kept")
    if table.provenance.get("plan", {}).get("plan") == "seen":
        raise ArgumentError(
            f"the models of {run} were trained on the samples they judge; held-out probabilities need another plan, "
            "such as folds"
        )
    with new_folder(out) as part:
        gathered = mapped(part / "pred_probs.npy", (len(table), len(table.class_names)))
        _gather(gathered, run, table)
        gathered.flush()
        np.save(part / "labels.npy", table.labels, allow_pickle=False)
        ids = np.array(table.ids.tolist()) if table.ids.dtype.kind == "O" else table.ids
        np.save(part / "ids.npy", ids, allow_pickle=False)


def _gather(gathered: npt.NDArray[np.float32], run: Path, table: ScoreTable) -> None:
    times = np.zeros(len(table), np.int64)
    for _, result in results_of(run):
        # Several scores may have kept the same.
        names = [name for name in result if name.endswith(f"/{PROBABILITIES}")]
        if not names:
            raise ArgumentError(f"{run} kept no probabilities; {_HOW}")
        rows: npt.NDArray[Any] = result[names[0].removesuffix(PROBABILITIES) + ROWS]
        gathered[rows] += result[names[0]]
        times[rows] += 1
    if not times.any():
        raise ArgumentError(f"{run} holds no results of fits of its own, as runs of several steps do; {_HOW}")
    if not times.all():
        raise DataError(f"no model judged {np.sum(times == 0):,} samples: rows {some(np.flatnonzero(times == 0))}")
    gathered /= times[:, None].astype(np.float32)


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
