"""Scikit-learn's handwritten digits: 1,797 grey images of 8x8 pixels, embedded in the library, no download."""

import torch

from steepest._errors import require
from steepest.data.splits import Split, Splits, hold_out, standardize


def digits() -> Splits:
    """Load the digits, flattened to 64 features: 60 % training, 20 % validation, 20 % test, always the same.

    Source: E. Alpaydin, C. Kaynak, "Optical recognition of handwritten digits", UCI repository (1998), the test set.

    Raises:
        InputError: scikit-learn is not installed.

    Example:
        >>> [tuple(split.inputs.shape) for split in digits()]
        [(1078, 64), (360, 64), (359, 64)]
    """
    images, labels = require("sklearn.datasets", extra="compare").load_digits(return_X_y=True)
    inputs = torch.as_tensor(images, dtype=torch.float32, device="cpu")
    everything = Split(inputs, torch.as_tensor(labels, dtype=torch.int64, device="cpu"))
    rest, test = hold_out(everything, 0.2)
    train, validation = hold_out(rest, 0.25)
    return standardize(Splits(train, validation, test), per="everything")  # pixels share a unit
