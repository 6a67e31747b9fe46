"""A network for inference on a CPU: each layer of many zeros in the form that is measured to be the fastest here."""

import copy
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from steepest.compression.inference_forms import Replaceable, is_replaceable, make_forms, share_zeros
from steepest.compression.sparse_linear import SparseLinear
from steepest.compression.sparse_pointwise import SparsePointwise
from steepest.compression.ternary_linear import ReducedLinear, TernaryLinear
from steepest.optim.arguments import check_number

__all__ = [
    "InferenceReport",
    "LayerTimes",
    "ReducedLinear",
    "SparseLinear",
    "SparsePointwise",
    "TernaryLinear",
    "for_inference",
]

WARM_UP = 1  # rounds that do not count
LEAST, MOST = 5, 500  # rounds that do
CALLS = 5  # of each in a round
GAIN = 0.95  # of dense's time that another form may take at most to replace it, lest noise decide


@dataclass(frozen=True)
class LayerTimes:
    """How long a linear layer or a convolution of 1 by 1 takes.

    ``name`` in the model; ``shape`` (out, in); ``inputs``: rows of x, or places of all images, that it got;
    ``sparsity``: share of zeros; ``milliseconds``: median for each form that was tried, ``dense`` among them;
    ``chosen``: the form taken; ``held`` and ``held_dense``: bytes of the layer as chosen and as it was.
    """

    name: str
    shape: tuple[int, int]
    inputs: int
    sparsity: float
    milliseconds: Mapping[str, float]
    chosen: str
    held: int
    held_dense: int

    @property
    def dense(self) -> float:
        """Milliseconds of torch's own layer."""
        return self.milliseconds["dense"]

    @property
    def ternary(self) -> float:
        """Milliseconds of the fastest of the others, chosen or not."""
        return min(value for form, value in self.milliseconds.items() if form != "dense")


@dataclass(frozen=True)
class InferenceReport:
    """What :func:`for_inference` measured: each layer, and the ``model`` as a whole before and ``after`` it.

    ``model``, ``after``: median milliseconds; ``threads`` that torch computed with. ``str`` gives a table.
    """

    layers: tuple[LayerTimes, ...]
    model: float
    after: float
    threads: int

    def __str__(self) -> str:
        lines = [
            f"{'layer':24}{'inputs':>8}{'zeros':>8}{'dense ms':>10}{'other ms':>10}{'bytes':>12}{'dense':>12}  form"
        ]
        for layer in self.layers:
            times = f"{layer.dense:10.4f}{layer.ternary:10.4f}"
            shown = f"{layer.name or 'the model':24}{layer.inputs:8}{layer.sparsity:8.2%}{times}"
            lines.append(f"{shown}{layer.held:12,}{layer.held_dense:12,}  {layer.chosen}")
        threads = f"{self.threads} thread{'s' if self.threads > 1 else ''}"
        lines.append(f"the model: {self.model:.4f} ms before, {self.after:.4f} ms after, {threads}")
        return "\n".join(lines)


