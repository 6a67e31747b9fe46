"""A sequence that trains in milliseconds: three tasks of two classes, in an order of labels that is not their own."""

import torch

from steepest.data import Split, Splits
from steepest.spiking.continual.workloads import split
from steepest.training import train as module
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.schedule import SCHEDULES

CLASSES = ((4, 1), (0, 3), (5, 2))
HYPER = {"lr": 0.05}
STRENGTHS = {
    "cost-per-synapse": 1e4,
    "cost-per-synapse-replay": 1e4,
    "ewc": 5.0,
    "si": 0.5,
    "blocks-ewc": 5.0,
    "blocks-si": 0.5,
}


def clouds(data_dir=None):
    """Six classes around six centres; 120 training samples, 20 of each."""
    generator = torch.Generator().manual_seed(5)
    centres = 2 * torch.randn(6, 4, generator=generator)

    def part(count):
        targets = torch.arange(count) % 6
        return Split(centres[targets] + 0.5 * torch.randn(count, 4, generator=generator), targets)

    return Splits(part(120), part(36), part(36))


workload = split("small", clouds, CLASSES, features=4, hidden=8, epochs=2)
TASKS = workload.data(None)


def values(method, **changes):
    found = dict(HYPER)
    if "strength" in method.space:
        found["strength"] = STRENGTHS[method.name]
    return {**found, **changes}


def run(method, *, hyperparameters=None, seed=1, schedule="constant", tasks=TASKS, **options):
    asked = Assignment(workload, method, tasks, hyperparameters or values(method), seed, 2, 10, SCHEDULES[schedule])
    return module.train(asked, **{"with_test": True, **options})


def weights_after(method, **options):
    states = []
    outcome = run(method, trained=lambda model: states.append(model.state_dict()), **options)
    return {name: tensor.clone() for name, tensor in states[0].items()}, outcome
