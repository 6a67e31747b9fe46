"""Muon for hidden matrices and AdamW for the rest, as one optimizer."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import AdamW, Muon, Optimizer
from torch.optim.optimizer import ParamsT

from steepest._errors import InputError
from steepest.training.builtin.peers.parts import named_groups, refuse_shards

_WITH_MATRICES = (nn.Linear, nn.modules.conv._ConvNd, nn.RNNBase, nn.MultiheadAttention)
_LOOKED_UP = (nn.Embedding, nn.EmbeddingBag)
_MARK = "_hidden_matrix"  # an attribute of a parameter: torch swaps no tensor that is referred to weakly


def hidden_matrices(model: nn.Module) -> list[str]:
    """The names of the parameters that Muon moves.

    They are the weights of two and more dimensions of linear, convolutional, recurrent and attention layers, without
    the last one, the head, and without the first one, unless embeddings come before it: in the order in which the model
    has registered them, which is most often that of its layers. Where that leaves none, as in a net of two layers, the
    first one is hidden as well. Embeddings, weights that are shared with them, and parameters that a model holds
    outside of such layers are not.

    Example:
        >>> hidden_matrices(nn.Sequential(nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(36, 2)))
        ['1.weight']
        >>> hidden_matrices(nn.Sequential(nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 2)))
        ['0.weight']
        >>> hidden_matrices(nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 4), nn.ReLU(), nn.Linear(4, 9)))
        ['1.weight']
    """
    looked_up = [p for m in model.modules() if isinstance(m, _LOOKED_UP) for p in m.parameters(recurse=False)]
    not_hidden = {id(p) for p in looked_up}
    owners = {id(p): m for m in model.modules() for p in m.parameters(recurse=False)}
    order = list(model.named_parameters())
    found = [
        name
        for name, p in order
        if p.ndim >= 2 and id(p) not in not_hidden and isinstance(owners[id(p)], _WITH_MATRICES) and "weight" in name
    ]
    places = [name for name, _ in order]
    begins = min((places.index(name) for name, p in order if id(p) in not_hidden), default=len(places))
    if found and not not_hidden & {id(p) for p in _list_weights_of_last(model)}:
        found.pop()
    if len(found) > 1 and places.index(found[0]) < begins:
        del found[0]
    return found


def _list_weights_of_last(model: nn.Module) -> Iterable[nn.Parameter]:
    """List the parameters of the last layer that has matrices: a head that shares its weight with an embedding is no
    further one."""
    last = [m for m in model.modules() if isinstance(m, _WITH_MATRICES)][-1:]
    return [p for m in last for p in m.parameters(recurse=False)]


def mark_hidden(model: nn.Module) -> None:
    """Mark the parameters that are :func:`hidden_matrices`, for the optimizer that is made of them."""
    names = set(hidden_matrices(model))
    for name, p in model.named_parameters():
        setattr(p, _MARK, name in names)


class MuonWithAdamW(Optimizer):
    """:class:`torch.optim.Muon` for the parameters that :func:`mark_hidden` has marked, :class:`torch.optim.AdamW` for
    all others, to the last bit.

    A kernel of a convolution is moved as the matrix of its output channels by everything else.

    Args:
        params: named parameters, or groups of them.
        lr: of Muon, whose update has singular values near 1, times the root of rows over columns if that is above 1.
        adamw_lr: of AdamW.
        weight_decay: of both: decoupled, as AdamW has it.
        momentum, nesterov, ns_steps: of Muon.
        betas, eps: of AdamW.

    Raises:
        InputError: no parameter is marked, or parameters are sharded.

    Source: Jordan and others, "Muon: An optimizer for hidden layers in neural networks", 2024,
    https://kellerjordan.github.io/posts/muon; its torch version follows Liu and others, arXiv 2502.16982.
    """

    def __init__(
        self,
        params: ParamsT,
        lr: float = 0.02,
        adamw_lr: float = 3e-4,
        weight_decay: float = 0.0,
        momentum: float = 0.95,
        nesterov: bool = True,
        ns_steps: int = 5,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
    ) -> None:
        stand_in = [nn.Parameter(torch.zeros(1, 1, dtype=torch.float32, device="cpu"))]
        muon = Muon(stand_in, lr, weight_decay, momentum, nesterov, ns_steps=ns_steps)
        adamw = AdamW(stand_in, adamw_lr, betas, eps, weight_decay)
        groups = []
        for group in named_groups(params):
            refuse_shards("muon", group["params"])
            for is_hidden, defaults in (
                (True, adamw.defaults | muon.defaults),
                (False, muon.defaults | adamw.defaults),
            ):
                part = [(name, p) for name, p in group["params"] if getattr(p, _MARK, False) == is_hidden]
                own = {"weight_decay": weight_decay} | group | {"params": part}
                own["lr"] = (
                    defaults["lr"] * group["lr_scale"] if "lr_scale" in group else group.get("lr", defaults["lr"])
                )
                groups += [defaults | own | {"hidden": is_hidden}] if part else []
        if not any(group["hidden"] for group in groups):
            raise InputError(
                "muon moves hidden matrices, and the model has none: it needs two linear or convolutional layers"
            )
        super().__init__(groups, {})
        self._move = _mover(muon, adamw)

    def step(self, closure: Any = None) -> Any:
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._move(self.param_groups, self.state)
        return loss


def _mover(muon: Muon, adamw: AdamW) -> Callable[[list[dict[str, Any]], Mapping[Tensor, Any]], None]:
    """Make the function that takes a step of both, whose state is all in what it is given."""

    @torch.no_grad()
    def move(groups: list[dict[str, Any]], state: Mapping[Tensor, Any]) -> None:
        flat = [(p, _as_matrix(p)) for g in groups if g["hidden"] for p in g["params"] if p.grad is not None]
        of = dict(flat)
        muon.state = defaultdict(dict, {matrix: state[p] for p, matrix in flat})
        muon.param_groups = [
            {**group, "params": [of[p] for p in group["params"] if p in of]} for group in groups if group["hidden"]
        ]
        muon.step()  # type: ignore[no-untyped-call]
        for p, matrix in flat:
            if matrix.data_ptr() != p.data_ptr():
                p.copy_(matrix.view(p.shape))
        adamw.state = state  # type: ignore[assignment]
        adamw.param_groups = [group for group in groups if not group["hidden"]]
        adamw.step()

    return move


def _as_matrix(p: Tensor) -> nn.Parameter:
    """Show a weight as a matrix, with its gradient: the same memory where its layout allows that."""
    matrix = nn.Parameter(p.detach().reshape(len(p), -1))
    matrix.grad = None if p.grad is None else p.grad.reshape(len(p), -1)
    return matrix
