"""The verb `export`: a coreset to wherever training happens."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unseen.exporting.asking import Report, asked
from unseen.exporting.kinds import check_options
from unseen.exporting.places import refuse_existing

__all__ = ["export"]


def export(
    source: Any,
    to: str,
    out: str | Path,
    *,
    data: Any = None,
    data_options: Mapping[str, Any] | None = None,
    coreset: Any = None,
    report: Report | None = None,
    **options: Any,
) -> Path:
    """Write a coreset in a form that other tools read. It is there whole or not at all, and overwrites nothing.

    Args:
        source: the directory of a run of `prune` or `grow`; what these gave; a `Coreset`, or the file of one.
        to: the kind: `"folder"`, `"parquet"`, `"huggingface"`, `"webdataset"`, `"npy"`,
            `"cleanlab"` or `"fiftyone"`.
        out: the file or folder that is made; it must not exist.
        data: the data set, as `unseen.data.resolve` takes it; if not given, the one that the run was begun with on the
            command line. Index files and `"cleanlab"` need none. A path gives most: files are linked, and tables keep
            all their columns; a data set that is open already gives what learners see.
        data_options: of the reader of `data`; if not given, those that the run was begun with.
        coreset: another coreset of the same data set (or its file), in place of that of the run.
        report: called with (kind, **fields) as work goes on: `"exported"`, with `done` samples of `n`.
        **options: of the kind: `link`; `column`; `keys`, `shards`, `shard_bytes`.

    Returns:
        `out`.

    Raises:
        ArgumentError: no such kind or option, no coreset, `out` exists, data that this kind cannot be made of.
        RunMismatchError: the data set is not the one that was scored; the message lists what differs.
        DataError: the data set lacks samples of the coreset, or cannot be read any more.
        StorageError: `out` cannot be written.
        MissingDependencyError: an optional package is needed.

    Example:
        >>> import tempfile
        >>> import numpy as np
        >>> import unseen
        >>> pruned = unseen.prune("digits", keep=0.1, rule="top", learner="logistic")
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     np.load(unseen.export(pruned, "npy", Path(folder) / "rows.npy")).shape
        (180,)

    """
    kind = check_options(to, options)
    place = Path(out)
    refuse_existing(place)
    kind.write(asked(source, data, data_options, coreset, report), place, **options)
    return place
