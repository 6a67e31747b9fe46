"""Spiking features learnt without labels, a classifier with binary activations, and learning without forgetting."""

from steepest.spiking.convolution import SpikingConv2d, pool_spikes
from steepest.spiking.encoding import encode
from steepest.spiking.stdp import STDP, Winner

__all__ = ["STDP", "SpikingConv2d", "Winner", "encode", "pool_spikes"]
