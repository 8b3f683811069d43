"""Importing torch for the first time."""

from __future__ import annotations

import os
import sys

from unseen.errors import MissingDependencyError

__all__ = ["load_torch"]


def load_torch() -> None:
    """Import torch with threads that sleep while they wait for each other, unless it is loaded already.

    By default they spin. Beside any other busy process that made a step of the small convnet on two threads up to
    fifteen times slower than on one; asleep it costs about the same. OpenMP reads its setting once, when it is loaded,
    so the environment is left as it was; a setting of the user's own is respected.

    Raises:
        MissingDependencyError: torch is not installed.

    """
    if "torch" in sys.modules:
        return
    own = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if not own:
        os.environ["OMP_WAIT_POLICY"] = "PASSIVE"
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("torch", "the torch learner", "torch") from error
    finally:
        if not own:
            del os.environ["OMP_WAIT_POLICY"]
