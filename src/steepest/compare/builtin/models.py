"""Small networks for the built-in workloads, with torch's default initialisation."""

import itertools

from torch import nn


def mlp(*widths: int) -> nn.Sequential:
    """A multilayer perceptron with ReLU between its linear layers; inputs of any shape are flattened first.

    Example:
        >>> [tuple(p.shape) for p in mlp(64, 32, 10).parameters()]
        [(32, 64), (32,), (10, 32), (10,)]
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (fan_in, fan_out) in enumerate(itertools.pairwise(widths)):
        layers += [nn.ReLU()] * (i > 0) + [nn.Linear(fan_in, fan_out)]
    return nn.Sequential(*layers)


def small_cnn(classes: int = 10) -> nn.Sequential:
    """Two 3x3 convolutions with ReLU and max-pooling, then two linear layers; for images of shape (1, 28, 28).

    Example:
        >>> import torch
        >>> small_cnn()(torch.zeros(2, 1, 28, 28)).shape
        torch.Size([2, 10])
    """
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(32 * 7 * 7, 64),
        nn.ReLU(),
        nn.Linear(64, classes),
    )
