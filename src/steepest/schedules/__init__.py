"""Learning rates that follow what a network says of its targets."""

from steepest.schedules.counts import ConfusionCounts
from steepest.schedules.information import OneClassError, mutual_information, normalized_information
from steepest.schedules.layers import layer_groups
from steepest.schedules.mutual_information_lr import MutualInformationLR

__all__ = [
    "ConfusionCounts",
    "MutualInformationLR",
    "OneClassError",
    "layer_groups",
    "mutual_information",
    "normalized_information",
]
