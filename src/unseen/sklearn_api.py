"""The scikit-learn interface: `Pruner`, a sampler for pipelines as imbalanced-learn defines it.

It works in `imblearn.pipeline.Pipeline` and by itself, and does not need imbalanced-learn to be installed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin
from sklearn.utils import InputTags, Tags, _safe_indexing
from sklearn.utils.multiclass import check_classification_targets, type_of_target
from sklearn.utils.validation import column_or_1d, validate_data

from unseen.core.arrays import FloatArray, IntArray, is_frame, is_tensor, unmasked
from unseen.core.coreset import Coreset
from unseen.core.exposure import Plan
from unseen.core.table import ScoreTable
from unseen.data import from_arrays
from unseen.data.labels import check_labels, to_numpy
from unseen.errors import ArgumentError, DataError, UnseenError
from unseen.pruning import prune
from unseen.rules.base import Rule
from unseen.scores.streaming import Score

__all__ = ["Pruner"]


class Pruner(OneToOneFeatureMixin, BaseEstimator):  # type: ignore[misc]  # scikit-learn has no types
    """A sampler that keeps the part of a training set worth training on, judged by models that never saw it.

    In an `imblearn.pipeline.Pipeline` it acts when the pipeline is fitted, and passes everything on when the pipeline
    predicts. It works the same without imbalanced-learn. It calls `unseen.prune` on arrays.

    Args:
        keep: how much is kept: a count (int) or a fraction (float in (0, 1]).
        sample_score: the name of a score (`"el2n"`), or a `Score`. (An attribute called `score` would make
            scikit-learn take this for a predictor.)
        rule: the name of a rule, with options (`"stratified:cutoff=0.1"`), or a `Rule`; None for the default of
            `unseen.prune`.
        plan: a plan such as `unseen.folds(5, repeats=3)`, its name, or a number of folds; None for the default of
            `unseen.prune`: two halves, and five folds for learners in closed form.
        learner: a scikit-learn classifier with `predict_proba`, or what `unseen.learners.resolve` takes; None is
            logistic regression on standardised features, and gradient boosting where X holds text.
        quota: how the budget is shared among the classes (`"proportional"`, `"floored"`, `"uniform"`, `"error"`); None
            for the rule's own way, which is `"floored"` for the default rule.
        groups: `"duplicates"` keeps exact copies in one fold; an array (n,) keeps these groups together, but fits
            only the one X that it was made for, so it cannot be used in cross-validation; None keeps nothing together.
        random_state: an integer; a `RandomState`, from which one number is drawn; or None for another result each
            time.

    Attributes:
        sample_indices_: int64 (m,) rows kept, ascending.
        scores_: the `ScoreTable` of all n samples.
        coreset_: the `Coreset`.
        classes_: the classes, in sorted order.
        sampling_strategy_: how many samples of each class are kept.
        n_features_in_: the number of features.
        feature_names_in_: their names, where X is a data frame whose columns are named by text.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> pruner = Pruner(keep=0.5)
        >>> X_kept, y_kept = pruner.fit_resample(X, y)
        >>> X_kept.shape, pruner.coreset_
        ((75, 4), Coreset(75 of 150 samples kept, 50.0 % by stratified))
    """

    scores_: ScoreTable
    coreset_: Coreset
    sample_indices_: IntArray
    classes_: npt.NDArray[Any]
    sampling_strategy_: dict[Any, int]
    n_features_in_: int
    feature_names_in_: npt.NDArray[Any]
    _sampling_type = "bypass"  # tells ensembles of imbalanced-learn that there is no `sampling_strategy` to set

    def __init__(
        self,
        keep: float = 0.7,
        *,
        sample_score: str | Score = "el2n",
        rule: str | Rule | None = None,
        plan: Plan | str | int | None = None,
        learner: Any = None,
        quota: Any = None,
        groups: npt.ArrayLike | Literal["duplicates"] | None = "duplicates",
        random_state: int | np.random.RandomState | None = 0,
    ) -> None:
        self.keep = keep
        self.sample_score = sample_score
        self.rule = rule
        self.plan = plan
        self.learner = learner
        self.quota = quota
        self.groups = groups
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Self:
        """Score every sample and choose the coreset.

        Args:
            X: (n, d) numbers, or numbers and text with missing entries; an array, a data frame or a list. A data frame
                is passed to your own estimator unchanged, but for dates and columns that hold nothing. Sparse matrices
                are refused: samples are fingerprinted and compared by their content, which is dense here.
            y: (n,) labels, or (n, C) one-hot.

        Raises:
            DataError: NaN or infinite numbers, one class only, labels that are not classes.
            ArgumentError: an option that cannot be met, before any training.
        """
        data = from_arrays(*self._check(X, y))
        self.scores_, self.coreset_ = prune(
            data,
            keep=self.keep,
            score=self.sample_score,
            rule=self.rule,
            plan=self.plan,
            learner=self.learner,
            seed=_seed_of(self.random_state),
            groups=self.groups,
            **({} if self.quota is None else {"quota": self.quota}),
        )
        self.sample_indices_ = self.coreset_.indices
        counts = np.bincount(data.labels[self.sample_indices_], minlength=len(self.classes_)).tolist()
        self.sampling_strategy_ = dict(zip(self.classes_.tolist(), counts, strict=True))
        return self

    def fit_resample(self, X: Any, y: Any) -> tuple[Any, Any]:
        """Score, choose, and return the kept rows of X and y in their original containers and types."""
        rows = self.fit(X, y).sample_indices_
        return _safe_indexing(X, rows), _safe_indexing(y, rows)

    def _check(self, X: Any, y: Any) -> tuple[Any, npt.NDArray[Any]]:
        """Return X as an array or an unchanged frame, and y as an array; set the attributes learned from both."""
        if y is None:
            raise ArgumentError("requires y to be passed, but the target y is None")
        X = to_numpy(X, "X") if is_tensor(X) or hasattr(X, "tocsr") else unmasked(X, "X")
        y = to_numpy(y, "y") if is_tensor(y) else unmasked(y, "y")
        if np.ndim(y) == 1 and not np.iscomplexobj(y):  # scikit-learn refuses complex labels in its own words
            y = check_labels(to_numpy(y, "y"), "y")
        try:
            check_classification_targets(y)
            if type_of_target(y) == "multilabel-indicator":
                y = _from_one_hot(y)
            if is_frame(X) and not any(str(kind).startswith("Sparse") for kind in getattr(X, "dtypes", ())):
                validate_data(self, X, skip_check_array=True)
                self.classes_ = np.unique(labels := column_or_1d(y, warn=True))
                return X, labels
            # Text makes a table, in which entries may be missing; anything else must be finite numbers.
            text = {"dtype": object, "ensure_all_finite": False}
            kind: dict[str, Any] = text if _holds_text(X) else {"dtype": "numeric"}
            values, labels = validate_data(self, X, y, ensure_min_samples=2, **kind)
            self.classes_ = np.unique(labels)
        except UnseenError:
            raise
        except (TypeError, ValueError) as error:
            if "parse data" in str(error):  # scikit-learn's checks of estimators expect this error for a sparse frame
                raise
            raise DataError(" ".join(str(error).split())) from error
        return values, labels

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        return _SamplerTags(
            estimator_type="sampler",
            target_tags=type(tags.target_tags)(required=True),
            input_tags=_SamplerInputTags(string=True, dataframe=True),
            sampler_tags=_SampleIndices(sample_indices=True),
            non_deterministic=self.random_state is None,
        )


# The tags that imbalanced-learn adds to scikit-learn's: its tools know a sampler by them. Defined here, so that
# imbalanced-learn need not be imported.
@dataclass
class _SamplerInputTags(InputTags):  # type: ignore[misc]
    dataframe: bool = False


@dataclass
class _SampleIndices:
    sample_indices: bool = False


@dataclass
class _SamplerTags(Tags):  # type: ignore[misc]
    sampler_tags: _SampleIndices | None = None


def _seed_of(random_state: int | np.random.RandomState | None) -> int:
    if random_state is None:
        return int(np.random.default_rng().integers(2**31))
    if isinstance(random_state, np.random.RandomState):
        return int(random_state.randint(2**31 - 1))
    if isinstance(random_state, (int, np.integer)):
        return int(random_state)
    raise ArgumentError(f"random_state must be an integer, a RandomState or None, got {random_state!r}")


def _holds_text(X: Any) -> bool:
    if hasattr(X, "tocsr"):
        return False
    array = X if isinstance(X, np.ndarray) else np.asarray(X)
    if array.dtype.kind == "O":
        return any(isinstance(value, str) for value in array.flat)
    return array.dtype.kind in "UT"


def _from_one_hot(y: Any) -> IntArray:
    indicator: FloatArray = np.asarray(y.toarray() if hasattr(y, "toarray") else y)
    if (indicator.sum(axis=1) != 1).any():
        raise DataError("y must name one class a sample: multilabel and multioutput targets are not supported")
    return np.asarray(indicator.argmax(axis=1), dtype=np.int64)
