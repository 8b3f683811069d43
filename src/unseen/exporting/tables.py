"""Exports of rows and tables: index files, parquet, Hugging Face data sets, and inputs of cleanlab and FiftyOne.

`to_npy` writes rows or ids. `to_parquet`, `to_csv` and `to_huggingface` write the kept rows with all columns of the
source. `to_cleanlab` writes held-out probabilities and labels. `to_fiftyone` writes a JSON file of values by the paths
of images, for `dataset.set_values`. FiftyOne needs a database server; a test with it runs only where both are
installed.
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
import pyarrow.csv
import pyarrow.parquet as pq

from unseen.core.checks import one_of
from unseen.core.files import mapped, replace_file
from unseen.core.table import ScoreTable
from unseen.data.arrow import is_any
from unseen.data.columns import TableFormat
from unseen.data.datasets import HuggingFaceFormat
from unseen.data.frames import CsvFormat, layout_of
from unseen.engine.runs.directory import results_of
from unseen.errors import ArgumentError, DataError, import_optional, some
from unseen.exporting.request import ExportRequest, new_folder
from unseen.scores.label_quality import PROBABILITIES, ROWS


def to_npy(request: ExportRequest, out: Path, *, column: Literal["row", "id"] = "row") -> None:
    """Write one array (m,): rows, which `torch.utils.data.Subset` takes, or ids, in dataset order.

    Text is fixed-width, so that nothing is pickled.
    """
    one_of("column", column, ("row", "id"))
    values = request.coreset.indices if column == "row" else request.coreset.ids
    replace_file(out, lambda file: np.save(file, _without_objects(values), allow_pickle=False))


def _without_objects(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return an array without objects, which would be pickled."""
    return np.array(values.tolist()) if values.dtype.kind == "O" else values


_GROUP = 64 << 20  # bytes of a row group, before compression


def to_parquet(request: ExportRequest, out: Path) -> None:
    """Write one parquet file with the kept rows, in the order of the data set, and all its columns.

    It is written row group by row group. From a folder of images, the columns are `image` (bytes and path), `label` and
    `id`; from arrays, see `unseen.data.formats.Format.stored_schema`.
    """
    schema = request.source.stored_schema

    def write(file: BinaryIO) -> None:
        with pq.ParquetWriter(file, schema, compression="zstd") as writer:
            held: list[pa.Table] = []
            for table in request.tables():
                held.append(table)
                if sum(piece.nbytes for piece in held) >= _GROUP:
                    writer.write_table(pa.concat_tables(held), row_group_size=sum(map(len, held)))
                    held = []
            if held:
                writer.write_table(pa.concat_tables(held), row_group_size=sum(map(len, held)))

    replace_file(out, write)


_NOT_IN_CSV = (
    *(pa.types.is_nested, pa.types.is_interval),
    *(pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary),
)


def to_csv(request: ExportRequest, out: Path) -> None:
    """Write one CSV file with the kept rows, in the order of the data set, and all its columns.

    Rows of a CSV file are copied as they are written there, down to quotes and zeros in front. Names of image files
    become absolute paths. Columns of images, lists or other nested values are refused, since CSV has no form for them.
    """
    source = request.source
    named = source.by_name(request.rows) if isinstance(source, TableFormat) else None
    schema = source.stored_schema if named is None else named.schema
    if nested := [field.name for field in schema if is_any(field.type, _NOT_IN_CSV)]:
        raise ArgumentError(f"CSV has no form for the columns {some(nested)}; to='parquet' keeps all columns")

    if out.suffix in (".gz", ".bz2", ".xz", ".zst", ".zip"):
        raise ArgumentError(f"CSV is written without packing, so out must not end in {out.suffix}, got {out}")

    def write(file: BinaryIO) -> None:
        if isinstance(source, CsvFormat) and source.copy_rows(request.rows, file):
            request.report_done(len(request.rows))
            return
        with pyarrow.csv.CSVWriter(file, schema) as writer:
            for table in request.tables() if named is None else [named]:
                writer.write_table(table)

    replace_file(out, write)


def read_by_pandas(out: str) -> str:
    """Return the call of pandas that reads a CSV file; rows that were copied have the separators of their source."""
    separator, point = layout_of(Path(out))
    given = [("sep", separator, ","), ("decimal", point, ".")]
    return f"pandas.read_csv({', '.join([repr(out), *(f'{name}={a!r}' for name, a, usual in given if a != usual)])})"


def to_huggingface(request: ExportRequest, out: Path) -> None:
    """Write a folder by `Dataset.save_to_disk`, which `datasets.load_from_disk` opens.

    From a `Dataset` it is `ds.select(rows)`, rows ascending. From other data sets it has the columns of `to_parquet`,
    and takes twice its disk space while it is written.
    """
    datasets = import_optional("datasets", "to='huggingface'", "huggingface")
    source = request.source
    with new_folder(out) as part, _silence(datasets):
        if isinstance(source, HuggingFaceFormat):
            source.ds.select(request.rows).save_to_disk(part)
            return
        try:
            datasets.Features.from_arrow_schema(source.stored_schema)
        except (ValueError, NotImplementedError) as error:
            raise ArgumentError(f"datasets cannot hold these columns ({error}); to='parquet' keeps all") from error
        spool = part / "spool"
        spool.mkdir()
        with pa.ipc.new_stream(str(spool / "rows.arrow"), source.stored_schema) as stream:
            for table in request.tables():
                stream.write_table(table)
        datasets.Dataset.from_file(str(spool / "rows.arrow")).save_to_disk(part)
        shutil.rmtree(spool)


