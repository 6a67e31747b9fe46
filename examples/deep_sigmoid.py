"""AdamNG against Adam on a network of 18 sigmoid layers, where gradients vanish (Yu et al., arXiv 1707.04822).

steepest compare examples/deep_sigmoid.py:mnist_18 --data-dir DIR \
    --methods examples/deep_sigmoid.py:adam,examples/deep_sigmoid.py:adam_ng
"""

from functools import partial

import torch
from torch import nn

from steepest import normalize_gradients
from steepest.compare import Method, Range, Workload
from steepest.data import images


def deep_sigmoid_mlp(layers: int = 18, width: int = 100) -> nn.Sequential:
    hidden = [m for _ in range(layers - 1) for m in (nn.Sigmoid(), nn.Linear(width, width))]
    return nn.Sequential(nn.Flatten(), nn.Linear(784, width), *hidden, nn.Sigmoid(), nn.Linear(width, 10))


def adam_with_normalized_gradients(params: object, **options: float) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(params, **options)  # type: ignore[arg-type]
    normalize_gradients(optimizer)
    return optimizer


mnist_18 = Workload(
    name="mnist-sigmoid-18",
    data=partial(images, "mnist"),
    model=deep_sigmoid_mlp,
    batch_size=100,
    epochs=20,
    target=0.9,
    description="MNIST, 18 sigmoid layers of 100 units",
)
adam = Method("adam", torch.optim.Adam, space={"lr": Range(1e-4, 1e-2)})
adam_ng = Method("adam-ng", adam_with_normalized_gradients, space={"lr": Range(1e-4, 1e-2)})
