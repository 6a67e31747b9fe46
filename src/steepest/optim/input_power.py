"""The power of every layer's input, measured by forward hooks, for optimizers that are given parameters only."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, NoReturn, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from steepest.optim.arguments import check_choice, check_flag
from steepest.optim.tracked import ProcessGroup, Record, drop, keep, records_by_weight

_NORMS = {"l1": 1, "l2": 2}
_Layer = nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d
# The authors' floor of the deviation by which an input is divided.
_LEAST_DEVIATION = 0.01
_is_exporting = getattr(torch.compiler, "is_exporting", lambda: False)  # since torch 2.7


def standardized(x: Tensor, dims: tuple[int, ...]) -> Tensor:
    """Mean 0 and unbiased standard deviation 1 over ``dims``; all zeros where the input is constant there.

    A deviation below 0.01 counts as 0.01, as in the authors' code, so that an input of next to no deviation keeps it.

    Example:
        >>> standardized(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0], [0.001, 0.002, 0.003]]), (-1,))
        tensor([[-1.0000,  0.0000,  1.0000],
                [ 0.0000,  0.0000,  0.0000],
                [-0.1000,  0.0000,  0.1000]])
    """
    count = max(1, int(torch.Size([x.shape[d] for d in dims]).numel()) - 1)
    centred = x - x.mean(dims, keepdim=True)
    std = (centred.square().sum(dims, keepdim=True) / count).sqrt()
    # The mean of a constant is rounded, so that its deviation need not be 0.
    constant = x.amax(dims, keepdim=True) == x.amin(dims, keepdim=True)
    return torch.where(constant, torch.zeros_like(x), centred / std.clamp(min=_LEAST_DEVIATION))


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
        starts = torch.arange(positions, dtype=torch.int64, device=s.device) * stride
        offsets = torch.arange(kernel, dtype=torch.int64, device=s.device) * dilation
        covered = (starts[:, None] + offsets).flatten()
        coverage = torch.zeros(size, dtype=s.dtype, device=s.device)
        coverage.index_add_(0, covered, torch.ones_like(covered, dtype=s.dtype))
        s = (s * coverage).sum(-1) / positions
    return s.sum()


class Meter:
    """The forward pre-hook of one layer; a copy or a pickle of the model carries an inert one."""

    def __init__(self, record: Record, norm: int, patch: bool) -> None:
        self.record, self.norm, self.patch = record, norm, patch

    def __call__(self, module: _Layer, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if not (module.training and torch.is_grad_enabled() and module.weight.requires_grad):
            return
        if torch._C._are_functorch_transforms_active():
            # What a transform sees is not what the layer is given: a sample of a batch, or one of many weights.
            if not torch.compiler.is_compiling():
                self.record.paused = True
        elif not _is_recorded():
            x = args[0] if args else kwargs.get("input")
            if x is not None:
                with torch.no_grad():
                    self.record.add(*self.measure(module, x))

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

    @property
    def __name__(self) -> NoReturn:  # torch.jit.script alone asks for it
        raise AttributeError(
            "torch.jit.script cannot compile a model that track_input_power tracks: call remove() on its handle first, "
            "or use torch.export or torch.jit.trace"
        )


class InertMeter:
    """What a copied model has in the place of a :class:`Meter`."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        pass

    @property
    def __name__(self) -> NoReturn:
        raise AttributeError(
            "torch.jit.script cannot compile the copy of a model that track_input_power tracks: call remove() on the "
            "handle before copying, or use torch.export or torch.jit.trace"
        )


def _is_recorded() -> bool:
    """Say whether the pass is made only to write a program down, which must not contain the measuring."""
    return torch.jit.is_tracing() or _is_exporting()  # type: ignore[attr-defined, no-untyped-call]


