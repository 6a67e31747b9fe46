"""The workloads, methods, gradient estimators and instruments that come with the package."""

from steepest.training.builtin.estimators import ESTIMATORS
from steepest.training.builtin.instruments import INSTRUMENTS
from steepest.training.builtin.methods import METHODS
from steepest.training.builtin.templates import TEMPLATES
from steepest.training.builtin.workloads import WORKLOADS

__all__ = ["ESTIMATORS", "INSTRUMENTS", "METHODS", "TEMPLATES", "WORKLOADS"]
