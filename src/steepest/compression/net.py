"""Where a compression stands: plain weights, masks, and which of them have three values."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from steepest.compression.constraint import Mask, Mode, SigmaConstraint
from steepest.compression.pruning import share_of_zeros
from steepest.compression.weights import Place, original_of, plain_copy, put_on


@dataclass(frozen=True)
class Net:
    """Tensors by the plain model's keys.

    ``shadow``: what training goes on from; ``masks``: of the pruned weights; ``sigmas``: scalars, of those that are
    held to three values.
    """

    shadow: Mapping[str, Tensor]
    masks: Mapping[str, Tensor] = field(default_factory=dict)
    sigmas: Mapping[str, Tensor] = field(default_factory=dict)

    @staticmethod
    def of(model: nn.Module) -> "Net":
        """A plain model's."""
        return Net({key: tensor.detach().clone() for key, tensor in model.state_dict().items()})

    def plain(self, model: nn.Module) -> nn.Module:
        """A plain copy of the model that holds this: three values where they are held, and zeros outside masks."""
        state = dict(self.shadow)
        for key, mask in self.masks.items():
            weight = self.shadow[key]
            if key in self.sigmas:
                weight = torch.where(weight < 0, -self.sigmas[key], self.sigmas[key])
            state[key] = torch.where(mask, weight, torch.zeros_like(weight))
        return plain_copy(model, state)

    def parametrized(
        self, model: nn.Module, places: Mapping[str, Place], mode: Mode, clip: float | None, sigma_lr: float
    ) -> tuple[nn.Module, dict[str, SigmaConstraint]]:
        """A copy of the model to train, with masks and constraints on its weights, and the constraints by key."""
        found = plain_copy(model, dict(self.shadow))
        constraints = {}
        for key, place in places.items():  # always in this order, by which the optimizer knows them
            if (mask := self.masks.get(key)) is None:
                continue
            owner, name = place.module(found), place.name
            if key not in self.sigmas:
                put_on(owner, name, Mask(mask.clone()))
                continue
            made = SigmaConstraint(owner, name, mask=mask, mode=mode, clip=clip, sigma_lr=sigma_lr)
            with torch.no_grad():
                made.sigma.copy_(self.sigmas[key])
            constraints[key] = made
        return found, constraints

    def after(
        self, trained: nn.Module, places: Mapping[str, Place], constraints: Mapping[str, SigmaConstraint]
    ) -> "Net":
        """The same masks and constraints at the weights of a parametrized model that was trained."""
        shadow = {}
        plain = {key: f"{p.owner}.parametrizations.{p.name}.original".lstrip(".") for key, p in places.items()}
        state = trained.state_dict()
        for key in self.shadow:
            place = places.get(key)
            below = original_of(place.module(trained), place.name) if place and plain[key] in state else state[key]
            shadow[key] = below.detach().clone()
        return Net(shadow, self.masks, {key: made.sigma.detach().clone() for key, made in constraints.items()})

    @property
    def sparsity(self) -> float:
        """Of all pruned weights together."""
        zeros = sum(share_of_zeros(mask) * mask.numel() for mask in self.masks.values())
        return zeros / max(sum(mask.numel() for mask in self.masks.values()), 1)
