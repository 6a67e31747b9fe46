"""Elastic weight consolidation: weights are held by the Fisher information of the tasks that are over."""

import torch
from torch import Tensor, nn

from steepest.spiking.continual.penalty import Parameters, Penalty


class ElasticWeightConsolidation(Penalty):
    r"""The penalty ``strength / 2 * sum F (w - w*)^2``, whose gradient is added to the loss's own.

    .. code-block:: text

        F = sum over the tasks of the mean over samples of (d log p(y | x) / d w)^2,  y drawn from the model's p(. | x)

    This is the form with one anchor w*, the weights after the last task, and the Fishers of all tasks summed (Huszar,
    arXiv 1712.03847); the first paper has an anchor for each task.

    Args:
        parameters: tensors or ``(name, tensor)`` pairs.
        strength: lambda, at least 0; 0 is the optimizer, bit for bit.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Source: Kirkpatrick and others, PNAS 114 (2017), 3521-3526, arXiv 1612.00796.

    Example:
        >>> model = nn.Linear(2, 2)
        >>> penalty = ElasticWeightConsolidation(model.named_parameters(), strength=1.0)
        >>> penalty.end_task(model, torch.eye(2))
        >>> with torch.no_grad():
        ...     _ = model.weight.add_(1.0)
        >>> penalty.add_gradient()
        >>> torch.allclose(model.weight.grad, penalty.omega["weight"])
        True
    """

    def __init__(self, parameters: Parameters, strength: float) -> None:
        super().__init__(parameters, strength)

    def add_gradient(self) -> None:
        """Call it after each ``backward()``, before the optimizer's step."""
        self.add_to_gradient(self.strength)

    def end_task(self, model: nn.Module, inputs: Tensor, generator: torch.Generator | None = None) -> None:
        """Add the Fisher information of some of the task's inputs, and hold the weights where they are now.

        Args:
            model: gives logits (N, classes); it is called in the mode in which it is, once for each input. A class
                whose logit is -inf is never drawn.
            inputs: (N, ...), at least one; each costs a gradient.
            generator: of the drawn labels, on the CPU.

        Raises:
            ValueError: there is no input.
        """
        if len(inputs) == 0:
            raise ValueError("inputs must hold at least one sample, got none")
        with torch.no_grad():
            drawn = torch.multinomial(model(inputs).softmax(dim=1).cpu(), 1, generator=generator).to(inputs.device)
        weights = [w for w in self.weights.values() if w.requires_grad]
        names = [name for name, w in self.weights.items() if w.requires_grad]
        for x, y in zip(inputs, drawn, strict=True):
            with torch.enable_grad():
                log_likelihood = model(x[None]).log_softmax(dim=1)[0, y].sum()
                found = torch.autograd.grad(log_likelihood, weights, allow_unused=True)
            for name, gradient in zip(names, found, strict=True):
                if gradient is not None:
                    self.omega[name].add_(gradient.square() / len(inputs))
        self.tasks += 1
        self.take_weights("anchor")
