"""Find the part of a labelled data set worth training on: every sample is scored by models that never saw it.

The verbs are `score`, `select` and `prune` (both); plans are `folds`, `halves`, `seen`, `leave_one_out` and `Exposure`.
Everything public is listed in `__all__` and imported when it is first used, so that importing `unseen` is cheap.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# Where each public name lives. `__init__.pyi` says the same to type checkers, and a test compares the two.
_HOMES = {
    "Advice": "comparing.advised",
    "ArgumentError": "errors",
    "BudgetError": "errors",
    "Coreset": "types",
    "CorruptFileError": "errors",
    "DataError": "errors",
    "Estimate": "estimating.estimate",
    "Evaluation": "evaluating.evaluated",
    "Exposure": "exposure",
    "ExposureError": "errors",
    "Fit": "exposure",
    "Grown": "growing.api",
    "History": "growing.history",
    "MissingDependencyError": "errors",
    "Observation": "types",
    "Pruned": "pruning",
    "Pruner": "estimator",
    "Recorder": "learners.recorder",
    "RunError": "errors",
    "RunLockedError": "errors",
    "RunMismatchError": "errors",
    "Score": "scores.base",
    "Scored": "pruning",
    "ScoreTable": "types",
    "StorageError": "errors",
    "Sweep": "comparing.curves",
    "UnknownNameError": "errors",
    "UnseenError": "errors",
    "advise": "comparing.advising",
    "coreset": "exposure",
    "embed": "embedding.making",
    "estimate": "estimating.estimate",
    "evaluate": "evaluating.evaluation",
    "export": "exporting.exports",
    "folds": "exposure",
    "grow": "growing.api",
    "halves": "exposure",
    "label_error_share": "pruning",
    "leave_one_out": "exposure",
    "load": "pruning",
    "prune": "pruning",
    "report": "reporting.writing",
    "score": "pruning",
    "seen": "exposure",
    "select": "pruning",
    "sweep": "comparing.sweeping",
}
_ROOMS = ("data", "errors", "exposure", "functional", "learners", "rules", "scores", "types")

__all__ = [*_HOMES, "data", "functional", "learners", "rules"]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        value = getattr(import_module(f"unseen.{_HOMES[name]}"), name)
    elif name in _ROOMS:
        value = import_module(f"unseen.{name}")
    else:
        raise AttributeError(f"module 'unseen' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
