"""The methods of others, at their authors' values. What comes from a package is imported when its method is made."""

from functools import partial
from typing import Any

import torch
from torch.optim.optimizer import Optimizer, ParamsT

from steepest._errors import InputError, require
from steepest.training.builtin.peers.lbfgs import MOST, BudgetedLBFGS
from steepest.training.builtin.peers.muon import MuonWithAdamW, mark_hidden
from steepest.training.builtin.peers.parts import named_groups, refuse_batch_norm, refuse_shards, step_of, tensors_of
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Range
from steepest.training.definitions.schedule import SCHEDULES

_EXTRA = "methods"
_LARGEST = 8192  # side of a matrix of Shampoo's


def lion(params: ParamsT, **options: Any) -> Optimizer:
    """Lion: the sign of an interpolation of gradient and momentum, one moment.

    An lr a tenth of AdamW's, with ten times its weight decay, is where its authors begin.

    Source: Chen and others, "Symbolic Discovery of Optimization Algorithms", arXiv 2302.06675; pytorch_optimizer.
    """
    found: Optimizer = require("pytorch_optimizer", _EXTRA).Lion(params, **options)
    return found


def schedule_free_sgd(params: ParamsT, **options: Any) -> Optimizer:
    """Schedule-Free SGD: trained at one sequence of weights, evaluated at the mean of another.

    Source: Defazio and others, "The Road Less Scheduled", arXiv 2405.15682; schedulefree, its authors' package.
    """
    found: Optimizer = require("schedulefree", _EXTRA).SGDScheduleFree(params, **options)
    return found


def schedule_free_adamw(params: ParamsT, **options: Any) -> Optimizer:
    """Schedule-Free AdamW; see :func:`schedule_free_sgd`."""
    found: Optimizer = require("schedulefree", _EXTRA).AdamWScheduleFree(params, **options)
    return found


def prodigy(params: ParamsT, **options: Any) -> Optimizer:
    """Prodigy: Adam whose lr grows from ``d0`` by an estimate of the distance to the solution; ``lr`` stays 1.

    ``d_coef`` multiplies the estimate: by it the authors would have the method tuned, if at all.

    Source: Mishchenko and Defazio, "Prodigy: An Expeditiously Adaptive Parameter-Free Learner", arXiv 2306.06101;
    prodigyopt, its authors' package.
    """
    given = named_groups(params)
    for group in given:
        refuse_shards("prodigy", group["params"])
        if "lr_scale" in group:
            raise InputError("prodigy finds one lr for all parameters, and takes no lr_scale for some of them")
    found: Optimizer = require("prodigyopt", _EXTRA).Prodigy(given, **options)
    return found


def shampoo(params: ParamsT, **options: Any) -> Optimizer:
    """Shampoo: the gradient times an inverse root of a matrix for each of its dimensions, anew in every step.

    Where a matrix has no root any more, as it is not finite, the weights become NaN: the run has diverged.

    Source: Gupta, Koren, Singer, "Shampoo: Preconditioned Stochastic Tensor Optimization", arXiv 1802.09568,
    algorithms 1 and 2; pytorch_optimizer.

    Raises:
        InputError: a dimension is above 8,192, or parameters are sharded.
    """
    given = named_groups(params)
    for group in given:
        refuse_shards("shampoo", group["params"])
    tensors = tensors_of(given)
    for p in tensors:
        if max(p.shape, default=0) > _LARGEST:
            raise InputError(
                f"shampoo keeps a matrix of the square of every dimension, which may be {_LARGEST:,} at most, and a "
                f"parameter has the shape {tuple(p.shape)}"
            )

    theirs: Any = require("pytorch_optimizer", _EXTRA).Shampoo

    class Shampoo(theirs):  # type: ignore[misc]
        def step(self, closure: Any = None) -> Any:
            try:
                return step_of(theirs)(self, closure)
            except torch.linalg.LinAlgError:  # type: ignore[attr-defined]
                for p in tensors:
                    p.detach().fill_(torch.nan)

    found: Optimizer = Shampoo(given, **options)
    return found


_ADAM_LR = Range(3e-4, 3e-1)
_WARM = {"warmup": 0.05}
PEERS = (
    Method(
        "muon",
        MuonWithAdamW,
        space={"lr": Range(1e-3, 1.0), "adamw_lr": _ADAM_LR},
        fixed={"momentum": 0.95, "weight_decay": 0.01, "betas": (0.9, 0.95)},
        prepare=mark_hidden,
        description="torch.optim.Muon for hidden matrices, torch.optim.AdamW for the rest",
    ),
    Method(
        "lion",
        lion,
        space={"lr": Range(3e-5, 3e-2)},
        fixed={"betas": (0.9, 0.99), "weight_decay": 0.1},
        description="the sign of an interpolation of gradient and momentum",
    ),
    Method(
        "schedule-free-sgd",
        schedule_free_sgd,
        space={"lr": Range(1e-2, 10.0)},
        fixed={"momentum": 0.9, "weight_decay": 0.0},
        prepare=partial(refuse_batch_norm, "schedule-free-sgd"),
        schedule=SCHEDULES["constant"],
        recipe=_WARM,
        description="Schedule-Free SGD, evaluated at a mean of its weights",
    ),
    Method(
        "schedule-free-adamw",
        schedule_free_adamw,
        space={"lr": _ADAM_LR},
        fixed={"betas": (0.9, 0.999), "weight_decay": 0.01},
        prepare=partial(refuse_batch_norm, "schedule-free-adamw"),
        schedule=SCHEDULES["constant"],
        recipe=_WARM,
        description="Schedule-Free AdamW, evaluated at a mean of its weights",
    ),
    Method(
        "prodigy",
        prodigy,
        space={"d_coef": Range(0.1, 10.0)},
        fixed={"lr": 1.0, "d0": 1e-6, "betas": (0.9, 0.999), "weight_decay": 0.01},
        recipe={"warmup": 0.0},
        finds_lr=True,
        description="Adam that estimates its lr; searched is the factor of its estimate",
    ),
    Method(
        "adafactor",
        torch.optim.Adafactor,
        space={"lr": Range(1e-3, 1.0)},
        fixed={"weight_decay": 0.0},
        description="torch.optim.Adafactor: the second moment of a matrix from its rows and columns, lr relative to it",
    ),
    Method(
        "shampoo",
        shampoo,
        space={"lr": Range(1e-2, 10.0)},
        fixed={"momentum": 0.0, "weight_decay": 0.0, "weight_decouple": True, "matrix_eps": 1e-6},
        description="the gradient times inverse roots of its rows' and columns' covariances",
    ),
    Method(
        "lbfgs",
        BudgetedLBFGS,
        space={"lr": Range(1e-3, 1.0)},
        fixed={"max_iter": 20, "max_eval": MOST - 1, "history_size": 100, "line_search_fn": "strong_wolfe"},
        evaluations_per_step=MOST,
        closure=True,
        counted=True,
        schedule=SCHEDULES["constant"],
        recipe={"warmup": 0.0, "clip": None},
        description="torch.optim.LBFGS with line search, up to 20 iterations on a batch, paid as counted",
    ),
)
