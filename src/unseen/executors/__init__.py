"""Where jobs run. A job is a fit with an opaque sink; which score is asked for is not known here."""

from unseen.executors.base import Executor, Job, ResultSink
from unseen.executors.local import LocalExecutor
from unseen.executors.naming import resolve
from unseen.executors.ray import RayExecutor
from unseen.threads import default_threads

__all__ = ["Executor", "Job", "LocalExecutor", "RayExecutor", "ResultSink", "default_threads", "resolve"]
