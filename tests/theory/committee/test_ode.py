"""The equations of motion: index by index, against closed forms, solver against solver, and at their fixed points."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steepest.theory.committee import Committee, OrderParameters, linear_error
from steepest.theory.committee.ode import Flow
from steepest.theory.committee.order_parameters import overlaps
from tests.theory.committee import textbook


def random_parameters(seed, k, m, n=9):
    draw = np.random.default_rng(seed)
    weights = draw.standard_normal((k, n)), draw.standard_normal((m, n))
    return overlaps(*weights, draw.standard_normal(k), draw.standard_normal(m))


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 4),
    m=st.integers(1, 3),
    lr=st.floats(0.1, 2),
    noise=st.floats(0, 1),
    weight_decay=st.floats(0, 1),
)
def test_the_right_side_is_that_of_the_papers(seed, k, m, lr, noise, weight_decay):
    start = random_parameters(seed, k, m)
    rule = Committee(m, k, lr=lr, lr_output=0.7, noise=noise, weight_decay=weight_decay, train="both").rule
    flow = Flow(rule, start)
    found = flow.unpack(flow(0.0, flow.pack(start)))
    dq, dr, dv = textbook.derivative(start, lr, 0.7, noise, weight_decay)
    np.testing.assert_allclose(found.Q, dq, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.R, dr, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(found.v, dv, rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(found.Q, found.Q.T)
    assert flow.clips.count == 0


def test_only_the_first_layer_moves_where_only_it_is_trained():
    start = random_parameters(0, 3, 2)
    found = Committee(2, 3, lr=0.5, weight_decay=0.1).predict([0, 5], start=start)
    np.testing.assert_array_equal(found.v[1], start.v)
    assert not np.allclose(found.Q[1], start.Q)


@pytest.mark.parametrize(("lr", "noise"), [(0.1, 0.0), (0.5, 0.3), (0.6, 0.1)])
def test_the_linear_network_follows_its_closed_form(lr, noise):
    start = random_parameters(1, 3, 2)
    times = np.array([0.0, 0.5, 2.0, 5.0, 20.0])
    found = Committee(2, 3, "linear", lr=lr, noise=noise).predict(times, start=start)
    known = linear_error(times, float(found.generalization_error[0]), lr, noise, float(start.v @ start.v))
    np.testing.assert_allclose(found.generalization_error, known, rtol=1e-7, atol=1e-10)


def test_the_final_error_of_the_linear_network():
    theory = Committee(2, 3, "linear", lr=0.3, noise=0.5)
    assert theory.final_error() == pytest.approx(0.3 * 0.25 * 3 / (4 - 2 * 0.3 * 3), rel=1e-12)
    assert theory.predict([200]).generalization_error[0] == pytest.approx(theory.final_error(), rel=1e-8)


def test_a_linear_network_beyond_its_stable_rate_is_refused():
    theory = Committee(2, 2, "linear", lr=1.5)
    with pytest.raises(ValueError, match=r"lr must be below 2 over the sum of .*, here 1, got 1.5"):
        theory.final_error()
    with pytest.raises(
        RuntimeError, match=r"could not follow the order parameters beyond time \d+.* take a smaller lr"
    ):
        theory.predict([1e4])


@pytest.mark.parametrize(("lr", "most"), [(0.01, 0.0075), (1e-3, 7.5e-4), (1e-4, 1e-4)])
def test_the_final_error_of_the_first_layer_is_right_to_first_order_in_lr(lr, most):
    """M = 2, K = 3: a relative difference of 0.72 lr, of which at 1e-4 the solver's tolerance is a part."""
    theory = Committee(2, 3, lr=lr, noise=0.1, start="informed")
    known = lr * 0.01 / (2 * math.pi) * (1 + 2 / math.sqrt(3))
    assert theory.final_error() == pytest.approx(known, rel=1e-12)
    apart = theory.predict([400 / lr]).generalization_error[0] / known - 1
    assert 0.6 * lr < apart < most


@pytest.mark.parametrize("lr", [0.1, 0.5])
@pytest.mark.parametrize("units", [2, 3])
def test_a_root_of_the_right_side_is_where_the_integration_ends(lr, units):
    theory = Committee(2, units, lr=lr, noise=0.1, start="informed")
    found = theory.fixed_point()
    assert found.residual < 1e-12
    end = theory.predict([2000 / lr])
    assert found.generalization_error == pytest.approx(end.generalization_error[0], rel=1e-6)
    np.testing.assert_allclose(found.parameters.Q, end.Q[0], atol=1e-6)
    np.testing.assert_allclose(found.parameters.R, end.R[0], atol=1e-6)


