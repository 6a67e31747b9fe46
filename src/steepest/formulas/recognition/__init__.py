"""Bitmaps of symbols to probabilities: networks, their training and their test."""

from typing import TYPE_CHECKING

from steepest._errors import check_extra
from steepest._lazy import lazy_names

check_extra("formulas", "cv2", "numpy", "safetensors")

if TYPE_CHECKING:
    from steepest.formulas.recognition.networks import ConvNet, DenseNet
    from steepest.formulas.recognition.recognizer import Recognizer
    from steepest.formulas.recognition.results import Epoch, Trained
    from steepest.formulas.recognition.settings import Settings
    from steepest.formulas.recognition.testing import Confusion, Tested, test_recognizer
    from steepest.formulas.recognition.training import StoppedError, train_recognizer
    from steepest.formulas.recognition.validation import CrossValidated, cross_validate

__all__ = [
    "Confusion",
    "ConvNet",
    "CrossValidated",
    "DenseNet",
    "Epoch",
    "Recognizer",
    "Settings",
    "StoppedError",
    "Tested",
    "Trained",
    "cross_validate",
    "test_recognizer",
    "train_recognizer",
]
# Who recognises needs nothing of what training needs.
__getattr__, __dir__ = lazy_names(
    globals(),
    {
        "steepest.formulas.recognition.networks": ("ConvNet", "DenseNet"),
        "steepest.formulas.recognition.recognizer": ("Recognizer",),
        "steepest.formulas.recognition.results": ("Epoch", "Trained"),
        "steepest.formulas.recognition.settings": ("Settings",),
        "steepest.formulas.recognition.testing": ("Confusion", "Tested", "test_recognizer"),
        "steepest.formulas.recognition.validation": ("CrossValidated", "cross_validate"),
        "steepest.formulas.recognition.training": ("StoppedError", "train_recognizer"),
    },
)
