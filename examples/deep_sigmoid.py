"""AdamNG against Adam on a network of 18 sigmoid layers, where gradients vanish (Yu et al., arXiv 1707.04822).

steepest compare examples/deep_sigmoid.py:mnist_18 --data-dir DIR --trials 6 --methods \
examples/deep_sigmoid.py:adam,examples/deep_sigmoid.py:adam_tiny_eps,examples/deep_sigmoid.py:adam_ng

The method in the middle tells how much of the difference is Adam's eps: 1e-8 hides gradients that are smaller, as those
of the lower layers are. What came out is on docs/methods/normalize_gradients.md.
"""

from functools import partial
from typing import Any

import torch
from torch import nn

from steepest import normalize_gradients
from steepest.compare import Method, Range, Workload
from steepest.data import images


def deep_sigmoid_mlp(layers: int = 18, width: int = 100) -> nn.Sequential:
    """Glorot's uniform initialisation with torch's gain for the sigmoid, which is 1, and biases at 0."""
    hidden = [m for _ in range(layers - 1) for m in (nn.Sigmoid(), nn.Linear(width, width))]
    model = nn.Sequential(nn.Flatten(), nn.Linear(784, width), *hidden, nn.Sigmoid(), nn.Linear(width, 10))
    for module in model:
        if isinstance(module, nn.Linear):
            nn.init.xavier_uniform_(module.weight, gain=nn.init.calculate_gain("sigmoid"))
            nn.init.zeros_(module.bias)
    return model


def adam_with_normalized_gradients(params: Any, **options: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(params, **options)
    normalize_gradients(optimizer)
    return optimizer


mnist_18 = Workload(
    name="mnist-sigmoid-18",
    data=partial(images, "mnist"),
    model=deep_sigmoid_mlp,
    batch_size=100,
    epochs=40,
    target=0.9,
    description="MNIST, 18 sigmoid layers of 100 units, Glorot's initialisation",
)
space = {"lr": Range(1e-4, 1e-2)}
adam = Method("adam", torch.optim.Adam, space, {"fused": True})
adam_tiny_eps = Method("adam-tiny-eps", torch.optim.Adam, space, {"fused": True, "eps": 1e-30})
adam_ng = Method("adam-ng", adam_with_normalized_gradients, space, {"fused": True})
