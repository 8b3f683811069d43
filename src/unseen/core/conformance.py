"""How the conformance tests of scores, rules, learners and data sets check a rule and say which one is broken."""

from __future__ import annotations

import json
from copy import deepcopy
from multiprocessing.reduction import ForkingPickler
from typing import TypeVar

from unseen.core.protocols import Data, Learner

T = TypeVar("T")


def ensure(condition: object, of: object, rule: str, got: object = "") -> None:
    """Raise an AssertionError that names whose rule is broken, unless the condition holds."""
    if not condition:
        raise AssertionError(f"{_name(of)}: {rule}" + (f", got {got}" if str(got) != "" else ""))


def as_json(of: object, rule: str, value: object) -> str:
    """Write a value as JSON with sorted keys; raise an AssertionError for a value that JSON cannot hold."""
    try:
        return json.dumps(value, sort_keys=True, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise AssertionError(f"{_name(of)}: {rule} is JSON, got {error}") from error


def sent_away(value: T) -> T:
    """Return the copy of a value that another process would get; raise an AssertionError if it cannot be sent."""
    try:
        ForkingPickler.dumps(value)
        return deepcopy(value)
    except Exception as error:
        raise AssertionError(f"{_name(value)}: travels to other processes, got {error}") from error


def _name(of: object) -> str:
    if hasattr(of, "pick"):  # this module must not import the classes of rules and scores
        return f"rule {getattr(of, 'name', None)}"
    if isinstance(of, Learner) or hasattr(of, "direction"):
        return f"{'learner' if isinstance(of, Learner) else 'score'} {getattr(of, 'name', None)!r}"
    return f"data set {type(of).__name__}" if isinstance(of, Data) else type(of).__name__
