"""The coresets to be evaluated, from whatever names them, checked against the data set that they were chosen from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unseen import runs
from unseen.errors import ArgumentError, DataError
from unseen.evaluating.arms import BASELINES
from unseen.evaluating.prices import Price, of_run, total
from unseen.protocols import Data
from unseen.types import Coreset

__all__ = ["Candidates", "Chosen"]

SAME_DATA = ("n", "kind", "sample_shape", "classes", "labels", "ids", "sample")  # of a fingerprint

Chosen = Coreset | str | Path  # a coreset, or the run or the file that holds one


@dataclass(frozen=True, eq=False)
class Candidates:
    """The coresets by name.

    Args:
        coresets: name to the coresets of one method.
        prices: name to what choosing one of them cost, where it is known.

    """

    coresets: dict[str, list[Coreset]]
    prices: dict[str, Price]

    @classmethod
    def of(cls, coresets: Any, data: Data, replicates: int) -> Candidates:
        """From one coreset, or several by name.

        Args:
            coresets: a coreset, a path to a run or to a file that holds one, or name to one or several of these.
            data: what they were chosen from.
            replicates: of each name; a name has at most as many coresets.

        Raises:
            ArgumentError: a name or a number that cannot be.
            DataError: a coreset of other data.

        """
        named = coresets if isinstance(coresets, Mapping) else {"coreset": coresets}
        if not named:
            raise ArgumentError("coresets must name at least one coreset, got none")
        kept, prices = {}, {}
        for name, value in named.items():
            _check_name(name)
            items = list(value) if isinstance(value, (list, tuple)) else [value]
            if not 1 <= len(items) <= replicates:
                raise ArgumentError(
                    f"{name!r} has {len(items)} coresets, which must be 1 to {replicates}, the number of seeds: each "
                    "is trained on at least once"
                )
            kept[name] = [_checked(name, _coreset(item, data), data) for item in items]
            costs = [of_run(Path(item)) for item in items if not isinstance(item, Coreset) and Path(item).is_dir()]
            known = total(cost for cost in costs if cost is not None)
            if known is not None and len(costs) == len(items) and None not in costs:
                prices[name] = known.divided(len(items))
        return cls(kept, prices)


def _check_name(name: object) -> None:
    if not isinstance(name, str) or not name.strip():
        raise ArgumentError(f"the name of a coreset must be a text, got {name!r}")
    if any(name == kind or name.startswith(f"{kind}-") for kind in BASELINES):
        raise ArgumentError(f"the name {name!r} is that of a baseline; call the coreset something else")


def _coreset(item: Chosen, data: Data) -> Coreset:
    if isinstance(item, Coreset):
        return item
    if not isinstance(item, (str, Path)):
        raise ArgumentError(
            f"coresets must be coresets, or paths to a run or a coreset file, got {type(item).__name__}"
        )
    place = Path(item)
    if not place.is_dir():
        loaded = runs.load_file(place)
        if isinstance(loaded, Coreset):
            return loaded
        raise ArgumentError(f"{place} holds scores, not a coreset; choose one by `unseen select`")
    run = runs.RunDirectory(place)
    known: dict[str, Any] = run.manifest().get("fingerprint", {})
    here = data.fingerprint()
    other = [key for key in SAME_DATA if key in known and known[key] != here.get(key)]
    if other:
        raise DataError(
            f"{place} is a run on other data: its {', '.join(other)} differ; give the data that it chose from"
        )
    coreset = run.coreset()
    if coreset is None:
        raise ArgumentError(f"{place} holds no coreset yet: finish it by `unseen resume`, or choose by `unseen select`")
    return coreset


def _checked(name: str, coreset: Coreset, data: Data) -> Coreset:
    same = coreset.n == len(data) and not len(coreset.indices[coreset.indices >= len(data)])
    if not same or not np.array_equal(coreset.ids, data.ids[coreset.indices]):
        raise DataError(
            f"coreset {name!r} is of other data: {len(coreset):,} of {coreset.n:,} samples, but the data set has "
            f"{len(data):,}, or other ids; give the data that it was chosen from"
        )
    return coreset
