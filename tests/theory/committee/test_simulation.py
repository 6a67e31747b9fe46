"""SGD itself: a step against autograd, runs against the theory, finite training sets and given inputs."""

import math

import numpy as np
import pytest
import torch

from steepest.theory.committee import Committee
from steepest.theory.committee.examples import BLOCK, Examples
from steepest.theory.committee.rule import Rule
from steepest.theory.committee.simulation import Networks, activation_of, step


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("activation", ["erf", "relu", "linear"])
@pytest.mark.parametrize("both", [False, True])
def test_a_step_is_that_of_torchs_sgd_on_the_loss(activation, both):
    """With ``lr`` on the gradient of err^2 / 2, ``lr_output / N`` for the second layer, and decoupled decay by hand."""
    runs, k, n, decay = 3, 4, 7, 0.3
    rule = Rule(activation, 0.5, 0.2 if both else None, 0.0, decay)
    student, x, y = Networks(normal(runs, k, n), normal(runs, k, seed=1)), normal(runs, n, seed=2), normal(runs, seed=3)
    found = step(rule, student, x / math.sqrt(n), y)
    g, _ = activation_of(activation)
    for run in range(runs):
        w, v = (part[run].clone().requires_grad_() for part in student)
        loss = (y[run] - (v * g(w @ x[run] / math.sqrt(n))).sum()) ** 2 / 2
        loss.backward()
        torch.testing.assert_close(found.w[run], (1 - decay / n) * w.detach() - 0.5 * w.grad)
        moved = (1 - decay / n) * v.detach() - 0.2 / n * v.grad if both else v.detach()
        torch.testing.assert_close(found.v[run], moved)


def compare(theory, n, times, **options):
    """Mean errors of 5 runs, and of the equations that start where each of them did."""
    run = theory.simulate(n, 5, times=times, **options)
    said = [theory.predict(run.times, start=run.start_of(i)) for i in range(5)]
    return run.generalization_error.mean(axis=0), np.mean([p.generalization_error for p in said], axis=0)


@pytest.mark.slow
@pytest.mark.parametrize("train", ["first", "both"])
def test_five_runs_follow_the_equations(train):
    theory = Committee(2, 3, lr=0.5, noise=0.1, train=train)
    found, said = compare(theory, 784, [1, 5, 10, 20, 50, 100])
    np.testing.assert_allclose(found, said, rtol=0.05)


@pytest.mark.parametrize(
    ("train", "options"),
    [
        ("first", {}),
        ("both", {"lr_output": 1.0}),
        ("both", {"weight_decay": 0.5}),
        ("first", {"activation": "linear", "lr": 0.2}),
        ("both", {"teacher_output": [2.0, -1.0], "student_output": [1.0, -1.0, 0.5]}),
    ],
    ids=["first", "both", "weight decay", "linear", "other outputs"],
)
@pytest.mark.slow
def test_five_short_runs_follow_the_equations(train, options):
    theory = Committee(2, 3, **{"lr": 0.5, "noise": 0.1, "train": train, **options})
    found, said = compare(theory, 784, [0, 1, 2, 5])
    np.testing.assert_allclose(found[0], said[0], rtol=1e-10)
    np.testing.assert_allclose(found, said, rtol=0.1)
    assert said[-1] < 0.8 * said[0]


def test_order_parameters_of_runs_are_overlaps_that_average_to_the_limits():
    run = Committee(2, 3, lr=0.5, train="both").simulate(400, 200, times=[0])
    assert run.start.Q.shape == (200, 3, 3)
    np.testing.assert_allclose(run.start.Q.mean(axis=0), np.eye(3), atol=4 * math.sqrt(2 / 400 / 200))
    np.testing.assert_allclose(run.start.R.mean(axis=0), np.zeros((3, 2)), atol=4 / math.sqrt(400 * 200))
    assert run.start.v.std() == pytest.approx(1, abs=4 / math.sqrt(2 * 600))
    np.testing.assert_array_equal(run.Q[:, 0], run.start.Q)


def test_a_run_is_its_seeds_and_depends_on_no_other_run_or_time():
    theory = Committee(2, 2, lr=0.5, noise=0.2, train="both")
    many = theory.simulate(30, 4, times=[0, 1, 4, 4.5])
    one = theory.simulate(30, [2], times=[4.5])
    assert many.seeds == (0, 1, 2, 3)
    np.testing.assert_allclose(one.Q[0, 0], many.Q[2, 3], rtol=1e-10)
    assert not np.allclose(many.Q[1, 3], many.Q[2, 3])
    state = torch.get_rng_state()
    theory.simulate(30, 1, times=[1])
    assert torch.equal(torch.get_rng_state(), state)


def test_times_are_those_of_whole_steps():
    run = Committee(1, 1, lr=0.1).simulate(30, 2, times=[0.01, 0.02, 0.5])
    assert run.times.tolist() == [0.0, 1 / 30, 0.5]
    assert run.steps == 15
    assert run.training_loss is None
    assert "loss = err^2 / 2" in run.conventions


