"""The way out: coresets as image folders, tables, shards, index files, and in training loops.

A kind is a function that writes; they are listed in `unseen.exporting.api`.
"""

from unseen.exporting.api import export
from unseen.exporting.training import CoresetSampler, subset

__all__ = ["CoresetSampler", "export", "subset"]
