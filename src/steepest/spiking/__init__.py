"""Spiking features learnt without labels, a classifier with binary activations, and learning without forgetting."""

from steepest.spiking.binary import BinaryClassifier, binary_step
from steepest.spiking.convolution import First, SpikingConv2d, pool_spikes
from steepest.spiking.encoding import encode
from steepest.spiking.events import NMNIST, Events, Recordings, encode_events, read_events, read_nmnist
from steepest.spiking.features import FeatureSettings, Learnt, extract_features, learn_filters
from steepest.spiking.stdp import STDP, Winner

__all__ = [
    "NMNIST",
    "STDP",
    "BinaryClassifier",
    "Events",
    "FeatureSettings",
    "First",
    "Learnt",
    "Recordings",
    "SpikingConv2d",
    "Winner",
    "binary_step",
    "encode",
    "encode_events",
    "extract_features",
    "learn_filters",
    "pool_spikes",
    "read_events",
    "read_nmnist",
]