@pytest.mark.parametrize(("start", "error"), [("informed", 1e-15), ("denoiser", 1e-15), ("small", None)])
def test_runs_start_as_they_are_asked(start, error):
    run = Committee(2, 4, lr=0.5, start=start).simulate(100, 2, times=[0, 3])
    if error is None:
        np.testing.assert_allclose(run.start.Q, np.broadcast_to(np.eye(4) * 1e-6, (2, 4, 4)), atol=1e-6)
    else:
        assert abs(run.generalization_error).max() < error


def test_given_weights_are_those_of_every_run():
    teacher, student = normal(2, 40), normal(3, 40, seed=1)
    theory = Committee(teacher, student, lr=0.5, student_output=[1.0, -1.0, 0.5])
    run = theory.simulate(seeds=2, times=[0, 1])
    assert run.N == 40
    np.testing.assert_allclose(run.start.Q[1], (student @ student.T / 40).numpy())
    np.testing.assert_allclose(run.start.R[0], (student @ teacher.T / 40).numpy())
    np.testing.assert_allclose(run.T[0], (teacher @ teacher.T / 40).numpy())
    for part, known in zip(theory.start(), run.start_of(1), strict=True):
        np.testing.assert_allclose(part, known, atol=1e-12)
    assert not np.allclose(run.Q[0, 1], run.Q[1, 1])


def test_a_finite_training_set_is_learnt_by_heart():
    """The loss on few examples falls below the noise's, the error above that of fresh examples."""
    theory = Committee(1, 4, lr=0.3, noise=0.5)
    few = theory.simulate(40, 5, times=[0, 40], samples=60)
    fresh = theory.simulate(40, 5, times=[0, 40])
    assert few.training_loss.shape == (5, 2)
    assert few.training_loss[:, 1].mean() < 0.5 * 0.5**2 / 2
    assert few.generalization_error[:, 1].mean() > 1.5 * fresh.generalization_error[:, 1].mean()


def test_the_training_set_of_a_run_stays_and_has_its_own_noise():
    generators = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    rows = torch.arange(50.0).reshape(10, 5)
    found = Examples(5, generators, rows, 10)
    blocks = [found.block() for _ in range(3)]
    for run in range(2):
        seen = {(float(x[0]), float(z)) for b in blocks for x, z in zip(b.x[:, run], b.zeta[:, run], strict=True)}
        assert len(seen) == len({x for x, _ in seen}) == 10
    assert blocks[0].x.shape == (BLOCK, 2, 5)
    fresh = Examples(5, [torch.Generator().manual_seed(1)], rows, None)
    seen = {float(x) for _ in range(3) for x in fresh.block().x[:, 0, 0]}
    assert seen == set(range(0, 50, 5))


def test_normal_examples_are_standard_normal():
    found = Examples(50, [torch.Generator().manual_seed(0)], None, None)
    x = torch.cat([found.block().x[:, 0] for _ in range(40)]).ravel()
    error = len(x) ** -0.5
    assert abs(x.mean()) < 4 * error
    assert abs(x.square().mean() - 1) < 4 * math.sqrt(2) * error
    assert abs(x.pow(4).mean() - 3) < 4 * math.sqrt(96) * error


def test_given_inputs_that_are_normal_give_the_same_error_as_the_formula():
    """By the mean over 20,000 rows; and of others another one."""
    inputs = normal(20_000, 2, 15, seed=5).float()
    theory = Committee(2, 2, lr=0.5, noise=0.1)
    run = theory.simulate(None, 3, times=[0, 3], inputs=inputs)
    known = [[float(theory.generalization_error(p)) for p in at(run, i)] for i in range(3)]
    np.testing.assert_allclose(run.generalization_error, known, rtol=0.05)
    wide = theory.simulate(30, 3, times=[0], inputs=3 * inputs)
    assert not np.allclose(wide.generalization_error[:, 0], run.generalization_error[:, 0], rtol=0.05)
    np.testing.assert_allclose(wide.start.Q, run.start.Q)


def at(run, i):
    return [run.start_of(i)._replace(Q=run.Q[i, j], R=run.R[i, j], v=run.v[i, j]) for j in range(len(run.times))]


@pytest.mark.slow
def test_on_images_the_student_learns(real_data):
    from steepest.data.images import images

    inputs = images("fashion-mnist", real_data).train.inputs[:5000]
    run = Committee(2, 4, lr=0.2, noise=0.1).simulate(784, 3, times=[0, 10], inputs=inputs)
    assert run.generalization_error[:, 1].mean() < 0.1 * run.generalization_error[:, 0].mean()
    part = Committee(2, 4, lr=0.2).simulate(784, 3, times=[0, 5], inputs=inputs, samples=100)
    assert (part.training_loss[:, 1] < part.generalization_error[:, 1]).all()


def test_a_run_that_diverges_is_refused():
    with pytest.raises(RuntimeError, match=r"a run diverged: after \d+ steps .* take a smaller lr than 100"):
        Committee(2, 2, "linear", lr=100.0).simulate(20, 2, times=[20])


@pytest.mark.parametrize("activation", ["erf", "linear", "relu"])
def test_relu_and_the_others_learn_without_noise(activation):
    run = Committee(2, 4, activation, lr=0.2).simulate(60, 3, times=[0, 50])
    assert (run.generalization_error[:, 1] < 0.1 * run.generalization_error[:, 0]).all()
