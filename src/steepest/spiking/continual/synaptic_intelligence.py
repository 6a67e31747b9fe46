"""Synaptic intelligence: weights are held by what their moves have taken off the loss."""

import math

import torch

from steepest.optim.arguments import check_number
from steepest.spiking.continual.penalty import Parameters, Penalty


class SynapticIntelligence(Penalty):
    r"""The penalty ``strength * sum Omega (w - w*)^2``, whose gradient is added to the loss's own.

    .. code-block:: text

        each step           omega <- omega - g (w_after - w_before)        g: of the loss without the penalty
        after each task     Omega <- Omega + max(0, omega) / ((w - w*)^2 + xi),    w* <- w,    omega <- 0

    Args:
        parameters: tensors or ``(name, tensor)`` pairs.
        strength: c, at least 0; 0 is the optimizer, bit for bit.
        xi: above 0; it keeps a weight that did not move from an infinite Omega.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Source: Zenke, Poole, Ganguli, "Continual Learning Through Synaptic Intelligence", ICML 2017, arXiv 1703.04200.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0]))
        >>> optimizer, penalty = torch.optim.SGD([w], lr=0.5), SynapticIntelligence([w], strength=1.0, xi=0.25)
        >>> w.square().sum().backward()
        >>> penalty.add_gradient(), optimizer.step(), penalty.step(), penalty.end_task()
        (None, None, None, None)
        >>> penalty.omega["0"]  # 2 * 1 / (1 + 0.25)
        tensor([1.6000])
    """

    def __init__(self, parameters: Parameters, strength: float, xi: float = 0.1) -> None:
        check_number("xi", xi, "a finite number above 0", lambda x: 0 < x < math.inf)
        super().__init__(parameters, strength, kept=("previous", "gradient", "gain"), begun=("previous",))
        self.xi = float(xi)
        self._has_gradient = False

    @torch.no_grad()
    def add_gradient(self) -> None:
        """Call it after each ``backward()``, before the optimizer's step."""
        for name, w in self.weights.items():
            gradient = self.kept["gradient"][name]
            gradient.zero_() if w.grad is None else gradient.copy_(w.grad)
        self._has_gradient = True
        self.add_to_gradient(2 * self.strength)

    @torch.no_grad()
    def step(self) -> None:
        """Call it right after each ``optimizer.step()``.

        Raises:
            RuntimeError: :meth:`add_gradient` was not called before the step.
        """
        if not self._has_gradient:
            raise RuntimeError("add_gradient() must be called between backward() and the optimizer's step")
        for name, w in self.weights.items():
            previous = self.kept["previous"][name]
            self.kept["gain"][name].sub_(self.kept["gradient"][name] * (w - previous))
            previous.copy_(w)
        self._has_gradient = False

    @torch.no_grad()
    def end_task(self) -> None:
        """Add to Omega what this task has gained, and hold the weights where they are now."""
        for name, w in self.weights.items():
            moved = (w - self.kept["anchor"][name]).square_()
            self.omega[name].add_(self.kept["gain"][name].clamp(min=0) / (moved + self.xi))
        self.tasks += 1
        self.clear("gain")
        self.take_weights("anchor", "previous")
