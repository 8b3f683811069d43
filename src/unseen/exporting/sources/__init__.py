"""Where the samples are that exports write: as rows of the user's own files and data sets."""

from unseen.exporting.sources.base import Source
from unseen.exporting.sources.opening import source_of

__all__ = ["Source", "source_of"]
