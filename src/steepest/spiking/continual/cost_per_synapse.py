"""The cost per synapse: what the last epoch of a task cost to move each weight holds it in the tasks that follow."""

import math

import torch

from steepest.optim.arguments import check_integer, check_number
from steepest.spiking.continual.penalty import Parameters, Penalty


class CostPerSynapse(Penalty):
    r"""Pull weights to where the last task left them, by what its last epoch cost to move them; beside any optimizer.

    .. code-block:: text

        after each step     m = W - W_before, the optimizer's own move: lr * gradient with SGD
                            W <- W - Omega (W_before - W*),    c <- c + m^2
        after each task     Omega <- min(1, Omega + (strength / samples) c / ((W - W_start)^2 + zeta)),    W* <- W

    c is of the steps since :meth:`begin_epoch`, and W_start the weights there: call it at the beginning of each epoch,
    so that the last one counts; without it all of the task does. An Omega above 1 would throw a weight beyond W*, so
    that 1 is the most: this bound is ours.

    Args:
        parameters: tensors or ``(name, tensor)`` pairs; in the source, the weight of the hidden layer alone.
        strength: lambda, at least 0. c is in units of a squared step, so that a good value is large: the source has
            about 2e7 at lr 1e-3. 0 is the optimizer, bit for bit.
        zeta: above 0; it keeps a weight that did not move from an infinite Omega.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Source: Vaila, Chiasson, Saxena, arXiv 2005.04167 (2020), and the author's notebooks; a **reconstruction**.

    Example:
        >>> w = torch.nn.Parameter(torch.tensor([1.0, 1.0]))
        >>> optimizer, penalty = torch.optim.SGD([w], lr=0.5), CostPerSynapse([w], strength=1.0)
        >>> w.grad = torch.tensor([1.0, 0.0])
        >>> optimizer.step(), penalty.step(), penalty.end_task()
        (None, None, None)
        >>> penalty.omega["0"]  # 0.25 / (0.25 + 0.001)
        tensor([0.9960, 0.0000])
    """

    def __init__(self, parameters: Parameters, strength: float, zeta: float = 1e-3) -> None:
        check_number("zeta", zeta, "a finite number above 0", lambda x: 0 < x < math.inf)
        super().__init__(parameters, strength, kept=("previous", "start", "cost"), begun=("previous", "start"))
        self.zeta = float(zeta)

    @torch.no_grad()
    def step(self) -> None:
        """Call it right after each ``optimizer.step()``."""
        for name, w in self.weights.items():
            previous = self.kept["previous"][name]
            self.kept["cost"][name].add_((w - previous).square_())
            if self.pulls:
                w.sub_(self.omega[name] * (previous - self.kept["anchor"][name]))
            previous.copy_(w)

    def begin_epoch(self) -> None:
        """Forget the costs so far, and take the weights as those of the beginning."""
        self.clear("cost")
        self.take_weights("start", "previous")

    @torch.no_grad()
    def end_task(self, samples: int = 1) -> None:
        """Add to Omega what this task cost, and hold the weights where they are now.

        Args:
            samples: by which the costs are divided; the source divides by the number of the task's training images.

        Raises:
            ValueError: ``samples`` is no integer of at least 1.
        """
        check_integer("samples", samples, "an integer of at least 1")
        if samples < 1:
            raise ValueError(f"samples must be an integer of at least 1, got {samples}")
        for name, w in self.weights.items():
            moved = (w - self.kept["start"][name]).square_()
            self.omega[name].add_(self.strength / samples * self.kept["cost"][name] / (moved + self.zeta)).clamp_(max=1)
        self.tasks += 1
        self.move_anchor()

    def move_anchor(self) -> None:
        """Hold the weights where they are now, with the Omega there is: after a replay, say."""
        self.take_weights("anchor")
        self.begin_epoch()
