"""Whether an optimizer is being built for a part of the parameters: a norm over all of them would miss the rest."""

import sys
from types import FrameType

_ZERO = "torch.distributed.optim.zero_redundancy_optimizer"
_IN_BACKWARD = "torch.distributed.optim.apply_optimizer_in_backward"


def refuse_a_part(name: str) -> None:
    """Raise if one of torch's wrappers builds the optimizer for a part of the parameters.

    The wrappers leave no mark on what they build: who calls is all that can be known.

    Raises:
        ValueError: ``ZeroRedundancyOptimizer`` on several ranks, or ``_apply_optimizer_in_backward``, is the caller.
    """
    frame: FrameType | None = sys._getframe(1) if {_ZERO, _IN_BACKWARD} & sys.modules.keys() else None
    while frame is not None:
        module = frame.f_globals.get("__name__")
        if module == _ZERO and getattr(frame.f_locals.get("self"), "world_size", 2) > 1:
            raise ValueError(
                f"{name} divides by the norm of all parameters, and ZeroRedundancyOptimizer gives every rank a part of "
                "them: shard the model by torch.distributed.fsdp.fully_shard, whose norms are taken over the ranks"
            )
        if module == _IN_BACKWARD:
            raise ValueError(
                f"{name} divides by the norm of all parameters, and _apply_optimizer_in_backward gives every parameter "
                "an optimizer of its own: call one optimizer after the backward pass"
            )
        frame = frame.f_back
