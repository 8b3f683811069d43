"""What `advise` says: the share that can be pruned, how sure that is, and everything that was tried."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from unseen.verdicts import Interval, Verdict

__all__ = ["FILE", "Advice", "Tried"]

FILE = "advice.json"  # in the directory of a run


@dataclass(frozen=True)
class Tried:
    """One share pruned that was tried.

    Args:
        prune: share pruned.
        budget: samples kept.
        difference: accuracy less that of everything, paired by replicate.
        random: the same of as many samples drawn at random; None where they were not trained on.
        confirming: whether on fresh replicates (else in the search).

    """

    prune: float
    budget: int
    difference: Interval
    random: Interval | None
    confirming: bool

    def text(self) -> str:
        """What it came to, in points.

        >>> Tried(0.3, 70, Interval(-0.01, -0.02, 0.0, 5), Interval(-0.03, -0.04, -0.02, 5), False).text()
        '30 % pruned, -1.0 ± 1.0 points (random -3.0 ± 1.0)'
        """
        beside = "" if self.random is None else f" (random {self.random.text(sign=True)})"
        return f"{100 * self.prune:g} % pruned, {self.difference.text(sign=True)} points{beside}"


@dataclass(frozen=True)
class Advice:
    """What can be left out.

    Args:
        prune: the share confirmed, 0.0 if none was.
        budget: samples kept.
        n: samples there were.
        method: how the coreset is chosen.
        margin: the loss that counts as none, in accuracy.
        verdict: against everything, on fresh replicates.
        beside_random: against as many samples drawn at random, on the same.
        difference: to everything, on the same; None where nothing was confirmed.
        tried: every share tried, in order.
        estimate: what all of this is, where it is an estimate by a simpler learner; None where it is the real training.
        about: data, learners, what was fixed.

    """

    prune: float
    budget: int
    n: int
    method: str
    margin: float
    verdict: Verdict
    beside_random: Verdict | None
    difference: Interval | None
    tried: tuple[Tried, ...]
    estimate: str | None
    about: dict[str, Any]

    def __repr__(self) -> str:
        kind = "" if self.estimate is None else f"{self.estimate}: "
        if self.difference is None:
            return f"Advice({kind}nothing can be pruned by {self.method}: {self.verdict.text})"
        return (
            f"Advice({kind}prune {self.prune:.0%} by {self.method}, keeping {self.budget:,} of {self.n:,}: "
            f"{self.verdict.text}, {self.difference.text(sign=True)} points on {self.difference.n} fresh replicates)"
        ).replace("%", " %")

    def to_json(self) -> dict[str, Any]:
        """As JSON; the bounds of a mean over one replicate, which has none, are null."""
        content: dict[str, Any] = _without_nan(asdict(self))
        return content

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """From what `to_json` gave."""
        beside = content["beside_random"]
        read: dict[str, Any] = {
            **content,
            **{name: float(content[name]) for name in ("prune", "margin")},
            **{name: int(content[name]) for name in ("budget", "n")},
            "verdict": Verdict(**content["verdict"]),
            "beside_random": None if beside is None else Verdict(**beside),
            "difference": _interval(content["difference"]),
            "tried": tuple(
                Tried(
                    prune=float(one["prune"]),
                    budget=int(one["budget"]),
                    difference=Interval(**_numbers(one["difference"])),
                    random=_interval(one["random"]),
                    confirming=bool(one["confirming"]),
                )
                for one in content["tried"]
            ),
        }
        return cls(**read)


def _interval(content: Mapping[str, Any] | None) -> Interval | None:
    return None if content is None else Interval(**_numbers(content))


def _numbers(content: Mapping[str, Any]) -> dict[str, Any]:
    bounds = {name: float("nan") if content[name] is None else float(content[name]) for name in ("low", "high")}
    return {**content, **bounds, "mean": float(content["mean"]), "n": int(content["n"])}


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {name: _without_nan(value) for name, value in content.items()}
    if isinstance(content, (list, tuple)):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and content != content else content
