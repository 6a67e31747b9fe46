"""What the penalties share: named weights, tensors kept for each of them, and their state."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from steepest.optim.arguments import check_number

Parameters = Iterable[Tensor] | Iterable[tuple[str, Tensor]]


class Penalty:
    """Hold weights near what earlier tasks have left, each as strongly as it mattered: ``omega`` and ``anchor``.

    Args:
        parameters: tensors or ``(name, tensor)`` pairs, as ``model.named_parameters()``: on the device where they stay.
        strength: of the penalty, at least 0; 0 leaves the optimizer as it is, bit for bit.
        kept: names of what else is kept in the shape of each weight, at the weights now or 0 (see ``begun``).
        begun: those of ``kept`` that begin at the weights.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.
    """

    tasks: int = 0
    """Tasks that have ended so far."""

    def __init__(
        self, parameters: Parameters, strength: float, kept: Iterable[str] = (), begun: Iterable[str] = ()
    ) -> None:
        check_number("strength", strength, "a finite number of at least 0", lambda x: 0 <= x < math.inf)
        self.strength = float(strength)
        self.weights = _name_weights(parameters)
        at_weights = {"anchor", *begun}
        self.kept: dict[str, dict[str, Tensor]] = {
            what: {
                name: w.detach().clone() if what in at_weights else torch.zeros_like(w, requires_grad=False)
                for name, w in self.weights.items()
            }
            for what in ("omega", "anchor", *kept)
        }

    @property
    def omega(self) -> dict[str, Tensor]:
        """How strongly each weight is held, in its shape: at least 0."""
        return self.kept["omega"]

    @property
    def pulls(self) -> bool:
        """Whether a task has ended, and the strength is not 0."""
        return self.tasks > 0 and self.strength > 0

    def take_weights(self, *names: str) -> None:
        """Copy the weights as they are into what is kept under these names."""
        for kept in names:
            for name, w in self.weights.items():
                self.kept[kept][name].copy_(w.detach())

    def clear(self, kept: str) -> None:
        """Set what is kept under this name to 0."""
        for tensor in self.kept[kept].values():
            tensor.zero_()

    @torch.no_grad()
    def add_to_gradient(self, factor: float) -> None:
        """Add ``factor * omega * (w - anchor)`` to ``.grad``, where it pulls."""
        if not self.pulls:
            return
        for name, w in self.weights.items():
            term = factor * self.omega[name] * (w - self.kept["anchor"][name])
            w.grad = term if w.grad is None else w.grad.add_(term)

    def state_dict(self) -> dict[str, Any]:
        """All that changes, as copies."""
        kept = {what: {name: t.clone() for name, t in tensors.items()} for what, tensors in self.kept.items()}
        return {"tasks": self.tasks, **kept}

    def load_state_dict(self, state_dict: Mapping[str, Any], /) -> None:
        """Resume from what :meth:`state_dict` gave.

        Raises:
            ValueError: it is the state of another penalty, or of other weights.
        """
        wanted = {what: {name: t.shape for name, t in tensors.items()} for what, tensors in self.kept.items()}
        found = {
            what: {name: t.shape for name, t in tensors.items()}
            for what, tensors in state_dict.items()
            if what != "tasks"
        }
        if found != wanted or "tasks" not in state_dict:
            raise ValueError(f"state_dict must be of a {type(self).__name__} of the same weights, got {found}")
        self.tasks = state_dict["tasks"]
        for what, tensors in self.kept.items():
            for name, tensor in tensors.items():
                tensor.copy_(state_dict[what][name])


def _name_weights(parameters: Parameters) -> dict[str, Tensor]:
    """Give names to weights that have none: their numbers."""
    found: dict[str, Tensor] = {}
    for number, given in enumerate(parameters):
        name, weight = given if isinstance(given, tuple) else (str(number), given)
        if not isinstance(weight, Tensor):
            raise TypeError(f"parameters must be tensors or (name, tensor) pairs, got {type(weight).__name__}")
        if not weight.is_floating_point() or not weight.is_leaf:
            raise ValueError(f"parameters must be leaves of floating-point numbers, got {name!r} of {weight.dtype}")
        if name in found:
            raise ValueError(f"parameters must have different names, got {name!r} twice")
        found[name] = weight
    if not found:
        raise ValueError("parameters must hold at least one tensor, got none")
    return found
