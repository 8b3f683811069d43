"""What a ridge regression is asked to predict: one-hot labels, or a target; and what is observed of its outputs."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from unseen.closed_form import Solution
from unseen.errors import ArgumentError, DataError
from unseen.learners.ridge.products import Adding, Products, fetched
from unseen.protocols import Data
from unseen.types import Array, FloatArray, IntArray, Observation

__all__ = ["Answers", "answers_of"]


class Answers(Protocol):
    """The answers y (n, width) of a data set, by row."""

    width: int
    least: int  # of `data.labels`, how many different ones there must be to learn from

    def of(self, rows: IntArray) -> FloatArray:
        """The answers float64 (m, width)."""

    def check(self, class_weights: str, temperature: float | str) -> None:
        """Refuse data that there is nothing to learn from, and options that mean nothing for it."""

    def add(self, sums: Adding, rows: IntArray, x: FloatArray, weights: FloatArray | None) -> None:
        """Add one block, whose inputs are x."""

    def left_alone(
        self, products: Products, rows: IntArray, x: FloatArray, solution: Solution, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """What the regressions without each row say of it, and the gaps; see `closed_form.left_out`."""

    def squares(self, rows: IntArray, weights: FloatArray | None) -> float:
        """The weighted sum of squares of these answers."""

    def observation(self, rows: IntArray, outputs: Array, temperature: float, **influence: Array) -> Observation:
        """What is observed of these raw outputs (m, width), which may be overwritten."""


class Labels:
    """One-hot labels: logits are observed."""

    least = 2

    def __init__(self, data: Data) -> None:
        self.data = data
        self.width = len(data.class_names)

    def of(self, rows: IntArray) -> FloatArray:
        """The labels, one-hot float64 (m, C)."""
        return np.eye(self.width)[self.data.labels[rows]]

    def check(self, class_weights: str, temperature: float | str) -> None:
        """At least two classes."""
        data = self.data
        if len(np.unique(data.labels)) < self.least:
            raise DataError(f"ridge needs at least 2 classes, but every label is {data.class_names[data.labels[0]]!r}")

    def add(self, sums: Adding, rows: IntArray, x: FloatArray, weights: FloatArray | None) -> None:
        """By products that know labels to be one-hot."""
        sums.add_labels(x, self.data.labels[rows], weights)

    def left_alone(
        self, products: Products, rows: IntArray, x: FloatArray, solution: Solution, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Likewise."""
        return products.left_alone(solution, x, self.data.labels[rows], weights)

    def squares(self, rows: IntArray, weights: FloatArray | None) -> float:
        """One a row, weighted as the row is."""
        return float(len(rows) if weights is None else weights.sum())

    def observation(self, rows: IntArray, outputs: Array, temperature: float, **influence: Array) -> Observation:
        """Logits: the outputs divided by the temperature."""
        outputs /= temperature
        return Observation(rows, epoch=1, logits=outputs, **influence)


class Target:
    """A regression target: the squared residual is observed, in the unit of the target, squared.

    Targets are regressed on about their median, and in units of the power of two below their standard deviation, so
    that no digits are lost. That is a change of the unit and of the origin, which a regression with a bias follows:
    of the rows that a fit is not trained on, nothing goes into it but rounding.
    """

    least = 1
    width = 1

    def __init__(self, targets: FloatArray) -> None:
        self.centre = float(np.median(targets))
        self.unit = float(2.0 ** np.floor(np.log2(targets.std())))
        self._scaled = (targets - self.centre) / self.unit

    def of(self, rows: IntArray) -> FloatArray:
        """The targets float64 (m, 1), about `centre` in units of `unit`."""
        return self._scaled[rows, None]

    def check(self, class_weights: str, temperature: float | str) -> None:
        """A target has no classes and no logits."""
        if class_weights != "none":
            raise ArgumentError(
                f"class_weights={class_weights!r} weighs classes, but this data set has a target; leave it out"
            )
        if temperature != "auto":
            raise ArgumentError(
                f"temperature={temperature} divides logits, but this data set has a target; leave it out"
            )

    def add(self, sums: Adding, rows: IntArray, x: FloatArray, weights: FloatArray | None) -> None:
        """By products of dense targets, which are never weighted."""
        sums.add(x, self.of(rows))

    def left_alone(
        self, products: Products, rows: IntArray, x: FloatArray, solution: Solution, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """The residual of each row, divided by its gap."""
        y, gap = self.of(rows), 1.0 - products.leverages(solution, x)
        with np.errstate(divide="ignore", invalid="ignore"):  # a gap of 0 is for the caller to judge
            return y - (y - fetched(products.outputs(solution, x))) / gap[:, None], gap

    def squares(self, rows: IntArray, weights: FloatArray | None) -> float:
        """Of the targets as they are regressed on."""
        return float(np.square(self._scaled[rows]).sum())

    def observation(self, rows: IntArray, outputs: Array, temperature: float, **influence: Array) -> Observation:
        """The squared residual as the loss; there are no logits."""
        residuals = self.unit * (self.of(rows) - fetched(outputs))[:, 0]
        return Observation(rows, epoch=1, loss=np.square(residuals), **influence)


def answers_of(data: Data) -> Answers:
    """Those of a data set."""
    return Labels(data) if data.targets is None else Target(data.targets)
