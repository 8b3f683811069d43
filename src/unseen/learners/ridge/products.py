"""Where the products over a block of rows are made: on the processor by NumPy, or on a GPU by torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, Protocol

import numpy as np
from scipy.sparse import csr_array

from unseen.closed_form import Solution, Sums, left_alone, sums_of
from unseen.errors import ArgumentError, MissingDependencyError
from unseen.types import Array, FloatArray, IntArray

__all__ = ["OnCpu", "OnGpu", "Products", "fetched", "products_on"]


class Products(Protocol):
    """The products that the cost of the closed form consists of. x is float32 or float64 (m, d), and so are they."""

    def sums(
        self, x: FloatArray, labels: IntArray, classes: int, centre: FloatArray, weights: FloatArray | None
    ) -> Sums:
        """See `closed_form.sums_of`; y are one-hot labels."""

    def dense_sums(self, x: FloatArray, y: FloatArray, centre: FloatArray) -> Sums:
        """See `closed_form.sums_of`; y is float64 (m, T) of few columns."""

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

    def sums(
        self, x: FloatArray, labels: IntArray, classes: int, centre: FloatArray, weights: FloatArray | None
    ) -> Sums:
        """The sums over one block."""
        m = len(labels)
        hot = csr_array((np.ones(m, x.dtype), labels, np.arange(m + 1)), shape=(m, classes))
        return sums_of(x, hot, centre, weights)

    def dense_sums(self, x: FloatArray, y: FloatArray, centre: FloatArray) -> Sums:
        """The sums over one block."""
        return sums_of(x, y, centre)

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
    _placed: tuple[Solution, tuple[Any, ...]] | None = field(default=None, init=False)

    def sums(
        self, x: FloatArray, labels: IntArray, classes: int, centre: FloatArray, weights: FloatArray | None
    ) -> Sums:
        """The sums over one block."""
        import torch

        z = self._on(x) - self._on(centre.astype(x.dtype))
        of = self._on(labels)
        w = torch.ones(len(z), dtype=z.dtype, device=z.device) if weights is None else self._on(weights).to(z.dtype)
        root, weighted = torch.sqrt(w)[:, None] * z, w[:, None] * z
        cross = torch.zeros((classes, z.shape[1]), dtype=z.dtype, device=z.device).index_add_(0, of, weighted)
        targets = torch.zeros(classes, dtype=torch.float64, device=z.device).index_add_(0, of, w.double())
        parts = (weighted.double().sum(dim=0), targets, root.T @ root, cross.T)
        return _sums(float(w.double().sum()), centre, parts)

    def dense_sums(self, x: FloatArray, y: FloatArray, centre: FloatArray) -> Sums:
        """The sums over one block."""
        z, t = self._on(x) - self._on(centre.astype(x.dtype)), self._on(y)
        parts = (z.double().sum(dim=0), t.sum(dim=0), z.T @ z, z.double().T @ t)
        return _sums(float(len(z)), centre, parts)

    def leverages(self, solution: Solution, x: FloatArray) -> FloatArray:
        """float64 (m,)."""
        return fetched(self._leverages(solution, x))

    def outputs(self, solution: Solution, x: FloatArray) -> Array:
        """Raw outputs (m, C), a tensor."""
        mean, bias, weights, _ = self._solution(solution, x)
        return (self._on(x) - mean) @ weights + bias

    def left_alone(
        self, solution: Solution, x: FloatArray, labels: IntArray, weights: FloatArray | None
    ) -> tuple[Array, FloatArray]:
        """Outputs without each row, a tensor, and the gaps."""
        import torch

        leverages = self._leverages(solution, x)
        if weights is not None:
            leverages *= self._on(weights)
        gap = 1.0 - leverages
        outputs, rows, of = self.outputs(solution, x), torch.arange(len(x), device=gap.device), self._on(labels)
        outputs[rows, of] -= 1.0
        outputs /= gap[:, None].to(outputs.dtype)
        outputs[rows, of] += 1.0
        return outputs, fetched(gap)

    def _leverages(self, solution: Solution, x: FloatArray) -> Any:
        import torch

        mean, _, _, factor = self._solution(solution, x)
        v = torch.linalg.solve_triangular(factor, (self._on(x) - mean).T, upper=False)
        return 1 / solution.n + (v * v).sum(dim=0).double()

    def _solution(self, solution: Solution, x: FloatArray) -> tuple[Any, ...]:
        """Mean, bias, weights and factor on the device, in the type of x."""
        if self._placed is None or self._placed[0] is not solution:
            arrays = (solution.mean, solution.bias, solution.weights, solution.factor)
            self._placed = solution, tuple(self._on(a.astype(x.dtype)) for a in arrays)
        return self._placed[1]

    def _on(self, array: Any) -> Any:
        import torch

        return torch.from_numpy(np.ascontiguousarray(array)).to(self.device)


def fetched(outputs: Array) -> FloatArray:
    """What `Products.outputs` gave, in main memory."""
    array: FloatArray = outputs if isinstance(outputs, np.ndarray) else outputs.cpu().numpy()
    return array


def _sums(n: float, centre: FloatArray, parts: Sequence[Any]) -> Sums:
    """Sums of tensors."""
    return Sums(n, centre, *(fetched(part.double()) for part in parts))


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
