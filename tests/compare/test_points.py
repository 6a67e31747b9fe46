import math

from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.compare import Range
from steepest.compare.points import quasi_random_points

LR = {"lr": Range(1e-4, 1.0)}


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
