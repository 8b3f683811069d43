"""The products of the closed form, which take most of its time, by NumPy or torch; and the answers that it predicts."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np

from unseen.core.arrays import Array, FloatArray, IntArray
from unseen.core.closed_form import Solution, Summing, Sums, left_alone
from unseen.core.exposure import Observation
from unseen.core.protocols import Data
from unseen.errors import ArgumentError, import_optional


class OnCpu:
    """Products by NumPy and its BLAS; x is float32 or float64 (m, d), and so are the products."""

    side_by_side = True  # several threads should make products at a time

    def start_sums(self, count: int, centre: FloatArray, width: int) -> list[Summing]:
        """Return `count` builders of sums about a centre, for answers of `width` columns."""
        return Summing.several(count, centre, width)

    def outputs(self, solution: Solution, x: FloatArray) -> Array:
        """Return raw outputs (m, C)."""
        return solution.outputs(x)

    def outputs_and_leverages(self, solution: Solution, x: FloatArray) -> tuple[Array, FloatArray]:
        """Return raw outputs (m, C) and leverages, float64 (m,)."""
        return solution.outputs_and_leverages(x)

    def left_alone(
        self, solution: Solution, x: FloatArray, labels: IntArray, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Return the outputs of each row without this row, and the gaps; see `closed_form.left_alone`."""
        outputs, leverages = solution.outputs_and_leverages(x, weights)
        return left_alone(outputs, labels, leverages)


