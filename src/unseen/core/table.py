"""The score table: raw scores of every sample, keyed by id, with repeats, folds, directions and provenance."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from unseen.core.arrays import Arrays, FloatArray, IdArray, IntArray, Named, as_integers, as_numpy, unmasked
from unseen.core.checks import check_known
from unseen.core.coreset import Coreset
from unseen.core.files import as_pandas, read_parquet, write_parquet
from unseen.core.words import many
from unseen.errors import ArgumentError, some

Direction: TypeAlias = Literal["harder", "easier", "worth"]  # what a high value of a score says
DIRECTIONS: tuple[Direction, ...] = ("harder", "easier", "worth")


def meaning(direction: Direction) -> str:
    """Describe a direction in words: `"harder when higher"`."""
    return "worth more when higher" if direction == "worth" else f"{direction} when higher"


_ENOUGH = 200_000  # samples; they give a correlation to within 0.002
_SPLITS = 10  # splits of the repeats into two groups, at most
_SKEWED = 2.0  # skewness of an exponential distribution
OWN_COLUMNS = ("id", "label", "fold", "mean_confidence", "prediction")  # columns of a score table that are no scores


@dataclass(frozen=True, eq=False)
class ScoreTable:
    """Scores of every sample, raw, as measured: keyed by id, in dataset order.

    Args:
        ids: (n,) integer or text.
        labels: int64 (n,).
        class_names: the C names.
        folds: int32 (R, n), the fold of each sample in each repeat; -1 where it was not scored.
        values: name to float64 (R, n), one row a repeat (or one row for a score computed from all repeats at once).
        directions: name to `"harder"`, `"easier"` or `"worth"`: what a high value means.
        mean_confidence: float64 (n,) mean probability of the label over observed epochs and repeats, or None.
        predictions: int64 (n,) class predicted by the final model of the first repeat, or None; -1 if no model judged
            the sample.
        provenance: where the scores come from (plan, learner, seed, fingerprint), as JSON; for a regression target
            also its variance, and the median of its squared distance to its median.

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
        """Make a table of one score from an array (n,) or (R, n), all samples in one fold."""
        rows = np.atleast_2d(np.asarray(unmasked(values, name), dtype=np.float64))
        n = rows.shape[1]
        own_labels = np.zeros(n, np.int64) if labels is None else as_integers(labels, "labels")
        if own_labels.min(initial=0) < 0:
            raise ArgumentError(
                f"labels must count classes from 0, got {own_labels.min()}; np.unique(labels, return_inverse=True)[1] "
                "numbers them"
            )
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
        """Make a table without scores, for rules that read none.

        >>> ScoreTable.unscored(np.arange(2), np.array([0, 1]), ("cat", "dog")).scores
        ()
        """
        return cls(ids, labels, class_names, np.zeros((1, len(ids)), np.int32), values={}, directions={})

    def __post_init__(self) -> None:
        n = len(self.ids)
        columns: Named = {"labels": self.labels, "folds": self.folds.T}
        columns |= {name: rows.T for name, rows in self.values.items()}
        if self.mean_confidence is not None:
            columns["mean_confidence"] = self.mean_confidence
        if self.predictions is not None:
            columns["predictions"] = self.predictions
        for name, array in columns.items():
            if len(array) != n:
                raise ArgumentError(f"{name} must have one entry for each of the {n} ids, got {len(array)}")
        # Ids usually ascend. Otherwise, sorting 1e7 of them is 20 times faster than np.unique.
        ids = np.asarray(self.ids)
        ordered = ids if bool((ids[1:] > ids[:-1]).all()) else np.sort(ids)
        if (ordered[1:] == ordered[:-1]).any():
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
        """The names of the scores in the table."""
        return tuple(self.values)

    @property
    def exposure(self) -> str:
        """`"in-sample"` for scores by models that were trained on the samples, else `"held-out"`."""
        return "in-sample" if self.provenance.get("plan", {}).get("plan") == "seen" else "held-out"

    @property
    def accuracy(self) -> float | None:
        """The share of the judged samples whose label was predicted; None where no sample was judged."""
        if self.predictions is None or not (judged := self.predictions >= 0).any():
            return None
        return float((self.predictions[judged] == self.labels[judged]).mean())

    @property
    def mean_recall(self) -> float | None:
        """The mean over classes of the share of their judged samples that were predicted; None where none was judged.

        >>> table = ScoreTable.of("loss", [0.1, 0.2, 0.3, 2.0], direction="harder", labels=[0, 0, 0, 1])
        >>> table = replace(table, predictions=np.zeros(4, np.int64))
        >>> table.accuracy, table.mean_recall
        (0.75, 0.5)
        """
        if self.predictions is None or not (judged := self.predictions >= 0).any():
            return None
        labels = self.labels[judged]
        counts, right = np.bincount(labels), np.bincount(labels, weights=self.predictions[judged] == labels)
        return float((right[counts > 0] / counts[counts > 0]).mean())

    @property
    def r2(self) -> float | None:
        """R² of the models that scored, by the squared errors in `loss`; None without a target, or without `loss`."""
        if "target" not in self.provenance or "loss" not in self.values:
            return None
        return float(1 - np.nanmean(self.column("loss")) / self.provenance["target"]["variance"])

    @property
    def median_error(self) -> float | None:
        """The distance to the target within which half of the models' predictions are; None where `r2` is."""
        return None if self.r2 is None else float(np.nanmedian(self.column("loss"))) ** 0.5

    def __getitem__(self, name: str) -> ScoreTable:
        """Return the table with this score only."""
        return replace(self, values={name: self._repeats(name)}, directions={name: self.directions[name]})

    def take(self, rows: IntArray) -> ScoreTable:
        """Return the table of these samples only, in that order."""
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
        """Return the direction of a score: what a high value means."""
        self._repeats(name)  # refuse an unknown name
        return self.directions[name]

    def _repeats(self, name: str) -> FloatArray:
        check_known("score of this table", [name], self.values)
        return self.values[name]

    def column(self, name: str) -> FloatArray:
        """Return the score of each sample, float64 (n,): the mean over repeats."""
        return _nan_mean(self._repeats(name))

    def spread(self, name: str) -> FloatArray:
        """Return the standard deviation (n - 1) over repeats, float64 (n,); NaN with fewer than two scores."""
        values = self._repeats(name)
        times = np.isfinite(values).sum(axis=0)
        deviations = np.nansum((values - _nan_mean(values)) ** 2, axis=0)
        spread: FloatArray = np.sqrt(deviations / np.where(times > 1, times - 1, np.nan))
        return spread

    def reliability(self, name: str) -> float:
        """Estimate the rank correlation of this mean score with that of another such scoring; NaN with one repeat.

        The correlation is measured between the means of R / 2 repeats and of R / 2 others, and extrapolated to R. With
        normal errors, the odds rho / (1 - rho) of a mean of m repeats are proportional to m (Spearman and Brown). With
        skewed scores they grow more slowly, as a power of m, since a single large error decides a mean. The power is
        measured from quarters to halves, as far as it exceeds the noise. Two repeats do not determine it
        (`reliability_note`). If the correlation of halves is not positive, it is returned as it is.
        """
        values = self._complete_values(name)
        repeats, n = values.shape
        if repeats < 2 or n < 2 or (np.ptp(values, axis=1) == 0).any():
            return float("nan")
        half, less = repeats // 2, max(1, repeats // 4)
        rho = _agreement(values, half, half)
        before = rho
        if repeats == 3:  # the correlation of means of two, from the one of a mean of two with the third
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
        """Return a caveat for `reliability`: that two repeats of skewed scores make it too high; else ""."""
        from scipy.stats import skew

        values = self._complete_values(name)
        if len(values) != 2 or values.shape[1] < 3 or not (np.abs(skew(values, axis=1)) > _SKEWED).any():
            return ""
        return "likely too high, as the scores are skewed; three repeats give a better estimate"

    def _complete_values(self, name: str) -> FloatArray:
        """Return the scores (R, m) of samples that all repeats scored, every k-th of them if there are very many."""
        values = self._repeats(name)
        values = values[:, np.isfinite(values).all(axis=0)]
        return values[:, :: 1 + values.shape[1] // _ENOUGH]

    def __repr__(self) -> str:
        repeats = len(self.folds)
        lines = [f"{len(self):,} samples, {many(repeats, 'repeat')}"]
        for name in self.values:
            column = self.column(name)
            known = column[~np.isnan(column)]
            low, high = (known.min(), known.max()) if len(known) else (np.nan, np.nan)
            lines.append(f"{name}: {meaning(self.directions[name])}, {low:.4g} .. {high:.4g}")
        return f"ScoreTable({'; '.join(lines)})"

    def _repr_html_(self) -> str:
        from unseen.core.cards import of_table

        return of_table(self)

    def to_columns(self) -> Named:
        """Return the columns that `save` writes, by name.

        These are `id`, `label`, `fold`, and each score under its own name (mean over repeats); with several repeats
        also `<score>.std` and, for each repeat r, `fold.<r>` and `<score>.<r>`; `mean_confidence` and `prediction`.
        """
        columns: Named = {"id": self.ids, "label": self.labels}
        columns.update(_number_columns("fold", self.folds))
        for name, values in self.values.items():
            columns[name] = self.column(name)
            if len(values) > 1:
                columns[f"{name}.std"] = self.spread(name)
                columns.update(_number_columns(name, values))
        if self.mean_confidence is not None:
            columns["mean_confidence"] = self.mean_confidence
        if self.predictions is not None:
            columns["prediction"] = self.predictions
        return columns

    def to_arrow(self, coreset: Coreset | None = None) -> Any:
        """Return an Arrow table: the columns of `to_columns`, with class names for labels and predictions.

        A coreset of these samples adds the column `kept`.
        """
        names = np.array(self.class_names, dtype=object)
        columns: dict[str, Any] = self.to_columns()
        columns["label"] = names[self.labels]
        if self.predictions is not None:
            # Index -1, no prediction, is the None at the end.
            columns["prediction"] = np.append(names, [None])[self.predictions]
        if coreset is not None:
            if coreset.n != len(self) or not np.array_equal(self.ids[coreset.indices], coreset.ids):
                raise ArgumentError(f"coreset must be of the {len(self):,} samples of this table; it is of others")
            columns["kept"] = coreset.mask
        return pa.table(columns)

    def to_pandas(self, coreset: Coreset | None = None) -> Any:
        """Return a pandas frame: the columns of `to_arrow`, indexed by id, which may be the index of your own frame."""
        return as_pandas(self.to_arrow(coreset))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Iterate over the samples as dictionaries by column; `pandas.DataFrame(table)` reads them."""
        return iter(self.to_arrow().to_pylist())

    def __arrow_c_stream__(self, requested_schema: object = None) -> object:
        """Export the columns of `to_arrow` to readers of Arrow: `polars.DataFrame(table)`, `pyarrow.table(table)`."""
        return self.to_arrow().__arrow_c_stream__(requested_schema)

    def save(self, path: str | Path) -> Path:
        """Write a parquet file; its metadata describes the columns, as JSON under the key `unseen`."""
        reliability = {name: self.reliability(name) for name in self.values}
        about = {
            "kind": "scores",
            "class_names": list(self.class_names),
            "scores": list(self.values),  # JSON sorts keys, and the first score is the default of `select`
            "directions": self.directions,
            "repeats": {name: len(values) for name, values in self.values.items()},
            "fold_repeats": len(self.folds),
            "reliability": {name: value if np.isfinite(value) else None for name, value in reliability.items()},
            "provenance": self.provenance,
        }
        return write_parquet(Path(path), self.to_columns(), about)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file of `save`."""
        columns, about = read_parquet(Path(path), "scores")
        return cls(
            ids=columns["id"],
            labels=columns["label"],
            class_names=tuple(about["class_names"]),
            folds=_gather_columns("fold", about["fold_repeats"], columns).astype(np.int32),
            values={name: _gather_columns(name, about["repeats"][name], columns) for name in about["scores"]},
            directions={name: about["directions"][name] for name in about["scores"]},
            mean_confidence=columns.get("mean_confidence"),
            predictions=columns.get("prediction"),
            provenance=about["provenance"],
        )


def _agreement(values: FloatArray, one: int, other: int) -> float:
    """Correlate the ranks of the mean of `one` repeats and of the mean of `other` ones; average over rotations."""
    from scipy.stats import rankdata

    repeats = len(values)
    correlations = []
    for start in range(0, repeats, -(-repeats // _SPLITS)):
        rotated = np.roll(values, -start, axis=0)
        means = rotated[:one].mean(axis=0), rotated[one : one + other].mean(axis=0)
        a, b = (rankdata(mean) - (len(mean) + 1) / 2 for mean in means)
        scale = np.sqrt((a @ a) * (b @ b))
        correlations.append(a @ b / scale if scale else 0.0)
    return float(np.mean(correlations))


def _ids(ids: npt.ArrayLike) -> IdArray:
    """Convert numeric ids to int64; text stays as it is."""
    own = as_numpy(ids, "ids")
    return as_integers(own, "ids") if own.dtype.kind in "buf" else own


def _nan_mean(values: FloatArray) -> FloatArray:
    """Compute the mean over the repeats that scored a sample, NaN where none did."""
    times = (~np.isnan(values)).sum(axis=0)
    mean: FloatArray = np.nansum(values, axis=0) / np.where(times > 0, times, np.nan)
    return mean


def _number_columns(name: str, rows: npt.NDArray[Any]) -> Named:
    if len(rows) == 1:
        return {name: rows[0]}
    return {f"{name}.{r}": row for r, row in enumerate(rows)}


def _gather_columns(name: str, repeats: int, columns: Arrays) -> npt.NDArray[Any]:
    return np.stack([columns[name]] if repeats == 1 else [columns[f"{name}.{r}"] for r in range(repeats)])
