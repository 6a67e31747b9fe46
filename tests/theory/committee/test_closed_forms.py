"""Final errors in closed form against the equations and against SGD, and Saad and Solla's rate."""

import numpy as np
import pytest

from steepest.theory.committee import Committee, linear_error, saad_solla_lr
from steepest.theory.committee.ode import Flow


@pytest.mark.parametrize(
    ("options", "tolerance"),
    [
        ({"teacher": 2, "student": 2, "train": "both"}, 1.0),
        ({"teacher": 2, "student": 6, "train": "both", "start": "denoiser"}, 3.0),
        ({"teacher": 2, "student": 3, "train": "both", "start": "denoiser"}, 3.0),
        ({"teacher": 3, "student": 3, "teacher_output": [1.0, 0.5, -2.0]}, 3.0),
        ({"teacher": 2, "student": 4}, 3.0),
        ({"teacher": 2, "student": 4, "start": "denoiser", "teacher_output": [3.0, 1.0]}, 3.0),
        ({"teacher": [[1.0, 2.0, 0.0], [0.0, 0.0, 1.0]], "student": 2}, 3.0),
    ],
    ids=["both", "denoiser", "uneven denoiser", "outputs", "idle units", "denoiser, first layer", "other teacher"],
)
@pytest.mark.slow
def test_the_final_error_is_that_of_a_small_rate(options, tolerance):
    lr = 1e-3
    theory = Committee(**{"start": "informed", "lr": lr, "noise": 0.1, **options})
    found = theory.predict([1000 / lr]).generalization_error[0]
    assert found == pytest.approx(theory.final_error(), rel=tolerance * lr)
    halved = Committee(**{"start": "informed", "lr": lr / 2, "noise": 0.1, **options})
    apart = [t.predict([1000 / t.rule.lr]).generalization_error[0] / t.final_error() - 1 for t in (theory, halved)]
    assert apart[0] / apart[1] == pytest.approx(2, abs=0.1)


@pytest.mark.slow
def test_the_final_error_of_relu_is_that_of_sgd():
    theory = Committee(2, 2, "relu", lr=0.05, noise=0.1, start="informed")
    run = theory.simulate(100, 20, times=np.arange(200, 301, 10))
    error = run.generalization_error.mean(axis=1)
    expected = 0.05 * 0.01 / 4 * 2 / 2
    assert theory.final_error() == pytest.approx(expected)
    assert error.mean() == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(
    "options",
    [
        {"activation": "relu", "student": 3},
        {"activation": "relu", "train": "both"},
        {"activation": "linear", "train": "both"},
        {"student": 3, "train": "both"},
        {"student": 1},
        {"student_output": [2.0, 1.0]},
    ],
)
def test_what_is_not_known_is_not_made_up(options):
    theory = Committee(**{"teacher": 2, "student": 2, "lr": 0.1, "noise": 0.1, **options})
    with pytest.raises(ValueError, match="no final error is known in closed form of"):
        theory.final_error()


def test_weight_decay_has_no_final_error():
    with pytest.raises(ValueError, match=r"weight_decay must be 0 for a final error in closed form, got 0.1"):
        Committee(2, 2, lr=0.1, weight_decay=0.1).final_error()


def test_the_linear_network_of_sgd():
    theory = Committee(2, 3, "linear", lr=0.2, noise=0.3)
    run = theory.simulate(200, 20, times=[0, 1, 2, *range(8, 17)])
    start = run.generalization_error[:, :1]
    known = linear_error(run.times, start, lr=0.2, noise=0.3, strength=3.0)
    np.testing.assert_allclose(run.generalization_error[:, 1:3].mean(axis=0), known[:, 1:3].mean(axis=0), rtol=0.05)
    late = run.generalization_error[:, 3:]
    assert late.mean() == pytest.approx(theory.final_error(), rel=0.05)


def growth(units, lr):
    """Eigenvalues of the linearised equations at the teacher, and how much each changes the error."""
    theory = Committee(units, units, lr=lr, start="informed")
    start = theory.start(asymmetry=0.0)
    flow, count = Flow(theory.rule, start), units * (units + 1) // 2 + units**2
    state, h = flow.pack(start), 1e-5
    columns, gradient = [], []
    for i in range(count):
        change = np.zeros(len(state))
        change[i] = h
        columns.append((flow(0, state + change) - flow(0, state - change))[:count] / (2 * h))
        errors = [theory.generalization_error(flow.unpack(state + sign * change)) for sign in (1, -1)]
        gradient.append((errors[0] - errors[1]) / (2 * h))
    values, vectors = np.linalg.eig(np.array(columns).T)
    return values.real, np.abs(np.array(gradient) @ vectors)


def decay(units, lr):
    """The rate at which the error falls: of modes that change it to second order only, twice their own."""
    return min(-value * (1 if weight > 1e-6 else 2) for value, weight in zip(*growth(units, lr), strict=True))


def test_saad_and_sollas_rate_is_the_fastest_for_one_unit_and_near_it_for_more():
    for units, gained in ((1, 1.0), (2, 1.1), (4, 1.1)):
        rate = saad_solla_lr(units)
        fastest = max(decay(units, rate * times) for times in np.linspace(0.8, 1.3, 51))
        assert fastest / decay(units, rate) <= gained + 1e-6
    assert decay(1, saad_solla_lr(1)) > max(decay(1, saad_solla_lr(1) * times) for times in (0.98, 1.02))


@pytest.mark.parametrize(("units", "less"), [(1, 0.001), (2, 0.008), (4, 0.004)])
def test_half_as_much_again_is_the_largest_rate(units, less):
    edge = 1.5 * saad_solla_lr(units)
    assert growth(units, edge * 1.0005)[0].max() > 1e-6
    assert growth(units, edge * (1 - less))[0].max() < 0
