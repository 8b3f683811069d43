"""Data in: arrays, files and data sets of other libraries, all as one small protocol (`unseen.types.Data`)."""

from unseen.data.arrays import digits, from_arrays, from_npz
from unseen.data.content import keep_together
from unseen.data.sources import resolve

__all__ = ["digits", "from_arrays", "from_npz", "keep_together", "resolve"]
