"""Any scikit-learn classifier with `predict_proba`, pipelines included.

The estimator is cloned for every fit and sees the training rows only, so vocabularies, imputers and scalers inside a
pipeline are held out with the rest. It sees the labels as the user gave them, so that `class_weight={2: 10}` is of the
class 2 and `priors` are in the order of `classes_`; what it says is put in the order of the classes of the data set.
Probabilities become logits by their logarithm; a probability of zero is raised to
the smallest normal float32 (1.2e-38), so that a loss stays finite (at most 87.3).

Ready-made scikit-learn learners: each function makes one for a data set.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import ExtraTreesClassifier, HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

from unseen.core import seeds
from unseen.core.arrays import IntArray, is_tensor, of_tensor, unmasked
from unseen.core.exposure import Fit
from unseen.core.observation import Observation, Side
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.errors import ArgumentError, DataError, some
from unseen.learners.base import logits_of, refuse_target

__all__ = ["SklearnLearner", "extra_trees", "forest", "hist_gradient_boosting", "logistic", "tfidf"]


BLOCK = 16_384  # rows asked about at a time
ROUNDING = 1e-3  # float16 rounds a probability by half of that
SEED_LIMIT = 2**32  # scikit-learn's random_state ends here
# What estimators raise at data and parameters that they cannot use: NumPy's, SciPy's and Arrow's errors are of these.
_OF_LIBRARIES = (
    ArithmeticError,
    ValueError,
    TypeError,
    IndexError,
    KeyError,
    AttributeError,
    RuntimeError,
    MemoryError,
)
NUMBERED = {"skorch", "xgboost"}  # packages whose classifiers take no labels but 0..C-1
ARRAYS_ONLY = {"skorch"}  # packages whose classifiers make something else of frames


class SklearnLearner(Learner):
    """Learns by a scikit-learn estimator.

    Args:
        estimator: an unfitted classifier with `predict_proba`. Every `random_state` in it that is None gets a seed of
            its own for each fit; one that is set stays.
        made_by: the `module:function` that made it, if one was named. It is told unless it is the class of that name.
        frames: whether it is given the frames that data sets were made of, with their names and types; else arrays.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> SklearnLearner(GaussianNB())
    SklearnLearner(GaussianNB())
    """

    def __init__(self, estimator: Any, made_by: str | None = None, *, frames: bool = True) -> None:
        for method in ("fit", "predict_proba", "get_params"):
            if not (hasattr(estimator, method) or (method == "predict_proba" and _stacks(estimator))):
                raise ArgumentError(
                    f"estimator must have {method}, but {type(estimator).__name__} has none"
                    + ("; wrap it in sklearn.calibration.CalibratedClassifierCV" if method == "predict_proba" else "")
                )
        for name, value in estimator.get_params(deep=True).items():
            if name.rpartition("__")[2] == "random_state" and not isinstance(value, (int, np.integer, type(None))):
                raise ArgumentError(
                    f"{name} must be an integer, or None for a seed of its own in each fit, got {value!r}: the state "
                    "of a generator would differ from run to run"
                )
        self.estimator = estimator
        self.frames = frames and not packages_of(estimator) & ARRAYS_ONLY
        # A pipeline is known by its last step.
        self.name = f"sklearn:{type(getattr(estimator, 'steps', [(0, estimator)])[-1][1]).__name__}"
        told = made_by is not None and made_by.rpartition(":")[2] != self.name.removeprefix("sklearn:")
        self.made_by = made_by if told else None

    def __repr__(self) -> str:
        return f"SklearnLearner({self.estimator!r})"

    def describe(self) -> dict[str, object]:
        """The estimator's class, every parameter, and the function that made it."""
        params = self.estimator.get_params(deep=True)
        about: dict[str, object] = {
            "learner": self.name,
            "params": {name: _plain(params[name]) for name in sorted(params)},
        }
        return about if self.made_by is None else {**about, "made_by": self.made_by}

    def check(self, data: Data) -> None:
        """At least two classes."""
        refuse_target(data, f"{self.name} learns classes")
        if len(np.unique(data.labels)) < 2:
            raise DataError(
                f"a classifier needs at least 2 classes, but every label is {data.class_names[data.labels[0]]!r}"
            )

    def fit(
        self,
        data: Data,
        fit: Fit,
        sink: Sink,
        checkpoints: CheckpointStore,
        *,
        seed: int,
        report: Callable[..., None],
    ) -> None:
        """Train once and push one observation of each watch set. There is nothing to continue within a fit."""
        # In an order that depends on (seed, id): shuffling the rows of the data set does not change the model.
        ranked = seeds.order(seed, data.ids, "order", fit.repeat)
        train = ranked[np.isin(ranked, fit.train, assume_unique=True)]
        own = labels_for(self.estimator, data)
        model = seeded(self.estimator, seeds.derive(seed, "init", fit.repeat, fit.fold, fit.part or 0))
        inputs = self._inputs(data, train)
        try:
            model.fit(inputs, own[data.labels[train]])
        except _OF_LIBRARIES as error:
            told = f"{self.name} cannot learn from fit {fit.name} ({len(train)} samples): {_told(error)}"
            raise DataError(told) from error
        for side in ("unseen", "seen"):
            if sink.wants(side, 1, 1):
                self._observe(model, data, fit, side, sink)
        report("epoch", epoch=1, epochs=1)

    def _observe(self, model: Any, data: Data, fit: Fit, side: Side, sink: Sink) -> None:
        # In the order of the ids (dataset order, unless the data brings its own), so that what shares a block with a
        # sample, and the rounding that comes of it, does not depend on the order of the rows either.
        rows = fit.watch(side)
        rows = rows[np.argsort(data.ids[rows], kind="stable")]
        last = model.steps[-1][1] if hasattr(model, "steps") else model
        columns = self._columns(model, data)
        for block in np.array_split(rows, max(1, -(-len(rows) // BLOCK))):
            p = np.zeros((len(block), len(data.class_names)))
            # A class that the training rows lack keeps the probability 0.
            inputs = self._inputs(data, block)
            try:
                said = model.predict_proba(inputs)
            except _OF_LIBRARIES as error:
                raise DataError(f"{self.name} cannot judge the samples of fit {fit.name}: {_told(error)}") from error
            if hasattr(last, "predict_joint_log_proba"):
                # Naive Bayes is exact in logarithms only: where these are large, its rows sum to 2 by rounding.
                said = said / said.sum(axis=1, keepdims=True)
            p[:, columns] = probabilities(said, len(columns), data.ids[block], self.name)
            sink.observe(side, Observation(block, epoch=1, logits=logits_of(p)))

    def _inputs(self, data: Data, rows: IntArray) -> Any:
        if self.frames and (frame := data.as_frame(rows)) is not None:
            return frame
        inputs = data.take(rows)
        return inputs.reshape(len(inputs), -1).astype(np.float32) if data.kind == "image" else inputs

    def _columns(self, model: Any, data: Data) -> IntArray:
        """The class of each column of `predict_proba`."""
        own = labels_for(self.estimator, data)
        try:
            return codes_of(model.classes_, own)
        except (AttributeError, KeyError, TypeError) as error:
            got = getattr(model, "classes_", None)
            raise DataError(
                f"{self.name}: classes_ must hold labels that it was fitted on ({some(own.tolist())}), in the order of "
                f"the columns of predict_proba, got {'none' if got is None else some(np.asarray(got).tolist())}"
            ) from error


def _told(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def labels_for(estimator: Any, data: Data) -> npt.NDArray[Any]:
    """(C,) what stands for each class where this estimator sees it: the user's own label, else its number."""
    own = data.label_values
    return np.arange(len(data.class_names)) if own is None or packages_of(estimator) & NUMBERED else own


def packages_of(estimator: Any) -> set[str]:
    """The packages that an estimator and its parts are of."""
    inner = (estimator, *estimator.get_params(deep=True).values())
    return {base.__module__.partition(".")[0] for part in inner for base in type(part).__mro__}


def codes_of(classes: Any, own: npt.NDArray[Any]) -> IntArray:
    """The number of each of an estimator's `classes_`.

    >>> codes_of(["cat", "owl"], np.array(["ant", "cat", "owl"])).tolist()
    [1, 2]
    """
    number = {label: code for code, label in enumerate(own.tolist())}
    return np.array([number[label] for label in np.asarray(classes).tolist()], dtype=np.int64)


def probabilities(said: Any, classes: int, ids: npt.NDArray[Any], who: str) -> npt.NDArray[np.float64]:
    """What `predict_proba` gave, if it is (m, C) probabilities; rounding may leave a row's sum a little beside 1.

    Raises:
        DataError: it is something else; the message names who said it, the rule and the first value that breaks it.

    >>> probabilities([[0.5, 0.6]], 2, np.array([7]), "mine")
    Traceback (most recent call last):
    unseen.errors.DataError: mine: rows of predict_proba must sum to 1, but that of id 7 sums to 1.1

    """
    said = of_tensor(said, f"{who}: predict_proba") if is_tensor(said) else unmasked(said, f"{who}: predict_proba")
    try:
        values = np.asarray(said)
        p = values.astype(np.float64, casting="unsafe" if values.dtype.kind in "OUS" else "same_kind")
    except (TypeError, ValueError):
        raise DataError(f"{who}: predict_proba must give an array of numbers, got {type(said).__name__}") from None
    if p.shape != (len(ids), classes):
        raise DataError(
            f"{who}: predict_proba must give a row for each sample asked about and a column for each class trained on, "
            f"({len(ids)}, {classes}), got shape {p.shape}"
        )
    for wrong, rule in (
        (~np.isfinite(p), "finite"),
        ((p < -ROUNDING) | (p > 1 + ROUNDING), "in [0, 1]"),
    ):
        if wrong.any():
            row, column = (int(at) for at in np.argwhere(wrong)[0])
            logs = bool((p <= ROUNDING).all()) and np.allclose(np.exp(p).sum(1), 1, atol=ROUNDING)
            raise DataError(
                f"{who}: entries of predict_proba must be {rule}, but that of id {ids[row]}, column {column} is "
                f"{p[row, column]:g}" + ("; these are log-probabilities: return their exponentials" if logs else "")
            )
    sums = p.sum(axis=1)
    wrong = abs(sums - 1) > ROUNDING
    if wrong.any():
        row = int(np.argmax(wrong))
        raise DataError(f"{who}: rows of predict_proba must sum to 1, but that of id {ids[row]} sums to {sums[row]:g}")
    return p


def seeded(estimator: Any, seed: int) -> Any:
    """A clone in which every `random_state` left open has a seed of its own."""
    model = clone(estimator)
    states = {
        name: seeds.derive(seed, name) % SEED_LIMIT
        for name, value in model.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return model.set_params(**states)


def _stacks(estimator: Any) -> bool:
    """Whether it is a stack whose last model is its default, which gives probabilities once it is fitted."""
    last = getattr(estimator, "steps", [(0, estimator)])[-1][1]
    return getattr(last, "final_estimator", last) is None and hasattr(type(last), "predict_proba")


def _plain(value: object) -> object:
    """A parameter as JSON. A function or class is its name: its repr would hold an address."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)  # which JSON has no word for
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _plain(value.tolist())  # the repr of a long array is abridged
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if hasattr(value, "get_params"):
        return type(value).__name__  # its own parameters follow under their full names
    if callable(value):
        # Methods of built-in types, such as str.split, name no module.
        module = getattr(value, "__module__", None) or type(value).__module__
        return f"{module}.{getattr(value, '__qualname__', type(value).__name__)}"
    return repr(value)


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
