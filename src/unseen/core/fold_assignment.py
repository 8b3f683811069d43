"""Assignment of samples to folds: stratified by class, groups kept whole, a function of (seed, id) and the labels."""

from __future__ import annotations

import warnings

import numpy as np

from unseen.core import seeds
from unseen.core.arrays import IdArray, IntArray
from unseen.errors import ArgumentError


def assign_folds(ids: IdArray, labels: IntArray, k: int, *, groups: IntArray | None = None, seed: int = 0) -> IntArray:
    """Assign each sample to one of k folds, int64 (n,), stratified by class.

    The assignment is a function of (seed, id) and the labels. The samples (one representative a group) are ordered by
    (seed, id) and dealt to the folds in turn, class by class. So the class counts of two folds differ by one at most.
    A class with fewer samples than folds is missing in some folds. Its samples are still scored by models that did not
    see them; the only sample of a class is scored by models that never saw its class. Groups that are large compared to
    a fold are assigned by `StratifiedGroupKFold`, which balances sizes greedily.

    Raises:
        ArgumentError: fewer samples (or groups) than folds.
    """
    ids, labels = np.asarray(ids), np.asarray(labels)
    ranked = seeds.order(seed, ids, "deal")
    of = np.arange(len(ids)) if groups is None else np.unique(np.asarray(groups), return_inverse=True)[1]
    if of.max(initial=-1) + 1 == len(ids):  # each sample is a group of its own
        return _deal(ranked, labels, k, len(ids))
    # The sample that comes first in the pseudo-random order represents its group.
    _, first = np.unique(of[ranked], return_index=True)
    heads = ranked[np.sort(first)]
    sizes = np.bincount(of)
    if len(heads) < k:
        raise ArgumentError(
            f"k must be at most the number of groups (copies of a sample are one group), got k={k} for "
            f"{len(heads)} groups"
        )
    if sizes.max() > 1 and sizes.max() * k * 10 > len(ids):
        return _deal_groups(ranked, labels, of, k)
    fold_of_group = np.empty(len(sizes), np.int64)
    fold_of_group[of[heads]] = _deal(np.arange(len(heads)), labels[heads], k, len(heads))
    return fold_of_group[of]


def _deal(ranked: IntArray, labels: IntArray, k: int, n: int) -> IntArray:
    """Deal samples to folds in turn, one class after another: the folds of scikit-learn's `StratifiedKFold`.

    `StratifiedKFold` itself refuses data in which no class has k samples, and passes over all samples once a class.
    """
    if n < k:
        raise ArgumentError(f"k must be at most the number of samples, got k={k} for {n} samples")
    # Classes go in order of appearance: their names must not matter.
    _, first, code = np.unique(labels[ranked], return_index=True, return_inverse=True)
    appearance = first[code]
    by_class = np.argsort(appearance, kind="stable")
    turns = np.arange(n) % k
    fold_of = np.empty(n, np.int64)
    fold_of[ranked[by_class]] = turns[np.lexsort((turns, appearance[by_class]))]  # within a class, ascending
    return fold_of


def _deal_groups(ranked: IntArray, labels: IntArray, of: IntArray, k: int) -> IntArray:
    """Deal whole groups to folds by `StratifiedGroupKFold`, or by size alone where it leaves a fold empty."""
    from sklearn.model_selection import StratifiedGroupKFold

    fold_of = np.full(len(ranked), -1, np.int64)
    # scikit-learn deals groups by number. So they are numbered in the pseudo-random order, not by row.
    _, first, code = np.unique(of[ranked], return_index=True, return_inverse=True)
    numbered = np.argsort(np.argsort(first))[code]
    if np.unique(labels, return_counts=True)[1].max() >= k:  # otherwise scikit-learn refuses to stratify
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="The least populated class", category=UserWarning)
            for fold, (_, inside) in enumerate(StratifiedGroupKFold(k).split(ranked, labels[ranked], numbered)):
                fold_of[ranked[inside]] = fold
    if len(np.unique(fold_of)) == k and fold_of.min() == 0:
        return fold_of
    # By size alone: the largest groups first, each to the smallest fold.
    sizes, load, of_group = np.bincount(of), np.zeros(k, np.int64), np.empty(len(first), np.int64)
    for group in np.lexsort((first, -sizes)):
        of_group[group] = load.argmin()
        load[of_group[group]] += sizes[group]
    return of_group[of]
