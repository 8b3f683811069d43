"""Find the part of a labelled data set worth training on: every sample is scored by models that never saw it.

Verbs: `score`, `select` and `prune` (both in one); `grow` in several steps; `evaluate`, `sweep`, `advise` and
`estimate`; `embed`, `export`, `report` and `load`. Plans: `folds`, `halves`, `seen`, `leave_one_out`, `coreset` and
`Exposure`. Every public name is in `__all__` and imported when it is first used, so that importing `unseen` is cheap.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

# The module of each public name. `__init__.pyi` holds the same for type checkers, and a test compares the two.
_HOMES = {
    "Advice": "evaluating.advise",
    "ArgumentError": "errors",
    "BudgetError": "errors",
    "Coreset": "core.coreset",
    "CorruptFileError": "errors",
    "DataError": "errors",
    "Estimate": "evaluating.estimate",
    "Evaluation": "evaluating.result",
    "Exposure": "core.exposure",
    "ExposureError": "errors",
    "Fit": "core.exposure",
    "Grown": "growing",
    "History": "core.coreset",
    "MissingDependencyError": "errors",
    "Observation": "core.exposure",
    "Pruned": "pruning",
    "Pruner": "sklearn_api",
    "Recorder": "integrations.recorder",
    "RunError": "errors",
    "RunLockedError": "errors",
    "RunMismatchError": "errors",
    "Score": "scores.streaming",
    "Scored": "pruning",
    "ScoreTable": "core.table",
    "StorageError": "errors",
    "Sweep": "evaluating.sweep",
    "UnknownNameError": "errors",
    "UnseenError": "errors",
    "advise": "evaluating.advise",
    "coreset": "core.plans",
    "embed": "embedding.api",
    "estimate": "evaluating.estimate",
    "evaluate": "evaluating.evaluation",
    "export": "exporting.api",
    "folds": "core.plans",
    "grow": "growing",
    "halves": "core.plans",
    "label_error_share": "pruning",
    "leave_one_out": "core.plans",
    "load": "pruning",
    "prune": "pruning",
    "report": "reporting.page",
    "score": "pruning",
    "seen": "core.plans",
    "select": "pruning",
    "sweep": "evaluating.sweep",
}
_ROOMS = ("data", "errors", "functional", "learners", "rules", "scores")

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
    return sorted([*__all__, "__version__"])
