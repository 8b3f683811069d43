"""Importing torch for the first time."""

from __future__ import annotations

import os
import sys

from unseen.errors import MissingDependencyError

__all__ = ["load_torch"]

SPINS = "1000"  # of GNU's OpenMP, whose default is 300,000


def load_torch() -> None:
    """Import torch with threads that soon sleep while they wait for each other, unless it is loaded already.

    By default they spin for long. Beside other busy processes that made a step of the small convnet on two threads up
    to fifteen times slower than on one; a short spin costs nothing on a quiet machine and little on a busy one. OpenMP
    reads its setting once, when it is loaded, so the environment is left as it was; a setting of the user's own
    (`OMP_WAIT_POLICY`, `GOMP_SPINCOUNT`) is respected.

    Raises:
        MissingDependencyError: torch is not installed.

    """
    if "torch" in sys.modules:
        return
    own = {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys()
    if not own:
        os.environ["GOMP_SPINCOUNT"] = SPINS
    try:
        import torch  # noqa: F401
    except ImportError as error:
        raise MissingDependencyError("torch", "the torch learner", "torch") from error
    finally:
        if not own:
            del os.environ["GOMP_SPINCOUNT"]
