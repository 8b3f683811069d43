"""Held-out probabilities and labels, as cleanlab and its like take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.errors import ArgumentError, DataError, some
from unseen.exporting.asking import Asked
from unseen.exporting.places import new_folder
from unseen.runs.new_folder import mapped
from unseen.runs.results import results_of
from unseen.scores.keeping import PROBABILITIES, ROWS
from unseen.types import ScoreTable

__all__ = ["to_cleanlab"]

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
