"""Multinomial logistic regression, solved up to rounding: the objective, its Hessian, and damped Newton steps.

Logits are theta x, with theta (C, D) and x (D,): the features about a centre, and a last entry of 1. The objective is

    sum of losses + lam / 2 |W|^2 + mu / 2 (sum of biases)^2,

where W is theta without its last column, the biases. As in scikit-learn, no bias is penalised. Adding one vector to
the weights of every class changes no probability. lam fixes these directions for the weights, and mu fixes the one of
the biases. At the minimum the sum of the biases is 0 for any mu, so mu only improves the condition: it is n / C^2.

Cost: 4 n C D operations for each pass of L-BFGS (30 to 90 of them), n (C D)^2 for each Hessian (one to three) and
(C D)^3 / 3 for its factor.

`Problem` is the regression on blocks of rows. `leave_out_each` and `leave_out_group` leave rows out by one Newton step
from its solution over all rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize

from unseen.core.arrays import FloatArray, IntArray

# The least Newton decrement g' Hess^-1 g. In exact arithmetic, the error of the logits of a row is then at most 1e-10
# times the root of its leverage x' Hess^-1 x.
LEAST_DECREMENT = 1e-20
ROUNDING = 1e-14  # a decrement below this that no longer falls is a rounding error of the gradient
MOST_STEPS = 100
SMALL = 100  # coefficients up to which a Hessian costs no more than a few passes

Block = tuple[FloatArray, IntArray]


@dataclass(frozen=True, eq=False)
class Problem:
    """One regression to solve."""

    # Returns the rows in blocks, the same at each call: x float64 (m, D), its last column 1, and labels int64 (m,) in
    # 0..C-1; each class occurs.
    blocks: Callable[[], Iterable[Block]]
    classes: int  # C
    width: int  # D
    n: int  # the number of rows
    lam: float  # the penalty, above 0: 1 / C of scikit-learn with three classes or more, and 2 / C of it with two

    def solve(self, start: FloatArray | None = None) -> FloatArray:
        """Return theta, float64 (C, D), at the minimum, from `start` or 0; a LinAlgError says that lam is too small."""
        theta = np.zeros((self.classes, self.width)) if start is None else start
        if theta.size > SMALL:
            theta = self._approach(theta)
        factor, previous = None, np.inf
        for _ in range(MOST_STEPS):
            loss, gradient = self.objective(theta)
            step, decrement = _newton_step(factor, gradient)
            if factor is None or decrement > 1e-2 * previous:  # the factor of an earlier point is no longer good enough
                factor = cho_factor(self.hessian(theta), lower=True, overwrite_a=True, check_finite=False)
                step, decrement = _newton_step(factor, gradient)
            if decrement <= LEAST_DECREMENT or 0.25 * previous < decrement < ROUNDING:
                return theta - step
            theta, previous = self._step_damped(theta, step, loss, decrement), decrement
        raise LinAlgError(f"no minimum in {MOST_STEPS} Newton steps")

    def objective(self, theta: FloatArray) -> tuple[float, FloatArray]:
        """Return the objective and its gradient, float64 (C, D)."""
        weights, total = theta[:, :-1], theta[:, -1].sum()
        loss = 0.5 * self.lam * float(np.square(weights).sum()) + 0.5 * self._mu * float(total**2)
        gradient = self.lam * theta
        gradient[:, -1] = self._mu * total
        for x, y in self.blocks():
            logits, rows = x @ theta.T, np.arange(len(y))
            residuals, norm = _softmax(logits)
            loss += float((norm - logits[rows, y]).sum())
            residuals[rows, y] -= 1.0
            gradient += residuals.T @ x
        return loss, gradient

    def hessian(self, theta: FloatArray) -> FloatArray:
        """Return the Hessian, float64 (C D, C D), with the entries of a class side by side."""
        size = self.classes * self.width
        hessian = np.zeros((size, size))
        for x, _ in self.blocks():
            hessian += hessian_of(x, probabilities(x @ theta.T))
        diagonal = np.full((self.classes, self.width), self.lam)
        diagonal[:, -1] = 0.0
        hessian[np.diag_indices(size)] += diagonal.ravel()
        biases = np.arange(self.width - 1, size, self.width)
        hessian[np.ix_(biases, biases)] += self._mu
        return hessian

    def inverse(self, theta: FloatArray) -> FloatArray:
        """Return the inverse of the Hessian, float64 (C D, C D)."""
        factor, failed = lapack.dpotrf(self.hessian(theta).T, lower=1, overwrite_a=1)
        if not failed:
            inverse, failed = lapack.dpotri(factor, lower=1, overwrite_c=1)
        if failed:
            raise LinAlgError("the Hessian is not positive definite in float64")
        below: FloatArray = np.tril(inverse)
        below += np.tril(inverse, -1).T
        return below

    @property
    def _mu(self) -> float:
        return self.n / self.classes**2

    def _approach(self, theta: FloatArray) -> FloatArray:
        """Return a point near the minimum by L-BFGS, in coordinates where the Hessian at theta = 0 is about 1."""
        gram = np.zeros((self.width, self.width))
        for x, _ in self.blocks():
            gram += x.T @ x
        gram /= self.classes
        gram[np.diag_indices(self.width - 1)] += self.lam
        root = cholesky(gram, lower=True, check_finite=False)

        def to_theta(values: FloatArray) -> FloatArray:
            found: FloatArray = solve_triangular(root.T, values.reshape(theta.shape).T, check_finite=False).T
            return found

        def objective(values: FloatArray) -> tuple[float, FloatArray]:
            loss, gradient = self.objective(to_theta(values))
            return loss, solve_triangular(root, gradient.T, lower=True, check_finite=False).T.ravel()

        options = {"maxiter": 300, "maxcor": 20, "ftol": 1e-10, "gtol": 1e-8}
        return to_theta(minimize(objective, (theta @ root).ravel(), jac=True, method="L-BFGS-B", options=options).x)

    def _step_damped(self, theta: FloatArray, step: FloatArray, loss: float, decrement: float) -> FloatArray:
        """Step along the Newton direction so far that the objective falls, up to rounding; return the new theta."""
        share, rounding = 1.0, 1e-12 * (1.0 + abs(loss))
        for _ in range(60):
            reached = theta - share * step
            if self.objective(reached)[0] <= loss - 1e-4 * share * decrement + rounding:
                return reached
            share /= 2
        raise LinAlgError("the Newton direction does not lower the objective in float64")


def hessian_of(x: FloatArray, p: FloatArray) -> FloatArray:
    """Return the part of rows x (m, D) in the Hessian (C D, C D): the sum of (diag(p) - p p') kron (x x')."""
    (m, width), classes = x.shape, p.shape[1]
    spread = (p[:, :, None] * x[:, None, :]).reshape(m, -1)
    part: FloatArray = spread.T @ spread
    np.negative(part, out=part)
    for c in range(classes):
        own = slice(c * width, (c + 1) * width)
        part[own, own] += x.T @ spread[:, own]
    return part


def probabilities(logits: FloatArray) -> FloatArray:
    """Return probabilities, float64 (m, C), of logits."""
    return _softmax(logits)[0]


def _softmax(logits: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return probabilities (m, C) and the log of the sum of exponentials (m,), with one exponential for each entry."""
    top = logits.max(axis=1)
    p: FloatArray = np.exp(logits - top[:, None])
    total = p.sum(axis=1)
    p /= total[:, None]
    return p, top + np.log(total)


