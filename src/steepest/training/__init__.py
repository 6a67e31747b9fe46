"""One run: a workload, a method, a seed and a budget, from random weights to a result."""

from steepest.training.definitions.estimator import Batch, Estimator, Resumable
from steepest.training.definitions.instrument import Instrument, Reading, RunView
from steepest.training.definitions.method import Method, Range
from steepest.training.definitions.schedule import Controller, Schedule
from steepest.training.definitions.workload import Workload, accuracy

__all__ = [
    "Batch",
    "Controller",
    "Estimator",
    "Instrument",
    "Method",
    "Range",
    "Reading",
    "Resumable",
    "RunView",
    "Schedule",
    "Workload",
    "accuracy",
]
