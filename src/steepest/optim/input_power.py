"""The power of every layer's input, measured by forward hooks, for optimizers that are given parameters only."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, MutableMapping, Sequence
from typing import Any, NamedTuple, Self

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle
from torch.utils.weak import WeakTensorKeyDictionary

_NORMS = {"l1": 1, "l2": 2}
_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
_ProcessGroup = Any  # torch.distributed.ProcessGroup, absent where torch is built without it


class Record:
    """What has been measured since the last optimizer step of the inputs that meet one weight.

    ``sums``: the power of all rows together, one value for each of ``channels`` (1: in all), and last the number of
    rows. On the device, and changed in place, so that compiled code keeps its hold on it. Never 0-dim: torch 2.13 loses
    what compiled code writes to a 0-dim float64 tensor on the CPU.
    """

    def __init__(
        self, weight: Tensor, channels: int, groups: int, standardize: bool, process_group: _ProcessGroup
    ) -> None:
        dtype = torch.promote_types(weight.real.dtype, torch.float32)
        self.sums = torch.zeros(channels + 1, dtype=dtype, device=weight.device)
        self.channels, self.groups, self.standardize = channels, groups, standardize
        self.process_group = process_group

    def add(self, power: Tensor, rows: int) -> None:
        self._follow(power.device, torch.promote_types(self.sums.dtype, power.dtype))
        self.sums[:-1].add_(power)
        self.sums[-1:].add_(rows)

    def take(self, device: torch.device) -> Tensor:
        """The sums so far; they then start anew."""
        self._follow(device, self.sums.dtype)
        taken = self.sums.clone()
        self.sums.zero_()
        return taken

    def _follow(self, device: torch.device, dtype: torch.dtype) -> None:
        if self.sums.device != device or self.sums.dtype != dtype:
            self.sums = self.sums.to(device, dtype)


# By the weight, weakly, and not in it: a parameter's attributes are pickled with it.
_records: MutableMapping[Tensor, Record] = WeakTensorKeyDictionary()


def record_of(weight: Tensor) -> Record | None:
    """The record of a weight whose input is tracked."""
    return _records.get(weight)


def collect(tracked: Sequence[tuple[Tensor, Record]]) -> list[tuple[Tensor, Tensor]]:
    """Take from every weight's record: summed power, (channels,) or (1,), and number of rows, 0-dim.

    Both are of all ranks: one all-reduce for each process group.
    """
    sums = [record.take(weight.device) for weight, record in tracked]
    if dist.is_available() and dist.is_initialized():
        together: dict[_ProcessGroup, list[int]] = {}
        for i, (_, record) in enumerate(tracked):
            together.setdefault(record.process_group, []).append(i)
        for group, where in together.items():
            if dist.get_world_size(group) > 1:
                flat = torch.cat([sums[i].to(sums[where[0]].device) for i in where])
                dist.all_reduce(flat, group=group)
                for i, total in zip(where, torch.split(flat, [len(sums[i]) for i in where]), strict=True):
                    sums[i] = total.to(sums[i])
    return [(s[:-1], s[-1]) for s in sums]


def standardized(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean 0 and unbiased standard deviation 1 over ``dims``; all zeros where the input is constant there.

    Example:
        >>> standardized(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]), (-1,))
        tensor([[-1.,  0.,  1.],
                [ 0.,  0.,  0.]])
    """
    count = max(1, int(torch.Size([x.shape[d] for d in dims]).numel()) - 1)
    centred = x - x.mean(dims, keepdim=True)
    std = (centred.square().sum(dims, keepdim=True) / count).sqrt()
    # The mean of a constant is rounded, so that its deviation need not be 0.
    constant = (x.amax(dims, keepdim=True) == x.amin(dims, keepdim=True)) | (std == 0)
    return torch.where(constant, torch.zeros_like(x), centred / std)


def power(x: Tensor, norm: int, dims: tuple[int, ...]) -> Tensor:
    """Sum over ``dims`` of ``|x|`` (``norm=1``) or ``|x|^2`` (``norm=2``): real, in the precision of ``x``."""
    if norm == 1:
        return x.abs().sum(dims)
    if dims[-1] in (-1, x.dim() - 1):
        # Reads the input once and writes nothing of its size, but crawls on the CPU over dimensions that lie apart.
        measured: Tensor = torch.linalg.vector_norm(x, dim=dims)
        return measured.square()
    return (x * x.conj()).real.sum(dims)


