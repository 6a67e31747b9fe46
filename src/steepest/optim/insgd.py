"""INSGD: input normalized stochastic gradient descent."""

import math
from collections.abc import Hashable
from typing import Any

import torch
from torch import Tensor
from torch.optim.optimizer import ParamsT, StateDict

from steepest.optim.arguments import check_choice, check_number
from steepest.optim.base import ScaledSGD
from steepest.optim.layout import check_state
from steepest.optim.method import Entry
from steepest.optim.partial import refuse_a_part
from steepest.optim.tracked import Record, collect, records_by_weight

RULES = ("log", "nlms", "released")


class INSGD(ScaledSGD):
    r"""Input normalized stochastic gradient descent: a layer's step divided by the power of the layer's input.

    .. code-block:: text

        P = beta * P + (1 - beta) * mean ||x||^2      x: the layer's input, measured by track_input_power
        m = momentum * m + g + weight_decay * w
        w = w - lr / max(log P', eps) * m             P' = P / (1 - beta^t); rule="nlms": lr / (eps + P')

    The normalised LMS filter, for layers. ``P`` has one value for each input channel of a convolution (its sum over
    space, which broadcasts over the weight), one for a linear layer. Parameters whose input is not tracked (biases,
    normalisation layers, embeddings) take the step of ``torch.optim.SGD``, bit for bit, and are listed by
    :meth:`steepest.optim.input_power.InputPowerHandle.uncovered`. So does a weight until its layer has seen an input.

    Not to be confused with normalising the gradient (:class:`SNGM`, :class:`BlockNormalizedSGD`, LARS), nor with
    Adagrad or Adam, whose denominators are gradients; nor with normalising the input itself, as BatchNorm does.

    **Unit of lr**: rule ``"log"``: SGD's lr times the logarithm of the input's power, so a value of SGD's order serves.
    Start with 0.1 at batch size 128, with momentum 0.9 and weight decay 5e-4. The power is a mean over the samples
    and does not grow with the batch; scale lr with the batch size as you would for SGD. Rule ``"nlms"``: the share of
    the error that a linear neuron with squared loss ``e^2/2`` corrects on one sample; stable in (0, 2) there.

    **When not**: with normalisation layers and a well-chosen lr it ties with SGD. A power below ``e^eps`` (inputs that
    are almost off) makes the step of rule ``"log"`` ``1 / eps``, a hundred times SGD's: watch tiny inputs.

    Args:
        params: tensors, ``(name, tensor)`` pairs, or group dicts of either; of a model that was given to
            :func:`steepest.track_input_power`.
        lr: learning rate, finite and at least 0.
        momentum: in [0, 1).
        weight_decay: finite, at least 0; it enters the momentum, and so is divided by the power too.
        rule: ``"log"``, the paper's; ``"nlms"``, without the logarithm; ``"released"``, the paper's on inputs tracked
            with ``standardize=True``, as in the authors' code: for reproducing their figures, since with ``norm="l2"``
            it adapts to nothing.
        beta: memory of the running power, in [0, 1).
        eps: the floor of the logarithm, or what is added to the power; finite and above 0.
        nesterov: Nesterov's momentum; needs ``momentum > 0``.
        decoupled_weight_decay: shrink the weights by ``1 - lr * weight_decay`` instead, whatever the power.
        maximize: climb instead of descend.
        foreach, kahan_sum: see :class:`steepest.optim.ScaledSGD`.
        fused: must not be ``True``: torch's fused kernel has one step for a tensor.

    Raises:
        ValueError: an argument is out of range.
        RuntimeError: in :meth:`step`, when no parameter is tracked, or ``rule`` and the tracking do not agree.

    State of a tracked weight, besides ``momentum_buffer``: ``input_power``, ``P`` before the bias correction, of shape
    (input channels,) or (1,); and ``step``, its number of updates. Both float32, or 64 as the weight. Without momentum
    the other parameters have a ``step`` too, which stays 0: a distributed checkpoint wants a state of all or of none.

    Source: Atici, Pan, Cetin, "Input Normalized Stochastic Gradient Descent Training of Deep Neural Networks",
    arXiv 2212.09921. The bias correction is ours.

    Example:
        >>> import torch, steepest
        >>> model = torch.nn.Linear(2, 1, bias=False)
        >>> handle = steepest.track_input_power(model)
        >>> optimizer = INSGD(model.parameters(), lr=1.0, momentum=0.0, rule="nlms", eps=1e-8)
        >>> x = 1000 * torch.tensor([3.0, 4.0])  # the size of the input does not matter
        >>> (0.5 * (model(x) - 7).square().sum()).backward()
        >>> optimizer.step()
        >>> model(x).round(decimals=2)  # lr=1 corrects the whole error
        tensor([7.], grad_fn=<RoundBackward1>)
    """

    has_step_scales = True

    def __init__(
        self,
        params: ParamsT,
        lr: float | Tensor = 0.1,
        momentum: float = 0.9,
        weight_decay: float = 0.0,
        *,
        rule: str = "log",
        beta: float = 0.9,
        eps: float = 0.01,
        nesterov: bool = False,
        decoupled_weight_decay: bool = False,
        maximize: bool = False,
        foreach: bool | None = None,
        fused: bool | None = None,
        kahan_sum: bool = False,
    ) -> None:
        _refuse_a_part()
        self._step_scales: dict[Tensor, Tensor] = {}
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
            rule=rule,
            beta=beta,
            eps=eps,
        )

    def check_group(self, group: dict[str, Any]) -> None:
        super().check_group(group)
        check_choice("rule", group["rule"], RULES)
        check_number("beta", group["beta"], "in [0, 1)", lambda beta: 0 <= beta < 1)
        check_number("eps", group["eps"], "a finite number above 0", lambda eps: 0 < eps < math.inf)

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._step_scales = {}  # neither pickled nor copied

    def load_state_dict(self, state_dict: StateDict) -> None:
        super().load_state_dict(state_dict)
        # torch casts every state but `step` to the dtype of the weight, which may be bfloat16.
        keys = [key for group in state_dict["param_groups"] for key in group["params"]]
        params = [param for group in self.param_groups for param in group["params"]]
        for key, param in zip(keys, params, strict=True):
            for name in ("input_power", "step"):
                if (saved := state_dict["state"].get(key, {}).get(name)) is None:
                    continue
                if not isinstance(saved, Tensor):  # from JSON, or as older versions of torch's optimizers count
                    saved = torch.tensor(saved, dtype=torch.float32, device=param.device)
                self.state[param][name] = saved.to(param.device, copy=True)

    def block_of(self, param: Tensor, name: str | None) -> Hashable:
        return param  # a bias, which is not scaled, must not share the fate of its weight

    def step_scale(self, param: Tensor, group: dict[str, Any]) -> Tensor | None:
        return self._step_scales.get(param)

    def prepare(self, blocks: list[list[Entry]]) -> None:
        records = records_by_weight()
        # Of all parameters, not of those with a gradient alone: every rank must reduce the same list.
        held = [(param, group) for group in self.param_groups for param in group["params"]]
        tracked = [(param, group, records[id(param)]) for param, group in held if id(param) in records]
        if not tracked:
            raise RuntimeError(
                "INSGD holds no parameter whose input is tracked: call steepest.track_input_power(model) before "
                "training and before torch.compile, and rebuild the optimizer from a model whose parameters were "
                "replaced or that is a copy"
            )
        for _, group, those in tracked:
            _check_rule(group["rule"], those)
        stepping = {entry.param: entry.group for members in blocks for entry in members}
        self._care_for_untracked(stepping, {param for param, _, _ in tracked})
        measured = collect([(param, those) for param, _, those in tracked])
        # The dict is changed, not replaced: compiled code would lose an attribute that is set on an optimizer.
        self._step_scales.clear()
        for (param, group, those), (total, rows) in zip(tracked, measured, strict=True):
            if param in stepping:
                self._refuse_unmeasured(param, those, rows)
                self._step_scales[param] = self._measured_scale(param, group, those[0], total, rows)

    def _care_for_untracked(self, stepping: dict[Tensor, dict[str, Any]], tracked: set[Tensor]) -> None:
        for param, group in stepping.items():
            if param in tracked:
                continue
            state = self.state[param]
            if "step" in state and "input_power" in state:
                raise RuntimeError(
                    f"the input of a weight of shape {tuple(param.shape)} was tracked before and is no more: its layer "
                    "holds another weight now (rebuild the optimizer), or another handle's remove() was called "
                    "(call steepest.track_input_power again)"
                )
            if not (state or group["momentum"] or group["kahan_sum"]):
                # A distributed checkpoint wants a state of all parameters or of none.
                state["step"] = torch.zeros((), dtype=torch.float32, device=param.device)

    def _refuse_unmeasured(self, param: Tensor, records: list[Record], rows: Tensor) -> None:
        """Refuse a weight that only torch.func has trained: it would take the step of SGD for ever."""
        paused = [record.paused for record in records]
        for record in records:
            record.paused = False
        if any(paused) and not rows and "input_power" not in self.state[param]:
            raise RuntimeError(
                "tracking pauses inside the transforms of torch.func, and nothing else has called the layer of a "
                f"weight of shape {tuple(param.shape)}: run a forward pass in training mode outside of them"
            )

    def _measured_scale(
        self, param: Tensor, group: dict[str, Any], record: Record, total: Tensor, rows: Tensor
    ) -> Tensor:
        state = self.state[param]
        if "input_power" not in state:
            state["input_power"] = torch.zeros_like(total)
            state["step"] = torch.zeros((), dtype=torch.float32, device=total.device)
        check_state(self, param, "input_power", state["input_power"], like=total)
        mean = total / rows.clamp(min=1)
        finite = torch.isfinite(mean).all()
        counts = (rows > 0) & finite
        if (found_inf := getattr(self, "found_inf", None)) is not None:
            counts &= found_inf.reshape(()).to(counts.device) == 0  # then the step changes nothing at all
        beta = group["beta"]
        average = torch.where(counts, beta * state["input_power"] + (1 - beta) * mean, state["input_power"])
        # In place, so that a captured CUDA graph keeps counting.
        state["input_power"].copy_(average)
        state["step"].add_(counts)
        corrected = average / (1 - beta ** state["step"].to(average.dtype))
        scale = torch.where(state["step"] > 0, _reciprocal(corrected, group["rule"], group["eps"]), 1.0)
        return _broadcast_scale(torch.where(finite, scale, torch.nan), param, record)


