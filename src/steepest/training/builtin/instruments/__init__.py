"""The instruments that come with the package, a file each."""

from steepest.training.builtin.instruments.lr import LR
from steepest.training.builtin.instruments.sharpness import SHARPNESS

INSTRUMENTS = {instrument.name: instrument for instrument in (SHARPNESS, LR)}
