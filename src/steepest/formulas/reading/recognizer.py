"""What reading asks of a recogniser."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from steepest.formulas.logic.labels import LABELS


class Recognizer(Protocol):
    """What tells symbols apart.

    ``labels``: classes of :data:`~steepest.formulas.logic.LABELS`, and ``""`` for what is no symbol if it knows that;
    ``probabilities``: of bitmaps (N, 28, 28) ``uint8``, 1 where there is ink, float64 (N, len(labels)) whose rows sum
    to 1.
    """

    @property
    def labels(self) -> tuple[str, ...]: ...

    def probabilities(self, bitmaps: NDArray[np.uint8]) -> NDArray[np.float64]: ...


def class_places(recognizer: Recognizer) -> dict[str, int]:
    """Where a recogniser's classes stand among its labels, without that of no symbol.

    Raises:
        ValueError: a label is no class, stands twice, or there is no class.
    """
    labels = tuple(recognizer.labels)
    wrong = [label for label in labels if label and label not in LABELS]
    if wrong or len(set(labels)) != len(labels) or not any(labels):
        raise ValueError(f"recognizer must have labels of {''.join(LABELS)}, each once, got {labels}")
    return {label: k for k, label in enumerate(labels) if label}
