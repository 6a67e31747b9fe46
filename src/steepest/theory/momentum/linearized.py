"""Momentum SGD near a stationary point of any loss that can be differentiated twice: where it stays, how it leaves."""

from typing import NamedTuple

import numpy as np

from steepest.optim.arguments import check_flag
from steepest.theory.momentum import recursion
from steepest.theory.momentum.annealing import Annealing, plan
from steepest.theory.momentum.arguments import (
    Array,
    Numbers,
    Steps,
    check_exit,
    check_settings,
    check_stable,
    covariance,
    symmetric,
)


def stationary_covariance(
    hessian: Numbers, noise_covariance: Numbers, lr: float, momentum: float, *, exact: bool = False
) -> Array:
    r"""Covariance (d, d) of the weights in the end, near a minimum.

    .. code-block:: text

        H C + C H = lr / (1 - momentum) S                       the SDE's: the limit of small steps
        P = F P F' + lr^2 (S 0; 0 0)                            exact, for the quadratic with this H, any noise of
        F = ((1 + momentum) I - lr H, -momentum I; I 0)         covariance S: C is the upper left block of P

    Both are solved in closed form in the eigenvectors of H; see :mod:`steepest.theory.momentum.recursion`.

    Args:
        hessian: H, symmetric (d, d), an array or a tensor; of a large model, H and S in the orthonormal basis of some
            eigenvectors of H do: what lies outside does not change them.
        noise_covariance: S, of the gradient that a step takes: (d, d), or (d,) or a number for variances of
            independent noise. Of a batch, the samples' D times :meth:`steepest.diagnostics.Covariance.factor`.
        lr, momentum: of the rule ``m <- momentum m + g, v <- v - lr m``.
        exact: the second of the two.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range; ``hessian`` has an eigenvalue that is not above 0; the settings are
            unstable.

    Source: the SDE as in Liu, Chen, Zhou, Zhao (2021), arXiv 1802.05155, reconstructed; the exact one is derived.

    Example:
        >>> hessian, noise = [[2.0, 1.0], [1.0, 2.0]], [[1.0, 0.0], [0.0, 0.5]]
        >>> stationary_covariance(hessian, noise, lr=0.01, momentum=0.9).round(5)
        array([[ 0.03125, -0.0125 ],
               [-0.0125 ,  0.01875]])
        >>> stationary_covariance(hessian, noise, lr=0.01, momentum=0.9, exact=True).round(5)
        array([[ 0.02935, -0.0125 ],
               [-0.0125 ,  0.02085]])
    """
    h, vectors, noise = _linearize(hessian, noise_covariance, lr, momentum)
    check_flag("exact", exact)
    if h[0] <= 0:
        raise ValueError(
            f"hessian must have eigenvalues above 0, as at a strict minimum, got {h[0]:g}: nothing is stationary there"
        )
    return vectors @ recursion.stationary(h, noise, lr, momentum, exact) @ vectors.T


def covariance_path(
    hessian: Numbers,
    noise_covariance: Numbers,
    lr: float,
    momentum: float,
    steps: Steps,
    *,
    annealing: Annealing | None = None,
    exact: bool = False,
) -> Array:
    """Covariance of the weights after each of ``steps`` steps of a run from one point, of shape (\\*steps, d, d).

    Near a minimum it grows to :func:`stationary_covariance`, at a saddle beyond all bounds: what exceeds 1e100 is
    said to be that.

    Args:
        steps: a number or an array of them, in any order.
        annealing: of lr and momentum in the run.
        exact: the quadratic's own recursion, step by step, in place of the SDE.

    Raises:
        TypeError, ValueError: as :func:`stationary_covariance`, but for eigenvalues that are not above 0.

    Example:
        >>> covariance_path([[-1.0]], 1.0, lr=0.01, momentum=0.0, steps=[0, 100, 200])[:, 0, 0].round(4)
        array([0.    , 0.0319, 0.268 ])
    """
    h, vectors, noise = _linearize(hessian, noise_covariance, lr, momentum)
    check_flag("exact", exact)
    run = plan(steps, annealing, lr, momentum, float(h[-1]))
    found = recursion.covariances(h, noise, run.pieces, run.marks, exact)
    return np.asarray(vectors @ found[run.back] @ vectors.T)


