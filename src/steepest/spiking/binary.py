"""A classifier whose hidden units are 0 or 1 and whose logits are integers, trained by surrogate gradients."""

import math
from collections.abc import Callable
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

from steepest.optim.arguments import check_number

Surrogate = Literal["box", "two-sided", "straight-through", "relu", "sigmoid", "arctan"]
SURROGATES: tuple[Surrogate, ...] = get_args(Surrogate)
Activation = Literal["binary", "relu", "sigmoid"]
ACTIVATIONS: tuple[Activation, ...] = get_args(Activation)
STD = 0.01  # of the initial weights


def _find_slope(surrogate: str, x: Tensor, tau: float) -> Tensor:
    if surrogate == "box":
        return ((x >= 0) & (x <= tau / 4)).to(x.dtype)
    if surrogate == "two-sided":
        return (x.abs() <= tau / 4).to(x.dtype)
    if surrogate == "relu":
        return (x >= 0).to(x.dtype)
    if surrogate == "sigmoid":
        y = torch.sigmoid(x / tau)
        return y * (1 - y) / tau
    if surrogate == "arctan":
        return 1 / (1 + (math.pi * x / (2 * tau)).square()) / (2 * tau)
    return torch.ones_like(x)


class _Step(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, surrogate: str, tau: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.surrogate, ctx.tau = surrogate, tau
        return (x >= 0).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        (x,) = ctx.saved_tensors
        return grads[0] * _find_slope(ctx.surrogate, x, ctx.tau), None, None


def binary_step(x: Tensor, surrogate: Surrogate = "box", tau: float = 0.5) -> Tensor:
    r"""1 where ``x`` is at least 0, else 0; its derivative is taken to be another's.

    .. code-block:: text

        box                1 on [0, tau/4], else 0               the paper's, tau .5
        two-sided          1 on [-tau/4, tau/4], else 0
        straight-through   1
        relu               1 from 0 on, else 0
        sigmoid            that of 1 / (1 + exp(-x / tau))
        arctan             that of arctan(pi x / (2 tau)) / pi, snnTorch's default

    Raises:
        ValueError: there is no such surrogate, or tau is not above 0.

    Source: Vaila, Chiasson, Saxena, arXiv 2002.11843 (known); straight-through: Bengio, Leonard, Courville,
    arXiv 1308.3432.

    Example:
        >>> x = torch.tensor([-0.1, 0.0, 0.1, 0.2], requires_grad=True)
        >>> y = binary_step(x)
        >>> y.sum().backward()
        >>> y.tolist(), x.grad.tolist()
        ([0.0, 1.0, 1.0, 1.0], [0.0, 1.0, 1.0, 0.0])
    """
    _check_surrogate(surrogate, tau)
    found: Tensor = _Step.apply(x, surrogate, tau)  # type: ignore[no-untyped-call]
    return found


def _check_surrogate(surrogate: object, tau: float) -> None:
    if surrogate not in SURROGATES:
        raise ValueError(f"surrogate must be one of {', '.join(SURROGATES)}, got {surrogate!r}")
    check_number("tau", tau, "a finite number above 0", lambda x: 0 < x < math.inf)


class _Floor(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.floor()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tensor:
        return grads[0]


class BinaryClassifier(nn.Module):
    """features - hidden - classes, with hidden units of 0 or 1 and whole numbers as logits.

    .. code-block:: text

        a = step(x W1 + b1)
        z = floor(a W2 + b2)       its gradient goes through the floor as it is

    Weights begin truncated normal, with deviation .01 and within two of them, biases at 0.

    Args:
        features: of an input; inputs of shape (N, ...) are flattened, and may be bool.
        hidden: units.
        classes: logits.
        surrogate, tau: of the step, see :func:`binary_step`.
        dropout: of the hidden units.
        activation: ``"binary"``; ``"relu"`` and ``"sigmoid"`` are plain networks of the same size, to compare with:
            their logits are not rounded.

    Raises:
        ValueError: an argument is of the wrong kind or range.

    Source: Vaila, Chiasson, Saxena, arXiv 2002.11843, and its author's code (known).

    Example:
        >>> _ = torch.manual_seed(0)
        >>> model = BinaryClassifier(8, 16, 3)
        >>> logits = model(torch.rand(2, 8) < 0.5)
        >>> logits.shape, bool((logits == logits.floor()).all())
        (torch.Size([2, 3]), True)
    """

    def __init__(
        self,
        features: int,
        hidden: int = 1500,
        classes: int = 10,
        *,
        surrogate: Surrogate = "box",
        tau: float = 0.5,
        dropout: float = 0.0,
        activation: Activation = "binary",
    ) -> None:
        super().__init__()
        for name, value in (("features", features), ("hidden", hidden), ("classes", classes)):
            if not isinstance(value, int) or isinstance(value, bool) or value < 1:
                raise ValueError(f"{name} must be an integer of at least 1, got {value!r}")
        check_number("dropout", dropout, "a number of at least 0 and below 1", lambda x: 0 <= x < 1)
        if activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {activation!r}")
        _check_surrogate(surrogate, tau)
        self.surrogate, self.tau, self.activation = surrogate, tau, activation
        self.hidden = nn.Linear(features, hidden)
        self.dropout = nn.Dropout(dropout)
        self.output = nn.Linear(hidden, classes)
        for layer in (self.hidden, self.output):
            nn.init.trunc_normal_(layer.weight, std=STD, a=-2 * STD, b=2 * STD)
            nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (N, classes) of inputs (N, ...)."""
        potential = self.hidden(x.flatten(1).to(self.hidden.weight.dtype))
        if self.activation != "binary":
            plain: dict[str, Callable[[Tensor], Tensor]] = {"relu": torch.relu, "sigmoid": torch.sigmoid}
            logits: Tensor = self.output(self.dropout(plain[self.activation](potential)))
            return logits
        active = binary_step(potential, self.surrogate, self.tau)
        logits = _Floor.apply(self.output(self.dropout(active)))  # type: ignore[no-untyped-call]
        return logits

    def extra_repr(self) -> str:
        if self.activation != "binary":
            return f"activation={self.activation!r}"
        return f"surrogate={self.surrogate!r}, tau={self.tau:g}"
