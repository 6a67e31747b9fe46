"""Other ways to obtain the gradient; each composes with every optimizer, ours or torch's."""

from steepest.gradients.calibration import Calibration, calibrate
from steepest.gradients.calibration_layer import GradientCalibration
from steepest.gradients.normalize import NormalizedGradients, normalize_gradients
from steepest.gradients.ssgd import SSGD
from steepest.gradients.symmetric_noise import SymmetricNoise

__all__ = [
    "SSGD",
    "Calibration",
    "GradientCalibration",
    "NormalizedGradients",
    "SymmetricNoise",
    "calibrate",
    "normalize_gradients",
]
