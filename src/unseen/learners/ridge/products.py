"""Where the products over a block of rows are made: on the processor by NumPy, or on a GPU by torch.

What a ridge regression is asked to predict: one-hot labels, or a target; and what is observed of its outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

import numpy as np

from unseen.core.arrays import Array, FloatArray, IntArray
from unseen.core.closed_form import Solution, Summing, Sums, left_alone
from unseen.core.observation import Observation
from unseen.core.protocols import Data
from unseen.errors import ArgumentError, DataError, MissingDependencyError

__all__ = ["Answers", "OnCpu", "OnGpu", "Products", "answers_of", "fetched", "products_on"]


class Adding(Protocol):
    """Sums under way; see `closed_form.Summing`."""

    def add(self, x: FloatArray, y: FloatArray, weights: FloatArray | None = None) -> None:
        """Add one block; y is float64 (m, T) of few columns."""

    def add_labels(self, x: FloatArray, labels: IntArray, weights: FloatArray | None = None) -> None:
        """Add one block; y are one-hot labels."""

    def sums(self) -> Sums:
        """The sums over all blocks."""


class Products(Protocol):
    """The products that the cost of the closed form consists of. x is float32 or float64 (m, d), and so are they."""

    side_by_side: ClassVar[bool]  # whether several threads should make them at a time

    def adding(self, count: int, centre: FloatArray, width: int) -> Sequence[Adding]:
        """So many sums over no rows yet, about a centre, of answers of so many columns."""

    def leverages(self, solution: Solution, x: FloatArray) -> FloatArray:
        """float64 (m,), see `Solution.leverages`."""

    def outputs(self, solution: Solution, x: FloatArray) -> Array:
        """Raw outputs (m, C)."""

    def left_alone(
        self, solution: Solution, x: FloatArray, labels: IntArray, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """See `closed_form.left_alone`."""


class OnCpu:
    """By NumPy and the BLAS behind it."""

    side_by_side: ClassVar[bool] = True

    def adding(self, count: int, centre: FloatArray, width: int) -> Sequence[Adding]:
        """Sums over no rows yet."""
        return Summing.several(count, centre, width)

    def leverages(self, solution: Solution, x: FloatArray) -> FloatArray:
        """float64 (m,)."""
        return solution.leverages(x)

    def outputs(self, solution: Solution, x: FloatArray) -> Array:
        """Raw outputs (m, C)."""
        return solution.outputs(x)

    def left_alone(
        self, solution: Solution, x: FloatArray, labels: IntArray, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Outputs without each row, and the gaps."""
        outputs, leverages = solution.outputs_and_leverages(x, weights)
        return left_alone(outputs, labels, leverages)


@dataclass(eq=False)
class OnGpu:
    """By torch, on any of its devices. Sums come back to the processor, outputs stay on the device.

    Args:
        device: as torch names it.

    """

    device: str
    side_by_side: ClassVar[bool] = False  # a device has threads of its own
    _placed: tuple[Solution, tuple[Any, ...]] | None = field(default=None, init=False)

    def adding(self, count: int, centre: FloatArray, width: int) -> Sequence[Adding]:
        """Sums over no rows yet, on the device."""
        return [_OnDevice(self, centre, width) for _ in range(count)]

    def leverages(self, solution: Solution, x: FloatArray) -> FloatArray:
        """float64 (m,)."""
        return fetched(self._leverages(solution, x))

    def outputs(self, solution: Solution, x: FloatArray) -> Array:
        """Raw outputs (m, C), a tensor."""
        mean, bias, weights, _ = self._solution(solution, x)
        return (self.on(x) - mean) @ weights + bias

    def left_alone(
        self, solution: Solution, x: FloatArray, labels: IntArray, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Outputs without each row, a tensor, and the gaps."""
        import torch

        leverages = self._leverages(solution, x)
        if weights is not None:
            leverages *= self.on(weights)
        gap = 1.0 - leverages
        outputs, rows, of = self.outputs(solution, x), torch.arange(len(x), device=gap.device), self.on(labels)
        outputs[rows, of] -= 1.0
        outputs /= gap[:, None].to(outputs.dtype)
        outputs[rows, of] += 1.0
        return outputs, fetched(gap)

    def _leverages(self, solution: Solution, x: FloatArray) -> Any:
        import torch

        mean, _, _, factor = self._solution(solution, x)
        v = torch.linalg.solve_triangular(factor, (self.on(x) - mean).T, upper=False)
        return 1 / solution.n + (v * v).sum(dim=0).double()

    def _solution(self, solution: Solution, x: FloatArray) -> tuple[Any, ...]:
        """Mean, bias, weights and factor on the device, in the type of x."""
        if self._placed is None or self._placed[0] is not solution:
            arrays = (solution.mean, solution.bias, solution.weights, solution.factor)
            self._placed = solution, tuple(self.on(a.astype(x.dtype)) for a in arrays)
        return self._placed[1]

    def on(self, array: Any) -> Any:
        """A tensor on the device."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


class _OnDevice:
    """Sums under way on a device."""

    def __init__(self, place: OnGpu, centre: FloatArray, width: int) -> None:
        d = len(centre)
        self._place, self._centre, self._n = place, centre, 0.0
        self._rows, self._targets, self._gram, self._cross = (
            place.on(np.zeros(shape)) for shape in (d, width, (d, d), (d, width))
        )

    def add(self, x: FloatArray, y: FloatArray, weights: FloatArray | None = None) -> None:
        """Add one block."""
        w, weighted = self._add(x, weights)
        t = self._place.on(y)
        self._targets += w @ t
        self._cross += weighted.double().T @ t

    def add_labels(self, x: FloatArray, labels: IntArray, weights: FloatArray | None = None) -> None:
        """Add one block."""
        w, weighted = self._add(x, weights)
        of = self._place.on(labels)
        self._targets.index_add_(0, of, w)
        self._cross.T.index_add_(0, of, weighted.double())

    def sums(self) -> Sums:
        """The sums over all blocks, in main memory."""
        return Sums(self._n, self._centre, *map(fetched, (self._rows, self._targets, self._gram, self._cross)))

    def _add(self, x: FloatArray, weights: FloatArray | None) -> tuple[Any, Any]:
        """Add what does not depend on the answers; gives weights, and weighted rows about the centre."""
        import torch

        z = self._place.on(x) - self._place.on(self._centre.astype(x.dtype))
        w = self._place.on(np.ones(len(x)) if weights is None else weights)
        weighted, root = w.to(z.dtype)[:, None] * z, torch.sqrt(w).to(z.dtype)[:, None] * z
        self._n += float(w.sum())
        self._rows += weighted.double().sum(dim=0)
        self._gram += (root.T @ root).double()
        return w, weighted


def fetched(outputs: Array) -> FloatArray:
    """What `Products.outputs` gave, in main memory."""
    array: FloatArray = outputs if isinstance(outputs, np.ndarray) else outputs.cpu().numpy()
    return array


def products_on(device: str) -> Products:
    """For `"cpu"`, or a device of torch such as `"cuda"`.

    Raises:
        MissingDependencyError: another device than the processor, and no torch.
        ArgumentError: torch has no such device here.

    """
    if device == "cpu":
        return OnCpu()
    if find_spec("torch") is None:
        raise MissingDependencyError("torch", f"ridge on {device!r}", extra="torch")
    import torch

    try:
        torch.empty(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:  # whichever of them torch likes
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"device must be 'cpu' or one that torch has here, got {device!r}: {reason}") from error
    return OnGpu(device)


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
