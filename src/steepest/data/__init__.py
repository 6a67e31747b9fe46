"""Data for the workloads: embedded, from files, or from the hub; always in memory, always split the same way."""

from steepest.data.digits import digits
from steepest.data.hub import load_hub_images
from steepest.data.images import data_folder, images
from steepest.data.splits import Split, Splits, as_split, hold_out, standardize

__all__ = [
    "Split",
    "Splits",
    "as_split",
    "data_folder",
    "digits",
    "hold_out",
    "images",
    "load_hub_images",
    "standardize",
]
