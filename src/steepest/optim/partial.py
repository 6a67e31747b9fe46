"""Whether an optimizer sees a part of the parameters or gradients: a norm over all of them would miss the rest."""

import sys
from collections.abc import Iterable
from types import FrameType

import torch
from torch import Tensor

_ZERO = "torch.distributed.optim.zero_redundancy_optimizer"
_IN_BACKWARD = "torch.distributed.optim.apply_optimizer_in_backward"
_REMOTE = "torch.distributed.optim.optimizer"


def refuse_a_part(name: str) -> None:
    """Raise if one of torch's wrappers builds the optimizer for a part of the parameters.

    The wrappers leave no mark on what they build: who calls is all that can be known.

    Raises:
        ValueError: ``ZeroRedundancyOptimizer`` on several ranks, ``DistributedOptimizer`` or
            ``_apply_optimizer_in_backward`` is the caller.
    """
    frame: FrameType | None = sys._getframe(1) if {_ZERO, _IN_BACKWARD, _REMOTE} & sys.modules.keys() else None
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == _ZERO and getattr(frame.f_locals.get("self"), "world_size", 2) > 1:
            raise ValueError(
                f"{name} divides by the norm of all parameters, and ZeroRedundancyOptimizer gives every rank a part of "
                "them: shard the model by torch.distributed.fsdp.fully_shard, whose norms are taken over the ranks"
            )
        if module == _REMOTE:
            raise ValueError(
                f"{name} divides by the norm of all parameters, and torch.distributed.optim.DistributedOptimizer gives "
                "every worker a part of them: use a method whose blocks are layers"
            )
        if module == _IN_BACKWARD:
            raise ValueError(
                f"{name} divides by the norm of all parameters, and _apply_optimizer_in_backward gives every parameter "
                "an optimizer of its own: call one optimizer after the backward pass"
            )
        frame = frame.f_back


def refuse_flattened(name: str, params: Iterable[Tensor]) -> None:
    """Raise if FSDP1 has cut the parameters into pieces, which look like whole tensors.

    Raises:
        ValueError: one is a piece of a flat tensor that is dealt out to several ranks.
    """
    if any(getattr(p, "_fsdp_flattened", False) for p in params) and torch.distributed.get_world_size() > 1:
        raise ValueError(
            f"{name} needs whole tensors, and FullyShardedDataParallel leaves every rank pieces of them without a word "
            "of the rest: shard the model by torch.distributed.fsdp.fully_shard"
        )


def refuse_in_backward(name: str) -> None:
    """Raise inside of a backward pass, as in a hook that steps as soon as one gradient is there.

    Raises:
        RuntimeError: not all gradients are there yet.
    """
    if not torch.compiler.is_compiling() and torch._C._current_graph_task_id() != -1:
        raise RuntimeError(
            f"{name} divides by the norm of all gradients, which are not all there inside of a backward pass: call "
            "step() after it, on one optimizer of all parameters"
        )
