"""Ready-made scikit-learn learners: each function makes one for a data set."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from unseen.errors import DataError
from unseen.protocols import Data

__all__ = ["extra_trees", "forest", "hist_gradient_boosting", "logistic", "tfidf"]

MAX_CATEGORIES = 254  # HistGradientBoosting holds 255 bins, one of them for what was not seen in training


def logistic(data: Data) -> Any:
    """Logistic regression on standardised features; tables go through the encoder."""
    return make_pipeline(*_encoder(data), StandardScaler(), LogisticRegression(max_iter=1000))


def forest(data: Data) -> Any:
    """A random forest of 300 trees."""
    return make_pipeline(*_encoder(data), RandomForestClassifier(300))


def extra_trees(data: Data) -> Any:
    """300 extremely randomised trees without bootstrap: they fit their training set exactly."""
    return make_pipeline(*_encoder(data), ExtraTreesClassifier(300))


def hist_gradient_boosting(data: Data) -> Any:
    """Gradient boosting on histograms; categories and missing values are handled as such."""
    categorical, _ = _columns(data)
    model = HistGradientBoostingClassifier(categorical_features=list(range(len(categorical))) or None)
    return make_pipeline(*_encoder(data, fill=False), model)


def tfidf(data: Data) -> Any:
    """Logistic regression on TF-IDF of words and word pairs."""
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(max_iter=1000))


def _columns(data: Data) -> tuple[list[int], list[int]]:
    """Columns of a table that hold text, and that hold numbers; not those without any entry.

    Read from all rows, but no label and no value of theirs goes further.
    """
    if data.kind != "table":
        return [], []
    table = data.take(np.arange(len(data)))
    kinds = [{isinstance(value, str) for value in column if value is not None} for column in table.T]
    for j, kind in enumerate(kinds):
        if len(kind) > 1:
            number = next(r for r, value in enumerate(table[:, j]) if not isinstance(value, (str, type(None))))
            raise DataError(
                f"a column of a table must hold text or numbers, but column {j} holds both: row {number} has "
                f"{table[number, j]}; make it all text, or all numbers"
            )
    return [j for j, kind in enumerate(kinds) if kind == {True}], [j for j, kind in enumerate(kinds) if kind == {False}]


def _encoder(data: Data, *, fill: bool = True) -> list[Any]:
    """Text columns to integers (those first), the others to floats; `fill` puts 0 where a number is missing."""
    if data.kind != "table":
        return []
    text, other = _columns(data)
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=-1,
        encoded_missing_value=-1,
        max_categories=MAX_CATEGORIES,
    )
    numbers = FunctionTransformer(_filled_numbers if fill else _numbers)
    return [ColumnTransformer([("text", encode, text), ("numbers", numbers, other)])]


def _numbers(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(columns, dtype=np.float64)


def _filled_numbers(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    filled: npt.NDArray[Any] = np.nan_to_num(_numbers(columns))
    return filled
