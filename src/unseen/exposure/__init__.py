"""Fits and plans: which samples a model is trained on, and which it is then asked about.

This is the one idea of the package. A `Fit` cannot be made with a sample both in `train` and in `unseen`; every
ordinary score comes from an `unseen` watch set, so a fit that exists is the proof that no sample was scored by a
model that saw it.

Two index spaces, named once: an **id** is the stable name of a sample, a **row** its position in dataset order
(what `torch.utils.data.Subset` takes). Fits hold rows; tables and coresets carry ids. Where the data brings no ids
of its own, id and row are the same number. Folds depend on (seed, id), never on the row.
"""

from unseen.exposure.coresets import Members, coreset
from unseen.exposure.fits import MAX_FITS, Fit, Plan
from unseen.exposure.pairs import Exposure
from unseen.exposure.plans import Folds, LeaveOneOut, Seen, default_plan, folds, halves, leave_one_out, seen
from unseen.exposure.within import Within, at_once

__all__ = [
    "MAX_FITS",
    "Exposure",
    "Fit",
    "Folds",
    "LeaveOneOut",
    "Members",
    "Plan",
    "Seen",
    "Within",
    "at_once",
    "coreset",
    "default_plan",
    "folds",
    "halves",
    "leave_one_out",
    "seen",
]
