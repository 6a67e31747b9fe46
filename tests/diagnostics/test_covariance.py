"""The covariance of samples' gradients: against the dense matrix, kept or computed anew, and mini-batches drawn."""

import math

import pytest
import torch
from torch import nn

from steepest.diagnostics import covariance, gradient_covariance, per_sample
from tests.diagnostics.problems import Counted, dense_gradients, dense_hessian, mlp, samples

LOSS = nn.CrossEntropyLoss()
DATA_32 = [samples(dtype=torch.float32)]
PARTS = [tuple(part) for part in zip(*(t.split([1, 12, 7]) for t in samples()), strict=True)]


def dense_covariance(rows):
    centred = rows - rows.mean(dim=0)
    return centred.T @ centred / len(rows)


def stream(monkeypatch):
    """Computed anew in every pass, seven samples at a time."""
    monkeypatch.setattr(covariance, "NUMBERS", 100)
    monkeypatch.setattr(per_sample, "NUMBERS", 7 * 57)


def test_eigenpairs_of_two_thousand_parameters():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(30, 50), nn.Tanh(), nn.Linear(50, 10)).double()
    inputs, targets = torch.randn(60, 30).double(), torch.randint(0, 10, (60,))
    rows = dense_gradients(model, LOSS, inputs, targets)
    assert rows.shape == (60, 2060)
    centred = rows - rows.mean(dim=0)
    expected, left = torch.linalg.eigh(centred @ centred.T / 60)
    found = gradient_covariance(model, LOSS, [(inputs, targets)], 10)
    assert found.converged
    torch.testing.assert_close(found.eigenvalues, expected.flip(0)[:10], rtol=1e-6, atol=0)
    vectors = nn.functional.normalize(left.T @ centred, dim=1).flip(0)[:10]
    torch.testing.assert_close((found.vectors * vectors).sum(dim=1).abs(), torch.ones(10).double(), rtol=0, atol=1e-6)
    assert float(found.residuals.max()) < 1e-10 * float(expected[-1])
    assert math.isclose(found.trace, float(expected.sum()), rel_tol=1e-12)
    assert math.isclose(found.effective_rank, float(expected.sum() ** 2 / expected.square().sum()), rel_tol=1e-12)
    assert (found.effective_rank_error, found.samples, found.alignment) == (0, 60, None)


@pytest.mark.parametrize("streamed", [False, True])
def test_a_small_network_kept_and_streamed(streamed, monkeypatch):
    if streamed:
        stream(monkeypatch)
    data = Counted(PARTS)
    found = gradient_covariance(mlp(), LOSS, data, 6, tolerance=1e-10)
    rows = dense_gradients(mlp(), LOSS, *samples())
    dense = dense_covariance(rows)
    expected = torch.linalg.eigvalsh(dense).flip(0)
    torch.testing.assert_close(found.eigenvalues, expected[:6], rtol=1e-9, atol=0)
    left = (found.vectors @ dense - found.eigenvalues[:, None] * found.vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, left, rtol=1e-3, atol=1e-14)
    squares = (rows - rows.mean(dim=0)).square().sum(dim=1)
    assert math.isclose(found.trace, float(squares.mean()), rel_tol=1e-12)
    assert math.isclose(found.trace_error, float(squares.std()) / math.sqrt(20), rel_tol=0.05)
    rank = float(expected.sum() ** 2 / expected.square().sum())
    assert abs(found.effective_rank - rank) <= 4 * found.effective_rank_error + 1e-9
    assert (found.effective_rank_error > 0) == streamed
    assert found.passes == data.passes
    assert found.passes == 1 or streamed
    shapes = {name: v.shape for name, v in found.eigenvectors().items()}
    assert shapes == {name: (6, *p.shape) for name, p in mlp().named_parameters()}


def test_streamed_defaults_are_near(monkeypatch):
    kept = gradient_covariance(mlp(), LOSS, PARTS, 3)
    stream(monkeypatch)
    streamed = gradient_covariance(mlp(), LOSS, PARTS, 3)
    assert streamed.converged
    torch.testing.assert_close(streamed.eigenvalues, kept.eigenvalues, rtol=1e-4, atol=0)
    assert math.isclose(streamed.trace_error, kept.trace_error, rel_tol=1e-10)


