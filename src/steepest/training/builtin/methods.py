"""The built-in methods, of which ``DEFAULT_METHODS`` are compared unless others are named.

Every lr is searched over three decades; momentum is 0.9 throughout, weight decay 0 but for AdamW's own default; the
methods of others, ``peers``, have their authors' values. Methods that share a range are tried at the same points. The
name of an estimator is also a method: that estimator in front of ``sgd``.
"""

import dataclasses
from typing import Any

import torch
from torch.optim.optimizer import ParamsT

from steepest._errors import InputError
from steepest.gradients import normalize_gradients
from steepest.optim import INSGD, LARS, SNGM, BlockNormalizedSGD, track_input_power
from steepest.schedules.layers import grouped_by_layer
from steepest.training.builtin.estimators import ESTIMATORS
from steepest.training.builtin.peers import PEERS
from steepest.training.builtin.range_schedule import RANGE_THEN_MUTUAL_INFORMATION
from steepest.training.builtin.schedules import MUTUAL_INFORMATION, MUTUAL_INFORMATION_BY_LAYER
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Range


def _adam_ng(params: ParamsT, **options: Any) -> torch.optim.Adam:
    """Make Adam on block-normalised gradients."""
    optimizer = torch.optim.Adam(params, **options)
    normalize_gradients(optimizer)
    return optimizer


def _sgd_with_threshold(params: ParamsT, threshold: float, **options: Any) -> torch.optim.SGD:
    """Make SGD whose groups hold the threshold of their schedule."""
    optimizer = torch.optim.SGD(params, **options)
    for group in optimizer.param_groups:
        group["threshold"] = threshold
    return optimizer


def _sgd_by_layer(params: ParamsT, **options: Any) -> torch.optim.SGD:
    """Make SGD with a group of parameters for each layer."""
    named: list[Any] = list(params)
    if any(isinstance(part, dict) for part in named):
        raise InputError(
            "sgd-mi-layer has a group of parameters for each layer and takes no weight_decay other than 0, nor values "
            "for other groups"
        )
    return torch.optim.SGD(grouped_by_layer(named), **options)


_SGD_LR = Range(1e-3, 1.0)
_ADAM_LR = Range(3e-4, 3e-1)
_ALL = (
    Method(
        "sgd",
        torch.optim.SGD,
        space={"lr": _SGD_LR},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        description="torch.optim.SGD with momentum, the usual baseline",
    ),
    Method(
        "nesterov",
        torch.optim.SGD,
        space={"lr": _SGD_LR},
        fixed={"momentum": 0.9, "weight_decay": 0.0, "nesterov": True},
        description="torch.optim.SGD with Nesterov's momentum",
    ),
    Method(
        "adamw",
        torch.optim.AdamW,
        space={"lr": _ADAM_LR},
        fixed={"weight_decay": 0.01},
        description="torch.optim.AdamW with its default weight decay",
    ),
    Method(
        "lars",
        LARS,
        space={"lr": Range(0.1, 100.0)},
        fixed={"momentum": 0.9, "weight_decay": 0.0, "trust": 0.001},
        description="layer-wise adaptive rate scaling, trust coefficient 0.001",
    ),
    Method(
        "sngm",
        SNGM,
        space={"lr": Range(1e-3, 1.0)},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        description="the gradient divided by its norm over all parameters",
    ),
    Method(
        "bng",
        BlockNormalizedSGD,
        space={"lr": Range(1e-3, 1.0)},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        description="every layer's gradient divided by its own norm",
    ),
    Method(
        "bng-ratio",
        BlockNormalizedSGD,
        space={"lr": Range(1e-2, 10.0)},
        fixed={"momentum": 0.9, "weight_decay": 0.0, "ratio": 0.02},
        description="the same, times 0.02 of the layer's weight norm",
    ),
    Method(
        "insgd",
        INSGD,
        space={"lr": _SGD_LR},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        prepare=track_input_power,
        description="every layer's step divided by the logarithm of its input's power",
    ),
    Method(
        "adam",
        torch.optim.Adam,
        space={"lr": _ADAM_LR},
        description="torch.optim.Adam",
    ),
    Method(
        "adam-ng",
        _adam_ng,
        space={"lr": _ADAM_LR},
        description="torch.optim.Adam on gradients divided by their norm, layer by layer",
    ),
    Method(
        "sgd-mi",
        torch.optim.SGD,
        space={"lr": _SGD_LR},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        schedule=MUTUAL_INFORMATION,
        description="SGD whose lr falls as its predictions tell more of the classes; searched is the highest lr",
    ),
    Method(
        "sgd-mi-layer",
        _sgd_by_layer,
        space={"lr": _SGD_LR},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        schedule=MUTUAL_INFORMATION_BY_LAYER,
        description="the same, every layer by what its own output tells",
    ),
    Method(
        "sgd-mi-range",
        _sgd_with_threshold,
        space={"threshold": Range(0.005, 0.5)},
        fixed={"lr": 0.1, "momentum": 0.9, "weight_decay": 0.0},
        schedule=RANGE_THEN_MUTUAL_INFORMATION,
        description="the same, between bounds that a sweep finds in the first tenth of the run; searched is no lr",
    ),
    *PEERS,
)
UPDATE_RULES = {method.name: method for method in _ALL}
METHODS = UPDATE_RULES | {
    name: dataclasses.replace(
        UPDATE_RULES["sgd"],
        name=name,
        estimators=(estimator,),
        description=f"SGD with momentum; {estimator.description}",
    )
    for name, estimator in ESTIMATORS.items()
}
