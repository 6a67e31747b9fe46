"""What is known in closed form: errors in the end, the linear network's path, and a learning rate."""

import math

import numpy as np

from steepest.theory.committee.integrals import Array


def linear_error(times: Array, error: float, lr: float, noise: float, strength: float = 1.0) -> Array:
    r"""Generalization error of a linear student whose first layer is trained, at ``times``.

    .. code-block:: text

        e' = -(2 s - s^2) (e - e*)            s = lr sum_k v_k^2,   e* = s noise^2 / (4 - 2 s)

    Only ``sum_k v_k w_k`` matters, and moves as the weights of one unit whose rate is s (derived).

    Args:
        error: at time 0.
        strength: the sum of the squared output weights; K where they are 1.

    Raises:
        ValueError: s is not below 2, so that the error grows for ever.

    Example:
        >>> linear_error(np.array([0.0, 1e9]), 1.0, lr=0.5, noise=0.1, strength=2.0)
        array([1.   , 0.005])
    """
    rate = lr * strength
    if not 0 < rate < 2:
        raise ValueError(
            f"lr must be below 2 over the sum of the squared output weights, here {2 / strength:g}, got {lr}"
        )
    end = rate * noise**2 / (4 - 2 * rate)
    found: Array = end + (error - end) * np.exp(-(2 * rate - rate**2) * np.asarray(times, dtype=np.float64))
    return found


def small_lr_error(lr: float, noise: float, outputs: Array, slopes: Array) -> float:
    r"""Final error of a student that can be its teacher, to first order in lr, whatever the activation.

    .. code-block:: text

        lr noise^2 / 4  sum_k v_k^2 E[g'(lam_k)^2]

    Near the teacher, weights fluctuate with a covariance C of ``H C + C H = lr noise^2 H`` with the loss's Hessian H,
    and the error is ``tr(H C) / 2`` (derived; for erf, output weights 1 and L units that do nothing it is
    ``lr noise^2 / (2 pi) (L + M / sqrt 3)``, Goldt et al., arXiv 1906.08632).

    Args:
        outputs: v (K,) there.
        slopes: ``E[g'(lam_k)^2]`` (K,) there.
    """
    return float(lr * noise**2 / 4 * (np.asarray(outputs) ** 2 @ np.asarray(slopes)))


def saad_solla_lr(units: int) -> float:
    r"""A good constant learning rate of the first layer near the teacher, for erf, M = K units and no noise.

    .. code-block:: text

        2 pi / (sqrt 3 (K - 1 + 3 / sqrt 5))

    For K = 1 the error falls fastest with it. With more units the fastest is up to a fifth larger, and gains at most a
    tenth; 3/2 of it is the largest with which the teacher is stable at all, less 0.7 % for K = 2 and ever closer for
    more (measured, by the eigenvalues of the linearised equations).

    Source: Saad, Solla, Phys. Rev. E 52, 4225 (1995).

    Example:
        >>> round(saad_solla_lr(1), 4)
        2.7039
    """
    return 2 * math.pi / (math.sqrt(3) * (units - 1 + 3 / math.sqrt(5)))
