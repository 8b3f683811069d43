"""What is settled before any work: threads, workers, and which samples are bound together."""

from __future__ import annotations

from typing import Any, Literal

import numpy.typing as npt

from unseen.data.labelling import grouping, to_numpy
from unseen.errors import ArgumentError
from unseen.protocols import Data, Learner
from unseen.scoring import Abilities, joined_groups
from unseen.types import IntArray

__all__ = ["Groups", "abilities", "bound", "joined", "threaded"]

Groups = npt.ArrayLike | Literal["duplicates"] | None


def abilities(learner: Learner) -> Abilities:
    """What a scoring has to know of who trains."""
    return Abilities(learner.describe(), learner.epochs, learner.provides, learner.closed_form)


def threaded(learner: Learner, threads: int) -> tuple[Learner, int]:
    """The learner at this many threads a fit, and how many it really takes: its recipe may say otherwise."""
    if not hasattr(learner, "with_threads"):
        return learner, threads
    limited = learner.with_threads(threads)
    return limited, limited.threads


def joined(learner: Any, workers: int) -> Learner:
    """The learner, each of its models trained by so many processes; part of what it says of itself, as the threads."""
    if not hasattr(learner, "with_workers"):
        raise ArgumentError(
            f"workers must be 1 for learner {learner.name!r}, which trains a model in one process, got {workers}; use "
            "executor='ray', which trains as many models at a time as there is room for"
        )
    joined: Learner = learner.with_workers(workers)
    return joined


def bound(data: Data, groups: Groups) -> IntArray | None:
    """The samples bound together: by the data set itself, and as asked."""
    held = data.groups
    if isinstance(groups, str):
        if groups != "duplicates":
            raise ArgumentError(f"groups must be 'duplicates', an array of n groups or None, got {groups!r}")
        held = joined_groups(held, data.duplicate_groups())
    elif groups is not None:
        given = to_numpy(groups, "groups")
        if given.ndim == 1 and len(given) != len(data):
            raise ArgumentError(f"groups must have one entry for each of {len(data)} samples, got {len(given)}")
        held = joined_groups(held, grouping(given, len(data), "groups"))
    return held
