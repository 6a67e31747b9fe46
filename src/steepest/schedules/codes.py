"""What every layer of a model says of a batch, in one number a sample: the unit whose output is the largest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from steepest.schedules.layers import modules_of_layers

_CHANNELS_FIRST = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)


class LayerCodes:
    """The codes of a model's layers in its last forward pass, kept by hooks while it trains.

    Args:
        model: hooks are put on its modules; :meth:`remove` takes them away.
        layers: names of modules; all layers, as :func:`~steepest.schedules.layer_groups` names them, if ``None``.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
        >>> codes = LayerCodes(model, None)
        >>> _ = model(torch.zeros(5, 4))
        >>> {name: (tuple(code.shape), units) for name, (code, units) in codes.take((5,)).items()}
        {'0': ((5,), 3), '2': ((5,), 2)}
        >>> codes.remove()
    """

    def __init__(self, model: nn.Module, layers: Iterable[str] | None) -> None:
        modules = modules_of_layers(model, layers)
        self.names = list(modules)
        self._said: dict[str, _Codes] = {}
        self._hooks = [module.register_forward_hook(_Coder(self._said, name)) for name, module in modules.items()]

    def take(self, shape: tuple[int, ...]) -> dict[str, tuple[Tensor, int]]:
        """Code and number of units of every layer that has been run, in the shape of the targets; they are forgotten.

        Raises:
            ValueError: no layer has been run, or one for other samples.
        """
        said = dict(self._said)
        self._said.clear()
        if not said:
            raise ValueError(
                "no layer has said anything since the last update: run the model in training mode, with gradients, "
                "and call update once after each forward pass"
            )
        return {name: (_fitting(name, codes, shape), codes.units) for name, codes in said.items()}

    def remove(self) -> None:
        """Take the hooks from the model, and forget what they have kept."""
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()
        self._said.clear()


class _Codes(NamedTuple):
    """Hold the codes of one output: one for every position, then of the means over positions, down to the sample."""

    codes: list[Tensor]
    units: int
    by_sample: bool  # whether the first dimension is the samples' for certain


class _Coder:
    """Keep the codes of one layer; a copy or a pickle of the model carries an inert one."""

    def __init__(self, said: dict[str, _Codes], name: str) -> None:
        self._said, self._name = said, name

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        if not (module.training and torch.is_grad_enabled()) or torch._C._are_functorch_transforms_active():
            return
        values = next(_tensors(output), None)
        if values is not None and values.dim() > 0 and values.shape[-1] > 0:
            with torch.no_grad():
                self._said[self._name] = _codes(module, values.detach())

    def __reduce__(self) -> tuple[Callable[[], _InertCoder], tuple[()]]:
        return _InertCoder, ()


class _InertCoder:
    """Stand in a copied model for a :class:`_Coder`."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], output: Any) -> None:
        pass


def _codes(module: nn.Module, values: Tensor) -> _Codes:
    if isinstance(module, _CHANNELS_FIRST):
        space = module.weight.dim() - 2 if isinstance(module, nn.modules.conv._ConvNd) else values.dim() - 2
        values = values.flatten(-space).mean(-1) if space > 0 else values  # global average pooling
        values = values.unsqueeze(0) if values.dim() == 1 else values
        return _Codes([values.argmax(-1)], values.shape[-1], by_sample=True)
    if values.dim() == 3 and not getattr(module, "batch_first", True):
        values = values.transpose(0, 1)
    codes = [values.argmax(-1)]
    for _ in range(values.dim() - 2):
        values = values.mean(-2)
        codes.append(values.argmax(-1))
    return _Codes(codes, values.shape[-1], by_sample=False)


def _fitting(name: str, said: _Codes, shape: tuple[int, ...]) -> Tensor:
    """Find the code that has one value a target: of every position, else of its sample, else of its position."""
    first = said.codes[0]
    alike = not said.by_sample and 0 < first.dim() < len(shape) and first.shape == shape[-first.dim() :]
    if alike and first.shape == shape[: first.dim()]:
        raise ValueError(
            f"whether layer {name!r} has an output for each sample or for each position cannot be told, in shape "
            f"{tuple(first.shape)} of {shape}; leave it out of layers, or take another batch size"
        )
    for code in said.codes:
        if code.dim() <= len(shape) and code.shape == shape[: code.dim()]:
            return code.reshape(*code.shape, *[1] * (len(shape) - code.dim())).expand(shape)
    if alike:  # an embedding of positions
        return first.expand(shape)
    for code in said.codes:
        if code.numel() == torch.Size(shape).numel():
            return code.reshape(shape)
    raise ValueError(
        f"layer {name!r} has an output for {tuple(first.shape)} samples, and the targets have shape {shape}; "
        "call update after each forward pass, with its targets, or leave the layer out of layers"
    )


def _tensors(output: Any) -> Iterator[Tensor]:
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        yield from _tensors(list(output.values()))
    elif isinstance(output, list | tuple):
        for part in output:
            yield from _tensors(part)
