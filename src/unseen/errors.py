"""The errors that `unseen` raises on purpose, `warn`, by which it warns, and the import of optional packages.

    UnseenError
    ├── ArgumentError (also ValueError)      an argument breaks its rule
    │   ├── BudgetError                      keep/prune, quotas, cutoffs that cannot be met
    │   └── UnknownNameError                 no score, rule or learner of that name
    │       └── UnknownArgumentError         no argument of that name (also TypeError)
    ├── DataError (also ValueError)          the data set itself is wrong
    ├── ExposureError                        a sample would be scored by a model that saw it
    ├── MissingDependencyError (ImportError) an optional package is not installed
    ├── WorkerError                          a worker process died, or its error cannot be sent to this process
    └── RunError                             a run directory cannot be used
        ├── RunMismatchError                 it belongs to other data, seed, plan or recipe
        ├── RunLockedError                   another process is working in it
        ├── CorruptFileError                 a file in it is damaged
        └── StorageError                     it cannot be written (space, permissions)

A message names the argument, the rule, the value it got and, where there is one, the fix.
"""

from __future__ import annotations

import re
import sys
import warnings
from collections.abc import Iterable
from difflib import get_close_matches
from importlib import import_module
from types import FrameType
from typing import Any

__all__ = [
    "ArgumentError",
    "BudgetError",
    "CorruptFileError",
    "DataError",
    "ExposureError",
    "MissingDependencyError",
    "RunError",
    "RunLockedError",
    "RunMismatchError",
    "StorageError",
    "UnknownArgumentError",
    "UnknownNameError",
    "UnseenError",
    "WorkerError",
    "import_optional",
    "some",
    "warn",
]


# The `repr` of NumPy 2 scalars, such as np.int64(2) and np.str_('a'): messages show 2 and 'a', as the user wrote them.
_NUMPY = re.compile(r"\bnp\.(?:str_|bool|u?int\d+|(?:long)?(?:float|double)\d*)\(([^()]*)\)")


class UnseenError(Exception):
    """The base class of all errors that are raised on purpose."""

    def __str__(self) -> str:
        return _NUMPY.sub(r"\1", super().__str__())


class ArgumentError(UnseenError, ValueError):
    """An argument breaks its rule."""


class BudgetError(ArgumentError):
    """A budget, quota or cutoff that cannot be met exactly."""


class UnknownNameError(ArgumentError):
    """There is no entry of that name; the message lists the nearest ones.

    >>> str(UnknownNameError("option of rule 'top'", "sed", ["seed"]))
    "rule 'top' has no option 'sed'; did you mean 'seed'?"
    """

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(set(known))
        folded = {entry.casefold(): entry for entry in known}
        near = [folded[one] for one in get_close_matches(str(name).casefold(), folded, n=3, cutoff=0.5)]
        hint = f"did you mean {' or '.join(map(repr, near))}?" if near else f"known: {', '.join(known) or 'none'}"
        what, _, owner = kind.partition(" of ")
        super().__init__(f"{owner} has no {what} {name!r}; {hint}" if owner else f"unknown {kind} {name!r}; {hint}")
        self.name = name


# Arguments of other libraries, and options that belong to the learner, each with a hint.
_ELSEWHERE = {
    "random_state": "did you mean 'seed'?",
    "n_jobs": "did you mean 'jobs'?",
    **dict.fromkeys(("model", "estimator", "clf", "classifier"), "did you mean 'learner'?"),
    **dict.fromkeys(("fraction", "frac", "ratio", "n", "n_samples", "size", "budget"), "did you mean 'keep'?"),
    **dict.fromkeys(("cv", "folds", "n_folds", "n_splits"), "did you mean plan='folds:k=5'?"),
    **dict.fromkeys(("method", "strategy"), "did you mean 'rule' or 'score'?"),
    **dict.fromkeys(("test", "test_data", "eval_set"), "a test set is for evaluate, advise and sweep"),
    **dict.fromkeys(
        ("batch", "batch_size", "epochs", "lr", "learning_rate"),
        "options of training are the learner's, as in learner='convnet:epochs=8,batch_size=64'",
    ),
}


class UnknownArgumentError(UnknownNameError, TypeError):
    """A public function has no argument of that name; the message lists the nearest arguments that it has."""

    def __init__(self, verb: str, name: str, known: Iterable[str]) -> None:
        known = list(known)
        super().__init__(f"argument of {verb}", name, known)
        if name in _ELSEWHERE and name not in known:
            self.args = (f"{verb} has no argument {name!r}; {_ELSEWHERE[name]}",)


class DataError(UnseenError, ValueError):
    """The data set itself is wrong: NaN, labels, counts, unreadable files."""


class ExposureError(UnseenError):
    """A sample would be scored by a model that was exposed to it."""


class MissingDependencyError(UnseenError, ImportError):
    """An optional package is needed, but not installed."""

    def __init__(self, package: str, purpose: str, extra: str | None = None) -> None:
        install = f"pip install 'unseen[{extra}]'" if extra else f"pip install {package}"
        super().__init__(f"{purpose} needs the package {package!r}, which is not installed; {install}")


class WorkerError(UnseenError):
    """A worker process died, or raised an error that cannot be sent to this process."""


class RunError(UnseenError):
    """A run directory cannot be used as requested."""


class RunMismatchError(RunError):
    """The directory holds a run of another configuration; the message lists the differences."""


class RunLockedError(RunError):
    """Another process is working in this run directory."""


class CorruptFileError(RunError):
    """A file of the run is damaged and cannot be rebuilt."""


class StorageError(RunError, OSError):
    """The run directory cannot be written: no space left, read-only, not a directory."""


def import_optional(module: str, purpose: str, extra: str | None = None) -> Any:
    """Import a module of an optional package, or say what needs the package and how to install it."""
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("_", "-")
        raise MissingDependencyError(package, purpose, extra) from error


def some(values: Iterable[object], limit: int = 5, *, last: int = 0) -> str:
    """List the first few values for a message, and the last ones if asked.

    >>> some(range(9), 3), some(range(9), 3, last=1)
    ('0, 1, 2, ... (9 in all)', '0, 1, ..., 8 (9 in all)')
    """
    listed = [str(v) for v in values]
    if len(listed) <= limit:
        return ", ".join(listed)
    return f"{', '.join([*listed[: limit - last], '...', *listed[len(listed) - last :]])} ({len(listed)} in all)"


def warn(message: str) -> None:
    """Give a `UserWarning` at the line that called this package, not at a line inside it."""
    # From the outermost frame of ours: others stand between them, such as that of a cached property. Python 3.12 would
    # skip the files of a package, but not those.
    frame: FrameType | None = sys._getframe()
    level, depth = 1, 1
    while frame is not None:
        if f"{frame.f_globals.get('__name__')}.".startswith("unseen."):
            level = depth + 1
        frame, depth = frame.f_back, depth + 1
    warnings.warn(message, UserWarning, stacklevel=level)
