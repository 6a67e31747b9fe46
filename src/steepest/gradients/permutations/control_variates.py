"""REBAR and RELAX: the score function with a control variate of the perturbed logits."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from steepest.gradients.permutations.black_box import relax
from steepest.gradients.permutations.estimator import Draws, OrderGradient
from steepest.gradients.permutations.plackett_luce import exponentials, perturb, perturb_given
from steepest.gradients.permutations.relaxations import neural_sort

Relaxed = Callable[[Tensor], Tensor]
"""f on relaxed permutation matrices (n, d, d): a differentiable tensor (n,)."""


class RelaxedCritic(nn.Module):
    """``scale * relaxed(neural_sort(z, temperature))`` of perturbed logits z (n, d), with both learnt."""

    def __init__(self, relaxed: Relaxed, like: Tensor, scale: float = 1.0, temperature: float = 1.0) -> None:
        super().__init__()
        self.relaxed = relaxed
        self.scale = nn.Parameter(torch.tensor(scale, dtype=like.dtype, device=like.device))
        self.log_temperature = nn.Parameter(torch.tensor(math.log(temperature), dtype=like.dtype, device=like.device))

    def forward(self, z: Tensor) -> Tensor:
        return self.scale * relax(self.relaxed, neural_sort(z, self.log_temperature.exp()))


class FreeCritic(nn.Module):
    """A network of one hidden layer of perturbed logits z (n, d), which has no need of f."""

    def __init__(self, like: Tensor, hidden: int = 32) -> None:
        super().__init__()
        layers = nn.Sequential(nn.Linear(len(like), hidden), nn.ReLU(), nn.Linear(hidden, 1))
        self.layers = layers.to(dtype=like.dtype, device=like.device)

    def forward(self, z: Tensor) -> Tensor:
        found: Tensor = self.layers(z)[:, 0]
        return found


class _SumCritic(nn.Module):
    """Add critics."""

    def __init__(self, *parts: nn.Module) -> None:
        super().__init__()
        self.parts = nn.ModuleList(parts)

    def forward(self, z: Tensor) -> Tensor:
        return torch.stack([part(z) for part in self.parts]).sum(dim=0)


class RELAX(OrderGradient):
    r"""The score function less a learnt critic c, whose own gradient is added back: unbiased, for any f.

    .. code-block:: text

        (f(b) - c(z~)) S(b) + d c(z) / d theta - d c(z~) / d theta
        z: perturbed logits that sort to b;  z~: others that do, by their law given b

    The critic's parameters get the gradient of the squared estimate, which costs no further evaluation of f: give them
    to the optimizer, ``[logits, *estimator.parameters()]``.

    Args:
        logits: theta (d,), a leaf that requires gradients.
        relaxed: f on relaxed matrices (n, d, d), differentiable, if there is such a thing: then the critic is
            ``relaxed(neural_sort(z, temperature))`` plus a free network.
        critic: a module of z (n, d) that gives (n,) instead, each row's value by that row alone; without both it is the
            free network: d to 32 ReLU units to 1.
        generator: of the random numbers.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind, or both ``relaxed`` and ``critic`` are given.

    Source: a **reconstruction** of Gadetsky, Struminsky, Robinson, Quadrianto, Vetrov, arXiv 1911.10036 (2020), on
    Grathwohl, Choi, Wu, Roeder, Duvenaud, "Backpropagation through the Void" (2018).

    Example:
        >>> theta = torch.zeros(3, requires_grad=True)
        >>> estimator = RELAX(theta)
        >>> found = estimator.backward(lambda orders: orders[:, 0])
        >>> theta.grad.shape, len(list(estimator.parameters()))
        (torch.Size([3]), 4)
    """

    def __init__(
        self,
        logits: Tensor,
        relaxed: Relaxed | None = None,
        critic: nn.Module | None = None,
        generator: torch.Generator | None = None,
    ) -> None:
        super().__init__(logits, generator)
        if relaxed is not None and critic is not None:
            raise ValueError("relaxed must be None where a critic is given")
        if critic is not None and not isinstance(critic, nn.Module):
            raise TypeError(f"critic must be a torch.nn.Module, got {type(critic).__name__}")
        self.critic = FreeCritic(logits) if critic is None else critic
        if relaxed is not None:
            check_relaxed(relaxed)
            self.critic = _SumCritic(RelaxedCritic(relaxed, logits), self.critic)

    def terms(self, drawn: Draws, values: Tensor) -> Tensor:
        """Estimate the gradient from each sample: (n, d); adds to the critic's ``grad``."""
        with torch.enable_grad():
            theta = self.logits.detach().expand_as(drawn.perturbed).clone().requires_grad_()
            given = exponentials(drawn.waits.shape, drawn.waits, self.generator)
            z = torch.cat([perturb(theta, drawn.waits), perturb_given(theta, drawn.orders, given)])
            own, other = self.critic(z).chunk(2)
            (path,) = torch.autograd.grad((own - other).sum(), theta, create_graph=True)
            terms = (values - other)[:, None] * self.law.score(drawn.orders) + path
            learnt = [parameter for parameter in self.critic.parameters() if parameter.requires_grad]
            if learnt:
                torch.autograd.backward(terms.square().sum(dim=1).mean(), inputs=learnt)
        found: Tensor = terms.detach()
        return found


class REBAR(RELAX):
    r"""RELAX whose critic is f itself on relaxed permutation matrices: for an f that has such a form.

    .. code-block:: text

        c(z) = scale * relaxed(neural_sort(z, temperature));  scale 1 and temperature 1 at the start, both learnt

    Args:
        logits: theta (d,), a leaf that requires gradients.
        relaxed: f on relaxed matrices (n, d, d), whose row i stands for the i-th item: a differentiable tensor (n,).
        generator: of the random numbers.

    Raises:
        TypeError: ``relaxed`` is no function: an f that takes orders alone can have :class:`RELAX`.

    Source: a **reconstruction** of Gadetsky and others (see :class:`RELAX`), on Tucker, Mnih, Maddison, Lawson,
    Sohl-Dickstein, "REBAR" (2017).

    Example:
        >>> theta = torch.zeros(3, requires_grad=True)
        >>> estimator = REBAR(theta, relaxed=lambda matrices: matrices[:, 0] @ torch.arange(3.0))
        >>> _ = estimator.backward(lambda orders: orders[:, 0])
        >>> [name for name, parameter in estimator.named_parameters() if parameter.grad is not None]
        ['critic.scale', 'critic.log_temperature']
    """

    def __init__(self, logits: Tensor, relaxed: Relaxed, generator: torch.Generator | None = None) -> None:
        check_relaxed(relaxed)
        super().__init__(logits, critic=RelaxedCritic(relaxed, logits), generator=generator)


def check_relaxed(relaxed: object) -> None:
    """Raise unless it is a function."""
    if not callable(relaxed):
        raise TypeError(
            f"relaxed must be f on relaxed matrices (n, d, d), got {type(relaxed).__name__}; without it take RELAX"
        )
