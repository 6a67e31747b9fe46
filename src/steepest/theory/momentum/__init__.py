"""How momentum SGD wanders near a minimum and leaves a saddle: predictions by diffusion, and the rule itself."""

from steepest.theory.momentum.annealing import Annealing
from steepest.theory.momentum.linearized import Escape, covariance_path, escape, stationary_covariance
from steepest.theory.momentum.quadratic import Quadratic
from steepest.theory.momentum.simulation import Simulation
from steepest.theory.momentum.streaming_pca import StreamingPCA

__all__ = [
    "Annealing",
    "Escape",
    "Quadratic",
    "Simulation",
    "StreamingPCA",
    "covariance_path",
    "escape",
    "stationary_covariance",
]
