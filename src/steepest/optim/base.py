"""The optimizer that every method of the family extends: it takes the step, a method only says its scale."""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT, StateDict

from steepest.optim.arguments import check_integer
from steepest.optim.blocks import refuse_repeated_names
from steepest.optim.cuda import cuda_step
from steepest.optim.foreach import foreach_step
from steepest.optim.fused import fused_step, why_not_fused
from steepest.optim.fused_lists import lists_step
from steepest.optim.hyperparameters import check_common
from steepest.optim.layout import LIKE_THE_PARAMETER, known_as, misfit
from steepest.optim.loop import loop_step
from steepest.optim.method import Method, Signals, as_number
from steepest.optim.partial import refuse_flattened
from steepest.optim.plan import same


class ScaledSGD(Method):
    """SGD with momentum whose gradient is multiplied, block by block, by a scale. The base class's scale is 1.

    As it stands it is ``torch.optim.SGD`` without dampening, bit for bit. A method overrides :meth:`scale` and says
    what is one block (:meth:`block_of`). The state of a parameter is ``momentum_buffer``, as in ``torch.optim.SGD``,
    and ``compensation`` with ``kahan_sum``.

    Three paths take the same step: ``loop.py``, the specification, which takes any tensor; ``foreach.py``, lists of
    tensors on the device, and ``fused_lists.py``, the same on CUDA with torch's fused kernel; fused, one kernel that
    moves the weights: torch's on the CPU (``fused.py``), one in Triton on CUDA (``cuda.py``). None of them writes
    ``.grad``, waits for the device, or needs more memory than the largest tensor (on CUDA 16 MB if that is more; the
    loop: a few tensors).

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
        check_common(group)
        if group["dampening"] != 0:
            raise ValueError(f"dampening must be 0, got {group['dampening']!r}: the family has none")
        if group.get("differentiable"):
            raise ValueError("differentiable must be False, got True: no gradient flows through a step of the family")
        if group["nesterov"] and group["momentum"] == 0:
            raise ValueError("nesterov=True needs momentum > 0, got momentum=0")
        if group["foreach"] and group["fused"]:
            raise ValueError("foreach=True and fused=True exclude each other: choose one, or leave both None")
        if group["fused"] and (reason := why_not_fused(self, group)):
            raise ValueError(f"fused=True does not serve {reason}: leave fused=None")

    @property
    def _step_supports_amp_scaling(self) -> bool:
        """Say whether a ``GradScaler`` leaves the unscaling and the skipping to us (torch/amp/grad_scaler.py).

        As with ``torch.optim.SGD``: with ``fused=True``; and with float16 weights, whose gradients the scaler does not
        unscale. Where it is so Lightning does not clip, and accelerate never sees that a step was skipped.
        """
        groups = self.param_groups
        return groups[0]["fused"] is True or any(p.dtype == torch.float16 for g in groups for p in g["params"])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Add a group, as ``torch.optim.Optimizer`` does, after checking its hyperparameters and names.

        Raises:
            ValueError: a hyperparameter of the group is outside its range, or a name stands for two parameters.
        """
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f"param_group must be a dict with 'params', got {param_group!r}")
        if not isinstance(param_group["params"], Tensor | set):
            param_group["params"] = list(param_group["params"])  # it may be a generator
        self.check_group({**self.defaults, **param_group})
        refuse_repeated_names([*named(self.param_groups), *named([param_group])])
        _refuse_two_paths([*self.param_groups, {**self.defaults, **param_group}])
        super().add_param_group(param_group)
        if self.normalizes or self.has_step_scales:
            refuse_flattened(type(self).__name__, self.param_groups[-1]["params"])

    def check_step(self) -> None:
        """Refuse what was written into a group since it was checked last, by a scheduler or by hand.

        Raises:
            ValueError: a hyperparameter is outside its range.
        """
        if torch.compiler.is_compiling():
            return
        values = [value for group in self.param_groups for key, value in group.items() if key != "nonfinite_steps"]
        if self._checked is not None and same(values, self._checked):
            return
        for group in self.param_groups:
            # The value of a tensor elsewhere is not looked at: the device would have to be waited for.
            elsewhere = isinstance(group["lr"], Tensor) and not group["lr"].is_cpu
            self.check_group({**group, "lr": 0.0} if elsewhere else group)
        _refuse_two_paths(self.param_groups)
        self._checked = values

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A state saved by torch.optim.SGD, or by an older version, lacks our keys. Refuse before anything is changed.
        groups = state["param_groups"]
        for group in groups:
            if "dampening" not in group and "nonfinite_steps" not in group:
                raise ValueError(
                    "the state cannot be loaded: it is neither torch.optim.SGD's, whose groups have 'dampening', nor "
                    "one of this family; start a new optimizer"
                )
            for key, value in state.get("defaults", getattr(self, "defaults", {})).items():
                group.setdefault(key, value)
            self.check_group(group)
            if isinstance(count := group["nonfinite_steps"], Tensor):
                group["nonfinite_steps"] = as_number(count)
            check_integer("nonfinite_steps", group["nonfinite_steps"])
            group.pop("differentiable", None)  # torch.optim.SGD's, which we have not
        refuse_repeated_names(named(groups))
        if "defaults" not in state:
            self._check_loaded(state["state"], groups)
        super().__setstate__(state)
        self.defaults.pop("differentiable", None)  # which torch adds: the groups would have it from the next load on

    def _check_loaded(self, state: dict[Any, dict[str, Any]], groups: list[dict[str, Any]]) -> None:
        for param in (param for group in groups for param in group["params"]):
            for name in LIKE_THE_PARAMETER:
                saved = state.get(param, {}).get(name)
                if isinstance(saved, Tensor) and (why := misfit(saved, param)):
                    raise RuntimeError(
                        f"the state cannot be loaded: {name} of {known_as(self, param)} {why}; leave this parameter's "
                        "state out, or load it into the model that it was saved for"
                    )

    def state_dict(self) -> StateDict:
        """The state, as in torch; ``nonfinite_steps`` is a number on every path. Reading it synchronises the device."""
        state = super().state_dict()
        for group in state["param_groups"]:
            group["nonfinite_steps"] = as_number(group["nonfinite_steps"])
        return state

    def load_state_dict(self, state_dict: StateDict) -> None:
        """Load a state of this class, or of ``torch.optim.SGD``; nothing of it is shared afterwards.

        Raises:
            ValueError: a hyperparameter is out of range, or a name stands for two parameters.
            RuntimeError: a state does not have its parameter's shape. Nothing is changed in either case.
        """
        super().load_state_dict(state_dict)
        saved = [state for state in state_dict["state"].values() if isinstance(state, dict)]
        theirs = {id(tensor) for state in saved for tensor in state.values()}
        for param in (param for group in self.param_groups for param in group["params"]):
            for name, tensor in self.state.get(param, {}).items():
                if isinstance(tensor, Tensor) and id(tensor) in theirs:
                    self.state[param][name] = tensor.clone()  # our steps are in place and would change theirs

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
        self.check_step()
        signals = Signals(getattr(self, "grad_scale", None), getattr(self, "found_inf", None))
        self._choose_path()(self, signals)
        return loss

    def _choose_path(self) -> Callable[[Method, Signals], None]:
        fused, foreach = self.param_groups[0]["fused"], self.param_groups[0]["foreach"]
        on_cuda = all(p.is_cuda for group in self.param_groups for p in group["params"])
        over_lists = lists_step if on_cuda and not torch.compiler.is_compiling() else foreach_step
        if foreach:
            return over_lists
        if fused:
            return cuda_step if on_cuda else fused_step
        if fused is False or foreach is False:  # as in torch.optim
            return loop_step
        if torch.compiler.is_compiling() or on_cuda:
            return over_lists
        if not all(p.is_cpu for group in self.param_groups for p in group["params"]):
            return loop_step
        return foreach_step if any(why_not_fused(self, group) for group in self.param_groups) else fused_step


def _refuse_two_paths(groups: Iterable[dict[str, Any]]) -> None:
    first, *others = groups
    for path in ("foreach", "fused"):
        for group in others:
            if group[path] != first[path]:
                raise ValueError(
                    f"{path} must be the same for all groups, got {group[path]!r}: one path takes the whole step"
                )


def named(groups: Iterable[dict[str, Any]]) -> Iterable[tuple[str, Tensor]]:
    """The names and tensors of groups whose parameters have names, before or after torch has taken them apart."""
    for group in groups:
        params = [group["params"]] if isinstance(group["params"], Tensor) else list(group["params"])
        names = group.get("param_names")
        pairs = params if names is None else zip(names, params, strict=False)
        yield from (pair for pair in pairs if isinstance(pair, tuple) and len(pair) == 2)
