"""The error at which a student ends, where it is known in closed form."""

import numpy as np

from steepest.theory.committee.closed_forms import linear_error, small_lr_error
from steepest.theory.committee.integrals import INTEGRALS, Array, Clips
from steepest.theory.committee.rule import Rule
from steepest.theory.committee.starts import Beginning


def final_error(rule: Rule, beginning: Beginning) -> float:
    """The error of :meth:`~steepest.theory.committee.Committee.final_error`.

    Raises:
        ValueError: nothing is known.
    """
    if rule.weight_decay:
        raise ValueError(f"weight_decay must be 0 for a final error in closed form, got {rule.weight_decay:g}")
    v = beginning.mixture.v
    if rule.activation == "linear" and rule.lr_output is None:
        return float(linear_error(np.array(np.inf), 0.0, rule.lr, rule.noise, float(v @ v)))
    found = _at_teacher(rule, beginning)
    if found is None:
        k, m = beginning.mixture.mix.shape
        raise ValueError(
            f"no final error is known in closed form of {k} {rule.activation} units beside {m} with "
            f"start={beginning.name!r} and these output weights: take the end of a prediction, or fixed_point"
        )
    return small_lr_error(rule.lr, rule.noise, *found)


def _at_teacher(rule: Rule, beginning: Beginning) -> tuple[Array, Array] | None:
    """Find the output weights of a student that is its teacher, and the mean squared slopes of its units."""
    k, m = beginning.mixture.mix.shape
    a, v, both = beginning.teacher_output, beginning.mixture.v, rule.lr_output is not None
    copied = np.arange(k) % m
    shared = a[copied] / np.bincount(copied)[copied]
    if both and rule.activation != "erf":  # what one layer gains the other may lose: where they end is not determined
        return None
    slopes = _slopes(beginning.overlap(), rule.activation)
    if (k == m or beginning.name == "denoiser") and (both or np.array_equal(v, shared)):
        return shared, slopes[copied]
    if rule.activation == "erf" and not both and np.array_equal(v[:m], a):
        return v, np.concatenate([slopes, _slopes(np.zeros((k - m, k - m)), "erf")])
    return None


def _slopes(overlap: Array, activation: str) -> Array:
    """Compute ``E[g'(B_m.x / sqrt N)^2]`` (M,) of units with overlaps T (M, M)."""
    units = np.arange(len(overlap))
    return INTEGRALS[activation].j2(overlap, units, units, Clips())