class InputPowerHandle:
    """What :func:`track_input_power` returns; as a context manager it removes the hooks at the end.

    A copy or a pickle of it, or of a module that holds it, tracks nothing: the copied model is a model of its own.
    """

    def __init__(self, model: nn.Module | None, layers: list[nn.Module], hooks: list[RemovableHandle]) -> None:
        self._model = None if model is None else weakref.ref(model)
        self._layers, self._hooks = [weakref.ref(layer) for layer in layers], hooks

    def uncovered(self, params: nn.Module | Iterable[Any] | None = None) -> list[str]:
        """Names of the parameters whose input is not tracked and that take plain SGD.

        Args:
            params: a model, or what an optimizer takes; by default the tracked model. A tensor that has no name of its
                own has the one that the tracked model gives it, or its position as ``"params[3]"``.

        Raises:
            RuntimeError: this is a copy of a handle, which has no model, and ``params`` is not given.
        """
        if self._model is None and params is None:
            raise RuntimeError(
                "uncovered() of a copied handle needs params: it tracks nothing; call track_input_power on its model"
            )
        model = None if self._model is None else self._model()
        names = {} if model is None else {id(p): name for name, p in model.named_parameters()}
        given: Iterable[Any] = params if params is not None else (model or [])  # type: ignore[assignment]
        pairs = _named(given.named_parameters() if isinstance(given, nn.Module) else given)
        covered = records_by_weight()
        return [name or names.get(id(p), f"params[{i}]") for i, (name, p) in enumerate(pairs) if id(p) not in covered]

    def remove(self) -> None:
        """Take the hooks away; an optimizer that relies on them then refuses to step."""
        for hook in self._hooks:
            hook.remove()
        for reference in self._layers:
            if (layer := reference()) is not None:
                drop(layer)
        self._hooks, self._layers = [], []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def __copy__(self) -> Self:
        return self

    def __reduce__(self) -> tuple[Callable[..., InputPowerHandle], tuple[None, list[Any], list[Any]]]:
        return type(self), (None, [], [])


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
    process_group: ProcessGroup = None,
) -> InputPowerHandle:
    """Measure, in every training forward pass, the power of the input of each linear and convolutional layer.

    :class:`steepest.INSGD` finds the measurements by the weights it holds. What is measured is the mean over all rows
    (samples, for a linear layer also positions) that the layer has met since the last optimizer step, however many
    calls, accumulated batches or ranks they came in. Passes in evaluation mode, or without gradients, do not count.

    Call it before ``torch.compile``, before or after ``fully_shard`` (FSDP2) and ``DistributedDataParallel``. It is the
    layers that are tracked: a weight that is moved, swapped, loaded or replaced later is found by its layer.
    Subclasses of ``nn.Linear`` and ``nn.Conv1d/2d/3d`` are tracked too; biases, normalisation layers, embeddings,
    transposed convolutions, recurrent and parametrised weights (``weight_norm``) are not, nor the output projection of
    ``nn.MultiheadAttention``, whose module is never called: :meth:`InputPowerHandle.uncovered` lists them.

    It pauses inside the transforms of ``torch.func`` (``grad``, ``vmap``, ``jvp``), whose tensors are not what the
    layer is given in training, and while ``torch.export`` or ``torch.jit.trace`` write the model down.
    ``torch.jit.script`` refuses a tracked model.

    Costs one reading of every tracked input, and per input channel one number on the device.

    Args:
        model: any module.
        norm: ``"l2"`` for the sum of squares, ``"l1"`` for the sum of absolute values.
        patch: measure a convolution's whole input vector, the unfolded patch: one number a layer, the mean over
            positions and groups. By default one number for each input channel, its sum over space.
        standardize: first shift and scale the input by mean and unbiased standard deviation (0.01 at least), over
            space for each sample and channel, over features for each row. A constant has power 0, anything that
            deviates by 0.01 or more with ``norm="l2"`` the number of values less 1: this is for
            ``INSGD(rule="released")`` only.
        process_group: the ranks over which one layer sees different data, when ``torch.distributed`` is in use;
            ``None`` for all of them. They must take optimizer steps together.

    Returns:
        A handle with ``uncovered()`` and ``remove()``.

    Raises:
        ValueError: an argument is out of range; the model has nothing to track, is tracked already, is compiled
            already, has lazy layers, or shares a weight among layers whose inputs cannot be pooled.

    Source: Atici, Pan, Cetin, "Input Normalized Stochastic Gradient Descent Training of Deep Neural Networks",
    arXiv 2212.09921; ``standardize`` is what the authors' released code does.

    Example:
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(8, 2))
        >>> handle = track_input_power(model)
        >>> handle.uncovered()
        ['0.bias', '1.weight', '1.bias', '3.bias']
    """
    check_choice("norm", norm, list(_NORMS))
    check_flag("patch", patch)
    check_flag("standardize", standardize)
    if not isinstance(model, nn.Module):
        raise ValueError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    modules = dict(model.named_modules())
    _refuse_compiled(modules)
    within = [m.out_proj for m in modules.values() if isinstance(m, nn.MultiheadAttention)]
    candidates = {name: m for name, m in modules.items() if isinstance(m, _Layer) and m not in within}
    layers = {name: m for name, m in candidates.items() if m._parameters.get("weight") is not None}
    if not layers:
        raise ValueError(
            f"model must have an nn.Linear or nn.Conv1d/2d/3d to track, got {type(model).__name__}"
            + (f", whose {len(candidates)} have a parametrized weight" if candidates else "")
        )
    _refuse_untrackable(layers)
    records: list[Record] = []
    shared: dict[int, Record] = {}
    for name, layer in layers.items():
        channels, groups = (1, 1) if isinstance(layer, nn.Linear) or patch else (layer.in_channels, layer.groups)
        records.append(Record(layer.weight, channels, groups, standardize, process_group))
        if not shared.setdefault(id(layer.weight), records[-1]).can_be_pooled_with(records[-1]):
            raise ValueError(f"the weight of {name!r} is shared with a layer whose input has other channels")
    hooks: list[RemovableHandle] = []
    for layer, record in zip(layers.values(), records, strict=True):
        hooks.append(layer.register_forward_pre_hook(Meter(record, _NORMS[norm], patch), with_kwargs=True))
        keep(layer, record)
    return InputPowerHandle(model, list(layers.values()), hooks)


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
