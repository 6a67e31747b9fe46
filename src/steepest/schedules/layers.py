"""Which layers a model has: their names, the modules whose output is theirs, and the parameters that go with each."""

from collections.abc import Iterable
from typing import Any

from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from steepest.optim.blocks import block_of, refuse_repeated_names

_MATRIX = 2  # dimensions of a weight that makes a module a layer


def layer_groups(model: nn.Module) -> list[dict[str, Any]]:
    """Groups of parameters, one for each layer of a model, for :class:`~steepest.schedules.MutualInformationLR`.

    A layer is a module that has a weight of two or more dimensions of its own. What has none, such as a normalisation
    layer, joins the layer before it, in the order of ``named_parameters``; what stands before the first layer joins
    the first. Every parameter is in one group, a shared one in that of its first name.

    Args:
        model: whose parameters are all made; a lazy module must have seen a batch.

    Returns:
        Group dicts ``{"params": [(name, tensor), ...], "layer": name}``, for any optimizer.

    Raises:
        TypeError: the model is no module.
        ValueError: it has no layer, or one that is not made yet.

    Example:
        >>> model = nn.Sequential(nn.Linear(4, 3), nn.LayerNorm(3), nn.ReLU(), nn.Linear(3, 2, bias=False))
        >>> [(group["layer"], [name for name, _ in group["params"]]) for group in layer_groups(model)]
        [('0', ['0.weight', '0.bias', '1.weight', '1.bias']), ('3', ['3.weight'])]
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    return grouped_by_layer(model.named_parameters())


def grouped_by_layer(named: Iterable[tuple[str, Tensor]]) -> list[dict[str, Any]]:
    """The same of named parameters, in the order of their model.

    Raises:
        ValueError: there is no layer among them, or one that is not made yet.

    Example:
        >>> [group["layer"] for group in grouped_by_layer(nn.Linear(2, 2).named_parameters())]
        ['']
    """
    named = list(named)
    refuse_repeated_names(named)
    for name, param in named:
        if is_lazy(param):
            raise ValueError(f"parameter {name!r} has no shape yet: run a batch through the model first")
    blocks = [str(block_of(param, name)) for name, param in named]
    groups: dict[str, list[tuple[str, Tensor]]] = {
        block: [] for block, (_, param) in zip(blocks, named, strict=True) if param.dim() >= _MATRIX
    }
    if not groups:
        raise ValueError("the model has no layer: no parameter of two or more dimensions")
    current = next(iter(groups))
    for block, pair in zip(blocks, named, strict=True):
        current = block if block in groups else current
        groups[current].append(pair)
    return [{"params": params, "layer": layer} for layer, params in groups.items()]


def modules_of_layers(model: nn.Module, layers: Iterable[str] | None) -> dict[str, nn.Module]:
    """The module whose output is a layer's, by the layer's name.

    The output projection of an attention of torch's is not called as a module: its output is the attention's own.

    Args:
        layers: names of modules; all layers as :func:`layer_groups` names them, if ``None``.

    Raises:
        TypeError: the model is no module, or ``layers`` is a string.
        ValueError: it has no module of such a name, or no layer.

    Example:
        >>> list(modules_of_layers(nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 2)), None))
        ['0', '2']
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"model must be a torch.nn.Module, got {type(model).__name__}")
    if isinstance(layers, str):
        raise TypeError(f"layers must be a list of names, got the string {layers!r}")
    modules = dict(model.named_modules())
    names = [group["layer"] for group in layer_groups(model)] if layers is None else list(dict.fromkeys(layers))
    if not names:
        raise ValueError("layers must name a module of the model, got none")
    if unknown := [name for name in names if name not in modules]:
        raise ValueError(f"layers must name modules of the model, got {unknown[0]!r}; it has {sorted(modules)[1:]}")
    return {name: _speaker(name, modules) for name in names}


def _speaker(name: str, modules: dict[str, nn.Module]) -> nn.Module:
    owner = modules.get(name.rpartition(".")[0])
    if isinstance(owner, nn.MultiheadAttention) and owner.out_proj is modules[name]:
        return owner
    return modules[name]
