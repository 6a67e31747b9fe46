"""AdaGrad, and AdaGrad on gradients that are divided by their norm, layer by layer (Yu et al., arXiv 1707.04822).

steepest compare fashion-cnn --data-dir DIR \
    --methods sgd,bng,adam,adam-ng,examples/normalized.py:adagrad,examples/normalized.py:adagrad_ng

Any optimizer becomes such a method in three lines. `studies/block-norm-convolutional.toml` and `-recurrent.toml` have
both in them.
"""

from typing import Any

import torch

from steepest import normalize_gradients
from steepest.compare import Method, Range


def adagrad_with_normalized_gradients(params: Any, **options: Any) -> torch.optim.Optimizer:
    optimizer = torch.optim.Adagrad(params, **options)
    normalize_gradients(optimizer)
    return optimizer


space = {"lr": Range(1e-3, 1e-1)}
adagrad = Method("adagrad", torch.optim.Adagrad, space, description="torch.optim.Adagrad")
adagrad_ng = Method("adagrad-ng", adagrad_with_normalized_gradients, space, description="the same, normalised")
