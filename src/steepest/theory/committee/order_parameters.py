"""Overlaps of weight vectors, which are all that the error of a two-layer network on normal inputs depends on."""

from typing import NamedTuple

import numpy as np

from steepest.theory.committee.integrals import INTEGRALS, Array, Clips

# A covariance may have an eigenvalue so far below 0, relative to the largest: that of copies of a unit is 0.
ROUNDING = 1e-7


class OrderParameters(NamedTuple):
    """What describes a student of K units beside its teacher of M, of inputs of dimension N.

    .. code-block:: text

        Q (..., K, K) = w w' / N        R (..., K, M) = w B' / N        T (..., M, M) = B B' / N
        v (..., K): the student's output weights        A (..., M): the teacher's

    Q, R and T are the covariances of the local fields ``w.x / sqrt N`` and ``B.x / sqrt N``. Leading dimensions, which
    T and A may lack, are those of times or runs.
    """

    Q: Array
    R: Array
    T: Array
    v: Array
    A: Array

    def covariance(self) -> Array:
        """The covariance (..., K + M, K + M) of the student's fields and, after them, the teacher's."""
        teacher = np.broadcast_to(self.T, (*self.Q.shape[:-2], *self.T.shape[-2:]))
        return np.concatenate(
            [
                np.concatenate([self.Q, self.R], axis=-1),
                np.concatenate([np.swapaxes(self.R, -1, -2), teacher], axis=-1),
            ],
            axis=-2,
        )

    def outputs(self) -> Array:
        """The weights (..., K + M) with which g of these fields make the noiseless error: ``-v``, and ``A``."""
        return np.concatenate([-self.v, np.broadcast_to(self.A, (*self.v.shape[:-1], self.A.shape[-1]))], axis=-1)


def overlaps(student: Array, teacher: Array, v: Array, teacher_output: Array) -> OrderParameters:
    """The order parameters of weights (..., K, N) beside a teacher's (..., M, N).

    Example:
        >>> found = overlaps(np.array([[2.0, 0.0]]), np.array([[1.0, 1.0]]), np.ones(1), np.ones(1))
        >>> found.Q.item(), found.R.item(), found.T.item()
        (2.0, 1.0, 1.0)
    """
    n, turned = student.shape[-1], np.swapaxes(teacher, -1, -2)
    q = student @ np.swapaxes(student, -1, -2)
    return OrderParameters(q / n, student @ turned / n, teacher @ turned / n, v, teacher_output)


def error_of(parameters: OrderParameters, activation: str, clips: Clips | None = None) -> Array:
    r"""Half the mean squared difference of teacher and student on normal inputs, of the leading shape.

    .. code-block:: text

        1/2 sum over a, b of c_a c_b I2(a, b)           c = (-v, A), over the fields of both

    Example:
        >>> one = np.ones((1, 1))
        >>> float(error_of(OrderParameters(one, 0 * one, one, one[0], one[0]), "linear"))  # independent, of variance 1
        1.0
    """
    outputs = parameters.outputs()
    pairs = INTEGRALS[activation].i2(parameters.covariance(), clips or Clips())
    error: Array = np.einsum("...a,...ab,...b->...", outputs, pairs, outputs) / 2
    return error


def covariance_fault(parameters: OrderParameters) -> float | None:
    """The lowest eigenvalue of what should be the covariance of local fields, if it is negative beyond rounding."""
    values = np.linalg.eigvalsh(parameters.covariance())
    lowest, highest = float(values[..., 0].min()), float(values.max())
    return lowest if lowest < -ROUNDING * max(highest, 1) else None