def test_differences_of_pairs_give_the_same_matrix():
    """D = 1/N^2 sum over k < l of (g_k - g_l)(g_k - g_l)'."""
    found = gradient_covariance(mlp(), LOSS, PARTS, 57, iterations=400)
    rows = dense_gradients(mlp(), LOSS, *samples())
    apart = (rows[:, None] - rows[None]).flatten(0, 1)
    pairs = apart.T @ apart / 2 / 20**2
    ours = found.vectors.T @ torch.diag(found.eigenvalues) @ found.vectors
    torch.testing.assert_close(ours, pairs, rtol=0, atol=1e-12)
    assert (found.eigenvalues[19:] < 1e-14).all()
    assert found.eigenvalues[18] > 1e-6


@pytest.mark.parametrize("streamed", [False, True])
def test_one_sample_has_no_covariance_and_two_have_rank_one(streamed, monkeypatch):
    if streamed:
        stream(monkeypatch)
    found = gradient_covariance(mlp(), LOSS, [samples(1)], 3)
    assert found.converged
    assert (found.trace, found.trace_error, found.effective_rank) == (0, 0, 0)
    assert found.eigenvalues.abs().max() < 1e-15
    found = gradient_covariance(mlp(), LOSS, [samples(2)], 3)
    rows = dense_gradients(mlp(), LOSS, *samples(2))
    assert math.isclose(float(found.eigenvalues[0]), float((rows[0] - rows[1]).square().sum()) / 4, rel_tol=1e-6)
    assert found.eigenvalues[1:].abs().max() < 1e-15
    if not streamed:
        assert math.isclose(found.effective_rank, 1, rel_tol=1e-9)


@pytest.mark.parametrize("replacement", [True, False])
@pytest.mark.parametrize("size", [1, 4, 19])
def test_mini_batches_have_the_covariance_that_the_factor_says(replacement, size):
    found = gradient_covariance(mlp(), LOSS, PARTS, 3)
    rows = dense_gradients(mlp(), LOSS, *samples())
    generator = torch.Generator().manual_seed(0)
    weights = torch.ones(4000, 20) if replacement else torch.rand(4000, 20, generator=generator)
    if replacement:
        picked = weights.multinomial(size, replacement=True, generator=generator)
    else:
        picked = weights.argsort(dim=1)[:, :size]
    gradients = rows[picked].mean(dim=1)
    along = (gradients - rows.mean(dim=0)) @ found.vectors.T  # by the eigenvectors the variances are the eigenvalues
    measured = along.square().mean(dim=0)
    error = along.square().std(dim=0) / math.sqrt(4000)
    expected = found.factor(size, replacement=replacement) * found.eigenvalues
    assert ((measured - expected).abs() < 4 * error).all()
    crossed = (along[:, 0] * along[:, 1]).mean()
    assert abs(crossed) < 4 * (along[:, 0] * along[:, 1]).std() / math.sqrt(4000)


def test_the_factor_of_all_samples():
    found = gradient_covariance(mlp(), LOSS, PARTS, 1)
    assert found.factor(20, replacement=False) == 0
    assert found.factor(20) == 1 / 20
    assert found.factor(40) == 1 / 40
    assert found.factor(1, replacement=False) == 1
    for wrong, error, sentence in (
        (21, ValueError, "batch_size must be at most 20 without replacement, got 21"),
        (0, ValueError, "batch_size must be at least 1, got 0"),
        (2.0, TypeError, "batch_size must be an int, got 2.0"),
    ):
        with pytest.raises(error, match=sentence):
            found.factor(wrong, replacement=False)


