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
    """Plain SGD, one example a step.

    .. code-block:: text

        y   = sum_m A_m g(B_m.x / sqrt N) + noise * zeta
        err = y - sum_k v_k g(lam_k),  lam_k = w_k.x / sqrt N
        w_k <- (1 - weight_decay / N) w_k + (lr / sqrt N) err v_k g'(lam_k) x
        v_k <- (1 - weight_decay / N) v_k + (lr_output / N) err g(lam_k)       if both layers are trained

    ``lr_output`` is ``None`` where only the first is.
    """

    activation: Activation
    lr: float
    lr_output: float | None
    noise: float
    weight_decay: float
