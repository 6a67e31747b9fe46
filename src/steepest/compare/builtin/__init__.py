"""The workloads and methods that come with the package."""

from steepest.compare.builtin.methods import METHODS
from steepest.compare.builtin.workloads import WORKLOADS

__all__ = ["METHODS", "WORKLOADS"]
