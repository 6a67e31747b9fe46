"""How sure a network may be: its logits divided by one number that is fitted to data that it has not learnt from."""

import torch
from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0


def fit_temperature(logits: Tensor, targets: Tensor) -> float:
    """The temperature from 0.05 to 20 at which the mean cross-entropy of ``logits / temperature`` is least.

    Args:
        logits: (N, classes).
        targets: (N,) integers.

    Source: Guo, Pleiss, Sun, Weinberger, "On calibration of modern neural networks", ICML 2017.

    Example:
        Nine in ten are right, where the logits say that all are:

        >>> logits, targets = torch.tensor([[9.0, 0.0]]).expand(10, 2), torch.tensor([0] * 9 + [1])
        >>> round(torch.softmax(logits[0] / fit_temperature(logits, targets), dim=0)[0].item(), 4)
        0.9
    """
    z = logits.detach().double().cpu()
    right = z.gather(1, targets.cpu()[:, None]).squeeze(1)
    low, high = 1 / HIGHEST, 1 / LOWEST  # of the inverse, in which the cross-entropy is convex
    for _ in range(60):
        middle = (low + high) / 2
        slope = ((torch.softmax(middle * z, dim=1) * z).sum(dim=1) - right).mean().item()
        low, high = (middle, high) if slope < 0 else (low, middle)
    return 2 / (low + high)
