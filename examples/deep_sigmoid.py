"""AdamNG against Adam on a network of 18 sigmoid layers, where gradients vanish (Yu et al., arXiv 1707.04822).

steepest compare examples/deep_sigmoid.py:mnist_18 --data-dir DIR --trials 6 --methods \
examples/deep_sigmoid.py:adam,examples/deep_sigmoid.py:adam_tiny_eps,examples/deep_sigmoid.py:adam_ng

The method in the middle tells how much of the difference is Adam's eps: 1e-8 hides gradients that are smaller, as those
of the lower layers are. What came out is on docs/methods/normalize_gradients.md. `studies/sigmoid-depth.toml` compares
networks of 6 and 12 layers as well, and SGD: as it is, normalised, and with gradients clipped at a norm of 1.
"""

import dataclasses
from functools import partial
from typing import Any

import torch

from steepest import BlockNormalizedSGD, normalize_gradients
from steepest.compare import Method, Range
from steepest.training.builtin import WORKLOADS
from steepest.training.builtin.models import deep_sigmoid_mlp


def adam_with_normalized_gradients(params: Any, **options: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adam(params, **options)
    normalize_gradients(optimizer)
    return optimizer


mnist_18 = WORKLOADS["mnist-deep-sigmoid"]
mnist_6, mnist_12 = (
    dataclasses.replace(
        mnist_18,
        name=f"mnist-{layers}-sigmoid",
        model=partial(deep_sigmoid_mlp, layers),
        description=f"MNIST, {layers} sigmoid layers of 100 units",
    )
    for layers in (6, 12)
)
space = {"lr": Range(1e-4, 1e-2)}
adam = Method("adam", torch.optim.Adam, space, {"fused": True})
adam_tiny_eps = Method("adam-tiny-eps", torch.optim.Adam, space, {"fused": True, "eps": 1e-30})
adam_ng = Method("adam-ng", adam_with_normalized_gradients, space, {"fused": True})
sgd_space, momentum = {"lr": Range(1e-3, 1.0)}, {"momentum": 0.9}
sgd = Method("sgd", torch.optim.SGD, sgd_space, momentum)
sgd_clipped = Method("sgd-clipped", torch.optim.SGD, sgd_space, momentum, recipe={"clip": 1.0})
sgd_ng = Method("sgd-ng", BlockNormalizedSGD, {"lr": Range(1e-4, 1e-1)}, momentum)
