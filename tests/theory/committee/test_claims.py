"""More units than the teacher has: worse where only the first layer is trained, better where both are."""

import numpy as np
import pytest

from steepest.theory.committee import Committee

UNITS = (2, 3, 4, 6, 8)
CASES = [("first", "informed", 1), ("both", "denoiser", -1)]


def committee(units, train, start):
    return Committee(2, units, lr=0.2, noise=0.1, train=train, start=start)


@pytest.mark.parametrize(("train", "start", "sign"), CASES)
@pytest.mark.slow
def test_by_the_equations(train, start, sign):
    errors = [committee(units, train, start).predict([1000]).generalization_error[0] for units in UNITS]
    assert (sign * np.diff(errors) > 0).all()
    assert errors[-1] / errors[0] > 10 if sign > 0 else errors[-1] / errors[0] < 0.25


@pytest.mark.slow
@pytest.mark.parametrize(("train", "start", "sign"), CASES)
def test_by_five_runs_each(train, start, sign):
    """Means over late times; neighbours differ by more than twice their standard errors."""
    means, spreads = [], []
    for units in UNITS:
        run = committee(units, train, start).simulate(400, 5, times=np.arange(60, 101, 5))
        late = run.generalization_error.mean(axis=1)
        means.append(late.mean())
        spreads.append(late.std(ddof=1) / 5**0.5)
    between = np.hypot(spreads[1:], spreads[:-1])
    assert (sign * np.diff(means) > 2 * between).all()
    said = [committee(units, train, start).predict([80]).generalization_error[0] for units in UNITS]
    np.testing.assert_allclose(means, said, rtol=0.1)
