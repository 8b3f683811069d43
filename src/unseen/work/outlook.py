"""What is said of a scoring before it begins, and what is odd about its result."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from unseen.exposure import Plan
from unseen.scoring import Scoring
from unseen.types import ScoreTable

if TYPE_CHECKING:
    from unseen.work.ready import Work

__all__ = ["outlook", "warn_if_perfect"]


def outlook(work: Work, job: Scoring) -> dict[str, object]:
    """What is going to be done and what it will take, before it begins."""
    data = work.data
    n = len(data)
    sample = sum(
        a.nbytes
        for score in job.scores
        for side in score.sides
        for a in score.start(side, 1, len(data.class_names)).values()
    )
    return {
        "n": n,
        "classes": len(data.class_names),
        "target": data.targets is not None,
        "learner": work.learner.name,
        "plan": job.plan.describe(),
        "scores": [score.label for score in job.scores],
        "fits": job.fits_in_all,
        "epochs": work.learner.epochs or 1,
        "threads": work.threads,
        "data_bytes": _data_bytes(work),
        "learner_bytes": _working_bytes(work, job.plan),
        "state_bytes": sample * n // max(1, job.fits_in_all // job.plan.repeats),
        "groups": 0 if job.samples.groups is None else int(np.sum(np.bincount(job.samples.groups) > 1)),
        "notes": list(getattr(data, "notes", ())),
    }


def _data_bytes(work: Work) -> int:
    """What the data set takes: all of it, but for learners that read it in blocks only what it holds anyway."""
    data = work.data
    whole = int(len(data) * np.prod(data.sample_shape or (1,)) * data.dtype.itemsize)
    return int(getattr(data, "held_bytes", whole)) if hasattr(work.learner, "memory") else whole


def _working_bytes(work: Work, plan: Plan) -> int:
    """What the learner needs beside the data and the scores, if it can tell."""
    told = getattr(work.learner, "memory", None)
    return 0 if told is None else int(told(work.data, plan))


def warn_if_perfect(table: ScoreTable, learner: str) -> None:
    """A linear model that is right about every sample it never saw is more often told the label than that good."""
    if table.predictions is not None and (table.predictions == table.labels).all():
        warnings.warn(
            f"{learner} is right about every one of {len(table):,} samples that it never saw: the features may contain "
            "the label. Look for a column that is the label or was made from it, for an embedding that was trained on "
            "these labels, and for ids or file names that go by class",
            UserWarning,
            stacklevel=5,
        )
