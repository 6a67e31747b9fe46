"""Slow float64 loops written straight from the papers' equations, sharing no code with the package.

Parameters are lists of numpy arrays; `blocks` lists the indices of the tensors of each block.
"""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Gradient = Callable[[list[Array]], list[Array]]


def _norm(arrays: Sequence[Array]) -> float:
    return float(np.sqrt(sum((a * a).sum() for a in arrays)))


def sngm(
    weights: list[Array],
    gradient: Gradient,
    steps: int,
    *,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
    normalize_decay: bool = False,
    decoupled_weight_decay: bool = False,
    nesterov: bool = False,
    maximize: bool = False,
) -> list[Array]:
    u = [np.zeros_like(w) for w in weights]
    for _ in range(steps):
        g = [-x if maximize else x for x in gradient(weights)]
        if normalize_decay:
            g = [x + weight_decay * w for x, w in zip(g, weights, strict=True)]
        norm = _norm(g)
        d = [x / norm if norm > 0 else 0 * x for x in g]
        if not normalize_decay and not decoupled_weight_decay:
            d = [x + weight_decay * w for x, w in zip(d, weights, strict=True)]
        if decoupled_weight_decay:
            weights = [w - lr * weight_decay * w for w in weights]
        u = [momentum * m + x for m, x in zip(u, d, strict=True)]
        move = [x + momentum * m for x, m in zip(d, u, strict=True)] if nesterov else u
        weights = [w - lr * m for w, m in zip(weights, move, strict=True)]
    return weights


def block_normalized(
    weights: list[Array],
    gradient: Gradient,
    steps: int,
    blocks: list[list[int]],
    *,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
    ratio: float | None = None,
    decoupled_weight_decay: bool = False,
    nesterov: bool = False,
    maximize: bool = False,
) -> list[Array]:
    weights = [w.copy() for w in weights]
    u = [np.zeros_like(w) for w in weights]
    for _ in range(steps):
        g = [-x if maximize else x for x in gradient(weights)]
        for block in blocks:
            g_norm, w_norm = _norm([g[i] for i in block]), _norm([weights[i] for i in block])
            size = 1.0 if ratio is None or w_norm == 0 else ratio * w_norm
            for i in block:
                d = size * g[i] / g_norm if g_norm > 0 else 0 * g[i]
                if decoupled_weight_decay:
                    weights[i] = weights[i] - lr * weight_decay * weights[i]
                else:
                    d = d + weight_decay * weights[i]
                u[i] = momentum * u[i] + d
                weights[i] = weights[i] - lr * (d + momentum * u[i] if nesterov else u[i])
    return weights


def lars(
    weights: list[Array],
    gradient: Gradient,
    steps: int,
    blocks: list[list[int]],
    *,
    lr: float,
    momentum: float,
    weight_decay: float = 0.0,
    trust: float = 0.001,
    decoupled_weight_decay: bool = False,
    nesterov: bool = False,
    maximize: bool = False,
) -> list[Array]:
    weights = [w.copy() for w in weights]
    u = [np.zeros_like(w) for w in weights]
    inside = 0.0 if decoupled_weight_decay else weight_decay
    for _ in range(steps):
        g = [-x if maximize else x for x in gradient(weights)]
        for block in blocks:
            g_norm, w_norm = _norm([g[i] for i in block]), _norm([weights[i] for i in block])
            local = trust * w_norm / (g_norm + inside * w_norm) if g_norm > 0 and w_norm > 0 else 1.0
            for i in block:
                d = local * (g[i] + inside * weights[i])
                if decoupled_weight_decay:
                    weights[i] = weights[i] - lr * weight_decay * weights[i]
                u[i] = momentum * u[i] + d
                weights[i] = weights[i] - lr * (d + momentum * u[i] if nesterov else u[i])
    return weights
