"""L-BFGS within a budget of gradient evaluations."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT

from steepest._errors import InputError
from steepest.training.builtin.peers.parts import named_groups, refuse_shards, step_of

MOST = 26  # gradients that a step of torch's defaults asks for: max_eval, 25, and one by which its line search ends


class BudgetedLBFGS(torch.optim.LBFGS):
    """:class:`torch.optim.LBFGS` that asks for as many gradients as its group's ``evaluations_left`` says, and no more.

    With enough left it takes the same step to the last bit. With one left, which is too few for a line search, it asks
    for that one and stays where it is.

    Args:
        params: named parameters, in one group.
        options: of :class:`torch.optim.LBFGS`.

    Raises:
        InputError: there is weight decay, or parameters are sharded.

    Source: Liu and Nocedal, "On the limited memory BFGS method for large scale optimization", Mathematical Programming
    45, 1989.
    """

    def __init__(self, params: ParamsT, **options: Any) -> None:
        groups = named_groups(params)
        if any("weight_decay" in group for group in groups):
            raise InputError("lbfgs knows no weight_decay other than 0; add what is to decay to the loss")
        if len(groups) > 1 or "lr_scale" in groups[0]:
            raise InputError("lbfgs takes one step for all parameters, and no values for some of them")
        refuse_shards("lbfgs", groups[0]["params"])
        super().__init__(groups[0]["params"], **options)

    def step(self, closure: Callable[[], Tensor]) -> Tensor:  # type: ignore[override]
        group = self.param_groups[0]
        left, asked = group.get("evaluations_left"), group["max_eval"]
        if left == 1:
            with torch.enable_grad():
                return closure()
        if left is not None:
            group["max_eval"] = min(asked, left - 1)
        try:
            loss: Tensor = step_of(torch.optim.LBFGS)(self, closure)
        finally:
            group["max_eval"] = asked
        return loss
