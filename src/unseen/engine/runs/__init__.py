"""Where a run is kept: in a directory that survives being killed, or in memory.

Bytes and arrays by name. Nothing here knows a learner or a score.
"""

from unseen.engine.runs.base import Run
from unseen.engine.runs.directory import RunDirectory
from unseen.engine.runs.memory import MemoryRun
from unseen.engine.runs.readonly import load_file, open_run, seed_of

__all__ = ["MemoryRun", "Run", "RunDirectory", "load_file", "open_run", "seed_of"]
