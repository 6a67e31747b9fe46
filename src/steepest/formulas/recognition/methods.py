"""Methods of the full batch for ``steepest compare``: each step takes the mean gradient over all training samples.

::

    gradient-descent    batch gradient descent, no momentum
    rprop               resilient propagation

An epoch is one step, and is paid for as one: 30 epochs are 30 steps, where SGD takes some hundreds in each.
"""

import torch

from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Range

gradient_descent = Method(
    "gradient-descent",
    torch.optim.SGD,
    space={"lr": Range(1e-2, 1e1)},
    fixed={"momentum": 0.0, "weight_decay": 0.0},
    batches_per_step="epoch",
    description="batch gradient descent: a step an epoch, along the gradient of all of it",
)
# The authors' factors and limits of a step; the first step, 0.1 there, is searched as lr.
rprop = Method(
    "rprop",
    torch.optim.Rprop,
    space={"lr": Range(1e-4, 1e-1)},
    fixed={"etas": (0.5, 1.2), "step_sizes": (1e-6, 50.0)},
    batches_per_step="epoch",
    description="resilient propagation: a step of its own for each weight, by the signs of all samples' gradients",
)
