"""Data for the workloads: embedded, from files, or from the hub; always in memory, always split the same way."""

from steepest.data.digits import digits
from steepest.data.hub import load_hub_images
from steepest.data.images import images
from steepest.data.splits import Split, Splits, hold_out, standardize

__all__ = ["Split", "Splits", "digits", "hold_out", "images", "load_hub_images", "standardize"]
