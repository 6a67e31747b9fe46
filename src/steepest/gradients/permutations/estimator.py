"""What all gradient estimators over orders share: sampling, writing the gradient, and telling how much it varies."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from steepest.gradients.permutations.black_box import BlackBox, evaluate
from steepest.gradients.permutations.plackett_luce import PlackettLuce, exponentials, order_of, perturb
from steepest.optim.arguments import check_integer, check_number

DECAY = 0.99  # of the running moments from which the variance of single samples is told


class Estimate(NamedTuple):
    """What a call of ``backward`` saw.

    ``value``: mean of f over the sampled orders. ``gradient`` (d,): what was added to ``logits.grad``. ``variance``:
    of this gradient, summed over its coordinates: of several samples by how they differ, divided by their number; of a
    single one by running moments over the calls, and NaN at the first. ``evaluations`` of f. ``orders`` (n, d),
    ``values`` (n,): the samples.
    """

    value: float
    gradient: Tensor
    variance: float
    evaluations: int
    orders: Tensor
    values: Tensor

    @property
    def best(self) -> tuple[Tensor, float]:
        """The best of the sampled orders (d,), and its value."""
        place = int(self.values.argmin())
        return self.orders[place], float(self.values[place])


class Draws(NamedTuple):
    """What n samples are made of: exponential numbers (n, d), perturbed logits (n, d) and the orders (n, d)."""

    waits: Tensor
    perturbed: Tensor
    orders: Tensor


class OrderGradient(nn.Module):
    """Estimates the gradient of ``E f(b)`` by the logits of b's Plackett-Luce law; f is minimised.

    Args:
        logits: a leaf (d,) of floating-point numbers that requires gradients, such as a parameter.
        generator: of the random numbers; torch's own by default.

    Raises:
        ValueError: the logits are no such leaf.
    """

    def __init__(self, logits: Tensor, generator: torch.Generator | None = None) -> None:
        super().__init__()
        _check_logits(logits)
        self.generator = generator
        object.__setattr__(self, "logits", logits)  # they are the caller's, not this module's parameter
        self.logits: Tensor
        self._mean = self._square = torch.zeros_like(logits, requires_grad=False)
        self._calls = 0

    @property
    def law(self) -> PlackettLuce:
        """The law over orders."""
        return PlackettLuce(self.logits, validate_args=False)

    def backward(self, f: BlackBox, samples: int = 1) -> Estimate:
        """Add an estimate of the gradient to ``logits.grad``, and to ``grad`` of the estimator's own parameters.

        Args:
            f: a function of orders (n, d) that gives n finite numbers; called once, with all samples.
            samples: n.

        Raises:
            TypeError, ValueError: f gives something else, or ``samples`` is out of range.
        """
        self.check_samples(samples)
        if not torch.isfinite(self.logits).all():
            raise ValueError("logits must be finite")
        drawn = self.draw(samples)
        values = evaluate(f, drawn.orders, self.logits)
        terms = self.terms(drawn, values)
        gradient = terms.mean(dim=0)
        self.logits.grad = gradient.clone() if self.logits.grad is None else self.logits.grad + gradient
        variance = self._variance(terms)
        return Estimate(float(values.mean()), gradient, variance, samples, drawn.orders, values)

    def check_samples(self, samples: int) -> None:
        """Raise unless so many samples can be taken."""
        check_integer("samples", samples, "an integer of at least 1")
        check_number("samples", samples, "an integer of at least 1", lambda x: x >= 1)

    def draw(self, samples: int) -> Draws:
        """Sample orders."""
        logits = self.logits.detach()
        waits = exponentials((samples, len(logits)), logits, self.generator)
        perturbed = perturb(logits, waits)
        return Draws(waits, perturbed, order_of(perturbed))

    def terms(self, drawn: Draws, values: Tensor) -> Tensor:
        """Estimate the gradient from each sample: (n, d), whose mean is the estimate."""
        raise NotImplementedError

    def _variance(self, terms: Tensor) -> float:
        if len(terms) > 1:
            return float(terms.var(dim=0).sum() / len(terms))
        self._calls += 1
        self._mean = DECAY * self._mean + (1 - DECAY) * terms[0]
        self._square = DECAY * self._square + (1 - DECAY) * terms[0].square()
        if self._calls == 1:
            return math.nan
        weight = 1 - DECAY**self._calls
        apart = (self._square / weight - (self._mean / weight).square()).sum()
        return float(apart.clamp(min=0))


def _check_logits(logits: object) -> None:
    if not isinstance(logits, Tensor) or not logits.dtype.is_floating_point or logits.dim() != 1 or not len(logits):
        said = f"shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else repr(logits)
        raise ValueError(f"logits must be floating-point numbers of shape (d,), got {said}")
    if not (logits.is_leaf and logits.requires_grad):
        raise ValueError("logits must be a leaf that requires gradients, such as a torch.nn.Parameter")
