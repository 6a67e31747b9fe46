"""The optimizer that every method of the family extends: it takes the step, a method only says its scale."""

from collections.abc import Callable, Hashable
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from steepest.optim.backward import NormsInBackward
from steepest.optim.blocks import block_of
from steepest.optim.cuda import cuda_step
from steepest.optim.foreach import foreach_step
from steepest.optim.fused import Plan, fused_step, why_not_fused
from steepest.optim.loop import loop_step
from steepest.optim.norms import BlockNorms
from steepest.optim.step import Decay


class Entry(NamedTuple):
    """One parameter that takes part in a step."""

    param: Tensor
    grad: Tensor  # as the user left it: still multiplied by a GradScaler's scale
    group: dict[str, Any]


class Signals(NamedTuple):
    """What a ``GradScaler`` sets on the optimizer before a step, else ``None``."""

    grad_scale: Tensor | None
    found_inf: Tensor | None


class ScaledSGD(Optimizer):
    """SGD with momentum whose gradient is multiplied, block by block, by a scale. The base class's scale is 1.

    As it stands it is ``torch.optim.SGD`` without dampening, bit for bit. A method overrides :meth:`scale` and says
    what is one block (:meth:`block_of`). The state of a parameter is ``momentum_buffer``, as in ``torch.optim.SGD``,
    and ``compensation`` with ``kahan_sum``.

    Three paths take the same step: ``loop.py``, the specification, which takes any tensor; ``foreach.py``, lists of
    tensors on the device; fused, one kernel that moves the weights: torch's on the CPU (``fused.py``), one in Triton on
    CUDA (``cuda.py``). None of them writes ``.grad``, waits for the device, or needs more memory than the largest
    tensor (the loop: a few of them).

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts of either. With names a block is a layer
            (:func:`steepest.optim.blocks.block_of`), without names a tensor.
        lr: learning rate, finite and at least 0; a 0-dim tensor stays on its device.
        momentum: in [0, 1).
        weight_decay: finite, at least 0; enters after the scaling: ``m = momentum * m + scale * g + weight_decay * p``.
        nesterov: Nesterov's momentum; needs ``momentum > 0``.
        decoupled_weight_decay: shrink the weights by ``1 - lr * weight_decay`` instead.
        maximize: climb instead of descend.
        foreach: take (``True``) or avoid (``False``) the path over lists of tensors; ``None`` chooses.
        fused: take (``True``) or avoid (``False``) the fused path; ``None`` chooses. With both ``None`` CPU tensors
            take the fused path where it can serve, CUDA tensors the path over lists, anything else the loop.
        kahan_sum: add to the weights by Kahan's sum, so that bfloat16 and float16 weights move at steps below their
            resolution; costs one more tensor of state per parameter.

    Raises:
        ValueError: an argument, or a group's override of it, is outside its range.
        RuntimeError: in :meth:`step`, when a gradient is sparse or ``fused=True`` cannot serve these tensors.
    """

    normalizes: ClassVar[bool] = False
    """Whether :meth:`scale` depends on the norms of the block."""
    _plan: Plan | None = None  # of the fused path; neither pickled nor copied, nor is the next
    _norms_in_backward: NormsInBackward | None = None
    has_step_scales: ClassVar[bool] = False
    """Whether :meth:`step_scale` may be anything but ``None``."""

    # GradScaler then leaves the unscaling and the skipping to us (torch/amp/grad_scaler.py).
    _step_supports_amp_scaling = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        nesterov: bool = False,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        kahan_sum: bool = False,
        **method_defaults: Any,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
            "foreach": foreach,
            "fused": fused,
            "kahan_sum": kahan_sum,
            **method_defaults,
            # torch.optim.SGD needs it to take a state of ours; any other value is refused.
            "dampening": 0,
            # Kept in the group so that it travels with state_dict, pickle and deepcopy; the first group's counts.
            "nonfinite_steps": 0,
        }
        self.check_group(defaults)
        super().__init__(params, defaults)

    def check_group(self, group: dict[str, Any]) -> None:
        """Raise ValueError if a hyperparameter of the group is out of range."""
        lr = group["lr"]
        if isinstance(lr, Tensor) and lr.numel() != 1:
            raise ValueError(f"lr must be a number or a tensor of one element, got a tensor of shape {tuple(lr.shape)}")
        if not 0 <= float(lr) < float("inf"):
            raise ValueError(f"lr must be a finite number of at least 0, got {lr!r}")
        if not 0 <= group["momentum"] < 1:
            raise ValueError(f"momentum must be in [0, 1), got {group['momentum']!r}")
        if not 0 <= group["weight_decay"] < float("inf"):
            raise ValueError(f"weight_decay must be a finite number of at least 0, got {group['weight_decay']!r}")
        if group["dampening"] != 0:
            raise ValueError(f"dampening must be 0, got {group['dampening']!r}: the family has none")
        if group["nesterov"] and group["momentum"] == 0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0")
        if group["foreach"] and group["fused"]:
            raise ValueError("foreach=True and fused=True exclude each other: choose one, or leave both None")
        if group["fused"] and (reason := why_not_fused(self, group)):
            raise ValueError(f"fused=True does not serve {reason}: leave fused=None")

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as ``torch.optim.Optimizer`` does, after checking its hyperparameters.

        Raises:
            ValueError: a hyperparameter of the group is outside its range.
        """
        self.check_group({**self.defaults, **param_group})
        for path in ("foreach", "fused"):
            given = param_group.get(path, self.defaults[path])
            if any(group[path] != given for group in self.param_groups):
                raise ValueError(
                    f"{path} must be the same for all groups, got {given!r}: one path takes the whole step"
                )
        super().add_param_group(param_group)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        # A state saved by torch.optim.SGD, or by an older version, lacks our keys.
        for group in self.param_groups:
            for key, value in self.defaults.items():
                group.setdefault(key, value)
            self.check_group(group)

    @property
    def nonfinite_steps(self) -> int:
        """Steps in which a block was passed over because a norm, and so a gradient, was not finite.

        A ``GradScaler``'s overflows are among them. Reading it synchronises the device.
        """
        return int(self.param_groups[0]["nonfinite_steps"])

    def block_of(self, param: Tensor, name: str | None) -> Hashable:
        """What the parameter forms one block with: its layer if it has a name, else nothing but itself."""
        return block_of(param, name)

    def scale(self, group: dict[str, Any], norms: BlockNorms) -> float | Tensor:
        """Scale ``s_b`` of a block for the parameters of one group; not finite means "leave the block where it is".

        The norms are floats or tensors, of any shape: work element by element.
        """
        return 1.0

    def step_scale(self, param: Tensor, group: dict[str, Any]) -> Tensor | None:
        """Scale ``r_b`` of the parameter's step, a tensor that broadcasts to it; ``None`` means 1."""
        return None

    def needs_weight_norms(self, group: dict[str, Any]) -> bool:
        """Whether the scale of the group's parameters depends on the norm of their block's weights."""
        return False

    def norm_includes_decay(self, group: dict[str, Any]) -> bool:
        """Whether the norm that counts is that of ``g + weight_decay * w``."""
        return False

    def decay_of(self, group: dict[str, Any]) -> Decay:
        """Where the group's weight decay enters the step."""
        return "decoupled" if group["decoupled_weight_decay"] else "after_scaling"

    def refuse_sparse(self) -> str:
        """The message for a sparse gradient."""
        return f"{type(self).__name__} does not support sparse gradients: use dense ones (sparse=False)"

    def _blocks(self) -> list[list[Entry]]:
        blocks: dict[Hashable, list[Entry]] = {}
        for group in self.param_groups:
            names = group.get("param_names") or [None] * len(group["params"])
            for param, name in zip(group["params"], names, strict=True):
                if (grad := param.grad) is None:
                    continue
                if grad.is_sparse:
                    raise RuntimeError(self.refuse_sparse())
                blocks.setdefault(self.block_of(param, name), []).append(Entry(param, grad, group))
        return list(blocks.values())

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; ``closure``, if given, re-evaluates the model and returns the loss.

        A block whose norm or scale is not finite keeps its weights and momentum, and the step is counted in
        :attr:`nonfinite_steps`; a step that a ``GradScaler`` found to hold an infinity changes nothing at all.
        Nothing here waits for the device.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        signals = Signals(getattr(self, "grad_scale", None), getattr(self, "found_inf", None))
        path = self._choose_path()
        if path is None:
            fused_step(self, signals)
        elif blocks := self._blocks():
            self._prepare(blocks)
            path(self, blocks, signals)
        return loss

    def _prepare(self, blocks: list[list[Entry]]) -> None:
        """Whatever a method must do once a step, before :meth:`scale` and :meth:`step_scale` are asked."""

    def _choose_path(self) -> Callable[["ScaledSGD", list[list[Entry]], Signals], None] | None:
        """The path over blocks, or ``None`` for the fused one."""
        fused, foreach = self.param_groups[0]["fused"], self.param_groups[0]["foreach"]
        if foreach:
            return foreach_step
        params = [p for group in self.param_groups for p in group["params"]]
        if fused:
            return cuda_step if all(p.is_cuda for p in params) else None
        if fused is False or foreach is False:  # as in torch.optim
            return loop_step
        if torch.compiler.is_compiling() or all(p.is_cuda for p in params):
            return foreach_step
        if not all(p.is_cpu for p in params):
            return loop_step
        return foreach_step if any(why_not_fused(self, group) for group in self.param_groups) else None

    def _count_nonfinite(self, passed_over: Tensor | bool) -> None:
        first = self.param_groups[0]
        if isinstance(passed_over, Tensor) and not isinstance(first["nonfinite_steps"], Tensor):
            first["nonfinite_steps"] = torch.full((), first["nonfinite_steps"], device=passed_over.device)
        # In place, so that a captured CUDA graph keeps counting.
        first["nonfinite_steps"] += (
            passed_over.to(first["nonfinite_steps"].device) if isinstance(passed_over, Tensor) else passed_over
        )
