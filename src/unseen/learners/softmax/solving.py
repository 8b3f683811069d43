"""Multinomial logistic regression, solved up to rounding: the objective, its Hessian, and damped Newton steps.

Logits are theta x, with theta (C, D) and x (D,): the features about a centre, and a last entry of 1. The objective is

    sum of losses + lam / 2 |W|^2 + mu / 2 (sum of biases)^2,

where W is theta without its last column, the biases. As in scikit-learn, no bias is penalised. Adding one vector to
the weights of every class changes no probability. lam fixes these directions for the weights, and mu fixes the one of
the biases. At the minimum the sum of the biases is 0 for any mu, so mu only improves the condition: it is n / C^2.

Cost: 4 n C D operations for each pass of L-BFGS (30 to 90 of them), n (C D)^2 for each Hessian (one to three) and
(C D)^3 / 3 for its factor.

`Problem` is the regression on blocks of rows. `train` solves it on rows of a data set, read in blocks by id, for the
classes that these rows have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from scipy.linalg import LinAlgError, cho_factor, cho_solve, cholesky, lapack, solve_triangular
from scipy.optimize import minimize
from scipy.special import logsumexp

from unseen.core.arrays import FloatArray, IntArray
from unseen.errors import DataError
from unseen.learners.ridge.reading import RowReader

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
        """Return theta, float64 (C, D), at the minimum.

        Args:
            start: float64 (C, D), or None for 0.

        Raises:
            LinAlgError: lam is too small for float64.
        """
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
    """Return the part of these rows in the Hessian, float64 (C D, C D): the sum of (diag(p) - p p') kron (x x').

    Args:
        x: float64 (m, D).
        p: float64 (m, C), probabilities.
    """
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


# ---- a regression on rows of a data set ----------------------------------------------------------------------------

HELD_BYTES = 2**28  # of inputs that stay in memory while a model is solved; more are read at each pass
ABSENT = float(np.log(np.finfo(np.float32).tiny))  # log-probability of a class without training rows


@dataclass(frozen=True, eq=False)
class Model:
    """A solved regression."""

    centre: FloatArray  # float64 (d,), subtracted from each row
    present: IntArray  # int64 (P,) the classes of the training rows, ascending
    classes: int  # C of the data set
    theta: FloatArray  # float64 (P, d + 1)
    problem: Problem  # the problem that theta solves

    def design(self, x: FloatArray) -> FloatArray:
        """Return x about the centre, with a last column of 1, float64 (m, d + 1)."""
        return _make_design(x, self.centre)

    def outputs(self, x: FloatArray) -> FloatArray:
        """Return the logits, float64 (m, C), of x (m, d)."""
        return self.to_all_classes(self.design(x) @ self.theta.T)

    def to_all_classes(self, logits: FloatArray) -> FloatArray:
        """Extend logits (m, P) to all classes (m, C); a class without training rows has the probability 1.2e-38."""
        if len(self.present) == self.classes:
            return logits
        everything = np.repeat(logsumexp(logits, axis=1, keepdims=True) + ABSENT, self.classes, axis=1)
        everything[:, self.present] = logits
        return everything

    def codes(self, labels: IntArray) -> IntArray:
        """Return labels as positions in `present`."""
        return np.searchsorted(self.present, labels)


def train(rows: RowReader, chosen: IntArray, lam: float, name: str, start: FloatArray | None = None) -> Model:
    """Train the regression on these rows.

    Args:
        rows: the data set, read in float64.
        chosen: int64, the training rows.
        lam: the penalty.
        name: the name of the fit, for messages.
        start: the theta to start from, or None for 0.

    Raises:
        DataError: the rows are of one class; lam is too small.
    """
    labels = rows.data.labels
    present = np.unique(labels[chosen])
    if len(present) < 2:
        raise DataError(
            f"softmax cannot learn from fit {name}: it needs samples of at least 2 classes, but its {len(chosen)} "
            f"training samples are of {len(present)}"
        )
    centre = rows.centre(chosen)

    def read() -> Iterable[Block]:
        for block in rows.blocks(chosen):
            x = _make_design(rows.inputs(block), centre)
            codes = np.searchsorted(present, labels[block])
            step = max(64, rows.block // (len(present) + 1))  # then C copies of a part are no larger than a block
            yield from ((x[at : at + step], codes[at : at + step]) for at in range(0, len(x), step))

    width = len(centre) + 1
    held = list(read()) if 8 * width * len(chosen) <= HELD_BYTES else None
    problem = Problem(read if held is None else lambda: held, len(present), width, len(chosen), lam)
    try:
        theta = problem.solve(start)
    except LinAlgError as error:
        raise DataError(
            f"lam={lam:.3g} is too small for these features: the softmax regression of fit {name} cannot be solved in "
            f"float64 ({error}); raise lam, or scale the features"
        ) from error
    return Model(centre, present, len(rows.data.class_names), theta, problem)


def _make_design(x: FloatArray, centre: FloatArray) -> FloatArray:
    design = np.ones((len(x), x.shape[1] + 1))
    np.subtract(x, centre, out=design[:, :-1])
    return design
