"""A part of a data set as a data set: a split set aside, and what remains."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from unseen import seeds
from unseen.data.fingerprint import digest
from unseen.errors import ArgumentError
from unseen.exposure.dealing import assign_folds
from unseen.protocols import Data, check_unchanged
from unseen.types import IntArray

__all__ = ["Part", "restricted", "split_off"]


class Part:
    """These rows of a data set, with their ids; row i here is row `rows[i]` there.

    Args:
        whole: the data set.
        rows: int64 (m,).

    """

    def __init__(self, whole: Data, rows: IntArray) -> None:
        self.whole = whole
        self.rows = np.asarray(rows, dtype=np.int64)
        self.ids = whole.ids[self.rows]
        self.labels = whole.labels[self.rows]
        self.class_names = whole.class_names
        self.label_values = getattr(whole, "label_values", None)
        self.kind: Literal["image", "vector", "table", "text"] = whole.kind
        self.sample_shape = whole.sample_shape
        self.dtype: np.dtype[Any] = whole.dtype
        self.groups = None if whole.groups is None else whole.groups[self.rows]
        self.targets = None if whole.targets is None else whole.targets[self.rows]
        self.in_memory = getattr(whole, "in_memory", True)
        self.notes = getattr(whole, "notes", ())
        self.feature_names = getattr(whole, "feature_names", None)

    def __len__(self) -> int:
        return len(self.rows)

    def take(self, rows: IntArray) -> npt.NDArray[Any]:
        """The inputs of these rows of the part, in that order."""
        return self.whole.take(self.rows[np.asarray(rows)])

    def as_frame(self, rows: IntArray) -> Any:
        """Likewise, as the frame that the whole was made of; None where it was none."""
        as_frame = getattr(self.whole, "as_frame", None)
        return None if as_frame is None else as_frame(self.rows[np.asarray(rows)])

    def as_kept(self, rows: IntArray) -> npt.NDArray[Any]:
        """Likewise, as the whole keeps them; see `Data.take`."""
        return getattr(self.whole, "as_kept", self.whole.take)(self.rows[np.asarray(rows)])

    def check_unchanged(self) -> None:
        """That of the whole."""
        check_unchanged(self.whole)

    def fingerprint(self, *, full: bool = False) -> dict[str, object]:
        """That of the whole, and a digest of the rows."""
        return {"whole": self.whole.fingerprint(full=full), "rows": digest(self.rows)}

    def duplicate_groups(self) -> IntArray | None:
        """int64 (m,) group of each sample, exact copies sharing one."""
        groups = self.whole.duplicate_groups()
        return None if groups is None else np.unique(groups[self.rows], return_inverse=True)[1]


def restricted(data: Data, values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Of one value for each sample of the whole, those of a part; of a data set that is no part, all."""
    return values[data.rows] if isinstance(data, Part) and len(values) == len(data.whole) else values


def split_off(data: Data, share: float, *, seed: int, groups: IntArray | None = None) -> tuple[Part, Part]:
    """The data set less a probe split, and the probe split: stratified by class, a function of (seed, id).

    Copies of a sample, and groups, stay on one side.

    Args:
        data: what to split.
        share: of the samples that go to the probe split, in (0, 0.5]; rounded to one part in 2..100.
        seed: the root seed.
        groups: int64 (n,) samples that stay together; exact copies if not given.

    """
    if not 0 < share <= 0.5:
        raise ArgumentError(f"probe must be a share of the samples in (0, 0.5], got {share!r}")
    parts = min(round(1 / share), 100)
    bound = data.duplicate_groups() if groups is None else groups
    fold = assign_folds(data.ids, data.labels, parts, groups=bound, seed=seeds.derive(seed, "probe"))
    return Part(data, np.flatnonzero(fold != 0)), Part(data, np.flatnonzero(fold == 0))
