"""Averages over local fields: against sampling, against the printed formulas, and where fields are alike."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.integrate import dblquad

from steepest.theory.committee.integrals import INTEGRALS, Clips
from tests.theory.committee import textbook

ERRORS = 4  # standard errors
NAMES = ["erf", "linear", "relu"]


def random_covariance(seed, size=4, rank=4):
    draw = np.random.default_rng(seed)
    factor = draw.standard_normal((size, rank)) * draw.choice([0.3, 1.0, 2.0], size=(size, 1))
    return factor @ factor.T


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=12, derandomize=True, deadline=None)
@given(seed=st.integers(0, 10**6), rank=st.sampled_from([2, 4]))
def test_the_averages_are_those_of_samples(name, seed, rank):
    covariance = random_covariance(seed, rank=rank)
    means, errors = textbook.sampled(name, covariance, 100_000, seed)
    for found, mean, error in zip(textbook.ours(name, covariance), means, errors, strict=False):
        assert abs(found - mean) <= ERRORS * error + 1e-12


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), rank=st.sampled_from([2, 3, 5]))
def test_all_indices_are_those_of_the_printed_formulas(seed, rank):
    """Of five fields, also where indices coincide."""
    c, clips, found = random_covariance(seed, 5, rank), Clips(), INTEGRALS["erf"]
    everything = np.arange(5)
    first, second = (part.ravel() for part in np.meshgrid(everything, everything, indexing="ij"))

    def all_of(function, times):
        return np.array([function(c, *i) for i in np.ndindex(*(5,) * times)]).reshape((5,) * times)

    np.testing.assert_allclose(found.i2(c, clips), all_of(textbook.i2, 2), rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.j2(c, first, second, clips).reshape(5, 5), all_of(textbook.j2, 2), rtol=1e-9)
    np.testing.assert_allclose(found.i3(c, everything, clips), all_of(textbook.i3, 3), rtol=1e-8, atol=1e-11)
    ours = found.i4(c, first, second, clips).reshape(5, 5, 5, 5)
    np.testing.assert_allclose(ours, all_of(textbook.i4, 4), rtol=1e-7, atol=1e-10)
    assert clips.count == 0


def test_relu_of_fields_that_are_the_same_or_opposite_or_0():
    c = np.array([[2.0, 2.0, -2.0, 0.0], [2.0, 2.0, -2.0, 0.0], [-2.0, -2.0, 2.0, 0.0], [0.0, 0.0, 0.0, 0.0]])
    found = INTEGRALS["relu"].i2(c, Clips())
    np.testing.assert_allclose(found[0], [1.0, 1.0, 0.0, 0.0], atol=1e-15)
    slopes = INTEGRALS["relu"].j2(c, np.array([0, 0, 0]), np.array([0, 1, 2]), Clips())
    np.testing.assert_allclose(slopes, [0.5, 0.5, 0.0], atol=1e-15)


@pytest.mark.parametrize("name", NAMES)
def test_i2_is_the_double_integral(name):
    c = np.array([[0.7, -0.4], [-0.4, 1.3]])
    g, _ = textbook.ACTIVATIONS[name]
    inverse, scale = np.linalg.inv(c), 2 * math.pi * math.sqrt(np.linalg.det(c))

    def density(y, x):
        point = np.array([x, y])
        return float(g(np.array(x))) * float(g(np.array(y))) * math.exp(-point @ inverse @ point / 2) / scale

    # from 0 on, where ReLU has its kink
    parts = [dblquad(density, *x, *y, epsabs=1e-9)[0] for x in ((-9, 0), (0, 9)) for y in ((-9, 0), (0, 9))]
    assert INTEGRALS[name].i2(c, Clips())[0, 1] == pytest.approx(sum(parts), abs=1e-7)


def test_what_leaves_the_domain_of_asin_is_counted():
    clips = Clips()
    beyond = np.array([[1.0, 2.0 + 1e-12], [2.0 + 1e-12, 1.0]])
    found = INTEGRALS["erf"].i2(beyond, clips)
    assert clips.count == 2
    assert found[0, 1] == 1.0


def test_the_leading_dimensions_of_i2():
    many = np.stack([random_covariance(seed) for seed in range(6)]).reshape(2, 3, 4, 4)
    for name in NAMES:
        found = INTEGRALS[name].i2(many, Clips())
        np.testing.assert_allclose(found[1, 2], INTEGRALS[name].i2(many[1, 2], Clips()), rtol=1e-14)
