"""What the curve of a range test says: between which learning rates something is learnt, and one to start with."""

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

from steepest.schedules.range_curve import RangeCurve

TOLERANCE = 0.1  # share of the best that may be lost
_SIGMAS = 4.0  # by which a change must exceed what chance does
_HIDDEN = 0.5  # share of the best that chance may make up, for the information to be trusted alone
_FALL, _SHARE = 0.95, 0.5  # the suggestion is this share of the lr at which so much of the fall is behind


class RangeReading(NamedTuple):
    """Bounds and suggestion, each ``None`` where the curve does not show one, and what there is to say."""

    bounds: tuple[float, float] | None
    suggestion: float | None
    note: str


def read_range(curve: RangeCurve, restarts: Sequence[tuple[float, float]] = ()) -> RangeReading:
    """Read a curve; of the points at which the loss was finite.

    Args:
        restarts: rates that were tried again from the start, and the loss that each came to.
    """
    finite = sum(map(math.isfinite, curve.loss))
    if finite < 3:
        return RangeReading(None, None, _without_points(curve))
    start = _start(curve.smoothed) if curve.start is None else curve.start
    least = min(curve.smoothed[:finite])
    at = curve.smoothed.index(least)
    noise = _noise(curve)
    if start - least < max(_SIGMAS * noise, 0.01 * abs(start)):
        return RangeReading(
            None,
            None,
            f"nothing seen: from lr {curve.lr[0]:.3g} to {curve.lr[finite - 1]:.3g} the smoothed loss went from "
            f"{start:.4g} to {curve.smoothed[finite - 1]:.4g} and fell by no more than chance does"
            + ("" if curve.diverged_at is None else f"; it diverged at {curve.diverged_at:.3g}"),
        )
    level = start - _FALL * (start - least)
    fallen = next(lr for lr, loss in zip(curve.lr, curve.smoothed, strict=True) if loss <= level)
    suggestion = max(curve.lr[0], _SHARE * fallen)
    notes = []
    if (again := _read_restarts(restarts, start)) is not None:
        suggestion = again
    if at == len(curve.lr) - 1:
        notes.append("the loss still falls at the highest lr: a higher end_lr would tell more")
    if curve.smoothed[0] <= (start + least) / 2 or suggestion == curve.lr[0]:
        notes.append("the loss falls from the lowest lr on: a lower start_lr would tell more")
    if curve.diverged_at is not None:
        what = "above its least" if math.isfinite(curve.loss[-1]) else "not finite"
        notes.append(f"the sweep ended at lr {curve.diverged_at:.3g}, where the loss was {what}")
    by_loss = _bounds_by_loss(curve, finite, start, least, noise)
    bounds = _bounds_by_information(curve, finite, by_loss) if curve.information else None
    return RangeReading(bounds or by_loss, suggestion, "; ".join(notes))


def _read_restarts(restarts: Sequence[tuple[float, float]], start: float) -> float | None:
    """Find a share of the largest rate that came as low as the best one, but for a tenth of its fall."""
    least = min((loss for _, loss in restarts if math.isfinite(loss)), default=start)
    if not least < start:
        return None
    return _SHARE * max(lr for lr, loss in restarts if loss <= least + TOLERANCE * (start - least))


def _without_points(curve: RangeCurve) -> str:
    at = "no learning rate" if curve.diverged_at is None else f"lr {curve.diverged_at:.3g}"
    return f"nothing seen: the loss was not finite at {at}, near the beginning; a lower start_lr would tell more"


def _bounds_by_information(
    curve: RangeCurve, finite: int, by_loss: tuple[float, float] | None
) -> tuple[float, float] | None:
    """Find the least lr at which the information exceeds its start, and the last one near its best before it falls.

    A window of points speaks of the lr in its middle. Where chance hides even a fall by half, in a coarse sweep, the
    highest is no higher than the loss puts it.
    """
    first, middle = curve.window - 1, curve.window // 2
    if finite <= first:
        return None
    start = best = curve.information[first]
    lowest, near, chance = None, first, _SIGMAS * curve.errors[first]
    for i in range(first, finite):
        told, error = curve.information[i], max(curve.errors[i], curve.errors[first])
        if lowest is None and told > start + _SIGMAS * error:
            lowest = curve.lr[i - middle]
        if lowest is not None and told < min(best * (1 - TOLERANCE), best - _SIGMAS * error):
            break
        if told > best:
            best, chance = told, _SIGMAS * curve.errors[i]
        if told >= best * (1 - TOLERANCE):
            near = i
    if lowest is None:
        return None
    highest = curve.lr[near - middle]
    if chance > _HIDDEN * best and by_loss is not None:
        highest = min(highest, by_loss[1])
    return _ordered(lowest, highest)


def _bounds_by_loss(
    curve: RangeCurve, finite: int, start: float, least: float, noise: float
) -> tuple[float, float] | None:
    """Find the same by the smoothed loss, as far as it lags behind."""
    lag = round(curve.smoothing / (1 - curve.smoothing))
    falls = (i for i in range(finite) if curve.smoothed[i] < start - max(_SIGMAS * noise, 0.01 * abs(start)))
    lowest, best = next(falls, None), curve.smoothed.index(least)
    if lowest is None:
        return None
    rises = (i for i in range(best, finite) if curve.smoothed[i] > least + TOLERANCE * (start - least))
    highest = next(rises, finite) - 1
    return _ordered(curve.lr[max(0, lowest - lag)], curve.lr[max(0, highest - lag)])


def _ordered(low: float, high: float) -> tuple[float, float] | None:
    return (low, high) if low < high else None


def _start(smoothed: list[float]) -> float:
    """Find where the loss began: the median of the first tenth of the points."""
    return statistics.median(smoothed[: max(3, len(smoothed) // 10)])


def _noise(curve: RangeCurve) -> float:
    """Find the deviation of the smoothed loss by chance, from that of a batch's loss from the line through its
    neighbours'."""
    losses = [loss for loss in curve.loss if math.isfinite(loss)]
    bends = [abs(a - 2 * b + c) for a, b, c in zip(losses, losses[1:], losses[2:], strict=False)]
    share = curve.smoothing
    return 1.4826 * statistics.median(bends) / math.sqrt(6) * math.sqrt((1 - share) / (1 + share))