class Escape(NamedTuple):
    """What :func:`escape` found, of the m directions of negative curvature, the steepest first.

    ``curvatures`` (m,), below 0; ``directions`` (m, d), unit vectors; ``noise`` (m,): the variance of the gradient
    along them; ``exit_steps`` (m,): after how many steps the weights are further than delta from the saddle along
    the direction, with the probability that was asked for; ``lr``, ``momentum``.
    """

    curvatures: Array
    directions: Array
    noise: Array
    exit_steps: Array
    lr: float
    momentum: float

    def variance(self, steps: Steps) -> Array:
        """Variance along each direction after ``steps`` steps from the saddle, of shape (\\*steps, m), by the SDE.

        What exceeds 1e100 is said to be that.
        """
        found = covariance_path(np.diag(self.curvatures), self.noise, self.lr, self.momentum, steps)
        return np.diagonal(found, axis1=-2, axis2=-1)


def escape(
    hessian: Numbers,
    noise_covariance: Numbers,
    lr: float,
    momentum: float,
    delta: float,
    *,
    probability: float = 0.5,
) -> Escape:
    r"""How momentum SGD leaves a strict saddle, along each direction in which the loss curves downwards.

    .. code-block:: text

        along the unit vector u with H u = -gap u:    s^2 = u' S u,    e = lr / (1 - momentum)
        variance after k steps      e s^2 / (2 gap) (exp(2 gap e k) - 1)
        P(|u'v| > delta) = p  at    k = log(1 + 2 gap delta^2 / (e s^2 z^2)) / (2 gap e),    z = Phi^-1(1 - p / 2)

    The last is the law of the weights at a time, a marginal law, and not that of the first passage, which comes
    earlier: a path may return. It is of the linearised loss: ``delta`` must lie where that is near to the loss.

    Args:
        hessian, noise_covariance, lr, momentum: as of :func:`stationary_covariance`.
        delta: distance along a direction, above 0.
        probability: p, in (0, 1); 1/2 for the median.

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range; ``hessian`` has no eigenvalue below 0; the settings are unstable along
            a direction of positive curvature.

    Source: Liu, Chen, Zhou, Zhao (2021), arXiv 1802.05155, reconstructed.

    Example:
        >>> found = escape([[1.0, 0.0], [0.0, -1.0]], 1.0, lr=0.01, momentum=0.9, delta=0.5)
        >>> found.curvatures, found.directions.tolist(), found.exit_steps.round(1)
        (array([-1.]), [[0.0, 1.0]], array([12.4]))
        >>> plain = escape([[1.0, 0.0], [0.0, -1.0]], 1.0, lr=0.01, momentum=0.0, delta=0.5)
        >>> plain.exit_steps.round(1), plain.variance(100).round(4)
        (array([235.4]), array([0.0319]))
    """
    h, vectors, noise = _linearize(hessian, noise_covariance, lr, momentum)
    check_exit(delta, probability)
    down = h < -1e-12 * np.abs(h).max()
    if not down.any():
        raise ValueError(f"hessian must have an eigenvalue below 0, as at a strict saddle, got at least {h[0]:g}")
    variances = np.maximum(noise.diagonal()[down], 0)
    found = recursion.exit_steps(h[down], variances, lr, momentum, delta, probability)
    return Escape(h[down], vectors.T[down], variances, found, lr, momentum)


def _linearize(hessian: Numbers, noise_covariance: Numbers, lr: float, momentum: float) -> tuple[Array, Array, Array]:
    """Check the arguments and give eigenvalues in ascending order, eigenvectors as columns, and the noise in these."""
    matrix = symmetric("hessian", hessian)
    noise = covariance("noise_covariance", noise_covariance, len(matrix))
    check_settings(lr, momentum)
    h, vectors = np.linalg.eigh(matrix)
    check_stable(float(h[-1]), lr, momentum)
    return h, vectors, vectors.T @ noise @ vectors
