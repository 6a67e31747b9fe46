"""A run in one call, for tests that vary one thing at a time."""

from steepest.training import train as module
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.schedule import SCHEDULES


def train(
    workload, method, splits, hyperparameters, *, seed, epochs, batch_size, schedule=SCHEDULES["linear"], **options
):
    assignment = Assignment(workload, method, splits, hyperparameters, seed, epochs, batch_size, schedule)
    return module.train(assignment, **options)
