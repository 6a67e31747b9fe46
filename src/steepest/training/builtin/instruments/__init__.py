"""The instruments that come with the package, a file each."""

from steepest.training.builtin.instruments.lr import LR
from steepest.training.builtin.instruments.noise_scale import NOISE_SCALE
from steepest.training.builtin.instruments.sharpness import SHARPNESS
from steepest.training.builtin.instruments.top_eigenvalue import TOP_EIGENVALUE

INSTRUMENTS = {instrument.name: instrument for instrument in (SHARPNESS, LR, NOISE_SCALE, TOP_EIGENVALUE)}
