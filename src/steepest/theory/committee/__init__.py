"""Two-layer networks that learn from a teacher: order parameters by theory and by simulation."""

from steepest.theory.committee.closed_forms import linear_error, saad_solla_lr, small_lr_error
from steepest.theory.committee.committee import Committee
from steepest.theory.committee.ode import FixedPoint, Prediction
from steepest.theory.committee.order_parameters import OrderParameters
from steepest.theory.committee.simulation import Simulation

__all__ = [
    "Committee",
    "FixedPoint",
    "OrderParameters",
    "Prediction",
    "Simulation",
    "linear_error",
    "saad_solla_lr",
    "small_lr_error",
]
