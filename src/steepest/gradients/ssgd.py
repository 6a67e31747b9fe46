"""S-SGD as one optimizer, for frameworks that pass a closure."""

from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import UninitializedParameter
from torch.optim.optimizer import ParamsT

from steepest.gradients.noise_arguments import Memory, Noise, Per, check_noise, refuse_unmovable
from steepest.gradients.symmetric_noise import SymmetricNoise
from steepest.optim.base import ScaledSGD
from steepest.optim.partial import refuse_a_part

# As the class defines it: torch puts the hooks of every step into ScaledSGD.step once a ScaledSGD is made, and a step
# of ours, which has its own, would run them twice.
_scaled_step = ScaledSGD.step


class SSGD(ScaledSGD):
    r"""Symmetrical SGD: SGD with momentum, on the mean of the gradients at ``w + n`` and ``w - n``.

    .. code-block:: text

        n_l = alpha * rms(w_l) * s        s: random signs, in the shape of the weight tensor w_l
        g   = (grad L(w + n) + grad L(w - n)) / 2
        m   = momentum * m + g + weight_decay * w
        w   = w - lr * m

    ``step(closure)`` evaluates the closure at both points, which costs two gradients; a closure that reads
    ``optimizer.noise.sign`` (+1 or -1) can use a half of its batch at each, at the cost of SGD. ``step()`` is a step
    of plain SGD. With another optimizer, accumulation, a ``GradScaler`` or a say over BatchNorm's statistics use
    :class:`steepest.SymmetricNoise` in the loop itself. Both are a **reconstruction** from the paper's abstract.

    **Unit of lr**: SGD's, which carries over. **When not**: where every training sample has to be fitted exactly, or a
    second evaluation is worth more as a step.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts of either, which may have an ``alpha`` of their own.
        lr: learning rate, finite and at least 0.
        momentum: in [0, 1).
        weight_decay: finite, at least 0.
        alpha: noise over the root mean square of a weight tensor; finite, at least 0, where 0 is SGD.
        noise, per, sides, seed, memory: see :class:`steepest.SymmetricNoise`; the same for all groups.
        nesterov, decoupled_weight_decay, maximize, foreach, fused, kahan_sum: see :class:`steepest.optim.ScaledSGD`.

    Raises:
        ValueError: an argument is out of range, or no parameter has the 2 dimensions of a weight that is moved.

    Source: Sung, Choi, Park, Choi, Shin, arXiv 2009.02479; a reconstruction from the abstract.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([[2.0]]))
        >>> optimizer = SSGD([w], lr=0.01, momentum=0.0, alpha=0.5)  # n = +1 or -1
        >>> def closure():
        ...     optimizer.zero_grad()
        ...     loss = (w**4).sum()
        ...     loss.backward()
        ...     return loss
        >>> optimizer.step(closure)  # the mean of 3^4 and 1^4
        tensor(41., grad_fn=<DivBackward0>)
        >>> w  # 2 - 0.01 (4 * 2^3 + 12 * 2 * 1^2)
        Parameter containing:
        tensor([[1.4400]], requires_grad=True)
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        alpha: float = 0.05,
        *,
        noise: Noise = "sign",
        per: Per = "tensor",
        sides: Literal[1, 2] = 2,
        seed: int = 0,
        memory: Memory = "copy",
        nesterov: bool = False,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        kahan_sum: bool = False,
    ) -> None:
        _refuse_a_part()
        super().__init__(
            params,
            lr,
            momentum,
            weight_decay,
            nesterov=nesterov,
            decoupled_weight_decay=decoupled_weight_decay,
            maximize=maximize,
            foreach=foreach,
            fused=fused,
            kahan_sum=kahan_sum,
            alpha=alpha,
            noise=noise,
            per=per,
            sides=sides,
            noise_seed=seed,
            memory=memory,
            # In the group, so that it travels with state_dict, pickle and deepcopy; the first group's counts.
            noise_draws=0,
        )
        if not any(isinstance(p, UninitializedParameter) for group in self.param_groups for p in group["params"]):
            refuse_unmovable(self.param_groups)

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_noise(
            group["alpha"],
            group["noise_seed"],
            noise=group["noise"],
            per=group["per"],
            sides=group["sides"],
            memory=group["memory"],
        )

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as ``torch.optim.Optimizer`` does, after checking its hyperparameters.

        Raises:
            ValueError: a hyperparameter of the group is outside its range, or its noise is of another kind.
        """
        for name in ("noise", "per", "sides", "noise_seed", "memory"):
            given = param_group.get(name, self.defaults[name])
            if any(group[name] != given for group in self.param_groups):
                raise ValueError(f"{name} must be the same for all groups, got {given!r}: there is one noise")
        super().add_param_group(param_group)

    @property
    def noise(self) -> SymmetricNoise:
        """The noise of this optimizer's steps; inside a closure its ``sign`` says which point is evaluated."""
        first = self.param_groups[0]
        made: SymmetricNoise | None = self.__dict__.get("_noise")
        if made is None or made.param_groups is not self.param_groups:  # a state was loaded, or this is a copy
            made = self._noise = SymmetricNoise(
                [dict(group) for group in self.param_groups],
                noise=first["noise"],
                per=first["per"],
                sides=first["sides"],
                seed=first["noise_seed"],
                memory=first["memory"],
            )
            made.param_groups = self.param_groups
        return made

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; the closure is evaluated at both points. Without it, ``.grad`` is taken as it is.

        Returns:
            The mean of the two losses, or ``None`` without a closure.
        """
        if closure is None:
            return _scaled_step(self)
        first = self.param_groups[0]
        noise = self.noise
        noise.load_state_dict({"seed": first["noise_seed"], "draws": first["noise_draws"]})
        try:
            return _scaled_step(self, noise.closure(closure))
        finally:
            first["noise_draws"] = noise.draws


def _refuse_a_part() -> None:
    try:
        refuse_a_part("SSGD")
    except ValueError as error:
        raise ValueError(
            "SSGD moves all weights together and evaluates a closure, and ZeroRedundancyOptimizer and "
            "_apply_optimizer_in_backward give it a part of them or no closure: use steepest.SymmetricNoise in the "
            "loop, over all parameters"
        ) from error
