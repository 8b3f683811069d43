"""Scores of every sample, as measured."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from unseen.core.arrays import Arrays, FloatArray, IdArray, IntArray, as_integers, unmasked
from unseen.core.coreset import Coreset
from unseen.core.files import as_arrow, as_pandas, read_parquet, write_parquet
from unseen.core.observation import DIRECTIONS, Direction, meaning
from unseen.errors import ArgumentError, UnknownNameError, some

__all__ = ["OWN_COLUMNS", "ScoreTable"]

_ENOUGH = 200_000  # samples, which tell a correlation to 0.002
_SPLITS = 10  # of the repeats in two
_SKEWED = 2.0  # the skewness of an exponential distribution
OWN_COLUMNS = ("id", "label", "fold", "mean_confidence", "prediction")  # of a score table, beside the scores


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of every sample, raw, as measured: keyed by id, in dataset order.

    Args:
        ids: (n,) integer or text.
        labels: int64 (n,).
        class_names: the C names.
        folds: int32 (R, n), the fold of each sample in each repeat; -1 where it was not scored.
        values: name to float64 (R, n), one row a repeat (or one row for scores joined over all repeats).
        directions: name to `"harder"`, `"easier"` or `"worth"`: what a high value means.
        mean_confidence: float64 (n,) mean probability of the label over observed epochs and repeats, or None.
        predictions: int64 (n,) class predicted by the first repeat's final model, or None; -1 where no model judged the
            sample, or one that was trained on an exact copy of it, as may be when growing.
        provenance: where the scores come from (plan, learner, seed, fingerprint), as JSON.

    >>> table = ScoreTable.of("el2n", [0.3, 1.2, 0.1], direction="harder")
    >>> table
    ScoreTable(3 samples, 1 repeat; el2n: harder when higher, 0.1 .. 1.2)
    >>> table.column("el2n").tolist()
    [0.3, 1.2, 0.1]

    """

    ids: IdArray
    labels: IntArray
    class_names: tuple[str, ...]
    folds: npt.NDArray[np.int32]
    values: dict[str, FloatArray]
    directions: dict[str, Direction]
    mean_confidence: FloatArray | None = None
    predictions: IntArray | None = None
    provenance: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        name: str,
        values: npt.ArrayLike,
        *,
        direction: Direction,
        labels: npt.ArrayLike | None = None,
        ids: npt.ArrayLike | None = None,
        mean_confidence: npt.ArrayLike | None = None,
    ) -> Self:
        """A table of one score from a bare array (n,) or (R, n), all in one fold."""
        rows = np.atleast_2d(np.asarray(unmasked(values, name), dtype=np.float64))
        n = rows.shape[1]
        own_labels = np.zeros(n, np.int64) if labels is None else as_integers(labels, "labels")
        return cls(
            ids=np.arange(n) if ids is None else _ids(ids),
            labels=own_labels,
            class_names=tuple(str(c) for c in range(int(own_labels.max(initial=0)) + 1)),
            folds=np.zeros((len(rows), n), np.int32),
            values={name: rows},
            directions={name: direction},
            mean_confidence=None if mean_confidence is None else np.asarray(mean_confidence, dtype=np.float64),
        )

    @classmethod
    def unscored(cls, ids: IdArray, labels: IntArray, class_names: tuple[str, ...]) -> Self:
        """A table without a score, for rules that read none.

        >>> ScoreTable.unscored(np.arange(2), np.array([0, 1]), ("cat", "dog")).scores
        ()
        """
        return cls(ids, labels, class_names, np.zeros((1, len(ids)), np.int32), values={}, directions={})

    def __post_init__(self) -> None:
        n = len(self.ids)
        columns: dict[str, npt.NDArray[Any]] = {"labels": self.labels, "folds": self.folds.T, **_columns(self.values)}
        for name, array in columns.items():
            if len(array) != n:
                raise ArgumentError(f"{name} must have one entry for each of the {n} ids, got {len(array)}")
        if not _all_different(np.asarray(self.ids)):
            values, counts = np.unique(self.ids, return_counts=True)
            raise ArgumentError(f"ids must be unique, but these occur twice: {some(values[counts > 1].tolist())}")
        for name in self.values:
            if name in OWN_COLUMNS:
                raise ArgumentError(f"a score must not be named {name!r}, which the table itself has; rename it")
        for name, direction in self.directions.items():
            if direction not in DIRECTIONS:
                raise ArgumentError(f"direction of {name!r} must be one of {DIRECTIONS}, got {direction!r}")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def scores(self) -> tuple[str, ...]:
        """The names of the scores it holds."""
        return tuple(self.values)

    def __getitem__(self, name: str) -> ScoreTable:
        """The same table with one score only."""
        return replace(self, values={name: self._repeats(name)}, directions={name: self.directions[name]})

    def take(self, rows: IntArray) -> ScoreTable:
        """The table of these samples only, in that order."""
        return replace(
            self,
            ids=self.ids[rows],
            labels=self.labels[rows],
            folds=self.folds[:, rows],
            values={name: values[:, rows] for name, values in self.values.items()},
            mean_confidence=None if self.mean_confidence is None else self.mean_confidence[rows],
            predictions=None if self.predictions is None else self.predictions[rows],
        )

    def direction(self, name: str) -> Direction:
        """What a high value of this score means."""
        self._repeats(name)  # an unknown name is an error that lists the nearest
        return self.directions[name]

    def _repeats(self, name: str) -> FloatArray:
        if name not in self.values:
            raise UnknownNameError("score of this table", name, self.values)
        return self.values[name]

    def column(self, name: str) -> FloatArray:
        """The score of each sample, float64 (n,): the mean over repeats."""
        return _nan_mean(self._repeats(name))

    def spread(self, name: str) -> FloatArray:
        """Standard deviation (n - 1) over repeats, float64 (n,); NaN where fewer than two scored the sample."""
        values = self._repeats(name)
        times = np.isfinite(values).sum(axis=0)
        deviations = np.nansum((values - _nan_mean(values)) ** 2, axis=0)
        spread: FloatArray = np.sqrt(deviations / np.where(times > 1, times - 1, np.nan))
        return spread

    def reliability(self, name: str) -> float:
        """Rank correlation to expect between this mean and that of another such scoring; NaN with one repeat.

        Measured on halves, the mean of R / 2 repeats against the mean of as many others, and extended to R. The odds
        rho / (1 - rho) of a mean of m repeats grow as m does (Spearman and Brown) where errors are normal, and more
        slowly, as a power of m, where scores are skewed: a single large error decides a mean. The power is measured
        from quarters to halves as far as it stands out of the noise; two repeats do not tell it (`reliability_note`).
        Where halves have nothing in common, there is nothing to extend, and their correlation itself is given.
        """
        values = self._scored_always(name)
        repeats, n = values.shape
        if repeats < 2 or n < 2 or (np.ptp(values, axis=1) == 0).any():
            return float("nan")
        half, less = repeats // 2, max(1, repeats // 4)
        rho = _agreement(values, half, half)
        before = rho
        if repeats == 3:  # a mean of two, from how well it agrees with the third
            half, before = 2, rho
            rho = _agreement(values, 1, 2) ** 2 / before if before > 0 else before
        elif less < half:
            before = _agreement(values, less, less)
        if not (0 < before < 1 and 0 < rho < 1):
            return float(min(rho, 1.0))
        power = 1.0
        if less < half:
            grown = np.log(half / less)
            short = 1 - (np.log(rho / (1 - rho)) - np.log(before / (1 - before))) / grown
            noise = (((1 + rho) / rho) ** 2 + ((1 + before) / before) ** 2) / n / grown**2
            power -= min(1.0, max(0.0, short - noise / short)) if short > 0 else 0.0
        odds = rho / (1 - rho) * (repeats / half) ** power
        return float(odds / (1 + odds))

    def reliability_note(self, name: str) -> str:
        """What to say beside `reliability`: of two repeats of skewed scores, that it is likely too high; else ""."""
        from scipy.stats import skew

        values = self._scored_always(name)
        if len(values) != 2 or values.shape[1] < 3 or not (np.abs(skew(values, axis=1)) > _SKEWED).any():
            return ""
        return "likely too high, as the scores are skewed: three repeats tell"

    def _scored_always(self, name: str) -> FloatArray:
        """The score in every repeat of samples that all repeats scored, of every k-th of them if they are very many."""
        values = self._repeats(name)
        values = values[:, np.isfinite(values).all(axis=0)]
        return values[:, :: 1 + values.shape[1] // _ENOUGH]

    def __repr__(self) -> str:
        repeats = len(self.folds)
        lines = [f"{len(self):,} samples, {repeats} repeat{'s' if repeats != 1 else ''}"]
        for name in self.values:
            column = self.column(name)
            known = column[~np.isnan(column)]
            low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            lines.append(f"{name}: {meaning(self.directions[name])}, {low:.4g} .. {high:.4g}")
        return f"ScoreTable({'; '.join(lines)})"

    def _repr_html_(self) -> str:
        from unseen.core.cards import of_table

        return of_table(self)

    def to_columns(self) -> dict[str, npt.NDArray[Any]]:
        """Every column by name, as `save` writes them.

        `id`, `label`, `fold`, then a score under its own name (mean over repeats); with several repeats also
        `<score>.std` and, for each repeat r, `fold.<r>` and `<score>.<r>`; `mean_confidence` and `prediction`.
        """
        columns: dict[str, npt.NDArray[Any]] = {"id": self.ids, "label": self.labels}
        columns.update(_numbered("fold", self.folds))
        for name, values in self.values.items():
            columns[name] = self.column(name)
            if len(values) > 1:
                columns[f"{name}.std"] = self.spread(name)
                columns.update(_numbered(name, values))
        if self.mean_confidence is not None:
            columns["mean_confidence"] = self.mean_confidence
        if self.predictions is not None:
            columns["prediction"] = self.predictions
        return columns

    def to_arrow(self, coreset: Coreset | None = None) -> Any:
        """A table of Arrow: the columns of `to_columns`, with class names for labels and predictions.

        Args:
            coreset: one of these samples; adds the column `kept`.

        """
        names = np.array(self.class_names, dtype=object)
        columns: dict[str, Any] = self.to_columns()
        columns["label"] = names[self.labels]
        if self.predictions is not None:
            # A sample without a prediction, -1, has none here.
            columns["prediction"] = np.append(names, [None])[self.predictions]
        if coreset is not None:
            if coreset.n != len(self) or not np.array_equal(self.ids[coreset.indices], coreset.ids):
                raise ArgumentError(f"coreset must be of the {len(self):,} samples of this table; it is of others")
            columns["kept"] = coreset.mask
        return as_arrow(columns)

    def to_pandas(self, coreset: Coreset | None = None) -> Any:
        """A frame of pandas: the columns of `to_arrow`; its index are the ids, which may be your frame's own index.

        Args:
            coreset: one of these samples; adds the column `kept`.

        Raises:
            MissingDependencyError: pandas is not installed.

        """
        return as_pandas(self.to_arrow(coreset))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The samples one by one, as rows by column: `pandas.DataFrame(table)` reads them so."""
        return iter(self.to_arrow().to_pylist())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Hand the columns of `to_arrow` to whoever reads Arrow: `polars.DataFrame(table)`, `pyarrow.table(table)`."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def save(self, path: str | Path) -> Path:
        """Write a parquet file; what the columns mean is in its metadata, as JSON under the key `unseen`."""
        about = {
            "kind": "scores",
            "class_names": list(self.class_names),
            "scores": list(self.values),  # JSON sorts keys, and the first score is the default of `select`
            "directions": self.directions,
            "repeats": {name: len(values) for name, values in self.values.items()},
            "fold_repeats": len(self.folds),
            "reliability": {name: _finite(self.reliability(name)) for name in self.values},
            "provenance": self.provenance,
        }
        return write_parquet(Path(path), self.to_columns(), about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what `save` wrote."""
        columns, about = read_parquet(Path(path), "scores")
        return cls(
            ids=columns["id"],
            labels=columns["label"],
            class_names=tuple(about["class_names"]),
            folds=_gathered("fold", about["fold_repeats"], columns).astype(np.int32),
            values={name: _gathered(name, about["repeats"][name], columns) for name in about["scores"]},
            directions={name: about["directions"][name] for name in about["scores"]},
            mean_confidence=columns.get("mean_confidence"),
            predictions=columns.get("prediction"),
            provenance=about["provenance"],
        )


def _agreement(values: FloatArray, of: int, with_: int) -> float:
    """The rank correlation of the mean of so many repeats with the mean of so many others, over splits in a circle."""
    from scipy.stats import rankdata

    repeats = len(values)
    found = []
    for start in range(0, repeats, -(-repeats // _SPLITS)):
        turned = np.roll(values, -start, axis=0)
        means = turned[:of].mean(axis=0), turned[of : of + with_].mean(axis=0)
        one, other = (rankdata(mean) - (len(mean) + 1) / 2 for mean in means)
        scale = np.sqrt((one @ one) * (other @ other))
        found.append(one @ other / scale if scale else 0.0)
    return float(np.mean(found))


def _ids(ids: npt.ArrayLike) -> IdArray:
    """Numbers as int64, text as it is."""
    own = np.asarray(unmasked(ids, "ids"))
    return as_integers(own, "ids") if own.dtype.kind in "buf" else own


def _all_different(ids: IdArray) -> bool:
    # The usual ids ascend and need no look at all of them at once; else sorting 1e7 is 20 times faster than np.unique.
    if bool((ids[1:] > ids[:-1]).all()):
        return True
    ordered = np.sort(ids)
    return bool((ordered[1:] != ordered[:-1]).all())


def _nan_mean(values: FloatArray) -> FloatArray:
    """The mean over repeats of those that scored a sample, NaN where none did."""
    times = (~np.isnan(values)).sum(axis=0)
    mean: FloatArray = np.nansum(values, axis=0) / np.where(times > 0, times, np.nan)
    return mean


def _numbered(name: str, rows: npt.NDArray[Any]) -> dict[str, npt.NDArray[Any]]:
    if len(rows) == 1:
        return {name: rows[0]}
    return {f"{name}.{r}": row for r, row in enumerate(rows)}


def _gathered(name: str, repeats: int, columns: Arrays) -> npt.NDArray[Any]:
    return np.stack([columns[name]] if repeats == 1 else [columns[f"{name}.{r}"] for r in range(repeats)])


def _columns(values: Mapping[str, FloatArray]) -> dict[str, npt.NDArray[Any]]:
    return {name: rows.T for name, rows in values.items()}


def _finite(value: float) -> float | None:
    return value if np.isfinite(value) else None
