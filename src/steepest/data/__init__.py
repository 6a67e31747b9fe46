"""Data for the workloads: embedded, from files, or from the hub; always in memory, always split the same way."""

from steepest.data.augmentation import random_crop_flip
from steepest.data.cifar import cifar10
from steepest.data.digits import digits
from steepest.data.hub import hub_images, load_hub_images
from steepest.data.image_folder import image_folder
from steepest.data.images import images
from steepest.data.place import data_folder
from steepest.data.splits import Split, Splits, Tasks, as_split, hold_out, standardize
from steepest.data.text import shakespeare, text

__all__ = [
    "Split",
    "Splits",
    "Tasks",
    "as_split",
    "cifar10",
    "data_folder",
    "digits",
    "hold_out",
    "hub_images",
    "image_folder",
    "images",
    "load_hub_images",
    "random_crop_flip",
    "shakespeare",
    "standardize",
    "text",
]
