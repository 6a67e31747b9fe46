"""The optimizer family: one step, and for each method its scale."""

from steepest.optim.base import ScaledSGD
from steepest.optim.block_normalized import BlockNormalizedSGD
from steepest.optim.input_power import track_input_power
from steepest.optim.insgd import INSGD
from steepest.optim.lars import LARS
from steepest.optim.param_groups import decayed_names, param_groups
from steepest.optim.sngm import SNGM

__all__ = [
    "INSGD",
    "LARS",
    "SNGM",
    "BlockNormalizedSGD",
    "ScaledSGD",
    "decayed_names",
    "param_groups",
    "track_input_power",
]
