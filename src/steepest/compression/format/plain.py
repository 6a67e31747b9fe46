"""The weights of a parametrised model under the names of the plain one."""

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

# In torch's own modules these stand in this order.
_ORDER = (
    "in_proj_weight", "q_proj_weight", "k_proj_weight", "v_proj_weight", "weight", "in_proj_bias", "bias",
    "bias_k", "bias_v", "running_mean", "running_var", "num_batches_tracked",
)  # fmt: skip


def plain_state_dict(model: nn.Module) -> dict[str, Tensor]:
    """The state_dict that the model would have without its parametrisations: what they evaluate to, under plain names.

    The keys are in the order of the plain model; in a module of your own class, what is parametrised stands after the
    other parameters. Parametrisations are evaluated in eval mode and changed by nothing; a module compiled by
    ``torch.compile`` counts as what was compiled. Nothing is copied that need not be.

    Raises:
        TypeError: the state_dict holds something else than tensors, as ``get_extra_state`` may put there.

    Example:
        >>> from torch.nn.utils import parametrizations
        >>> layer = parametrizations.weight_norm(nn.Linear(3, 2))
        >>> list(layer.state_dict())
        ['bias', 'parametrizations.weight.original0', 'parametrizations.weight.original1']
        >>> list(plain_state_dict(layer))
        ['weight', 'bias']
    """
    original = getattr(model, "_orig_mod", model)
    model = original if isinstance(original, nn.Module) else model
    state = {key: check_tensor(key, value) for key, value in model.state_dict().items()}
    own = {
        f"{path}." if path else "": module
        for path, module in model.named_modules(remove_duplicate=False)
        if parametrize.is_parametrized(module)
    }
    own = {prefix: module for prefix, module in own.items() if not _inside(prefix, own)}
    plain: dict[str, Tensor] = {}
    for key in state:
        for prefix in [prefix for prefix in own if key.startswith(prefix)]:
            plain |= _own_tensors(own.pop(prefix), prefix, state)
        if key not in plain and not _is_hidden(key, model):
            plain[key] = state[key]
    return plain


def check_tensor(key: str, value: object) -> Tensor:
    """A value of a state_dict.

    Raises:
        TypeError: it is no tensor.
    """
    if not isinstance(value, Tensor):
        raise TypeError(f"a state_dict must hold tensors, got {type(value).__name__} at {key!r}")
    return value.detach()


def _own_tensors(module: nn.Module, prefix: str, state: dict[str, Tensor]) -> Iterator[tuple[str, Tensor]]:
    """Give the tensors of a parametrised module itself, parameters first, in the plain order."""
    evaluated = {name: _evaluate(module, name) for name in _lists(module)}
    hidden = [name for name in evaluated if isinstance(next(_lists(module)[name].parameters(False), None), Tensor)]
    order = getattr(module, "_flat_weights_names", None) or _ORDER

    def rank(name: str) -> int:
        return order.index(name) if name in order else len(order)

    parameters = sorted([*module._parameters, *hidden], key=rank)
    buffers = sorted([*module._buffers, *(name for name in evaluated if name not in hidden)], key=rank)
    for name in parameters + buffers:
        if name in evaluated:
            yield prefix + name, evaluated[name]
        elif prefix + name in state:
            yield prefix + name, state[prefix + name]


def _evaluate(module: nn.Module, name: str) -> Tensor:
    """Evaluate a parametrised tensor in eval mode: spectral norm, for one, changes its buffers in training mode."""
    parts = list(_lists(module)[name].modules())
    training = [part.training for part in parts]
    try:
        for part in parts:
            part.training = False
        with torch.no_grad():
            return check_tensor(name, _lists(module)[name]())
    finally:
        for part, mode in zip(parts, training, strict=True):
            part.training = mode


def _lists(module: nn.Module) -> dict[str, nn.Module]:
    lists = module.parametrizations
    return dict(lists.items()) if isinstance(lists, nn.ModuleDict) else {}


def _inside(prefix: str, others: dict[str, nn.Module]) -> bool:
    return any(prefix.startswith(f"{other}parametrizations.") for other in others)


def _is_hidden(key: str, model: nn.Module) -> bool:
    """Say whether a key belongs to a parametrisation."""
    module = model
    for part in key.split(".")[:-1]:
        if part == "parametrizations" and parametrize.is_parametrized(module):
            return True
        module = module._modules.get(part) or nn.Module()
    return False