def for_inference(model: nn.Module, example: Any, seconds: float = 0.5) -> tuple[nn.Module, InferenceReport]:
    """A copy of a model in which each layer of many zeros has the form that is fastest here, for such an input.

    Measured are linear layers and convolutions of 1 by 1 (torch.nn.Conv1d and Conv2d of stride 1, no padding and 1
    group) of which at least half of the weights are zero, and those that are ternary, whatever their zeros. The forms
    are torch's own layer, which stays unless another is at least 5 % faster; for a linear layer the three of
    :class:`TernaryLinear`, or of :class:`SparseLinear` where it is not ternary, and :class:`ReducedLinear` where whole
    rows or columns are zero; for a convolution the two of :class:`SparsePointwise`. Each layer gets what it gets in the
    model from the example; all forms take turns, and medians decide. Outputs change by rounding alone. The copy is in
    evaluation mode, and the model is left as it is.

    Other layers, subclasses of torch's, layers with hooks (those that torch.nn.utils.prune still masks have one: see
    its ``remove``), those that share their weight, and what the example does not reach stay. A layer that is called
    more than once is measured by its first input. That a layer is faster alone does not promise that the model is: the
    report tells both.

    Args:
        model: on the CPU.
        example: a tensor, or a tuple of the model's arguments; its batch is the one that is optimised for.
        seconds: for which each layer, and then the model, is measured; the slower take at least 6 rounds of 5 calls.

    Returns:
        The copy, and what was measured.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind, or the model is not on the CPU.

    Example:
        >>> model = nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2))
        >>> with torch.no_grad():
        ...     _ = model[0].weight.copy_(0.1 * torch.eye(4, 8))
        >>> fast, report = for_inference(model, torch.ones(1, 8), seconds=0.01)
        >>> torch.allclose(fast(torch.ones(1, 8)), model(torch.ones(1, 8)))
        True
        >>> [(layer.name, layer.shape, layer.sparsity) for layer in report.layers]
        [('0', (4, 8), 0.875)]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    check_number("seconds", seconds, "a finite number above 0", lambda x: 0 < x < float("inf"))
    away = next((value for value in (*model.parameters(), *model.buffers()) if value.device.type != "cpu"), None)
    if away is not None:
        raise ValueError(f"model must be on the CPU, got one on {away.device}")
    arguments = example if isinstance(example, tuple) else (example,)
    before = copy.deepcopy(model).eval()
    after = copy.deepcopy(before)
    layers = []
    with torch.no_grad():
        for name, (layer, x) in _find_inputs(before, arguments).items():
            times, chosen = _measure_layer(name, layer, x, seconds)
            layers.append(times)
            if chosen is not layer:
                after = _replace(after, before, layer, chosen)
        whole = medians({"before": partial(before, *arguments), "after": partial(after, *arguments)}, seconds)
    return after, InferenceReport(tuple(layers), whole["before"], whole["after"], torch.get_num_threads())


def medians(calls: Mapping[str, Callable[[], Any]], seconds: float) -> dict[str, float]:
    """Median milliseconds of each call: all take turns in each round, and who begins changes.

    A turn is five calls, of which the first does not count: it brings back what others drove out of the caches, so
    that the figures are those of a model that runs again and again. With one thread only the time counts in which it
    computes, not that in which other programs do.
    """
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    names = list(calls)
    took: dict[str, list[float]] = {name: [] for name in names}
    end = clock() + seconds
    for turn in range(MOST + WARM_UP):
        if turn >= LEAST + WARM_UP and clock() > end:
            break
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            for call in range(CALLS):
                began = clock()
                calls[name]()
                elapsed = clock() - began
                if turn >= WARM_UP and call > 0:
                    took[name].append(elapsed)
    return {name: statistics.median(values) * 1000 for name, values in took.items()}


def _find_inputs(model: nn.Module, arguments: tuple[Any, ...]) -> dict[str, tuple[Replaceable, Tensor]]:
    """Run the model: the layers to measure that it calls, with the first input of each."""
    users: dict[int, int] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            users[id(parameter)] = users.get(id(parameter), 0) + 1
    found: dict[str, tuple[Replaceable, Tensor]] = {}
    handles = []
    for name, layer in model.named_modules():
        if is_replaceable(layer) and users.get(id(layer.weight)) == 1:

            def keep(module: nn.Module, inputs: tuple[Any, ...], name: str = name, layer: Replaceable = layer) -> None:
                if inputs:
                    found.setdefault(name, (layer, inputs[0].detach().clone()))

            handles.append(layer.register_forward_pre_hook(keep))
    try:
        model(*arguments)
    finally:
        for handle in handles:
            handle.remove()
    return found


def _measure_layer(name: str, layer: Replaceable, x: Tensor, seconds: float) -> tuple[LayerTimes, nn.Module]:
    """Time every form of a layer: what was found, and the module to take."""
    forms = make_forms(layer, x)
    found = medians({form: partial(module, x) for form, module in forms.items()}, seconds)
    best = min(found, key=lambda form: found[form])
    chosen = best if found[best] <= GAIN * found["dense"] else "dense"
    rows, columns = layer.weight.shape[:2]
    held = count_bytes(forms[chosen]), count_bytes(layer)
    zeros = share_zeros(layer.weight)
    return LayerTimes(name, (rows, columns), x.numel() // columns, zeros, found, chosen, *held), forms[chosen]


def _replace(copied: nn.Module, model: nn.Module, layer: nn.Module, chosen: nn.Module) -> nn.Module:
    """Put the module in the copy wherever the model has the layer; return the copy, or the module in its place."""
    for name, module in model.named_modules(remove_duplicate=False):
        if module is layer:
            if not name:
                return chosen
            parent, _, own = name.rpartition(".")
            setattr(copied.get_submodule(parent), own, chosen)
    return copied


def count_bytes(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers."""
    return sum(value.nbytes for value in (*module.parameters(), *module.buffers()))