def patch_power(s: Tensor, module: nn.Conv1d | nn.Conv2d | nn.Conv3d) -> Tensor:
    """Mean power of a convolution's patches, summed over the rows, without unfolding.

    A pixel enters as many patches as there are positions of the kernel that cover it, and that number is a product
    over the dimensions.

    Args:
        s: the input's power at every pixel, summed over the channels of a group: (N, *space).
        module: the convolution.
    """
    mode = "constant" if module.padding_mode == "zeros" else module.padding_mode
    s = F.pad(s, module._reversed_padding_repeated_twice, mode=mode)
    geometry = list(zip(s.shape[1:], module.kernel_size, module.stride, module.dilation, strict=True))
    for size, kernel, stride, dilation in reversed(geometry):
        positions = max(1, (size - dilation * (kernel - 1) - 1) // stride + 1)
        starts = torch.arange(positions, device=s.device) * stride
        covered = (starts[:, None] + torch.arange(kernel, device=s.device) * dilation).flatten()
        coverage = torch.zeros(size, dtype=s.dtype, device=s.device)
        coverage.index_add_(0, covered, torch.ones_like(covered, dtype=s.dtype))
        s = (s * coverage).sum(-1) / positions
    return s.sum()


class Meter:
    """The forward pre-hook of one layer; a copy or a pickle of the model carries an inert one."""

    def __init__(self, record: Record, norm: int, patch: bool) -> None:
        self.record, self.norm, self.patch = record, norm, patch

    def __call__(self, module: _Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if module.training and torch.is_grad_enabled() and module.weight.requires_grad:
            with torch.no_grad():
                self.record.add(*self.measure(module, args[0] if args else kwargs["input"]))

    def measure(self, module: _Layer, x: Tensor) -> tuple[Tensor, int]:
        """Power summed over the rows, and their number."""
        x = x.to(torch.promote_types(x.dtype, torch.float32))
        if isinstance(module, nn.Linear):
            rows = x.shape[:-1].numel()
            x = standardized(x, (-1,)) if self.record.standardize else x
            total = power(x, self.norm, tuple(range(x.dim())))
        else:
            space = tuple(range(-len(module.kernel_size), 0))
            x = x.unsqueeze(0) if x.dim() == len(space) + 1 else x
            rows = x.shape[0]
            x = standardized(x, space) if self.record.standardize else x
            if self.patch:
                total = patch_power(power(x, self.norm, (1,)) / module.groups, module)
            else:
                total = power(x, self.norm, space).sum(0)
        # With a DTensor input (tensor parallelism) the measure is of the full tensor, as its shape is.
        return (total.full_tensor() if hasattr(total, "full_tensor") else total), rows

    def __reduce__(self) -> tuple[Callable[[], InertMeter], tuple[()]]:
        return InertMeter, ()


class InertMeter:
    """What a copied model has in the place of a :class:`Meter`."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pass


class InputPowerHandle:
    """What :func:`track_input_power` returns; as a context manager it removes the hooks at the end."""

    def __init__(self, model: nn.Module, weights: list[Tensor], hooks: list[RemovableHandle]) -> None:
        self._model, self._weights, self._hooks = weakref.ref(model), [weakref.ref(w) for w in weights], hooks

    def uncovered(self, params: nn.Module | Iterable[Any] | None = None) -> list[str]:
        """Names of the parameters whose input is not tracked and that take plain SGD.

        Args:
            params: a model, or what an optimizer takes; by default the tracked model. A tensor that has no name of its
                own has the one that the tracked model gives it, or its position as ``"params[3]"``.
        """
        model = self._model()
        names = {} if model is None else {id(p): name for name, p in model.named_parameters()}
        given: Iterable[Any] = params if params is not None else (model or [])  # type: ignore[assignment]
        pairs = _named(given.named_parameters() if isinstance(given, nn.Module) else given)
        return [name or names.get(id(p), f"params[{i}]") for i, (name, p) in enumerate(pairs) if record_of(p) is None]

    def remove(self) -> None:
        """Take the hooks away; an optimizer that relies on them then refuses to step."""
        for hook in self._hooks:
            hook.remove()
        for reference in self._weights:
            if (weight := reference()) is not None:
                _records.pop(weight, None)
        self._hooks, self._weights = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()


class _Named(NamedTuple):
    name: str | None
    param: Tensor


def _named(params: Iterable[Any]) -> list[_Named]:
    found: list[_Named] = []
    for item in params:
        if isinstance(item, dict):
            names = item.get("param_names") or []
            inner = list(item["params"]) if not isinstance(item["params"], Tensor) else [item["params"]]
            found += _named(list(zip(names, inner, strict=True)) if names else inner)
        else:
            found.append(_Named(*item) if isinstance(item, tuple) else _Named(None, item))
    return found


def track_input_power(
    model: nn.Module,
    *,
    norm: str = "l2",
    patch: bool = False,
    standardize: bool = False,
    process_group: _ProcessGroup = None,
) -> InputPowerHandle:
    """Measure, in every training forward pass, the power of the input of each linear and convolutional layer.

    :class:`steepest.INSGD` finds the measurements by the weights it holds. What is measured is the mean over all rows
    (samples, for a linear layer also positions) that the layer has met since the last optimizer step, however many
    calls, accumulated batches or ranks they came in. Passes in evaluation mode, or without gradients, do not count.

    Call it before ``torch.compile`` and after ``fully_shard`` (FSDP2), before or after wrapping in ``DistributedData
    Parallel``. Subclasses of ``nn.Linear`` and ``nn.Conv1d/2d/3d`` are tracked too; biases, normalisation layers,
    embeddings, transposed convolutions, recurrent and parametrised weights are not, nor the output projection of
    ``nn.MultiheadAttention``, whose module is never called: :meth:`InputPowerHandle.uncovered` lists them.

    Costs one reading of every tracked input, and per input channel one number on the device.

    Args:
        model: any module.
        norm: ``"l2"`` for the sum of squares, ``"l1"`` for the sum of absolute values.
        patch: measure a convolution's whole input vector, the unfolded patch: one number a layer, the mean over
            positions and groups. By default one number for each input channel, its sum over space.
        standardize: first shift and scale the input by mean and unbiased standard deviation, over space for each
            sample and channel, over features for each row. A constant has power 0, anything else with ``norm="l2"`` the
            number of values less 1: this is for ``INSGD(rule="released")`` only.
        process_group: the ranks over which one layer sees different data, when ``torch.distributed`` is in use;
            ``None`` for all of them. They must take optimizer steps together.

    Returns:
        A handle with ``uncovered()`` and ``remove()``.

    Raises:
        ValueError: ``norm`` is unknown; the model has nothing to track, is tracked already, is compiled already, has
            lazy layers, or shares a weight among layers whose inputs cannot be pooled.

    Source: Atici, Pan, Cetin, "Input Normalized Stochastic Gradient Descent Training of Deep Neural Networks",
    arXiv 2212.09921; ``standardize`` is what the authors' released code does.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
        >>> handle = track_input_power(model)
        >>> handle.uncovered()
        ['0.bias', '1.weight', '1.bias', '3.bias']
    """
    if norm not in _NORMS:
        raise ValueError(f"norm must be 'l1' or 'l2', got {norm!r}")
    modules = dict(model.named_modules())
    _refuse_compiled(modules)
    within = [m.out_proj for m in modules.values() if isinstance(m, nn.MultiheadAttention)]
    layers = {
        name: module
        for name, module in modules.items()
        if isinstance(module, _Layer) and module._parameters.get("weight") is not None and module not in within
    }
    if not layers:
        raise ValueError(f"model must have an nn.Linear or nn.Conv1d/2d/3d to track, got {type(model).__name__}")
    _refuse_untrackable(layers)
    new: dict[int, tuple[Tensor, Record]] = {}
    for name, layer in layers.items():
        channels, groups = (1, 1) if isinstance(layer, nn.Linear) or patch else (layer.in_channels, layer.groups)
        made = Record(layer.weight, channels, groups, standardize, process_group)
        _, record = new.setdefault(id(layer.weight), (layer.weight, made))
        if (record.channels, record.groups) != (channels, groups):
            raise ValueError(f"the weight of {name!r} is shared with a layer whose input has other channels")
    hooks: list[RemovableHandle] = []
    for layer in layers.values():
        meter = Meter(new[id(layer.weight)][1], _NORMS[norm], patch)
        hooks.append(layer.register_forward_pre_hook(meter, with_kwargs=True))
    for weight, record in new.values():
        _records[weight] = record
    return InputPowerHandle(model, [weight for weight, _ in new.values()], hooks)


def _refuse_compiled(modules: dict[str, nn.Module]) -> None:
    for module in modules.values():
        # By name: importing torch._dynamo, only to ask, takes a second.
        if type(module).__name__ == "OptimizedModule" or getattr(module, "_compiled_call_impl", None) is not None:
            raise ValueError("the model is compiled already, and would not call new hooks: track first, then compile")


def _refuse_untrackable(layers: dict[str, _Layer]) -> None:
    for name, layer in layers.items():
        if isinstance(layer.weight, nn.parameter.UninitializedParameter):
            raise ValueError(f"layer {name!r} has no shape yet: run a batch through the model, then track it")
        if any(isinstance(hook, Meter) for hook in layer._forward_pre_hooks.values()):
            raise ValueError(
                f"layer {name!r} is tracked already: call remove() on the handle of the first track_input_power"
            )
