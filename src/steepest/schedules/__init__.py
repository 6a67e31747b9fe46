"""Learning rates that follow what a network says of its targets."""

from steepest.schedules.counts import ConfusionCounts
from steepest.schedules.information import OneClassError, mutual_information, normalized_information

__all__ = ["ConfusionCounts", "OneClassError", "mutual_information", "normalized_information"]
