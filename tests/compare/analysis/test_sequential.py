"""The law of a t-test that looks several times, against draws."""

import numpy as np
import pytest
import scipy.special

from steepest.compare.analysis.sequential import MOST_SEEDS, gives_up, law, level, sequential_p
from steepest.compare.spec.stopping import looks, weight

ERRORS = (0.1, 0.05, 0.05 / 3, 0.05 / 7, 0.001)


def drawn(at, draws, seed):
    """The smallest weighted p-value of so many studies without a difference."""
    rng = np.random.default_rng(seed)
    low, total, squares, n = np.full(draws, 9.0), np.zeros(draws), np.zeros(draws), 0
    for look in at:
        values = rng.normal(size=(look - n, draws))
        total, squares, n = total + values.sum(0), squares + (values**2).sum(0), look
        t = total / n / np.sqrt((squares - total**2 / n) / (n - 1) / n)
        low = np.minimum(low, 2 * scipy.special.stdtr(n - 1, -np.abs(t)) / weight(n, at[-1]))
    return low


@pytest.mark.parametrize(
    ("seeds", "draws"),
    [(5, 200_000), (10, 200_000), *(pytest.param(s, 10_000_000, marks=pytest.mark.slow) for s in (5, 10, 20))],
)
def test_the_law_is_exact(seeds, draws):
    """Within four standard errors of that many draws."""
    at, part = looks(seeds), 200_000
    low = np.concatenate([drawn(at, part, i) for i in range(draws // part)])
    for error in ERRORS:
        assert abs(np.mean(low <= level(error, at)) - error) < 4 * np.sqrt(error * (1 - error) / draws), error


@pytest.mark.slow
def test_the_law_is_exact_where_seeds_are_many():
    at = looks(MOST_SEEDS)
    low = np.concatenate([drawn(at, 100_000, i) for i in range(10)])
    for error in ERRORS:
        assert abs(np.mean(low <= level(error, at)) - error) < 4 * np.sqrt(error * (1 - error) / len(low)), error


def test_the_levels_that_studies_have():
    """Another release of SciPy or NumPy that moved them would move verdicts, were they not frozen."""
    assert [f"{level(0.05 / n, looks(10)):.5f}" for n in (1, 3, 7)] == ["0.03082", "0.00946", "0.00386"]
    assert [f"{level(0.05 / n, looks(5)):.5f}" for n in (1, 3, 7)] == ["0.02987", "0.00913", "0.00372"]
    assert [f"{level(0.05 / n, looks(20)):.5f}" for n in (1, 7)] == ["0.03069", "0.00380"]


@pytest.mark.parametrize("seeds", [1, 2, 4])
def test_few_seeds_are_looked_at_once(seeds):
    assert looks(seeds) == (seeds,)
    assert level(0.05, looks(seeds)) == pytest.approx(0.05)
    assert sequential_p(0.05, looks(seeds)) == pytest.approx(0.05)


@pytest.mark.parametrize("seeds", [5, 6, 7, 8, 10, 13, 20, 40, 100, 200])
def test_looks_grow_and_end_a_fifth_later(seeds):
    at = looks(seeds)
    assert at[0] == 3
    assert at[-1] == -(-12 * seeds // 10)
    assert list(at) == sorted(set(at))


def test_a_sequential_p_value_grows_with_the_nominal_one_and_is_never_smaller():
    at = looks(10)
    values = [sequential_p(x, at) for x in np.geomspace(1e-12, 1, 60)]
    assert values == sorted(values)
    assert all(q >= x for q, x in zip(values, np.geomspace(1e-12, 1, 60), strict=True))
    assert sequential_p(3.0, at) == 1.0
    assert sequential_p(level(0.01, at), at) == pytest.approx(0.01, rel=1e-6)


def test_giving_up_is_harder_the_earlier_it_is():
    """The p-value from which on a method is given up, look by look, of 10 seeds."""
    at = looks(10)
    ends = [next(p / 100 for p in range(1, 102) if p == 101 or gives_up(p / 100, n / 12, 0.0308, 0.1)) for n in at[:-1]]
    assert ends == [1.01, 0.85, 0.68, 0.42, 0.22]


@pytest.mark.parametrize("at", [(), (5, 3), (1, 2), (0,), (3, 4, 400)])
def test_what_are_no_looks(at):
    with pytest.raises(ValueError, match="looks must be"):
        law(at)
