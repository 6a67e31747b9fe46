"""The score function estimator, REINFORCE, with and without a baseline of the other samples."""

import torch
from torch import Tensor

from steepest.gradients.permutations.black_box import BlackBox
from steepest.gradients.permutations.estimator import Draws, Estimate, OrderGradient
from steepest.optim.arguments import check_choice


class ScoreFunction(OrderGradient):
    r"""``f(b)`` times the gradient of ``log p(b)``: unbiased, for any f, and of a large variance.

    .. code-block:: text

        none             mean_s f(b_s) S(b_s),  S = d log p / d theta
        leave-one-out    mean_s (f(b_s) - mean of f over the other samples) S(b_s)

    Args:
        logits: theta (d,), a leaf that requires gradients.
        baseline: ``"none"`` or ``"leave-one-out"``, which takes at least 2 samples and is unbiased too.
        generator: of the random numbers.

    With the baseline the samples' terms are not independent, and the variance that is told is approximate.

    Source: Williams, "Simple statistical gradient-following algorithms" (1992); leave-one-out: Kool, van Hoof, Welling,
    "Buy 4 REINFORCE samples, get a baseline for free!" (2019).

    Example:
        >>> theta = torch.zeros(3, requires_grad=True)
        >>> estimator = ScoreFunction(theta, "leave-one-out", torch.Generator().manual_seed(0))
        >>> found = estimator.backward(lambda orders: orders[:, 0], samples=1000)  # item 0 first is best
        >>> bool(theta.grad[0] < 0 < theta.grad[2]), found.evaluations
        (True, 1000)
    """

    def __init__(self, logits: Tensor, baseline: str = "none", generator: torch.Generator | None = None) -> None:
        super().__init__(logits, generator)
        check_choice("baseline", baseline, ("none", "leave-one-out"))
        self.baseline = baseline

    def check_samples(self, samples: int) -> None:
        """Raise unless so many samples can be taken."""
        super().check_samples(samples)
        if self.baseline == "leave-one-out" and samples < 2:
            raise ValueError(f"samples must be at least 2 with a baseline of the others, got {samples}")

    def terms(self, drawn: Draws, values: Tensor) -> Tensor:
        """Estimate the gradient from each sample: (n, d)."""
        if self.baseline == "leave-one-out":
            values = (values - values.mean()) * len(values) / (len(values) - 1)
        return values[:, None] * self.law.score(drawn.orders)


def score_gradient(
    logits: Tensor,
    f: BlackBox,
    samples: int = 1,
    baseline: str = "none",
    generator: torch.Generator | None = None,
) -> Estimate:
    """Add the score function's estimate of the gradient of ``E f(b)`` to ``logits.grad``: :class:`ScoreFunction`, once.

    Of a single sample it tells no variance.

    Args:
        logits: theta (d,), a leaf that requires gradients.
        f: a function of orders (n, d) that gives n finite numbers; called once.
        samples: n.
        baseline: ``"none"``, which is REINFORCE, or ``"leave-one-out"``.
        generator: of the random numbers.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Example:
        >>> theta = torch.nn.Parameter(torch.zeros(3))
        >>> _ = score_gradient(theta, lambda orders: orders[:, 0], samples=4, baseline="leave-one-out")
        >>> torch.optim.Adam([theta], lr=0.1).step()
    """
    return ScoreFunction(logits, baseline, generator).backward(f, samples)
