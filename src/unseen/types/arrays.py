"""What arrays are called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

__all__ = ["Array", "Arrays", "FloatArray", "IdArray", "IntArray"]

IntArray: TypeAlias = npt.NDArray[np.int64]
FloatArray: TypeAlias = npt.NDArray[np.float64]
IdArray: TypeAlias = npt.NDArray[Any]  # int64 or text, unique
Array: TypeAlias = Any  # a NumPy array or a torch tensor
Arrays: TypeAlias = Mapping[str, npt.NDArray[Any]]
