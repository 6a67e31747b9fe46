"""Gaussian averages of an activation g over the local fields of a two-layer network, all at once.

Local fields are jointly normal with mean 0; ``covariance`` (..., P, P) is theirs. With a, b, c, d among them:

.. code-block:: text

    I2(a, b)    = E[g(a) g(b)]           I4(a, b, c, d) = E[g'(a) g'(b) g(c) g(d)]
    I3(a, b, c) = E[g'(a) b g(c)]        J2(a, b)       = E[g'(a) g'(b)]

For ``g(x) = erf(x / sqrt 2)`` a factor ``g'(a) = sqrt(2/pi) exp(-a^2/2)`` makes of the normal density another one: that
of the fields once ``a`` plus independent noise of variance 1 was seen to be 0. So I4 is J2 times an I2 under that
smaller covariance; the literature's formula of four indices is the same (derived; the tests compare them).

For ReLU, I2 and J2 are known, and I3 follows by Stein's lemma, ``E[b f] = sum of c_ab E[df/da]`` (derived). I4 would
take the probability that four correlated normal numbers are all positive, which has no closed form.

Source: Saad, Solla, "On-line learning in soft committee machines", Phys. Rev. E 52, 4225 (1995); Goldt, Advani, Saxe,
Krzakala, Zdeborova, "Dynamics of stochastic gradient descent for two-layer neural networks in the teacher-student
setup", arXiv 1906.08632 (2019); for ReLU, Cho, Saul, "Kernel methods for deep learning" (2009).
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Index = NDArray[np.intp]


class Clips:
    """How many arguments of asin have left [-1, 1], as rounding may lead them, and were put back."""

    def __init__(self) -> None:
        self.count = 0


class Integrals(NamedTuple):
    """The averages of one activation, for indices ``a``, ``b`` (n,) of fields; of ReLU there is no ``i4``.

    .. code-block:: text

        i2(covariance, clips)           (..., P, P): of every pair
        j2(covariance, a, b, clips)     (n,): of the pairs a[i], b[i]
        i3(covariance, a, clips)        (n, P, P): of every a[i] with all b and c
        i4(covariance, a, b, clips)     (n, P, P): of the pairs a[i], b[i] with all c and d
    """

    i2: Callable[[Array, Clips], Array]
    j2: Callable[[Array, Index, Index, Clips], Array]
    i3: Callable[[Array, Index, Clips], Array]
    i4: Callable[[Array, Index, Index, Clips], Array] | None


def _asin(x: Array, clips: Clips) -> Array:
    if outside := int(np.count_nonzero(np.abs(x) > 1)):
        clips.count += outside
        x = np.clip(x, -1, 1)
    return np.arcsin(x)


def _variances(covariance: Array) -> Array:
    return np.diagonal(covariance, axis1=-2, axis2=-1)


def _erf_i2(covariance: Array, clips: Clips) -> Array:
    scale = 1 / np.sqrt(1 + _variances(covariance))
    return (2 / math.pi) * _asin(covariance * scale[..., :, None] * scale[..., None, :], clips)


def _erf_j2(covariance: Array, a: Index, b: Index, clips: Clips) -> Array:
    return (2 / math.pi) / np.sqrt((1 + covariance[a, a]) * (1 + covariance[b, b]) - covariance[a, b] ** 2)


def _erf_i3(covariance: Array, a: Index, clips: Clips) -> Array:
    seen, rows = 1 + covariance[a, a], covariance[a]
    left = covariance - rows[:, :, None] * (rows / seen[:, None])[:, None, :]
    scale = 1 / np.sqrt(seen[:, None] * (1 + _variances(left)))
    return (2 / math.pi) * left * scale[:, None, :]


def _erf_i4(covariance: Array, a: Index, b: Index, clips: Clips) -> Array:
    aa, bb, ab = 1 + covariance[a, a], 1 + covariance[b, b], covariance[a, b]
    determinant = aa * bb - ab**2
    inverse = np.empty((len(a), 2, 2))
    inverse[:, 0, 0], inverse[:, 1, 1] = bb / determinant, aa / determinant
    inverse[:, 0, 1] = inverse[:, 1, 0] = -ab / determinant
    rows = np.stack([covariance[a], covariance[b]], axis=1)
    left = covariance - rows.transpose(0, 2, 1) @ (inverse @ rows)
    return (2 / math.pi) / np.sqrt(determinant)[:, None, None] * _erf_i2(left, clips)


def _linear_i2(covariance: Array, clips: Clips) -> Array:
    return covariance


def _linear_j2(covariance: Array, a: Index, b: Index, clips: Clips) -> Array:
    return np.ones(len(a))


def _linear_i3(covariance: Array, a: Index, clips: Clips) -> Array:
    return np.broadcast_to(covariance, (len(a), *covariance.shape))


def _linear_i4(covariance: Array, a: Index, b: Index, clips: Clips) -> Array:
    return np.broadcast_to(covariance, (len(a), *covariance.shape))


def _root_of_minor(covariance: Array) -> Array:
    """Compute ``sqrt(c_aa c_bb - c_ab^2)`` of every pair; of what rounding makes negative, 0."""
    variances = _variances(covariance)
    return np.sqrt(np.maximum(variances[..., :, None] * variances[..., None, :] - covariance**2, 0))


def _relu_i2(covariance: Array, clips: Clips) -> Array:
    root = _root_of_minor(covariance)
    return (2 * root + math.pi * covariance + 2 * covariance * np.arctan2(covariance, root)) / (4 * math.pi)


def _both_positive(covariance: Array) -> Array:
    """Compute the probability that both of a pair are positive."""
    return 0.25 + np.arctan2(covariance, _root_of_minor(covariance)) / (2 * math.pi)


def _relu_j2(covariance: Array, a: Index, b: Index, clips: Clips) -> Array:
    return _both_positive(covariance)[a, b]


def _relu_i3(covariance: Array, a: Index, clips: Clips) -> Array:
    jump = _root_of_minor(covariance)[a] / (2 * math.pi * covariance[a, a][:, None])
    return covariance[a][:, :, None] * jump[:, None, :] + covariance * _both_positive(covariance)[a][:, None, :]


INTEGRALS = {
    "erf": Integrals(_erf_i2, _erf_j2, _erf_i3, _erf_i4),
    "linear": Integrals(_linear_i2, _linear_j2, _linear_i3, _linear_i4),
    "relu": Integrals(_relu_i2, _relu_j2, _relu_i3, None),
}
