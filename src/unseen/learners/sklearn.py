"""The learner of scikit-learn estimators, pipelines included, and ready-made ones: classifiers and regressors.

The estimator is cloned for every fit and sees the training rows only, so vocabularies, imputers and scalers inside a
pipeline are fitted on these rows alone. It sees the labels as the user gave them, so `class_weight={2: 10}` means the
class 2, and `priors` are in the order of `classes_`. Its outputs are put in the order of the classes of the data set.
Probabilities become logits by their logarithm. A probability of zero counts as the smallest normal float32 (1.2e-38),
so that a loss stays finite (at most 87.3). A regressor learns the regression target, and its loss is the squared
residual, in the squared unit of the target.

The functions `logistic`, `forest` and others each make an estimator for a data set.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from unseen.core import seeds
from unseen.core.arrays import IntArray, as_numpy, is_tensor, of_tensor, unmasked
from unseen.core.exposure import SIDES, Fit, Observation, Side
from unseen.core.machine import short_spins
from unseen.core.protocols import CheckpointStore, Data, Learner, Sink
from unseen.errors import ArgumentError, DataError, some
from unseen.learners.base import by_id, check_two_classes, logits_of, refuse_target

with short_spins():
    from sklearn.base import BaseEstimator, clone, is_regressor
    from sklearn.compose import ColumnTransformer
    from sklearn.ensemble import (
        ExtraTreesClassifier,
        ExtraTreesRegressor,
        HistGradientBoostingClassifier,
        HistGradientBoostingRegressor,
        RandomForestClassifier,
        RandomForestRegressor,
    )
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import FunctionTransformer, OrdinalEncoder, StandardScaler

BLOCK = 16_384  # rows to predict at a time
ROUNDING = 1e-3  # twice the rounding error of a probability in float16
SEED_LIMIT = 2**32  # the end of scikit-learn's random_state
# The errors of estimators for data and parameters that they cannot use; those of NumPy, SciPy and Arrow are subclasses.
_LIBRARY_ERRORS = (ArithmeticError, ValueError, TypeError, LookupError, AttributeError, RuntimeError, MemoryError)
NUMBERED = {"skorch", "xgboost"}  # packages whose classifiers take only labels 0..C-1
ARRAYS_ONLY = {"skorch"}  # packages whose classifiers do not take frames as tables


class SklearnLearner(Learner):
    """The learner of a scikit-learn estimator.

    Args:
        estimator: an unfitted classifier with `predict_proba`, or a regressor for a target. Each `random_state` in it
            that is None gets its own seed for each fit; one that is set stays. The global generators of NumPy and
            torch are seeded, too, for estimators such as those of skorch.
        made_by: the `module:function` that made the estimator, if one was named. The description holds it, unless the
            function is the class itself.
        frames: whether the estimator takes the frames that data sets were made of, with their column names and types,
            in place of arrays.

    >>> from sklearn.naive_bayes import GaussianNB
    >>> SklearnLearner(GaussianNB())
    SklearnLearner(GaussianNB())
    """

    def __init__(self, estimator: Any, made_by: str | None = None, *, frames: bool = True) -> None:
        self.regresses = isinstance(estimator, BaseEstimator) and is_regressor(estimator)
        for method in ("fit", "predict" if self.regresses else "predict_proba", "get_params"):
            if not (hasattr(estimator, method) or (method == "predict_proba" and _is_default_stack(estimator))):
                remedy = "; wrap it in sklearn.calibration.CalibratedClassifierCV" if method == "predict_proba" else ""
                raise ArgumentError(f"estimator must have {method}, but {type(estimator).__name__} has none{remedy}")
        for name, value in estimator.get_params(deep=True).items():
            if name.rpartition("__")[2] == "random_state" and not isinstance(value, (int, np.integer, type(None))):
                raise ArgumentError(
                    f"{name} must be an integer, or None for a seed of its own in each fit, got {value!r}: the state "
                    "of a generator would differ from run to run"
                )
        self.estimator = estimator
        self.frames = frames and not packages_of(estimator) & ARRAYS_ONLY
        # The name of a pipeline is that of its last step.
        self.name = f"sklearn:{type(last_step(estimator)).__name__}"
        other = made_by is not None and made_by.rpartition(":")[2] != self.name.removeprefix("sklearn:")
        self.made_by = made_by if other else None

    def __repr__(self) -> str:
        return f"SklearnLearner({self.estimator!r})"

    def describe(self) -> dict[str, object]:
        """Return the class of the estimator, all its parameters, and the function that made it."""
        params = self.estimator.get_params(deep=True)
        made_by = {} if self.made_by is None else {"made_by": self.made_by}
        return {"learner": self.name, "params": {name: _as_json(params[name]) for name in sorted(params)}, **made_by}

    def check(self, data: Data) -> None:
        """Refuse labels for a regressor; for a classifier, a regression target or fewer than two classes."""
        if not self.regresses:
            refuse_target(data, f"{self.name} learns classes")
            check_two_classes(data, "a classifier")
        elif data.targets is None:
            raise DataError(
                f"{self.name} is a regressor, but this data set has labels; pass a classifier, or give the numbers to "
                "regress on as target="
            )

    def fit(
        self, data: Data, fit: Fit, sink: Sink, checkpoints: CheckpointStore, *, seed: int, report: Callable[..., None]
    ) -> None:
        """Train once and push one observation of each watch set; a fit cannot continue from a checkpoint."""
        # The order depends on (seed, id), so that shuffling the rows of the data set does not change the model.
        train = fit.train[seeds.order(seed, data.ids[fit.train], "order", fit.repeat)]
        own = labels_for(self.estimator, data)[data.labels] if data.targets is None else data.targets
        model = clone_with_seeds(self.estimator, seeds.derive(seed, "init", fit.repeat, fit.fold, fit.part or 0))
        inputs = self._inputs(data, train)
        with seeded_globals(seeds.derive(seed, "globals", fit.repeat, fit.fold, fit.part or 0) % SEED_LIMIT):
            try:
                # Its solvers call BLAS for many small products. The threads of BLAS, which wait for each other by
                # spinning, made logistic regression beside busy processes more than ten times slower on two threads
                # than on one.
                with threadpool_limits(limits=1, user_api="blas"):  # OpenMP is left as it is
                    model.fit(inputs, own[train])
            except _LIBRARY_ERRORS as error:
                message = f"{self.name} cannot learn from fit {fit.name} ({len(train)} samples): "
                raise DataError(message + _describe_error(error) + _advise_encoding(error, data)) from error
            for side in SIDES:
                if sink.wants(side, 1, 1):
                    self._observe(model, data, fit, side, sink)
        report("epoch", epoch=1, epochs=1)

    def _observe(self, model: Any, data: Data, fit: Fit, side: Side, sink: Sink) -> None:
        # Blocks are in the order of the ids, so that the other samples in a block, and the rounding that depends on
        # them, do not depend on the order of the rows.
        rows = by_id(data, fit.watch(side))
        columns = np.empty(0, np.int64) if self.regresses else self._columns(model, data)
        for block in np.array_split(rows, max(1, -(-len(rows) // BLOCK))):
            inputs = self._inputs(data, block)
            try:
                output = model.predict(inputs) if self.regresses else model.predict_proba(inputs)
            except _LIBRARY_ERRORS as error:
                raise DataError(
                    f"{self.name} cannot judge the samples of fit {fit.name}: {_describe_error(error)}"
                ) from error
            if data.targets is not None:
                loss = np.square(data.targets[block] - predictions(output, data.ids[block], self.name))
                sink.observe(side, Observation(block, epoch=1, loss=loss))
                continue
            if hasattr(last_step(model), "predict_joint_log_proba"):
                # Naive Bayes is exact in logarithms only; where these are large, rounding makes its rows sum to 2.
                output = output / output.sum(axis=1, keepdims=True)
            # A class without training rows keeps the probability 0.
            p = np.zeros((len(block), len(data.class_names)))
            p[:, columns] = probabilities(output, len(columns), data.ids[block], self.name)
            sink.observe(side, Observation(block, epoch=1, logits=logits_of(p)))

    def _inputs(self, data: Data, rows: IntArray) -> Any:
        if self.frames and (frame := data.as_frame(rows)) is not None:
            return frame
        inputs = data.take(rows)
        return inputs.reshape(len(inputs), -1).astype(np.float32) if data.kind == "image" else inputs

    def _columns(self, model: Any, data: Data) -> IntArray:
        """Return the class of each column of `predict_proba`."""
        own = labels_for(self.estimator, data)
        number = {label: code for code, label in enumerate(own.tolist())}
        try:
            return np.array([number[label] for label in np.asarray(model.classes_).tolist()], dtype=np.int64)
        except (AttributeError, KeyError, TypeError) as error:
            got = getattr(model, "classes_", None)
            raise DataError(
                f"{self.name}: classes_ must hold labels that it was fitted on ({some(own.tolist())}), in the order of "
                f"the columns of predict_proba, got {'none' if got is None else some(np.asarray(got).tolist())}"
            ) from error


def _describe_error(error: Exception) -> str:
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"


def _advise_encoding(error: Exception, data: Data) -> str:
    """Return what helps where an estimator was given words that it cannot read; empty for other errors."""
    if "could not convert string to float" not in str(error):
        return ""
    if data.kind == "text":
        return "; for texts use the learner 'tfidf', or a pipeline that begins with a TfidfVectorizer"
    return (
        "; the learners 'forest', 'logistic' and 'hist_gradient_boosting' encode columns of text, and so may a "
        "pipeline that begins with make_column_transformer"
    )


def last_step(estimator: Any) -> Any:
    """Return the last step of a pipeline; any other estimator is its own."""
    return estimator.steps[-1][1] if hasattr(estimator, "steps") else estimator


def labels_for(estimator: Any, data: Data) -> npt.NDArray[Any]:
    """Return the labels of the C classes for this estimator: those of the user, or else 0..C-1."""
    own = data.label_values
    return np.arange(len(data.class_names)) if own is None or packages_of(estimator) & NUMBERED else own


def packages_of(estimator: Any) -> set[str]:
    """Return the packages of an estimator and its parts."""
    inner = (estimator, *estimator.get_params(deep=True).values())
    return {base.__module__.partition(".")[0] for part in inner for base in type(part).__mro__}


def probabilities(output: Any, classes: int, ids: npt.NDArray[Any], who: str) -> npt.NDArray[np.float64]:
    """Check that the output of `predict_proba` is (m, C) probabilities, up to rounding, and return them.

    Raises:
        DataError: the output breaks a rule; the message names the estimator, the rule and the first such value.

    >>> probabilities([[0.5, 0.6]], 2, np.array([7]), "mine")
    Traceback (most recent call last):
    unseen.errors.DataError: mine: rows of predict_proba must sum to 1, but that of id 7 sums to 1.1
    """
    name = f"{who}: predict_proba"
    output = of_tensor(output, name) if is_tensor(output) else unmasked(output, name)
    try:
        values = np.asarray(output)
        p = values.astype(np.float64, casting="unsafe" if values.dtype.kind in "OUS" else "same_kind")
    except (TypeError, ValueError):
        raise DataError(f"{who}: predict_proba must give an array of numbers, got {type(output).__name__}") from None
    if p.shape != (len(ids), classes):
        raise DataError(
            f"{who}: predict_proba must give a row for each sample asked about and a column for each class trained on, "
            f"({len(ids)}, {classes}), got shape {p.shape}"
        )
    for wrong, rule in ((~np.isfinite(p), "finite"), ((p < -ROUNDING) | (p > 1 + ROUNDING), "in [0, 1]")):
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


def predictions(output: Any, ids: npt.NDArray[Any], who: str) -> npt.NDArray[np.float64]:
    """Check that the output of `predict` is one finite number a sample, and return it as float64 (m,).

    Raises:
        DataError: it is not; the message names the estimator and the first such sample.

    >>> predictions([1.0, np.inf], np.array([7, 8]), "mine")
    Traceback (most recent call last):
    unseen.errors.DataError: mine: predict must give finite numbers, but gives inf for id 8
    """
    values = as_numpy(output, who)
    if values.dtype.kind not in "biuf" or values.shape not in ((len(ids),), (len(ids), 1)):
        raise DataError(
            f"{who}: predict must give one number for each of {len(ids)} samples, got shape {values.shape} of "
            f"{values.dtype}"
        )
    values = values.reshape(len(ids)).astype(np.float64)
    wrong = np.flatnonzero(~np.isfinite(values))
    if wrong.size:
        raise DataError(f"{who}: predict must give finite numbers, but gives {values[wrong[0]]} for id {ids[wrong[0]]}")
    return values


def clone_with_seeds(estimator: Any, seed: int) -> Any:
    """Clone an estimator, and give each `random_state` that is None its own seed."""
    model = clone(estimator)
    states = {
        name: seeds.derive(seed, name) % SEED_LIMIT
        for name, value in model.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return model.set_params(**states)


@contextmanager
def seeded_globals(seed: int) -> Iterator[None]:
    """Seed the global generators of NumPy and torch, from which networks of skorch draw; put them back at the end."""
    state, torch = np.random.get_state(), sys.modules.get("torch")  # noqa: NPY002
    with ExitStack() as stack:
        stack.callback(np.random.set_state, state)
        np.random.seed(seed)  # noqa: NPY002
        if torch is not None:
            devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else ()
            stack.enter_context(torch.random.fork_rng(devices))
            torch.manual_seed(seed)
        yield


def _is_default_stack(estimator: Any) -> bool:
    """Return whether an estimator is a stack with the default last model, which has `predict_proba` once fitted."""
    last = last_step(estimator)
    return getattr(last, "final_estimator", last) is None and hasattr(type(last), "predict_proba")


def _as_json(value: object) -> object:
    """Return a parameter as JSON; a function or class becomes its name, because its repr holds an address."""
    if isinstance(value, float) and not np.isfinite(value):
        return str(value)  # JSON has no infinity and no NaN
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, (np.ndarray, np.generic)):
        return _as_json(value.tolist())  # the repr of a long array is not complete
    if isinstance(value, (list, tuple)):
        return [_as_json(item) for item in value]
    if isinstance(value, dict):
        return {str(key): _as_json(item) for key, item in value.items()}
    if hasattr(value, "get_params"):
        return type(value).__name__  # its own parameters follow under their full names
    if callable(value):
        # Methods of built-in types, such as str.split, name no module.
        module = getattr(value, "__module__", None) or type(value).__module__
        return f"{module}.{getattr(value, '__qualname__', type(value).__name__)}"
    return repr(value)


# ---- ready-made estimators -----------------------------------------------------------------------------------------

MAX_CATEGORIES = 254  # HistGradientBoosting has 255 bins, one of them for categories that training did not see


def logistic(data: Data) -> Any:
    """Make logistic regression on standardised features; tables are encoded first."""
    return make_pipeline(*_encoder(data), StandardScaler(), LogisticRegression(max_iter=1000))


def forest(data: Data) -> Any:
    """Make a random forest of 300 trees, a regressor if the data set has a target."""
    return make_pipeline(
        *_encoder(data), RandomForestClassifier(300) if data.targets is None else RandomForestRegressor(300)
    )


def extra_trees(data: Data) -> Any:
    """Make 300 extremely randomised trees without bootstrap, which fit their training set exactly."""
    return make_pipeline(
        *_encoder(data), ExtraTreesClassifier(300) if data.targets is None else ExtraTreesRegressor(300)
    )


def hist_gradient_boosting(data: Data) -> Any:
    """Make gradient boosting on histograms, which handles categories and missing values by itself."""
    categorical, _ = _columns(data)
    boosting = HistGradientBoostingClassifier if data.targets is None else HistGradientBoostingRegressor
    # Without a penalty it diverges where classes of a few samples have almost no curvature: on KDD Cup 99 it is right
    # on 83 to 95 % of test rows, with it on 99.8 % (designs_report.json and designs_damped.json of the benchmarks).
    model = boosting(categorical_features=list(range(len(categorical))) or None, l2_regularization=1.0)
    return make_pipeline(*_encoder(data, fill=False), model)


def tfidf(data: Data) -> Any:
    """Make logistic regression, or ridge regression for a target, on TF-IDF of words and word pairs.

    With scikit-learn's own `C=1` models of clean topics are right but too unsure to choose by
    (`unseen.rules.registry.too_unsure`).
    """
    model = LogisticRegression(C=10.0, max_iter=1000) if data.targets is None else Ridge()
    return make_pipeline(TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), model)


def _columns(data: Data) -> tuple[list[int], list[int]]:
    """Find the columns of a table that hold text, and those that hold numbers; leave out empty columns.

    All rows are read, but only the types are used: no label and no value goes into a model.
    """
    if data.kind != "table":
        return [], []
    table = data.take(np.arange(len(data)))
    kinds = [{isinstance(value, str) for value in column if value is not None} for column in table.T]
    for j, kind in enumerate(kinds):
        if len(kind) > 1:
            named = j if data.feature_names is None else repr(data.feature_names[j])
            held = [(row, value) for row, value in enumerate(table[:, j]) if value is not None]
            (text, word), (other, number) = (
                next((row, value) for row, value in held if isinstance(value, str) == is_text)
                for is_text in (True, False)
            )
            raise DataError(
                f"a column of a table must hold text or numbers, but column {named} holds both: row {other} has "
                f"{number}, row {text} has {word!r}; make it all text, or all numbers "
                "(rows of a test set come after the others)"
            )
    return [j for j, kind in enumerate(kinds) if kind == {True}], [j for j, kind in enumerate(kinds) if kind == {False}]


def _encoder(data: Data, *, fill: bool = True) -> list[Any]:
    """Encode text columns as integers, put first, and the others as floats; `fill` puts 0 for a missing number."""
    if data.kind != "table":
        return []
    text, other = _columns(data)
    encode = OrdinalEncoder(
        handle_unknown="use_encoded_value", unknown_value=-1, encoded_missing_value=-1, max_categories=MAX_CATEGORIES
    )
    numbers = FunctionTransformer(_filled_numbers if fill else _numbers)
    return [ColumnTransformer([("text", encode, text), ("numbers", numbers, other)])]


def _numbers(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    return np.asarray(columns, dtype=np.float64)


def _filled_numbers(columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    filled: npt.NDArray[Any] = np.nan_to_num(_numbers(columns))
    return filled