@pytest.mark.parametrize("streamed", [False, True])
def test_the_alignment_with_the_hessian(streamed, monkeypatch):
    hessian = dense_hessian(mlp(), LOSS, *samples())
    dense = dense_covariance(dense_gradients(mlp(), LOSS, *samples()))
    truth = float((hessian @ dense).trace() / hessian.norm() / dense.norm())
    if streamed:
        stream(monkeypatch)
    found = [
        gradient_covariance(mlp(), LOSS, PARTS, 3, hessian_products=n, seed=seed).alignment
        for n, seed in ((30, 0), (8, 1))
    ]
    for one in found:
        assert abs(one.value - truth) < 4 * one.standard_error
    assert found[0].standard_error < 0.5 * truth
    assert found[0].value != found[1].value


def test_the_error_of_the_alignment_is_that_over_seeds():
    hessian = dense_hessian(mlp(), LOSS, *samples())
    dense = dense_covariance(dense_gradients(mlp(), LOSS, *samples()))
    truth = float((hessian @ dense).trace() / hessian.norm() / dense.norm())
    data = [samples()]
    found = [gradient_covariance(mlp(), LOSS, data, 1, hessian_products=20, seed=i).alignment for i in range(12)]
    values = torch.tensor([one.value for one in found])
    errors = torch.tensor([one.standard_error for one in found])
    assert abs(values.mean() - truth) < 4 * values.std() / math.sqrt(12)
    assert 0.5 < errors.square().mean().sqrt() / values.std() < 2


def test_no_hessian_has_no_alignment():
    found = gradient_covariance(
        nn.Linear(5, 1), lambda o, t: o.mean(), [samples(dtype=torch.float32)], hessian_products=4
    )
    assert math.isnan(found.alignment.value)
    assert math.isnan(found.alignment.standard_error)


def test_a_filter_gives_a_block():
    found = gradient_covariance(mlp(), LOSS, PARTS, 4, params="2.*")
    dense = dense_covariance(dense_gradients(mlp(), LOSS, *samples(), {"2.weight", "2.bias"}))
    torch.testing.assert_close(found.eigenvalues, torch.linalg.eigvalsh(dense).flip(0)[:4], rtol=1e-9, atol=0)
    assert set(found.eigenvectors()) == {"2.weight", "2.bias"}


def test_more_samples_than_weights(monkeypatch):
    inputs, targets = samples(200)
    dense = dense_covariance(dense_gradients(mlp(), LOSS, inputs, targets))
    rank = float(dense.trace() ** 2 / dense.square().sum())
    found = gradient_covariance(mlp(), LOSS, [(inputs, targets)], 2)
    assert math.isclose(found.effective_rank, rank, rel_tol=1e-10)
    monkeypatch.setattr(covariance, "DENSE", 10)
    guessed = gradient_covariance(mlp(), LOSS, [(inputs, targets)], 2)
    assert 0 < guessed.effective_rank_error < 0.3 * rank
    assert abs(guessed.effective_rank - rank) < 4 * guessed.effective_rank_error


def test_float32_is_right_to_its_precision():
    expected = gradient_covariance(mlp(), LOSS, PARTS, 5)
    found = gradient_covariance(mlp().float(), LOSS, [samples(dtype=torch.float32)], 5)
    assert found.converged
    torch.testing.assert_close(found.eigenvalues, expected.eigenvalues, rtol=1e-5, atol=0)
    assert math.isclose(found.effective_rank, expected.effective_rank, rel_tol=1e-5)


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"top": 0}, ValueError, "top must be at least 1, got 0"),
        ({"top": "all"}, TypeError, "top must be an int, got 'all'"),
        ({"hessian_products": 3}, ValueError, "hessian_products must be 0 or at least 4, got 3"),
        ({"hessian_products": -1}, ValueError, "hessian_products must be at least 0, got -1"),
        ({"iterations": 9}, ValueError, "iterations must be at least 10, got 9"),
        ({"tolerance": 2}, ValueError, r"tolerance must be in \(0, 1\), got 2"),
        ({"seed": None}, TypeError, "seed must be an int, got None"),
    ],
)
def test_bad_arguments_are_refused(wrong, error, sentence):
    with pytest.raises(error, match=sentence):
        gradient_covariance(mlp(), LOSS, PARTS, **wrong)
