import math
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare import Range
from steepest.compare.points import quasi_random_points

LR = {"lr": Range(1e-4, 1.0)}
TWO = {"lr": Range(1e-3, 1.0), "momentum": Range(0.0, 0.95, log=False)}
THREE = {"weight_decay": Range(1e-6, 1e-2), "lr": Range(0.1, 100.0), "beta": Range(-1, 1, log=False)}


def drawn_by_optuna(space, count, seed):
    """As studies were given their points before specs held them."""
    optuna = pytest.importorskip("optuna", reason="optuna is not installed")
    spaces = {name: optuna.distributions.FloatDistribution(r.low, r.high, log=r.log) for name, r in space.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        study = optuna.create_study(sampler=optuna.samplers.QMCSampler(qmc_type="halton", scramble=True, seed=seed))
    study.add_trial(optuna.create_trial(params={n: r.low for n, r in space.items()}, distributions=spaces, value=0.0))
    return [dict(study.ask(fixed_distributions=spaces).params) for _ in range(count)]


@pytest.mark.parametrize(
    ("space", "seed", "points"),
    [
        ({"lr": Range(1e-3, 1.0)}, 0, [(0.0019831946384648285,), (0.06271412100983031,), (0.011152323011047068,)]),
        (TWO, 0, [(0.0019831946384648285, 0.0512180737609578), (0.06271412100983031, 0.6845514070942911),
                  (0.011152323011047068, 0.36788474042762437), (0.3526674191681589, 0.15677362931651334)]),
        (THREE, 3, [(0.00014750168115687369, 0.25966145532886087, 0.5926832711818899),
                    (1.4750168115687387e-06, 2.5966145532886067, -0.6073167288181109)]),
        ({"lr": Range(1, 2)}, 7, [(1.0734405775612252,), (1.518074223188693,), (1.2765431723684393,)]),
    ],
)  # fmt: skip
def test_the_points_are_those_of_all_studies_until_now(space, seed, points):
    """Written down at commit 3254bd2, to the last digit."""
    assert quasi_random_points(space, len(points), seed) == [dict(zip(space, row, strict=True)) for row in points]


@settings(max_examples=10, deadline=None)
@given(data=st.data(), names=st.lists(st.text("abc", min_size=1), min_size=1, max_size=5, unique=True))
def test_the_points_are_those_that_optuna_draws(data, names):
    space = {}
    for name in names:
        log, low = data.draw(st.booleans()), data.draw(st.floats(1e-8, 1e3))
        space[name] = Range(low if log or data.draw(st.booleans()) else -low, low * data.draw(st.floats(1.1, 1e6)), log)
    seed = data.draw(st.integers(0, 5))
    assert quasi_random_points(space, 4, seed) == drawn_by_optuna(space, 4, seed)


@settings(max_examples=20, deadline=None)
@given(count=st.integers(1, 20), more=st.integers(0, 20), seed=st.integers(0, 3))
def test_a_longer_list_begins_with_the_shorter(count, more, seed):
    assert quasi_random_points(LR, count + more, seed)[:count] == quasi_random_points(LR, count, seed)


@settings(max_examples=20, deadline=None)
@given(low=st.floats(1e-6, 1e2), factor=st.floats(1.5, 1e6), momentum=st.booleans(), count=st.integers(1, 20))
def test_points_lie_in_their_ranges(low, factor, momentum, count):
    space = {"lr": Range(low, low * factor)}
    if momentum:
        space["momentum"] = Range(0.0, 0.99, log=False)
    for point in quasi_random_points(space, count):
        assert point.keys() == space.keys()
        assert all(space[name].low <= value <= space[name].high for name, value in point.items())


def test_eight_points_cover_eight_equal_parts_of_the_logarithm():
    parts = sorted(int(8 * (math.log10(p["lr"]) + 4) / 4) for p in quasi_random_points(LR, 8))
    assert parts == list(range(8))


def test_equal_spaces_try_equal_points_and_seeds_differ():
    assert quasi_random_points(LR, 5) == quasi_random_points({"lr": Range(1e-4, 1.0)}, 5)
    assert quasi_random_points(LR, 5, seed=1) != quasi_random_points(LR, 5, seed=0)
