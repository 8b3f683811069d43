"""Executors run jobs: in this process, in worker processes or on Ray.

A job is a fit with its learner and an opaque sink for observations. An executor does not know the scores.
"""

from unseen.core.threads import default_threads
from unseen.engine.executors.base import Executor, Job, ResultSink
from unseen.engine.executors.local import LocalExecutor
from unseen.engine.executors.ray import RayExecutor
from unseen.engine.executors.registry import resolve

__all__ = ["Executor", "Job", "LocalExecutor", "RayExecutor", "ResultSink", "default_threads", "resolve"]
