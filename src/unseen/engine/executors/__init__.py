"""Where jobs run. A job is a fit with an opaque sink; which score is asked for is not known here."""

from unseen.core.threads import default_threads
from unseen.engine.executors.base import Executor, Job, ResultSink
from unseen.engine.executors.local import LocalExecutor
from unseen.engine.executors.ray import RayExecutor
from unseen.engine.executors.registry import resolve

__all__ = ["Executor", "Job", "LocalExecutor", "RayExecutor", "ResultSink", "default_threads", "resolve"]
