"""The simulation is training by momentum SGD, many times at once, and its statistics are those of the runs."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from steepest.optim import ScaledSGD
from steepest.theory.momentum import Annealing, Quadratic, StreamingPCA
from steepest.theory.momentum.simulation import BLOCK, draws

EIGENVALUES = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)


def normals(seed, d, steps, replicas=1):
    """The normal numbers of a simulation, (steps, d, replicas), drawn anew."""
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((steps, d, replicas)))


def pca_gradient(v, normal):
    """As the sheet writes it."""
    x = normal * EIGENVALUES.sqrt()
    return -(torch.eye(4, dtype=torch.float64) - torch.outer(v, v)) @ torch.outer(x, x) @ v


def quadratic_gradient(v, normal):
    return torch.tensor([2.0, 0.5], dtype=torch.float64) * v + normal * torch.tensor(3.0, dtype=torch.float64).sqrt()


def trained(make, gradient, start, noise, settings):
    """Positions of one run of a plain loop of an optimizer."""
    v = torch.tensor(start, dtype=torch.float64, requires_grad=True)
    optimizer = make([v], lr=1.0, momentum=0.5)
    positions = [v.detach().clone()]
    for normal, (lr, momentum) in zip(noise, settings, strict=True):
        optimizer.param_groups[0].update(lr=lr, momentum=momentum)
        v.grad = gradient(v.detach(), normal)
        optimizer.step()
        positions.append(v.detach().clone())
    return torch.stack(positions).numpy()


OPTIMIZERS = {"torch": torch.optim.SGD, "ours": partial(ScaledSGD, foreach=False)}  # not the fused kernel's roundings
STEPS = 400
CASES = {
    "constant": (None, [(0.01, 0.9)] * STEPS),
    "annealed": (
        Annealing(lr={100: 0.5, 300: 0.1}, momentum={200: 0.5, 250: 0.0}),
        [
            (0.01 * (1 if k < 100 else 0.5 if k < 300 else 0.1), 0.9 * (1 if k < 200 else 0.5 if k < 250 else 0))
            for k in range(STEPS)
        ],
    ),
    "every step": (Annealing(lr=lambda step: 0.99**step), [(0.01 * 0.99**k, 0.9) for k in range(STEPS)]),
}


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_one_replica_is_a_plain_loop_of_the_optimizer(make, case):
    annealing, settings = CASES[case]
    noise, slower = normals(3, 4, STEPS)[:, :, 0], [(lr / 10, momentum) for lr, momentum in settings]
    expected = trained(OPTIMIZERS[make], pca_gradient, [0.5] * 4, noise, slower)
    theory = StreamingPCA(EIGENVALUES, lr=0.001, momentum=0.9)
    found = theory.simulate(1, STEPS, seed=3, at=range(STEPS + 1), annealing=annealing)
    np.testing.assert_allclose(found.mean, expected, rtol=0, atol=1e-12)
    assert np.abs(expected[-1] - expected[0]).max() > 0.1
    np.testing.assert_allclose(found.times[1:], np.cumsum([lr for lr, _ in slower]))


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("case", CASES)
def test_in_a_quadratic_it_is_the_optimizer_bit_for_bit(make, case):
    annealing, settings = CASES[case]
    expected = trained(OPTIMIZERS[make], quadratic_gradient, [1.0, -2.0], normals(4, 2, STEPS)[:, :, 0], settings)
    theory = Quadratic([2.0, 0.5], 3.0, lr=0.01, momentum=0.9)
    found = theory.simulate(1, STEPS, seed=4, start=[1.0, -2.0], at=range(STEPS + 1), annealing=annealing)
    assert np.array_equal(found.mean, expected)
    assert not found.variance.any()
    assert not found.variance_error.any()


def test_each_replica_has_numbers_of_its_own():
    noise = normals(5, 4, STEPS, 3)
    settings = [(0.001, 0.9)] * STEPS
    found = StreamingPCA(EIGENVALUES, 0.001, 0.9).simulate(3, STEPS, seed=5, snapshots=[STEPS])
    for i, position in enumerate(found.positions[0]):
        expected = trained(torch.optim.SGD, pca_gradient, [0.5] * 4, noise[:, :, i], settings)[-1]
        np.testing.assert_allclose(position, expected, rtol=0, atol=1e-12)


def test_a_momentum_that_returns_finds_the_last_gradient():
    """The rule m = mu m + g, also where mu was 0, unlike an optimizer that keeps the buffer from before."""
    theory = Quadratic([1.0], 1.0, lr=0.1, momentum=0.5)
    annealing = Annealing(momentum={2: 0.0, 4: 1.0})
    found = theory.simulate(1, 6, seed=6, at=range(7), annealing=annealing).mean[:, 0]
    v, m, expected = 1.0, 0.0, [1.0]
    for normal, momentum in zip(normals(6, 1, 6).flatten().tolist(), [0.5, 0.5, 0, 0, 0.5, 0.5], strict=True):
        m = momentum * m + (v + normal)
        v -= 0.1 * m
        expected.append(v)
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_a_longer_run_begins_as_a_shorter_one_and_the_seed_fixes_all():
    theory = StreamingPCA(EIGENVALUES, 0.001, 0.5)
    steps = BLOCK // (4 * 500) + 30  # more than one block of normal numbers
    state, numpy_state = torch.get_rng_state(), np.random.get_state()[1].copy()
    short = theory.simulate(500, steps, seed=1, snapshots=[steps - 1, steps]).positions
    again = theory.simulate(500, steps + 70, seed=1, snapshots=[steps - 1, steps]).positions
    other = theory.simulate(500, steps, seed=2, snapshots=[steps]).positions
    assert np.array_equal(short, again)
    assert not np.array_equal(short[1], other[0])
    assert torch.equal(torch.get_rng_state(), state)
    assert np.array_equal(np.random.get_state()[1], numpy_state)


def test_the_draws_do_not_depend_on_the_size_of_their_blocks():
    noise = draws(0, 3, 7, lambda normal: 2 * normal)
    rows = BLOCK // 21 + 5
    found = torch.stack([next(noise).clone() for _ in range(rows)])
    assert torch.equal(found, 2 * normals(0, 3, rows, 7))


def test_moments_are_those_of_the_positions():
    steps = [0, 10, 40]
    found = Quadratic([1.0, 4.0], [1.0, 2.0], 0.1, 0.5).simulate(200, 40, seed=7, at=steps, snapshots=steps)
    assert found.steps.tolist() == found.snapshots.tolist() == steps
    assert found.times.tolist() == pytest.approx([0.0, 1.0, 4.0])
    assert found.positions.shape == (3, 200, 2)
    where = found.positions
    np.testing.assert_allclose(found.mean, where.mean(axis=1))
    np.testing.assert_allclose(found.variance, where.var(axis=1, ddof=1), atol=1e-30)
    np.testing.assert_allclose(found.mean_error, where.std(axis=1, ddof=1) / 200**0.5, atol=1e-15)
    squares = (where - where.mean(axis=1, keepdims=True)) ** 2
    np.testing.assert_allclose(found.variance_error, squares.std(axis=1) / 200**0.5, atol=1e-15)
    assert len(found.outside) == len(found.first_exit) == 0
    assert found.seconds > 0


def test_standard_errors_are_how_repetitions_differ():
    theory = Quadratic([1.0], 1.0, 0.1, 0.5)
    runs = [theory.simulate(100, 50, seed=seed, at=[50]) for seed in range(200)]
    for value, error in (("mean", "mean_error"), ("variance", "variance_error")):
        seen = np.std([getattr(run, value)[0, 0] for run in runs])
        said = np.mean([getattr(run, error)[0, 0] for run in runs])
        assert seen == pytest.approx(said, rel=0.2)


def test_exits_are_those_of_the_paths():
    theory = Quadratic([-1.0, 1.0], [1.0, 1.0], 0.01, 0.5)
    steps = 120
    every = range(steps + 1)
    found = theory.simulate(50, steps, seed=8, start=0.0, at=every, snapshots=every, exits=(1, 0.3))
    far = np.abs(found.positions[:, :, 0]) > 0.3
    np.testing.assert_allclose(found.outside, far.mean(axis=1))
    expected = np.where(far.any(axis=0), far.argmax(axis=0), np.inf)
    assert np.array_equal(found.first_exit, expected)
    assert 0 < np.isinf(expected).sum() < 50
    # The law at a time and first passage are not the same: some come back.
    assert (found.outside <= [(expected <= k).mean() for k in every]).all()
    assert (found.outside < [(expected <= k).mean() for k in every]).any()
    other = theory.simulate(50, steps, seed=8, start=0.0, snapshots=every, exits=(2, 0.05))
    assert np.array_equal(other.first_exit <= steps, (np.abs(found.positions[:, :, 1]) > 0.05).any(axis=0))


def test_the_time_of_exit_is_between_the_moments():
    found = Quadratic([-1.0], 1.0, 0.01, 0.5).simulate(50, 200, seed=9, start=0.0, at=21, exits=(1, 0.3))
    time = found.exit_time(0.4)
    after = np.argmax(found.outside >= 0.4)
    share = (time - found.steps[after - 1]) / (found.steps[after] - found.steps[after - 1])
    between = (1 - share) * found.outside[after - 1] + share * found.outside[after]
    assert 0 < share <= 1
    assert between == pytest.approx(0.4)
    never = Quadratic([-1.0], 1.0, 0.01, 0.5).simulate(5, 10, start=0.0, exits=(1, 1e6))
    assert never.exit_time() == math.inf
    assert np.isinf(never.first_exit).all()
    at_once = Quadratic([-1.0], 1.0, 0.01, 0.5).simulate(5, 10, start=1.0, exits=(1, 0.1))
    assert at_once.exit_time() == 0
    with pytest.raises(ValueError, match=r"exits must be given to simulate\(\)"):
        Quadratic([1.0], 1.0, 0.01, 0.5).simulate(5, 10).exit_time()
    with pytest.raises(ValueError, match=r"probability must be a number in \(0, 1\), got 1"):
        never.exit_time(1)


def test_moments_are_looked_at_evenly_or_where_asked():
    theory = Quadratic([1.0], 1.0, 0.01, 0.5)
    assert theory.simulate(2, 100, at=5).steps.tolist() == [0, 25, 50, 75, 100]
    assert theory.simulate(2, 3).steps.tolist() == [0, 1, 2, 3]
    assert theory.simulate(2, 100, at=[7, 3, 7]).steps.tolist() == [3, 7]
    assert theory.simulate(2, 0).mean.tolist() == [[1.0]]


def test_a_run_that_diverges_is_refused():
    with pytest.raises(RuntimeError, match=r"a run diverged: by step \d+ it is not finite; take a smaller lr than 0.1"):
        StreamingPCA(EIGENVALUES, 0.1, 0.9).simulate(100, 1000)


@pytest.mark.parametrize("default", ["meta", "cpu"])
def test_the_defaults_of_torch_do_not_matter(default):
    theory = StreamingPCA(EIGENVALUES, 0.01, 0.9)
    expected = theory.simulate(3, 20, seed=1, exits=(1, 0.3))
    device, dtype = torch.get_default_device(), torch.get_default_dtype()
    try:
        torch.set_default_device(default)
        torch.set_default_dtype(torch.float16)
        found = theory.simulate(3, 20, seed=1, exits=(1, 0.3))
    finally:
        torch.set_default_device(None if device.type == "cpu" else device)
        torch.set_default_dtype(dtype)
    assert np.array_equal(found.mean, expected.mean)
    assert np.array_equal(found.first_exit, expected.first_exit)


REFUSED = [
    ({"replicas": 0}, ValueError, "replicas must be at least 1, got 0"),
    ({"replicas": 2.0}, TypeError, "replicas must be an int, got 2.0"),
    ({"steps": -1}, ValueError, "steps must be at least 0, got -1"),
    ({"steps": 1.5}, TypeError, "steps must be an int, got 1.5"),
    ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
    ({"seed": None}, TypeError, "seed must be an int, got None"),
    ({"start": [1.0, 2.0, 3.0]}, ValueError, r"start must have shape \(2,\), got \(3,\)"),
    ({"at": 0}, ValueError, "at must be at least 1, got 0"),
    ({"at": []}, ValueError, "at must hold at least one step, got none"),
    ({"at": [3, 11]}, ValueError, "at must not be beyond the 10 steps of the run, got 11"),
    ({"at": [-1]}, ValueError, "at must be at least 0, got -1"),
    ({"snapshots": [11]}, ValueError, "snapshots must not be beyond the 10 steps of the run, got 11"),
    ({"snapshots": [1.5]}, TypeError, "snapshots must be an int or an array of them, got"),
    ({"exits": (3, 0.1)}, ValueError, "exits: the direction must be at most 2, got 3"),
    ({"exits": (0, 0.1)}, ValueError, "exits: the direction must be at least 1, got 0"),
    ({"exits": (1, 0.0)}, ValueError, "exits: delta must be a finite number above 0, got 0.0"),
    (
        {"exits": 0.3},
        TypeError,
        r"exits must be a tuple of a direction and delta, such as \(1, 0.3\), or None, got 0.3",
    ),
    ({"annealing": 0.1}, TypeError, "annealing must be an Annealing or None, got 0.1"),
    ({"annealing": Annealing(lr={5: 100.0})}, ValueError, r"lr must be below 2 \(1 \+ momentum\) / curvature = 1.5, "),
]


@pytest.mark.parametrize("theory", [Quadratic([1.0, 2.0], 1.0, 0.1, 0.5), StreamingPCA([1.0, 0.5], 0.1, 0.5)])
@pytest.mark.parametrize(("options", "error", "sentence"), REFUSED)
def test_bad_arguments_are_refused(theory, options, error, sentence):
    with pytest.raises(error, match=sentence):
        theory.simulate(**{"replicas": 2, "steps": 10, **options})
