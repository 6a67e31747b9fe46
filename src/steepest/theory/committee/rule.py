"""The rule by which the student learns, and the conventions of everything in this folder."""

from typing import Literal, NamedTuple

Activation = Literal["erf", "relu", "linear"]
Start = Literal["random", "small", "informed", "denoiser"]
ACTIVATIONS = ("erf", "relu", "linear")
STARTS = ("random", "small", "informed", "denoiser")

CONVENTIONS = (
    "time = steps / N; local fields w.x / sqrt(N) of inputs x ~ N(0, I); g = erf(x / sqrt 2), ReLU or x; "
    "loss = err^2 / 2; generalization error = half the mean squared error without the label's noise"
)


class Rule(NamedTuple):
    """What :class:`~steepest.theory.committee.Committee` says of SGD; without ``lr_output`` the second layer stays."""

    activation: Activation
    lr: float
    lr_output: float | None
    noise: float
    weight_decay: float
