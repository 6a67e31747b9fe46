"""The workloads, methods and gradient estimators that come with the package."""

from steepest.compare.builtin.estimators import ESTIMATORS
from steepest.compare.builtin.methods import METHODS
from steepest.compare.builtin.templates import TEMPLATES
from steepest.compare.builtin.workloads import WORKLOADS
from steepest.compare.names import DEFAULT_METHODS

__all__ = ["DEFAULT_METHODS", "ESTIMATORS", "METHODS", "TEMPLATES", "WORKLOADS"]