@contextmanager
def _silence(datasets: Any) -> Iterator[None]:
    """Disable the progress bars of the library inside the block; the setting is of the whole process."""
    shown = not datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        if shown:
            datasets.enable_progress_bars()


_HOW = "repeat it into another directory with --also self_confidence@probabilities (`also=` of `unseen.prune`)"


def to_cleanlab(request: ExportRequest, out: Path) -> None:
    """Write a folder for cleanlab, with all samples in dataset order.

    It holds `pred_probs.npy` float32 (n, C), `labels.npy` int64 (n,) and `ids.npy`. Each row of probabilities is the
    mean over the models that never saw the sample; for several steps, over those of the first scoring. A run keeps them
    where n x C is at most 5 million; for larger data, any score whose name ends in `@probabilities` keeps them.

    Args:
        request: the run.
        out: the folder to make.

    Raises:
        ArgumentError: the source is not a run, or the run kept no probabilities, or only in-sample ones.
        DataError: no model judged some of the samples.
    """
    table, run = request.table, request.run
    if run is None or table is None:
        raise ArgumentError("to='cleanlab' needs the directory of a run, where probabilities are kept: pass its out=")
    if "target" in table.provenance:
        raise ArgumentError("to='cleanlab' needs classes, but the data set has a target")
    if table.exposure == "in-sample":
        raise ArgumentError(
            f"the models of {run} were trained on the samples they judge; held-out probabilities need another plan, "
            "such as folds"
        )
    with new_folder(out) as part:
        probabilities = mapped(part / "pred_probs.npy", (len(table), len(table.class_names)))
        from unseen.growing import FIRST  # imports every verb, which takes seconds

        first = run / "parts" / FIRST
        _average_probabilities(probabilities, first if first.is_dir() else run, table)
        probabilities.flush()
        np.save(part / "labels.npy", table.labels, allow_pickle=False)
        np.save(part / "ids.npy", _without_objects(table.ids), allow_pickle=False)


def _average_probabilities(mean: npt.NDArray[np.float32], run: Path, table: ScoreTable) -> None:
    """Average the held-out probabilities of all fits of the run in `mean`, which holds zeros."""
    times = np.zeros(len(table), np.int64)
    for _, result in results_of(run):
        # Several scores may have kept the same probabilities.
        names = [name for name in result if name.rpartition("/")[2] == PROBABILITIES]
        if not names:
            raise ArgumentError(f"{run} kept no probabilities; {_HOW}")
        rows: npt.NDArray[Any] = result[names[0].removesuffix(PROBABILITIES) + ROWS]
        mean[rows] += result[names[0]]
        times[rows] += 1
    if not times.any():
        raise ArgumentError(f"{run} holds no results of fits; {_HOW}")
    if not times.all():
        raise DataError(f"no model judged {np.sum(times == 0):,} samples: rows {some(np.flatnonzero(times == 0))}")
    mean /= times[:, None].astype(np.float32)


def to_fiftyone(request: ExportRequest, out: Path) -> None:
    """Write a JSON object with `key_field` and `fields`; each field maps absolute paths to values, for all samples.

    The fields are `unseen_kept`, and with the scores of a run `unseen_<score>`, `unseen_prediction` (the class that
    held-out models predict) and `unseen_mean_confidence`. A missing value is null. A field without any value is left
    out, since FiftyOne could not find out its type. The data set must be a folder of images.
    """
    coreset, table, source = request.coreset, request.table, request.source
    if source.root is None:
        raise ArgumentError("to='fiftyone' goes by the paths of images, so the data set must be a folder of images")
    ids, rows = (source.labelling.ids, request.rows) if table is None else (table.ids, coreset.indices)
    values: dict[str, list[Any]] = {"kept": np.isin(np.arange(len(ids)), rows).tolist()}
    if table is not None:
        for name in table.scores:  # MongoDB takes no dots and dollars in names
            plain = "".join(sign if sign.isalnum() else "_" for sign in name)
            values[plain] = _replace_nan(table.column(name))
        if table.mean_confidence is not None:
            values["mean_confidence"] = _replace_nan(table.mean_confidence)
        if table.predictions is not None:
            names = table.class_names
            values["prediction"] = [names[code] if code >= 0 else None for code in table.predictions.tolist()]
    root = Path(os.path.abspath(source.root))  # noqa: PTH100 - FiftyOne takes `..` out of paths, but follows no link
    paths = [str(root / identity) for identity in ids.tolist()]
    content = {
        "key_field": "filepath",
        "fields": {
            f"unseen_{name}": dict(zip(paths, column, strict=True))
            for name, column in values.items()
            if any(value is not None for value in column)
        },
    }
    text = json.dumps(content)
    replace_file(out, lambda file: file.write(text.encode()))


def _replace_nan(values: npt.NDArray[Any]) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