def _refuse_a_part() -> None:
    try:
        refuse_a_part("INSGD")
    except ValueError as error:
        raise ValueError(
            "INSGD adds its inputs' powers over ranks that hold the same parameters, and ZeroRedundancyOptimizer and "
            "_apply_optimizer_in_backward give it a part of them: shard by torch.distributed.fsdp.fully_shard"
        ) from error


def _check_rule(rule: str, records: list[Record]) -> None:
    for record in records:
        if not records[0].can_be_pooled_with(record):
            raise RuntimeError("a weight is shared by layers whose inputs cannot be pooled: they have other channels")
        if (rule == "released") != record.standardize:
            call = "track_input_power(model, standardize=True)" if rule == "released" else "track_input_power(model)"
            raise RuntimeError(
                f"rule={rule!r} needs inputs tracked by steepest.{call}: remove() the handle and call that"
            )


def _reciprocal(power: Tensor, rule: str, eps: float) -> Tensor:
    return 1 / (eps + power) if rule == "nlms" else 1 / power.log().clamp(min=eps)


def _broadcast_scale(scale: Tensor, param: Tensor, record: Record) -> Tensor:
    """Make the scale of input channels, (C,) or (1,), broadcast to the weight, (O, C / groups, ...)."""
    scale = scale.view(record.groups, -1)
    if record.groups > 1:  # an output channel sees the inputs of its group alone
        scale = scale.repeat_interleave(param.shape[0] // record.groups, dim=0)
    scale = scale.view(*scale.shape, *[1] * (param.dim() - 2))
    if not hasattr(param, "placements"):
        return scale
    from torch.distributed.tensor import DTensor, Replicate

    mesh = param.device_mesh  # type: ignore[attr-defined]
    replicated = DTensor.from_local(scale, mesh, [Replicate()] * mesh.ndim, run_check=False)
    placements = [p if p.is_shard() and scale.shape[p.dim] > 1 else Replicate() for p in param.placements]
    return replicated.redistribute(mesh, placements)
