"""Checks that any optimizer should pass, ours and yours: :func:`check_optimizer`."""

from steepest.testing.check import CHECKS, ConformanceError, check_optimizer
from steepest.testing.problem import Case

__all__ = ["CHECKS", "Case", "ConformanceError", "check_optimizer"]
