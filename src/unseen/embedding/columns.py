"""Tables to vectors without labels: a column a category, numbers standardised, gaps marked."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import numpy.typing as npt

from unseen.embedding.base import Embedding, block_of, whole
from unseen.errors import ArgumentError, DataError
from unseen.protocols import Data
from unseen.types import FloatArray, IntArray

__all__ = ["Columns"]

MOST = 20_000  # columns; beyond, the vectors are hardly what is wanted


class Columns:
    """Columns that hold any text become one column of 0 and 1 for each category, missing being one of them; the others
    are numbers: of mean 0 and variance 1, 0 where one is missing, and one more column that says so.

    Categories, means and variances are fitted on all rows of the data set, and on no label. Order: categories, numbers,
    gaps. Vectors are float32.

    Args:
        rare: categories that fewer rows have are pooled, those of one column in one; 1 pools none.

    """

    labels = "none"

    def __init__(self, rare: int = 10) -> None:
        self.rare = whole("rare", rare)

    def describe(self) -> dict[str, object]:
        """The options."""
        return {"by": "columns", "rare": self.rare}

    def check(self, data: Data) -> None:
        """A table, or vectors."""
        if data.kind not in ("table", "vector"):
            raise ArgumentError(f"by='columns' makes vectors of tables, but this is {data.kind} data")

    def fitted(self, data: Data, seed: int, threads: int = 1) -> Embedding:
        """Categories, means and variances of this table."""
        from sklearn.impute import SimpleImputer
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import OneHotEncoder, StandardScaler

        d, block = data.sample_shape[0], block_of(data, data.sample_shape[0])
        if data.kind == "vector":  # which may be larger than memory
            scaler = StandardScaler()
            for start in range(0, len(data), block):
                scaler.partial_fit(data.take(np.arange(start, min(len(data), start + block))).astype(np.float64))
            return Embedding(d, lambda vectors: scaler.transform(vectors.astype(np.float64)), block)
        table = data.take(np.arange(len(data)))
        text = np.array([any(isinstance(value, str) for value in column) for column in table.T])
        texts, others = np.flatnonzero(text), np.flatnonzero(~text)
        numbers = others[~np.isnan(_floats(table, others)).all(axis=0)]
        categories = OneHotEncoder(
            min_frequency=self.rare, handle_unknown="infrequent_if_exist", sparse_output=False, dtype=np.float32
        )
        # Fitted by themselves: a ColumnTransformer would hold the columns of all rows to be fitted.
        scaled = make_pipeline(StandardScaler(), SimpleImputer(strategy="constant", fill_value=0.0, add_indicator=True))
        parts, width = [], 0
        for columns, model, entries in ((texts, categories, _keys), (numbers, scaled, _floats)):
            if len(columns):
                width += len(model.fit(entries(table, columns)).get_feature_names_out())
                parts.append((columns, model, entries))
        if width > MOST:
            raise DataError(
                f"the table would become {width:,} columns, more than {MOST:,}: too many categories; raise "
                f"rare (now {self.rare}), or leave columns of names and codes out"
            )
        if not width:
            raise DataError("the table holds nothing but missing entries")

        def of(table: npt.NDArray[Any]) -> npt.NDArray[Any]:
            with warnings.catch_warnings():  # of categories that were never seen
                warnings.simplefilter("ignore", UserWarning)
                encoded = [model.transform(entries(table, columns)) for columns, model, entries in parts]
            return np.hstack(encoded).astype(np.float32)

        return Embedding(width, of, block_of(data, width))


def _keys(table: npt.NDArray[Any], columns: IntArray) -> npt.NDArray[Any]:
    """Text (m, k) of categories, in the order of which a missing entry is the first."""
    return np.array([["" if value is None else f"={value}" for value in row] for row in table[:, columns]], object)


def _floats(table: npt.NDArray[Any], columns: IntArray) -> FloatArray:
    """float64 (m, k), NaN where an entry is missing."""
    try:
        return np.array(table[:, columns], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"a column of numbers must hold numbers throughout, but this data set holds other entries than the one "
            f"that the embedding was fitted on: {error}"
        ) from error
