"""Ridge regression in closed form: sums of products, the solution, and what it says of samples left out.

With a bias column in X that is not penalised, A = X'X + lam R and H = X A^-1 X'. The bias is eliminated: about the
mean m of the training rows, W = (Z'Z + lam I)^-1 Z'Y with Z = X - m, outputs are ybar + Z W, and
H = 1/n + Z (Z'Z + lam I)^-1 Z'. A group g of samples leaves together:

    f_g = Y_g - (I - H_gg)^-1 (Y_g - F_g)

(for one sample Y - (Y - F) / (1 - h), for m copies of leverage h (F - m h ybar) / (1 - m h)). Rounding is magnified by
the inverse of the `gap`, the smallest eigenvalue of I - H_gg: about 1e-16 / gap relative to the outputs.

With weights w of the rows, X and Y stand for sqrt(w) X and sqrt(w) Y, n for the sum of the weights, and means are
weighted. Sums and solutions are float64; products over rows are made in the type of x.

Cost: n d^2 for the sums, d^3 / 3 for the solution, n d^2 for the leverages, 2 n d C a set of outputs.
"""

from unseen.closed_form.leaving import EveryLam, left_alone, left_out
from unseen.closed_form.solution import LinAlgError, Solution, solve
from unseen.closed_form.sums import Summing, Sums

__all__ = ["EveryLam", "LinAlgError", "Solution", "Summing", "Sums", "left_alone", "left_out", "solve"]
