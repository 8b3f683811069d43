"""Who needs classes: what refuses data with a regression target, whose bins it would take for classes."""

from __future__ import annotations

from collections.abc import Iterable

from unseen.errors import ArgumentError, DataError
from unseen.protocols import Data
from unseen.scores.base import Score

__all__ = ["check_scores", "refuse_target"]

LEARN = "use the learner 'ridge', or hand in the losses of your own model with unseen.Recorder"


def refuse_target(data: Data, does: str, instead: str = LEARN) -> None:
    """Refuse data with a regression target.

    Args:
        data: the data set.
        does: what it is refused by, and why, such as `"logistic learns classes"`.
        instead: what can be done.

    Raises:
        DataError: it has a target.

    """
    if data.targets is not None:
        raise DataError(f"{does}, but this data set has a target; {instead}")


def check_scores(data: Data, scores: Iterable[Score]) -> None:
    """Refuse scores that read classes of data with a regression target.

    Raises:
        ArgumentError: a score that reads logits, where no loss takes their place.

    """
    for score in scores:
        if data.targets is not None and "logits" in score.needs and not score.from_loss:
            raise ArgumentError(
                f"score {score.label!r} needs classes, but this data set has a target; use 'loss', the squared residual"
            )
