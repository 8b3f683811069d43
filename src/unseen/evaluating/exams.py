"""What an evaluation asks about: a test set of its own, or a probe split of the training set."""

from __future__ import annotations

from dataclasses import dataclass, field
from numbers import Real
from typing import Any, Literal

import numpy as np

from unseen.data.joined import Joined
from unseen.data.part import split_off
from unseen.errors import ArgumentError, DataError, some
from unseen.evaluating.overlap import exact_copies
from unseen.protocols import Data
from unseen.scoring import joined_groups
from unseen.types import IntArray

__all__ = ["Exam", "with_probe", "with_test"]

Overlap = Literal["refuse", "drop"]


@dataclass(frozen=True, eq=False)
class Exam:
    """Who may be trained on, and who is asked about.

    Args:
        data: the data set that holds both.
        pool: int64 rows that may be trained on; rows of the training set keep their numbers.
        test: int64 rows asked about.
        text: the same in words.
        about: the same as JSON.

    """

    data: Data
    pool: IntArray
    test: IntArray
    text: str
    about: dict[str, Any] = field(default_factory=dict)


def with_test(train: Data, test: Data, *, overlap: Overlap = "refuse") -> Exam:
    """The exam of a test set of its own.

    Args:
        train: all of it may be trained on.
        test: all of it is asked about, less what is dropped.
        overlap: test samples whose content a training sample has too: `"refuse"` or `"drop"` them.

    Raises:
        DataError: the test set is of another kind, holds unknown classes, or overlaps with the training set.

    >>> from unseen.data import resolve
    >>> train, test = resolve(([[0.0], [1.0], [2.0]], [0, 1, 0])), resolve(([[3.0], [1.0]], [0, 1]))
    >>> with_test(train, test, overlap="drop").test.tolist()
    [3]

    """
    if overlap not in ("refuse", "drop"):
        raise ArgumentError(f"overlap must be 'refuse' or 'drop', got {overlap!r}")
    data = Joined(train, test)
    pool, rows = np.arange(len(train)), data.test_rows
    copies = exact_copies(data, pool, rows)
    asked = test.ids[copies[:, 0] - len(train)]
    if len(copies) and overlap == "refuse":
        pairs = [
            f"{a} (training id {b})" for a, b in zip(asked.tolist(), train.ids[copies[:, 1]].tolist(), strict=True)
        ]
        raise DataError(
            f"{len(copies):,} of {len(test):,} test samples are exact copies of training samples: test ids "
            f"{some(pairs)}; overlap='drop' leaves them out of the test"
        )
    rows = np.setdiff1d(rows, copies[:, 0], assume_unique=True)
    if not len(rows):
        raise DataError("every test sample is an exact copy of a training sample: there is nothing to test on")
    dropped = f", less {len(copies):,} exact copies of training samples" if len(copies) else ""
    about = {"by": "test set", "n": len(rows), "dropped": len(copies), "dropped_ids": asked[:20].tolist()}
    return Exam(data, pool, rows, f"a test set of {len(test):,} samples{dropped}", about)


def with_probe(train: Data, share: float, *, seed: int) -> Exam:
    """The exam without a test set: a fixed, class-stratified part of the training set, trained on by nobody.

    A sample is in it by (seed, id); copies of one sample, and groups that the data set brings, are in it or out of it
    together.

    Args:
        train: the training set.
        share: of the samples, in (0, 0.5]; rounded to one part in 2..100.
        seed: the root seed.

    """
    if isinstance(share, bool) or not isinstance(share, Real) or not 0 < float(share) <= 0.5:
        raise ArgumentError(f"probe must be a share of the samples in (0, 0.5], got {share!r}")
    groups = joined_groups(train.groups, train.duplicate_groups())
    rest, asked = split_off(train, float(share), seed=seed, groups=groups)
    pool, rows = rest.rows, asked.rows
    text = (
        f"a probe split of {len(rows):,} training samples, on which no arm trains; whoever chose the coreset had seen "
        "their labels"
    )
    return Exam(train, pool, rows, text, {"by": "probe split", "n": len(rows), "share": float(share)})
