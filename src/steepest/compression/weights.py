"""Which weights of a network are made small, and what its weights are without what is put on them meanwhile."""

import copy
from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy
from torch.nn.utils import parametrize

CONVOLUTIONS = (
    nn.Conv1d,
    nn.Conv2d,
    nn.Conv3d,
    nn.ConvTranspose1d,
    nn.ConvTranspose2d,
    nn.ConvTranspose3d,
)
FIRST, LAST = "first", "last"


class Place(NamedTuple):
    """A weight: the name of its module, and its own there."""

    owner: str
    name: str

    @property
    def key(self) -> str:
        """Its key in the plain model's ``state_dict``."""
        return f"{self.owner}.{self.name}" if self.owner else self.name

    def module(self, model: nn.Module) -> nn.Module:
        """The module of a model that has it."""
        return model.get_submodule(self.owner)

    def tensor(self, model: nn.Module) -> Tensor:
        """Its values, with what is put on them."""
        found: Tensor = getattr(self.module(model), self.name)
        return found


def find_weights(
    model: nn.Module, *, exempt: Iterable[str] = (), embeddings: bool = False, recurrent: bool = False
) -> list[Place]:
    """The weights of convolutions and linear layers, in the model's order; no biases and no norms.

    Args:
        exempt: names of modules, which stand for all below them too, or of weights; ``"first"`` and ``"last"`` of those
            that would be found without it.
        embeddings: those of :class:`torch.nn.Embedding` as well.
        recurrent: those of :class:`torch.nn.LSTM`, :class:`torch.nn.GRU` and :class:`torch.nn.RNN` as well.

    Raises:
        ValueError: a name of ``exempt`` is of no module and no weight, nothing is left, or a weight is parametrized or
            has no values yet.

    Example:
        >>> find_weights(nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), exempt=["last"])
        [Place(owner='0', name='weight')]
    """
    found = [place for place in _list_weights(model, embeddings, recurrent) if not _is_shared(model, place)]
    known = {name for name, _ in model.named_modules()} | {name for name, _ in model.named_parameters()}
    left = list(found)
    for name in exempt:
        if name in (FIRST, LAST):
            left = [place for place in left if place != (found[0] if name == FIRST else found[-1])] if found else []
        elif name and name in known:
            left = [place for place in left if not f"{place.key}.".startswith(f"{name}.")]
        else:
            raise ValueError(f"exempt must name modules or weights of the model, 'first' or 'last', got {name!r}")
    if not left:
        kinds = "convolution or linear layer" + " or embedding" * embeddings + " or recurrent layer" * recurrent
        raise ValueError(f"model must have a {kinds} whose weight is its own and not exempt, got none")
    for place in left:
        own = dict(place.module(model).named_parameters(recurse=False)).get(place.name)
        if own is None or is_lazy(own):
            raise ValueError(
                f"model must have plain weights where it is made small, got another kind at {place.key!r}: remove its "
                f"parametrization, call the model once, or name it in exempt"
            )
    return left


def _list_weights(model: nn.Module, embeddings: bool, recurrent: bool) -> Iterator[Place]:
    kinds = (nn.Linear, *CONVOLUTIONS, *([nn.Embedding] if embeddings else []))
    for name, module in model.named_modules():
        if isinstance(module, kinds) and isinstance(getattr(module, "weight", None), Tensor):
            yield Place(name, "weight")
        elif recurrent and isinstance(module, nn.RNNBase):
            yield from (Place(name, own) for own, _ in module.named_parameters(recurse=False) if "weight" in own)


def _is_shared(model: nn.Module, place: Place) -> bool:
    """Say whether another name stands for the same weight, which what is put on one of them would part."""
    own = place.tensor(model)
    return sum(other is own for _, other in model.named_parameters(remove_duplicate=False)) > 1


def put_on(module: nn.Module, name: str, part: nn.Module) -> None:
    """Put a parametrization on a weight."""
    parametrize.register_parametrization(module, name, part, unsafe=True)


def part_of(module: nn.Module, name: str, kind: type[nn.Module]) -> nn.Module | None:
    """The last parametrization of a kind on a weight, if there is one."""
    parts: Collection[nn.Module] = module.parametrizations[name] if parametrize.is_parametrized(module, name) else ()  # type: ignore[index]
    return next((part for part in reversed(list(parts)) if isinstance(part, kind)), None)


def original_of(module: nn.Module, name: str) -> nn.Parameter:
    """The parameter below the parametrizations of a weight, or the weight."""
    if parametrize.is_parametrized(module, name):
        below: nn.Parameter = module.parametrizations[name].original  # type: ignore[index,union-attr]
        return below
    plain: nn.Parameter = getattr(module, name)
    return plain


def plain_copy(model: nn.Module, state: "dict[str, Tensor] | None" = None) -> nn.Module:
    """A copy of a model without parametrizations, with the tensors of ``state``, a plain ``state_dict``."""
    found = copy.deepcopy(model)
    if state is not None:
        with torch.no_grad():
            found.load_state_dict(state)
    return found


def detached(model: nn.Module) -> nn.Module:
    """Copy the model without what is left of a training."""
    found = copy.deepcopy(model)
    for parameter in found.parameters():
        parameter.grad = None
    return found
