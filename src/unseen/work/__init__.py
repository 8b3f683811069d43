"""A data set, a learner and an executor, made ready once: what every verb sets to work, to score or to test."""

from unseen.work.ready import Fix, Work
from unseen.work.reports import Report
from unseen.work.scorings import Asked
from unseen.work.setup import Groups
from unseen.work.trainings import Outcome, Training

__all__ = ["Asked", "Fix", "Groups", "Outcome", "Report", "Training", "Work"]