def test_a_path_whose_fields_would_have_negative_variances_is_refused():
    """The distance of two idle units is negative by rounding, and grows."""
    theory = Committee(2, 4, lr=0.5, noise=0.1, start="informed")
    start = theory.start(asymmetry=0.0)
    start.Q[2, 3] = start.Q[3, 2] = 5e-8
    with pytest.raises(RuntimeError, match=r"fields came to have an eigenvalue of -.*, by errors of LSODA: take a"):
        theory.predict([5e3], start=start)
    assert theory.predict([5e3]).generalization_error[0] == pytest.approx(0.005135, rel=1e-3)


def test_no_fixed_point_is_made_up():
    with pytest.raises(RuntimeError, match=r"no fixed point was found but one with .*: give order parameters nearer"):
        Committee(2, 8, lr=0.5, noise=0.1, start="informed").fixed_point()


@pytest.mark.parametrize("train", ["first", "both"])
@pytest.mark.parametrize("start", ["informed", "denoiser"])
@pytest.mark.parametrize("units", [2, 3, 5])
def test_the_error_at_the_teacher_is_0(train, start, units):
    outputs = np.array([0.5, -2.0])
    theory = Committee(2, units, lr=0.5, train=train, start=start, teacher_output=outputs)
    if start == "denoiser" or units == 2:
        np.testing.assert_allclose(theory.start().v @ np.resize(np.eye(2), (units, 2)), outputs)
    assert abs(theory.generalization_error(theory.start(asymmetry=0.0))) < 1e-15
    assert abs(theory.predict([0, 5], asymmetry=1e-9).generalization_error).max() < 1e-14


@pytest.mark.slow
def test_a_symmetric_start_stays_symmetric_and_a_tiny_difference_breaks_it_at_a_known_time():
    """Every factor of 100 in the asymmetry adds the same time to the plateau, whatever the solver and its tolerance."""
    theory, times = Committee(2, 2, lr=0.5), np.linspace(0, 700, 1401)
    still = theory.predict([700], asymmetry=0.0)
    assert still.generalization_error[0] > 0.014
    np.testing.assert_allclose(still.R[0], still.R[0, 0, 0], atol=1e-6)

    def escape(asymmetry, **options):
        found = theory.predict(times, asymmetry=asymmetry, **options)
        return times[np.argmax(found.generalization_error < 0.003)]

    lengths = [escape(10.0**-power) for power in (2, 4, 6)]
    assert lengths[0] > 200
    assert lengths[1] - lengths[0] > 100
    assert lengths[1] - lengths[0] == pytest.approx(lengths[2] - lengths[1], rel=0.05)
    for options in ({"rtol": 1e-8}, {"rtol": 1e-11, "atol": 1e-14}, {"method": "DOP853"}):
        assert escape(1e-4, **options) == lengths[1]


@pytest.mark.parametrize(("start", "scale"), [("random", 1.0), ("small", 1e-3)])
def test_starts_that_are_random(start, scale):
    """Output weights are drawn where they are trained, and are 1 where not."""
    many = [Committee(2, 50, lr=0.5, train="both", start=start).start(seed=seed) for seed in range(20)]
    drawn = np.stack([found.v for found in many])
    assert len(np.unique(drawn)) == 1000
    assert drawn.std() == pytest.approx(scale, rel=4 / 2000**0.5)
    np.testing.assert_allclose(many[0].Q, scale**2 * np.eye(50), atol=1e-10)
    np.testing.assert_allclose(np.std([found.R for found in many]), 1e-6, rtol=0.1)
    np.testing.assert_array_equal(Committee(2, 3, lr=0.5, start=start).start().v, np.ones(3))


def test_what_a_prediction_holds():
    found = Committee(2, 3, lr=0.5, train="both").predict([0.0, 0.0, 1.5])
    assert found.Q.shape == (3, 3, 3)
    assert found.R.shape == (3, 3, 2)
    assert found.T.shape == (2, 2)
    assert found.v.shape == (3, 3)
    assert found.generalization_error.shape == found.times.shape == (3,)
    np.testing.assert_array_equal(found.Q[0], found.Q[1])
    assert isinstance(found.at(2), OrderParameters)
    assert found.clipped == 0
    assert found.evaluations > 0
    assert "steps / N" in found.conventions
    only = Committee(2, 3, lr=0.5).predict([0.0])
    assert only.evaluations == 0
    assert len(only.Q) == 1


def test_a_path_can_be_continued_from_where_it_was():
    theory = Committee(2, 3, lr=0.5, noise=0.1, train="both")
    whole = theory.predict([4.0, 10.0])
    rest = theory.predict([6.0], start=whole.at(0))
    np.testing.assert_allclose(rest.generalization_error[0], whole.generalization_error[1], rtol=1e-7)


def test_relu_has_no_prediction():
    theory = Committee(2, 2, "relu", lr=0.1, start="informed")
    for call in (lambda: theory.predict([1.0]), theory.fixed_point):
        with pytest.raises(
            ValueError, match=r"activation must be 'erf' or 'linear' for a prediction, got 'relu', whose"
        ):
            call()
    assert abs(theory.generalization_error(theory.start(asymmetry=0.0))) < 1e-8
