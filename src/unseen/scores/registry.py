"""The registry of scores: built-in ones, and those of other packages by the entry-point group `unseen.scores`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import MISSING
from typing import Any

from unseen.core.checks import check_options
from unseen.core.protocols import Data
from unseen.core.registry import Registry, options_of, parse_spec
from unseen.core.table import meaning
from unseen.errors import ArgumentError
from unseen.scores import dynamics, label_quality, pointwise, two_sided
from unseen.scores.alignment import Tempered
from unseen.scores.label_quality import Keeping
from unseen.scores.streaming import Score

SCORES: Registry[type[Score]] = Registry("score", "unseen.scores")

for _score in (
    pointwise.El2n, pointwise.Loss, pointwise.Entropy, pointwise.LeastConfidence, pointwise.Margin,
    pointwise.LabelMargin, pointwise.Grand, pointwise.GrandLastLayer, dynamics.Aum, dynamics.Forgetting,
    dynamics.Correctness, dynamics.Confidence, dynamics.Variability, dynamics.DynUnc, dynamics.Dual, dynamics.Tdds,
    two_sided.Memorization, two_sided.HoldoutGap, two_sided.Reducible, two_sided.Disagreement, pointwise.Leverage,
    pointwise.CooksDistance, label_quality.SelfConfidence, label_quality.NormalizedMargin, label_quality.LabelIssue,
):  # fmt: skip
    SCORES.add(_score.name, _score)


def resolve(spec: str | Score) -> Score:
    """Make a score from its name and options, `"dual:window=5"`; a score is returned as it is.

    `"el2n@temperature"` is `el2n` wrapped in `Tempered`, `"el2n@probabilities"` is `el2n` wrapped in `Keeping`. An
    unknown name is an `UnknownNameError`, an unknown option or a refused value an `ArgumentError`.

    >>> resolve("el2n:epochs=(3,4)")
    El2n(epochs=(3, 4))
    """
    if isinstance(spec, Score):
        return spec
    if not isinstance(spec, str):
        raise ArgumentError(f"a score is a name such as 'el2n' or a Score, got {spec!r}")
    for wrapper in (Keeping, Tempered):
        if spec.endswith(wrapper.suffix):
            return wrapper(resolve(spec.removesuffix(wrapper.suffix)))
    name, options = parse_spec(spec)
    kind = SCORES.get(name)
    known = options_of(kind)
    check_options(f"score {name!r}", options, known)
    for option, default in known.items():
        if default is MISSING and option not in options:
            raise ArgumentError(f"score {name!r} needs {option}=, such as '{name}:{option}=3'")
    return kind(**options)


def default_score(data: Data) -> Score:
    """Return the score that `unseen.prune` chooses by where none is named."""
    return resolve("el2n" if data.targets is None else "loss")


def listed(scores: str | Score | Iterable[str | Score]) -> list[str | Score]:
    """Return one score, or several, as a list."""
    several = isinstance(scores, Iterable) and not isinstance(scores, (str, Score, type))
    return list(scores) if several else [scores]  # type: ignore[arg-type,list-item]  # `resolve` refuses anything else


def describe_all() -> list[dict[str, Any]]:
    """Describe all scores, one dictionary each: name, direction, range, needs, state, options, formula, source.

    >>> describe_all()[0]["name"], describe_all()[0]["direction"]
    ('el2n', 'harder when higher')
    """
    return [
        {
            "name": name,
            "direction": meaning(kind.direction),
            "range": (kind.low, kind.high),
            "needs": sorted(kind.needs),
            "sides": list(kind.sides),
            "label_free": kind.label_free,
            "state": kind.state,
            "options": {key: "required" if value is MISSING else value for key, value in options_of(kind).items()},
            "formula": kind.formula,
            "source": kind.source,
        }
        for name, kind in SCORES.items()
    ]
