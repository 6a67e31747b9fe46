"""The workloads, methods and gradient estimators that come with the package."""

from steepest.training.builtin.estimators import ESTIMATORS
from steepest.training.builtin.methods import METHODS
from steepest.training.builtin.templates import TEMPLATES
from steepest.training.builtin.workloads import WORKLOADS

__all__ = ["ESTIMATORS", "METHODS", "TEMPLATES", "WORKLOADS"]
