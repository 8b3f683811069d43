"""Stores of a run: a directory, which survives a kill at any moment, or memory.

A store keeps bytes and arrays by name. It knows no learner and no score.
"""

from unseen.engine.runs.base import Run
from unseen.engine.runs.directory import RunDirectory, load_file, open_run, seed_of

__all__ = ["Run", "RunDirectory", "load_file", "open_run", "seed_of"]
