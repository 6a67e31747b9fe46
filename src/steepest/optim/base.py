"""The optimizer that every method of the family extends: it takes the step, a method only says its scale."""

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.optimizer import ParamsT

from steepest.optim.blocks import block_of
from steepest.optim.step import Decay, scaled_step


@dataclass(frozen=True)
class Entry:
    """One parameter that takes part in a step."""

    param: Tensor
    grad: Tensor  # unscaled, negated if maximizing
    block: Hashable
    group: dict[str, Any]


class ScaledSGD(Optimizer):
    """SGD with momentum whose gradient is multiplied, block by block, by a scale. The base class's scale is 1.

    As it stands it is ``torch.optim.SGD`` without dampening, bit for bit. A method overrides :meth:`scales`.
    The state of a parameter is ``momentum_buffer``, as in ``torch.optim.SGD``.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts of either. With names a block is a layer
            (:func:`steepest.optim.blocks.block_of`), without names a tensor.
        lr: learning rate, finite and at least 0; a 0-dim tensor stays on its device.
        momentum: in [0, 1).
        weight_decay: finite, at least 0; enters after the scaling: ``m = momentum * m + scale * g + weight_decay * p``.
        nesterov: Nesterov's momentum; needs ``momentum > 0``.
        decoupled_weight_decay: shrink the weights by ``1 - lr * weight_decay`` instead.
        maximize: climb instead of descend.

    Raises:
        ValueError: an argument, or a group's override of it, is outside its range.
        RuntimeError: in :meth:`step`, when a gradient is sparse.
    """

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
        **method_defaults: Any,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "decoupled_weight_decay": decoupled_weight_decay,
            "maximize": maximize,
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

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as ``torch.optim.Optimizer`` does, after checking its hyperparameters.

        Raises:
            ValueError: a hyperparameter of the group is outside its range.
        """
        self.check_group({**self.defaults, **param_group})
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
        """Steps passed over because a norm, and so a gradient, was not finite; a ``GradScaler``'s overflows among them.

        Reading it synchronises the device.
        """
        return int(self.param_groups[0]["nonfinite_steps"])

    def scales(self, entries: Sequence[Entry]) -> list[Tensor] | None:
        """Scale ``s_b`` of each entry, a 0-dim tensor; not finite means "pass over this step"; ``None`` means all 1."""
        return None

    def decay_of(self, group: dict[str, Any]) -> Decay:
        """Where the group's weight decay enters the step."""
        return "decoupled" if group["decoupled_weight_decay"] else "after_scaling"

    def _entries(self) -> list[Entry]:
        grad_scale = getattr(self, "grad_scale", None)
        entries = []
        for group in self.param_groups:
            names = group.get("param_names") or [None] * len(group["params"])
            for param, name in zip(group["params"], names, strict=True):
                if (grad := param.grad) is None:
                    continue
                if grad.is_sparse:
                    raise RuntimeError(
                        f"{type(self).__name__} does not support sparse gradients: use dense ones (sparse=False)"
                    )
                if grad_scale is not None:
                    inverse = grad_scale.to(grad.device).reciprocal()
                    grad = grad.to(torch.promote_types(grad.dtype, torch.float32)).mul(inverse)
                entries.append(Entry(param, -grad if group["maximize"] else grad, block_of(param, name), group))
        return entries

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Take one step; ``closure``, if given, re-evaluates the model and returns the loss.

        A step whose scale is not finite, or that a ``GradScaler`` found to hold an infinity, leaves weights and
        momentum untouched; the former are counted in :attr:`nonfinite_steps`. Nothing here waits for the device.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        entries = self._entries()
        if not entries:
            return loss
        scales = self.scales(entries)
        valid = self._validity(scales)
        for i, entry in enumerate(entries):
            param, group = entry.param, entry.group
            buffer = self.state[param].get("momentum_buffer") if group["momentum"] != 0 else None
            new_param, new_buffer = scaled_step(
                param,
                entry.grad,
                buffer,
                scale=None if scales is None else scales[i].to(param.device),
                lr=group["lr"],
                momentum=group["momentum"],
                weight_decay=group["weight_decay"],
                decay=self.decay_of(group),
                nesterov=group["nesterov"],
            )
            if valid is not None:
                # `where`, not a multiplication by 0: 0 * NaN is NaN.
                here = valid.to(param.device)
                new_param = torch.where(here, new_param, param)
                if new_buffer is not None:
                    new_buffer = torch.where(here, new_buffer, torch.zeros_like(param) if buffer is None else buffer)
            param.copy_(new_param)
            if new_buffer is not None:
                self.state[param]["momentum_buffer"] = new_buffer
        return loss

    def _validity(self, scales: Sequence[Tensor] | None) -> Tensor | None:
        """Whether this step may be taken, as a 0-dim bool tensor on the device; ``None`` when nothing can forbid it."""
        valid = None
        if scales is not None:
            distinct = list({id(s): s for s in scales}.values())
            valid = torch.isfinite(torch.stack([s.to(distinct[0].device, torch.float64) for s in distinct])).all()
            first = self.param_groups[0]
            missed = first["nonfinite_steps"]
            if not isinstance(missed, Tensor):
                missed = torch.full((), missed, device=valid.device)
            first["nonfinite_steps"] = missed.to(valid.device) + valid.logical_not()
        found_inf = cast("Tensor | None", getattr(self, "found_inf", None))
        if found_inf is not None:
            clean = found_inf.reshape(()) == 0
            valid = clean if valid is None else valid & clean.to(valid.device)
        return valid
