"""The curve of a range test while it is drawn: losses, their smoothed course, what is told of the classes, its end."""

import math
from collections.abc import Iterable, Iterator
from typing import Any

from torch import Tensor

from steepest.schedules.information import mutual_information, standard_error

WINDOW = 10  # steps whose counts are taken together


class RangeCurve:
    """Loss and information over the learning rate, a point at a time.

    A loss is smoothed by the median of it and its neighbours, so that a single spike is not seen, then by a moving
    average without the bias of its beginning. Information is that of the last ten points together, with the correction
    of Miller and Madow.

    Args:
        smoothing: share of the past in the moving average, in [0, 1).
        diverge_factor: the sweep ends where the smoothed loss lies above its least value by ``diverge_factor - 1``
            times that value, or the fall so far if that is larger.
    """

    def __init__(self, smoothing: float, diverge_factor: float, window: int = WINDOW) -> None:
        self.window = window
        self.smoothing, self._factor = smoothing, diverge_factor
        self.lr: list[float] = []
        self.loss: list[float] = []
        self.smoothed: list[float] = []
        self.information: list[float] = []
        self.errors: list[float] = []
        self.diverged_at: float | None = None
        self.start: float | None = None  # where it is known exactly
        self._tables: list[Tensor] = []

    def note(self, lr: float, loss: float, table: Tensor | None = None) -> bool:
        """Add a point; says whether it is the last one: the loss is not finite, or far above its least.

        Args:
            table: counts (C, C) of true class by predicted class behind the loss.
        """
        self.lr.append(lr)
        self.loss.append(loss)
        if table is not None:
            self._tables = [*self._tables, table][-self.window :]
            together = sum(self._tables[1:], start=self._tables[0])
            any_sample = bool(together.any())
            self.information.append(mutual_information(together, "miller-madow") if any_sample else 0.0)
            self.errors.append(standard_error(together) if any_sample else 0.0)
        if not math.isfinite(loss):
            self.smoothed.append(math.nan)
            self.diverged_at = lr
            return True
        self.smoothed = list(_averaged(_without_spikes(self.loss), self.smoothing))
        least = min(self.smoothed)
        scale = max(abs(least), max(self.smoothed[: self.smoothed.index(least) + 1]) - least)
        if self.smoothed[-1] > least + (self._factor - 1) * scale:
            self.diverged_at = lr
            return True
        return False

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors, numbers and lists."""
        return {name: list(v) if isinstance(v, list) else v for name, v in vars(self).items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from what :meth:`state_dict` gave."""
        vars(self).update({name: list(v) if isinstance(v, list) else v for name, v in state.items()})


def _without_spikes(values: list[float]) -> Iterator[float]:
    for i in range(len(values)):
        some = values[max(0, min(i - 1, len(values) - 3)) :][:3]
        yield sorted(some)[(len(some) - 1) // 2]


def _averaged(values: Iterable[float], share: float) -> Iterator[float]:
    average = 0.0
    for count, value in enumerate(values, start=1):
        average = share * average + (1 - share) * value
        yield average / (1 - share**count)


def rates(start_lr: float, end_lr: float, count: int, mode: str) -> Iterator[float]:
    """So many learning rates from ``start_lr`` to ``end_lr``, in equal ratios (``"exp"``) or steps (``"linear"``).

    Example:
        >>> [round(lr, 3) for lr in rates(0.01, 1.0, 3, "exp")], list(rates(0.0, 1.0, 3, "linear"))
        ([0.01, 0.1, 1.0], [0.0, 0.5, 1.0])
    """
    for i in range(count):
        share = i / (count - 1)
        if i in (0, count - 1):
            yield end_lr if i else start_lr
        elif mode == "exp":
            yield start_lr * (end_lr / start_lr) ** share
        else:
            yield start_lr + (end_lr - start_lr) * share
