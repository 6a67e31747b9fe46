r"""What the linear prediction at a saddle becomes far from it, since the weights of streaming PCA stay on the sphere.

.. code-block:: text

    v_j = x / sqrt(1 + x^2)        x: normal with mean 0 and the variance s^2 of the linearised rule              (ours)
    E v_j^2 = 1 - sqrt(pi / 2) / s exp(1 / (2 s^2)) erfc(1 / (s sqrt(2)))        about s^2 - 3 s^4

Noise counts early, near the saddle i, where v_i is 1; from there on the mean path's ``v_j / v_i`` grows as the linear
equation's v_j does, at any distance. It is no theorem: noise far from the saddle, and other directions that grow too,
are left out.
"""

import math

import numpy as np
from scipy.special import erfcx

from steepest.theory.momentum.arguments import Array


def linear_distance(delta: float) -> float:
    """Where x is when v_j is at ``delta``."""
    return delta / math.sqrt(1 - delta**2)


def variance(linear: Array) -> Array:
    """The variance of v_j from that of x; the greatest is 1."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found = 1 - np.sqrt(math.pi / 2 / linear) * erfcx(1 / np.sqrt(2 * linear))
    return np.where(linear < 1e-6, linear, found)  # there the difference has lost its digits
