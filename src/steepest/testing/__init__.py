"""Checks that any optimizer should pass, ours and yours: :func:`check_optimizer`, :func:`parametrize_with_checks`."""

from steepest.testing.check import CHECKS, check_optimizer
from steepest.testing.parametrize import parametrize_with_checks
from steepest.testing.problem import Case
from steepest.testing.result import Conformance, ConformanceError

__all__ = ["CHECKS", "Case", "Conformance", "ConformanceError", "check_optimizer", "parametrize_with_checks"]
