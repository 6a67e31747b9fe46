"""The network whose training step is timed, ResNet-20 for images of 32x32 pixels, and that step."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from steepest.training.builtin.resnet import resnet20

__all__ = ["resnet20", "training_step"]


def training_step(model: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor) -> Callable[[], None]:
    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(model(x), y).backward()  # type: ignore[no-untyped-call]
        optimizer.step()

    return step