@dataclass(eq=False)
class OnGpu:
    """Products by torch, on any of its devices. Sums come back to the processor, outputs stay on the device."""

    device: str  # the name of the device in torch
    side_by_side = False  # a device has its own threads
    _placed: tuple[Solution, tuple[Any, ...]] | None = field(default=None, init=False)

    def start_sums(self, count: int, centre: FloatArray, width: int) -> list[_GpuSums]:
        """Return builders of sums on the device."""
        return [_GpuSums(self, centre, width) for _ in range(count)]

    def outputs(self, solution: Solution, x: FloatArray) -> Array:
        """Return raw outputs (m, C), a tensor."""
        mean, bias, weights, _ = self._solution(solution, x)
        return (self.on(x) - mean) @ weights + bias

    def outputs_and_leverages(self, solution: Solution, x: FloatArray) -> tuple[Array, FloatArray]:
        """Return raw outputs (m, C), a tensor, and leverages, float64 (m,)."""
        return self.outputs(solution, x), fetch(self._leverages(solution, x))

    def left_alone(
        self, solution: Solution, x: FloatArray, labels: IntArray, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Return the outputs of each row without this row, a tensor, and the gaps."""
        import torch

        leverages = self._leverages(solution, x)
        if weights is not None:
            leverages *= self.on(weights)
        gap = 1.0 - leverages
        outputs, rows, of = self.outputs(solution, x), torch.arange(len(x), device=gap.device), self.on(labels)
        outputs[rows, of] -= 1.0
        outputs /= gap[:, None].to(outputs.dtype)
        outputs[rows, of] += 1.0
        return outputs, fetch(gap)

    def _leverages(self, solution: Solution, x: FloatArray) -> Any:
        import torch

        mean, _, _, factor = self._solution(solution, x)
        v = torch.linalg.solve_triangular(factor, (self.on(x) - mean).T, upper=False)
        return 1 / solution.n + (v * v).sum(dim=0).double()

    def _solution(self, solution: Solution, x: FloatArray) -> tuple[Any, ...]:
        """Return mean, bias, weights and factor on the device, in the type of x."""
        if self._placed is None or self._placed[0] is not solution:
            arrays = (solution.mean, solution.bias, solution.weights, solution.factor)
            self._placed = solution, tuple(self.on(a.astype(x.dtype)) for a in arrays)
        return self._placed[1]

    def on(self, array: Any) -> Any:
        """Copy an array to the device, as a tensor."""
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


class _GpuSums:
    """`closed_form.Summing` on a device."""

    def __init__(self, place: OnGpu, centre: FloatArray, width: int) -> None:
        d = len(centre)
        self._place, self._centre, self._n = place, centre, 0.0
        self._rows, self._targets, self._gram, self._cross = (
            place.on(np.zeros(shape)) for shape in (d, width, (d, d), (d, width))
        )

    def add(self, x: FloatArray, y: FloatArray, weights: FloatArray | None = None) -> None:
        """Add one block; y is float64 (m, T) of few columns."""
        w, weighted = self._add(x, weights)
        t = self._place.on(y)
        self._targets += w @ t
        self._cross += weighted.double().T @ t

    def add_labels(self, x: FloatArray, labels: IntArray, weights: FloatArray | None = None) -> None:
        """Add one block whose answers are one-hot labels."""
        w, weighted = self._add(x, weights)
        of = self._place.on(labels)
        self._targets.index_add_(0, of, w)
        self._cross.T.index_add_(0, of, weighted.double())

    def sums(self) -> Sums:
        """Return the sums over all blocks, in main memory."""
        return Sums(self._n, self._centre, *map(fetch, (self._rows, self._targets, self._gram, self._cross)))

    def _add(self, x: FloatArray, weights: FloatArray | None) -> tuple[Any, Any]:
        """Add the part that does not depend on the answers; return weights, and weighted rows about the centre."""
        import torch

        z = self._place.on(x) - self._place.on(self._centre.astype(x.dtype))
        w = self._place.on(np.ones(len(x)) if weights is None else weights)
        weighted, root = w.to(z.dtype)[:, None] * z, torch.sqrt(w).to(z.dtype)[:, None] * z
        self._n += float(w.sum())
        self._rows += weighted.double().sum(dim=0)
        self._gram += (root.T @ root).double()
        return w, weighted


Products: TypeAlias = OnCpu | OnGpu
SumBuilder: TypeAlias = Summing | _GpuSums


def fetch(outputs: Array) -> FloatArray:
    """Copy the outputs of `Products.outputs` to main memory."""
    array: FloatArray = outputs if isinstance(outputs, np.ndarray) else outputs.cpu().numpy()
    return array


def make_products(device: str) -> Products:
    """Make the products of a device: `"cpu"`, or a device of torch such as `"cuda"`.

    Raises:
        MissingDependencyError: the device is not the processor, and torch is not installed.
        ArgumentError: torch has no such device here.
    """
    if device == "cpu":
        return OnCpu()
    torch = import_optional("torch", f"ridge on {device!r}", "torch")
    try:
        torch.empty(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError, AssertionError) as error:  # torch raises any of them
        reason = str(error).splitlines()[0]
        raise ArgumentError(f"device must be 'cpu' or one that torch has here, got {device!r}: {reason}") from error
    return OnGpu(device)


# ---- answers -------------------------------------------------------------------------------------------------------


class OneHotLabels:
    """One-hot labels, whose outputs are observed as logits."""

    least = 2  # the least number of different `data.labels` to learn from

    def __init__(self, data: Data) -> None:
        self.data = data
        self.width = len(data.class_names)

    def of(self, rows: IntArray) -> FloatArray:
        """Return the labels, one-hot float64 (m, C)."""
        return np.eye(self.width)[self.data.labels[rows]]

    def add(self, sums: SumBuilder, rows: IntArray, x: FloatArray, weights: FloatArray | None) -> None:
        """Add one block by the products for one-hot labels."""
        sums.add_labels(x, self.data.labels[rows], weights)

    def left_alone(
        self, products: Products, rows: IntArray, x: FloatArray, solution: Solution, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Return the outputs of each row without this row, and the gaps; see `closed_form.left_out`."""
        return products.left_alone(solution, x, self.data.labels[rows], weights)

    def squares(self, rows: IntArray, weights: FloatArray | None) -> float:
        """Return the sum of the weights, because the square of a one-hot label is 1."""
        return float(len(rows) if weights is None else weights.sum())

    def observation(self, rows: IntArray, outputs: Array, temperature: float, **influence: Array) -> Observation:
        """Make an observation of logits: the outputs, which are overwritten, divided by the temperature."""
        outputs /= temperature
        return Observation(rows, epoch=1, logits=outputs, **influence)


class Target:
    """A regression target, whose squared residual is observed, in the squared unit of the target.

    So that no digits are lost, the regression is on targets about their median, in units of the power of two below
    their standard deviation. This changes only the unit and the origin, to which a regression with a bias adapts. So
    the rows outside the training set of a fit change nothing but rounding errors.
    """

    least = 1
    width = 1

    def __init__(self, targets: FloatArray) -> None:
        self.centre = float(np.median(targets))
        self.unit = float(2.0 ** np.floor(np.log2(targets.std())))
        self._scaled = (targets - self.centre) / self.unit

    def of(self, rows: IntArray) -> FloatArray:
        """Return the targets, float64 (m, 1), about `centre` in units of `unit`."""
        return self._scaled[rows, None]

    def add(self, sums: SumBuilder, rows: IntArray, x: FloatArray, weights: FloatArray | None) -> None:
        """Add one block by the products for dense targets, which have no weights."""
        sums.add(x, self.of(rows))

    def left_alone(
        self, products: Products, rows: IntArray, x: FloatArray, solution: Solution, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Return the outputs of each row without this row, by its residual divided by its gap, and the gaps."""
        outputs, leverages = products.outputs_and_leverages(solution, x)
        y, gap = self.of(rows), 1.0 - leverages
        with np.errstate(divide="ignore", invalid="ignore"):  # the caller handles a gap of 0
            return y - (y - fetch(outputs)) / gap[:, None], gap

    def squares(self, rows: IntArray, weights: FloatArray | None) -> float:
        """Return the sum of squares of the centred and scaled targets."""
        return float(np.square(self._scaled[rows]).sum())

    def observation(self, rows: IntArray, outputs: Array, temperature: float, **influence: Array) -> Observation:
        """Make an observation of the squared residual as the loss, without logits."""
        residuals = self.unit * (self.of(rows) - fetch(outputs))[:, 0]
        return Observation(rows, epoch=1, loss=np.square(residuals), **influence)


Answers: TypeAlias = OneHotLabels | Target


def make_answers(data: Data) -> Answers:
    """Make the answers of a data set."""
    return OneHotLabels(data) if data.targets is None else Target(data.targets)
