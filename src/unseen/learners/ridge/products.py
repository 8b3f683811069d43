"""Where the products over a block of rows are made: on the processor by NumPy, or on a GPU by torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import Any, ClassVar, Protocol

import numpy as np

from unseen.closed_form import Solution, Summing, Sums, left_alone
from unseen.errors import ArgumentError, MissingDependencyError
from unseen.types import Array, FloatArray, IntArray

__all__ = ["OnCpu", "OnGpu", "Products", "fetched", "products_on"]


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