def _newton_step(factor: tuple[FloatArray, bool] | None, gradient: FloatArray) -> tuple[FloatArray, float]:
    if factor is None:
        return gradient, np.inf
    step = cho_solve(factor, gradient.ravel(), check_finite=False).reshape(gradient.shape)
    return step, float((gradient * step).sum())


# ---- one Newton step without a group --------------------------------------------------------------------------------
#
# For one row (Rad and Maleki 2020, doi:10.1111/rssb.12374), with M the inverse Hessian at the solution:
#
#     z_i + G_i (I - D_i G_i)^-1 (p_i - y_i),   G_i = (I x x_i)' M (I x x_i),   D_i = diag(p_i) - p_i p_i'
#
# For a group of m rows, these become blocks: G is (m C, m C), and D is block-diagonal. Copies of a row count as one,
# with D_i times their number and the sum of their residuals. A group of more than D distinct rows takes the step in
# theta itself, (I - M H_g)^-1 M g, by a matrix of (C D, C D). Cost: n (C D)^2 for single rows, after (C D)^3 for M.


def leave_out_each(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the logits (m, C) of each row by the regression without this row, and their largest change (m,).

    The change is infinite where there is no step. x is (m, D), y (m,) in 0..C-1, theta (C, D) the solution over all
    rows, inverse (C D, C D) that of the Hessian at theta.
    """
    logits = x @ theta.T
    p = probabilities(logits)
    parts = np.split(inverse, len(theta))
    g = np.stack([_spread(x, part, len(theta)) @ x[:, :, None] for part in parts], axis=1)[..., 0]
    return _solve_step(logits, g, _curvature(p) @ g, p - np.eye(len(theta))[y])


def leave_out_group(x: FloatArray, y: IntArray, theta: FloatArray, inverse: FloatArray) -> tuple[FloatArray, float]:
    """Return the logits of the rows of one group by the regression without the group; see `leave_out_each`."""
    distinct, copy = np.unique(x, axis=0, return_inverse=True)
    copy = copy.reshape(-1)
    u, classes = len(distinct), len(theta)
    logits = distinct @ theta.T
    p = probabilities(logits)
    count = np.bincount(copy)
    residuals = count[:, None] * p
    np.subtract.at(residuals, (copy, y), 1.0)
    if u > x.shape[1]:
        taken = hessian_of(np.sqrt(count)[:, None] * distinct, p)
        gradient = inverse @ (residuals.T @ distinct).ravel()
        step = np.linalg.solve(np.eye(len(inverse)) - inverse @ taken, gradient).reshape(theta.shape)
        shift = distinct @ step.T
        return (logits + shift)[copy], float(np.abs(shift).max())
    # From (u, C, C, u) to (u, C, u, C): between class c of one row and class k of another.
    g = np.stack([_spread(distinct, part, classes) @ distinct.T for part in np.split(inverse, classes)], axis=1)
    g = g.transpose(0, 1, 3, 2)
    weights = count[:, None, None] * _curvature(p)
    product = np.einsum("icd,idjk->icjk", weights, g).reshape(u * classes, -1)
    shifted, far = _solve_step(
        logits.reshape(1, -1), g.reshape(1, u * classes, -1), product[None], residuals.reshape(1, -1)
    )
    return shifted.reshape(u, classes)[copy], float(far[0])


def _spread(x: FloatArray, part: FloatArray, classes: int) -> FloatArray:
    """Multiply rows by the blocks of one class with every class: (m, C, D)."""
    return (x @ part).reshape(len(x), classes, -1)


def _curvature(p: FloatArray) -> FloatArray:
    """Return D of each row, (m, C, C)."""
    found: FloatArray = -p[:, :, None] * p[:, None, :]
    found[:, np.arange(p.shape[1]), np.arange(p.shape[1])] += p
    return found


def _solve_step(
    logits: FloatArray, g: FloatArray, product: FloatArray, residuals: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return logits + G (I - DG)^-1 residuals for each of a batch, and the largest shift of each."""
    system = np.eye(g.shape[-1]) - product
    try:
        shift = (g @ np.linalg.solve(system, residuals[..., None]))[..., 0]
    except np.linalg.LinAlgError:  # one of the batch has no step, so solve each by itself
        if len(logits) == 1:
            return logits, np.array([np.inf])
        each = [_solve_step(*(a[i : i + 1] for a in (logits, g, product, residuals))) for i in range(len(logits))]
        return np.concatenate([shifted for shifted, _ in each]), np.concatenate([far for _, far in each])
    return logits + shift, np.abs(shift).max(axis=1)
