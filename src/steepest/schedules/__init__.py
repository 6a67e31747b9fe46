"""Learning rates that follow what a network says of its targets."""

from steepest.schedules.counts import ConfusionCounts
from steepest.schedules.information import OneClassError, mutual_information, normalized_information
from steepest.schedules.layers import layer_groups
from steepest.schedules.mutual_information_lr import MutualInformationLR
from steepest.schedules.range_test import LRRange, lr_range_test

__all__ = [
    "ConfusionCounts",
    "LRRange",
    "MutualInformationLR",
    "OneClassError",
    "layer_groups",
    "lr_range_test",
    "mutual_information",
    "normalized_information",
]
