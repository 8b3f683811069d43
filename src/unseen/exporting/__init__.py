"""The export of coresets: as image folders, tables, shards and index files, and into training loops.

A kind of export is a function that writes; `unseen.exporting.api` lists them.
"""

from unseen.exporting.api import CoresetSampler, export, subset

__all__ = ["CoresetSampler", "export", "subset"]
