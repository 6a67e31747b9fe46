"""Eigenvalues at either end: against dense matrices, curvlinops, and spectra that are known."""

import numpy as np
import pytest
import torch
from curvlinops import EFLinearOperator, GGNLinearOperator, HessianLinearOperator
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from steepest.diagnostics import hessian_eigenvalues, largest_hessian_eigenvalue
from tests.diagnostics.problems import (
    DENSE,
    ONE_BATCH,
    Counted,
    Quadratic,
    dense_eigenvalues,
    dense_ggn,
    dense_gradients,
    dense_hessian,
    mean,
    mlp,
    samples,
    symmetric,
)

PEERS = {"hessian": HessianLinearOperator, "ggn": GGNLinearOperator, "fisher": EFLinearOperator}
PARTS = [tuple(part) for part in zip(*(t.split([1, 12, 7]) for t in samples()), strict=True)]


def ends(values, k, which):
    """Of dense eigenvalues, ascending: those that are asked for, descending."""
    values = values.flip(0)
    k = min(k, len(values))
    if which == "both":
        return values if 2 * k >= len(values) else torch.cat([values[:k], values[-k:]])
    return values[:k] if which == "largest" else values[-k:]


def check(found, matrix, k, which, relative=1e-4):
    """Values, order, unit vectors at right angles, and residuals that are true."""
    matrix = matrix.detach()
    everything = torch.linalg.eigvalsh(matrix)
    expected, scale = ends(everything, k, which), float(everything.abs().max())
    assert found.converged
    torch.testing.assert_close(found.eigenvalues, expected.double(), rtol=0, atol=relative * scale)
    assert found.eigenvalues.dtype == torch.float64
    assert (found.eigenvalues.diff() <= 0).all()
    vectors = found.vectors
    torch.testing.assert_close(vectors @ vectors.T, torch.eye(len(vectors)).to(vectors), rtol=0, atol=1e-6)
    left = (vectors @ matrix - found.eigenvalues[:, None] * vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, left.double(), rtol=1e-6, atol=1e-12 * scale)


@pytest.mark.parametrize("matrix", DENSE)
@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
def test_a_network_against_its_dense_matrix(matrix, which):
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    # Those of no full rank have copies of 0, which are found once the rest is used up.
    tolerance = 1e-3 if matrix == "hessian" or which == "largest" else 1e-9
    found = hessian_eigenvalues(model, loss_fn, PARTS, 5, which=which, matrix=matrix, tolerance=tolerance)
    check(found, DENSE[matrix](model, loss_fn, *samples()), 5, which)
    assert found.samples == 20
    assert len(found.eigenvalues) == (10 if which == "both" else 5)


@pytest.mark.parametrize("matrix", DENSE)
def test_a_mean_squared_error_against_its_dense_matrix(matrix):
    model, (inputs, _) = mlp(), samples()
    targets = inputs[:, :3].tanh()
    found = hessian_eigenvalues(model, nn.MSELoss(), [(inputs, targets)], 5, matrix=matrix, tolerance=1e-5)
    check(found, DENSE[matrix](model, nn.MSELoss(), inputs, targets), 5, "largest", 1e-6)


@pytest.mark.parametrize("matrix", DENSE)
@pytest.mark.slow
def test_curvlinops_has_the_same_matrix(matrix):
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = hessian_eigenvalues(model, loss_fn, PARTS, 57, matrix=matrix, tolerance=1e-10)
    params = list(model.parameters())
    operator = PEERS[matrix](model, loss_fn, params, PARTS, check_deterministic=False)
    peer = (operator @ torch.eye(57).double()).detach()
    ours = found.vectors.T @ torch.diag(found.eigenvalues) @ found.vectors
    torch.testing.assert_close(ours, peer, rtol=0, atol=1e-9 * float(peer.abs().max()))


@pytest.mark.parametrize("matrix", DENSE)
def test_float32_is_right_to_its_precision(matrix):
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    expected = torch.linalg.eigvalsh(DENSE[matrix](model, loss_fn, *samples())).flip(0)[:5]
    found = hessian_eigenvalues(model.float(), loss_fn, [samples(dtype=torch.float32)], 5, matrix=matrix)
    assert found.converged
    torch.testing.assert_close(found.eigenvalues, expected, rtol=1e-4, atol=0)


@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
@pytest.mark.parametrize("k", [56, 57, 58, 1000])
@pytest.mark.slow
def test_as_many_as_there_are_parameters(k, which):
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = hessian_eigenvalues(model, loss_fn, [samples()], k, which=which, iterations=2000, tolerance=1e-9)
    check(found, dense_hessian(model, loss_fn, *samples()), k, which, 1e-9)
    assert found.iterations <= 57


SPECTRA = {
    "double": [-1.0, 3.0, 5.0, 5.0],
    "many-fold": [-2.0, -2.0, -2.0, 0.0, 0.0, 4.0, 4.0, 4.0, 1.0],
    "multiple-of-identity": [2.5, 2.5, 2.5, 2.5],
    "low-rank": [7.0, 3.0, *[0.0] * 12],
    "negative": [-9.0, -4.0, -4.0, -0.25],
    "zero": [0.0] * 6,
    "small": [1e-12, 3e-12, 3e-12, -4e-12],
    "wide": [-1e6, *(float(i) for i in range(12)), 41.0],
}


@pytest.mark.parametrize("name", SPECTRA)
@pytest.mark.parametrize("which", ["largest", "smallest", "both"])
@pytest.mark.parametrize("k", [2, 3, 5])
def test_a_known_spectrum_with_its_copies(name, which, k):
    spectrum = SPECTRA[name]
    found = hessian_eigenvalues(Quadratic(symmetric(spectrum)), mean, ONE_BATCH, k, which=which, tolerance=1e-9)
    expected = ends(torch.tensor(sorted(spectrum), dtype=torch.float64), k, which)
    assert found.converged
    scale = max(1e-300, *map(abs, spectrum))
    torch.testing.assert_close(found.eigenvalues, expected, rtol=0, atol=1e-9 * scale)


def test_every_output_of_a_linear_model_has_a_copy():
    model, (inputs, _) = nn.Linear(5, 3, bias=False).double(), samples()
    found = hessian_eigenvalues(model, nn.MSELoss(), [(inputs, inputs[:, :3])], 7, tolerance=1e-6)
    of_one = torch.linalg.eigvalsh(2 / 3 * inputs.T @ inputs / len(inputs)).flip(0)
    torch.testing.assert_close(found.eigenvalues, of_one.repeat_interleave(3)[:7])


@settings(deadline=None, max_examples=40)
@given(
    spectrum=st.lists(st.integers(-6, 6), min_size=1, max_size=10),
    k=st.integers(1, 12),
    which=st.sampled_from(["largest", "smallest", "both"]),
    seed=st.integers(0, 1000),
)
def test_any_small_spectrum(spectrum, k, which, seed):
    model = Quadratic(symmetric([float(x) for x in spectrum], seed))
    found = hessian_eigenvalues(model, mean, ONE_BATCH, k, which=which, tolerance=1e-12, seed=seed)
    expected = ends(torch.tensor(sorted(map(float, spectrum)), dtype=torch.float64), k, which)
    assert found.converged
    torch.testing.assert_close(found.eigenvalues, expected, rtol=0, atol=1e-11)


def test_more_eigenvalues_than_the_rank():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    few = samples(4)
    found = hessian_eigenvalues(model, loss_fn, [few], 8, matrix="fisher")
    check(found, DENSE["fisher"](model, loss_fn, *few), 8, "largest")
    assert found.eigenvalues[3] > 1e-3
    assert (found.eigenvalues[4:].abs() < 1e-13).all()


def test_the_largest_is_the_same_as_that_of_sharpness():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = hessian_eigenvalues(model, loss_fn, PARTS, tolerance=1e-4, seed=3)
    alone = largest_hessian_eigenvalue(model, loss_fn, PARTS, tolerance=1e-4, seed=3)
    assert (float(found.eigenvalues), float(found.residuals), found.iterations, found.converged) == alone


def test_eigenvectors_by_name():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = hessian_eigenvalues(model, loss_fn, PARTS, 2)
    vectors = found.eigenvectors()
    assert {name: v.shape[1:] for name, v in vectors.items()} == {n: p.shape for n, p in model.named_parameters()}
    flat = torch.cat([v.reshape(2, -1) for v in vectors.values()], dim=1)
    assert torch.equal(flat, found.vectors)

    def function(t):
        moved = {n: p + t * vectors[n][0] for n, p in model.named_parameters()}
        return loss_fn(functional_call(model, moved, (samples()[0],)), samples()[1])

    step = 1e-3
    with torch.no_grad():
        second = (function(step) - 2 * function(0.0) + function(-step)) / step**2
    torch.testing.assert_close(second, found.eigenvalues[0], rtol=1e-5, atol=0)


@pytest.mark.parametrize("matrix", DENSE)
@pytest.mark.parametrize(
    "params",
    ["2.*", ["2.weight", "2.bias"], ("*.weight",), lambda name, p: p.dim() == 1, "?.bias"],
    ids=["pattern", "two", "ending", "function", "mark"],
)
def test_a_filter_gives_the_block_of_the_dense_matrix(matrix, params):
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    names = {
        "2.*": {"2.weight", "2.bias"},
        ("*.weight",): {"0.weight", "2.weight"},
    }.get(params if isinstance(params, str | tuple) else "", {"2.weight", "2.bias"})
    if callable(params) or params == "?.bias":
        names = {"0.bias", "2.bias"}
    found = hessian_eigenvalues(model, loss_fn, PARTS, 4, matrix=matrix, params=params, tolerance=1e-6)
    check(found, DENSE[matrix](model, loss_fn, *samples(), names), 4, "largest")
    assert set(found.eigenvectors()) == names


@pytest.mark.parametrize("matrix", DENSE)
def test_tied_frozen_and_unused_parameters(matrix):
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.first = nn.Linear(5, 5)
            self.frozen = nn.Linear(5, 5).requires_grad_(False)
            self.unused = nn.Linear(2, 2)
            self.last = nn.Linear(5, 5, bias=False)
            self.last.weight = self.first.weight

        def forward(self, x):
            return self.last(self.frozen(self.first(x).tanh()).tanh())

    model, loss_fn = Net().double(), nn.CrossEntropyLoss()
    dense = DENSE[matrix](model, loss_fn, *samples())
    assert len(dense) == 36
    check(hessian_eigenvalues(model, loss_fn, PARTS, 5, matrix=matrix), dense, 5, "largest")
    names = {"first.weight"}
    found = hessian_eigenvalues(model, loss_fn, PARTS, 5, matrix=matrix, params="last.*")
    check(found, DENSE[matrix](model, loss_fn, *samples(), names), 5, "largest")
    assert set(found.eigenvectors()) == names
    found = hessian_eigenvalues(model, loss_fn, PARTS, 40, matrix=matrix, which="both", tolerance=1e-6)
    check(found, dense, 40, "both")
    assert found.vectors.shape == (36, 36)


@pytest.mark.parametrize("which", ["largest", "both"])
def test_iterations_bound_the_passes(which):
    data = Counted([samples()])
    found = hessian_eigenvalues(mlp(), nn.CrossEntropyLoss(), data, 3, which=which, iterations=8, tolerance=1e-12)
    values = 6 if which == "both" else 3
    assert not found.converged
    assert len(found.eigenvalues) == values
    assert (found.iterations, found.passes, data.passes) == (8, 8 + values, 8 + values)
    assert found.seconds > 0


def test_residuals_that_have_not_converged_are_true():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    matrix = dense_hessian(model, loss_fn, *samples())
    found = hessian_eigenvalues(model, loss_fn, PARTS, 3, iterations=4, tolerance=1e-9)
    assert not found.converged
    left = (found.vectors @ matrix - found.eigenvalues[:, None] * found.vectors).norm(dim=1)
    torch.testing.assert_close(found.residuals, left)
    near = (torch.linalg.eigvalsh(matrix)[None] - found.eigenvalues[:, None]).abs().min(dim=1).values
    assert (near <= found.residuals).all()
    assert found.residuals.max() > 1e-3


def test_a_search_that_may_not_last_until_all_values_are_there_is_refused():
    with pytest.raises(ValueError, match="iterations must be at least 7, got 6"):
        hessian_eigenvalues(mlp(), nn.CrossEntropyLoss(), PARTS, 7, iterations=6)
    with pytest.raises(ValueError, match="iterations must be at least 8, got 7"):
        hessian_eigenvalues(mlp(), nn.CrossEntropyLoss(), PARTS, 4, which="both", iterations=7)


def test_the_seed_fixes_the_result():
    runs = [hessian_eigenvalues(mlp(), nn.CrossEntropyLoss(), PARTS, 3, seed=seed) for seed in (0, 0, 1)]
    assert torch.equal(runs[0].vectors, runs[1].vectors)
    assert not torch.equal(runs[0].vectors, runs[2].vectors)
    torch.testing.assert_close(runs[0].eigenvalues, runs[2].eigenvalues, rtol=1e-4, atol=0)


def test_gauss_newton_of_a_loss_that_is_linear_in_the_outputs_is_refused():
    with pytest.raises(RuntimeError, match="the loss is linear in what the model returns, so that its Gauss-Newton"):
        hessian_eigenvalues(mlp(), mean, PARTS, matrix="ggn")


def test_gauss_newton_of_a_loss_that_also_takes_the_weights_is_refused():
    model = mlp()

    def loss_fn(outputs, targets):
        return nn.functional.cross_entropy(outputs, targets) + 0.1 * model[0].weight.square().sum()

    with pytest.raises(RuntimeError, match="loss_fn must depend on the weights by what the model returns alone"):
        hessian_eigenvalues(model, loss_fn, PARTS, matrix="ggn")
    # Of the other layer alone, the penalty says nothing.
    found = hessian_eigenvalues(model, loss_fn, PARTS, matrix="ggn", params="2.*")
    expected = dense_ggn(model, nn.CrossEntropyLoss(), *samples(), {"2.weight", "2.bias"})
    torch.testing.assert_close(found.eigenvalues[0], torch.linalg.eigvalsh(expected)[-1], rtol=1e-4, atol=0)


def test_gauss_newton_of_a_model_that_returns_several_things():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = mlp()

        def forward(self, x):
            hidden = self.inner[0](x)
            return {"logits": self.inner[2](self.inner[1](hidden)), "hidden": hidden, "count": len(x), "mask": x > 0}

    model = Two()

    def loss_fn(outputs, targets):
        return nn.functional.cross_entropy(outputs["logits"], targets) + outputs["hidden"].square().mean()

    def flat_loss(outputs, targets):
        return nn.functional.cross_entropy(outputs[:, :3], targets) + outputs[:, 3:].square().mean()

    class Joined(Two):
        def forward(self, x):
            found = super().forward(x)
            return torch.cat([found["logits"], found["hidden"]], dim=1)

    joined = Joined()
    check(
        hessian_eigenvalues(model, loss_fn, PARTS, 4, matrix="ggn"),
        dense_ggn(joined, flat_loss, *samples()),
        4,
        "largest",
    )


@pytest.mark.parametrize("matrix", DENSE)
def test_an_end_that_is_zero_and_wide_numbers(matrix):
    """Eigenvalues that numpy finds too, of a model whose matrix is known without differentiating."""
    inputs = samples()[0]
    targets = inputs.sum(dim=1, keepdim=True) + 1
    model = nn.Linear(5, 1, bias=False).double()
    with torch.no_grad():
        model.weight.fill_(1)  # the residual is -1 for every sample
    x = inputs.numpy()
    expected = np.linalg.eigvalsh((4 if matrix == "fisher" else 2) * x.T @ x / len(x))[::-1]
    found = hessian_eigenvalues(model, nn.MSELoss(), [(inputs, targets)], 5, matrix=matrix, tolerance=1e-8)
    np.testing.assert_allclose(found.eigenvalues.numpy(), expected, rtol=1e-8)


def test_dense_oracles_agree():
    """The Fisher matrix at expected targets is the Gauss-Newton matrix: else the oracles themselves were wrong."""
    model, (inputs, _) = mlp(), samples(6)
    chance = model(inputs).softmax(dim=1).detach()
    total = 0
    for label in range(3):
        targets = torch.full((6,), label)

        rows = dense_gradients(model, nn.CrossEntropyLoss(), inputs, targets)
        total = total + (rows * chance[:, label : label + 1]).T @ rows / 6
    torch.testing.assert_close(total, dense_ggn(model, nn.CrossEntropyLoss(), inputs, targets))
    assert dense_eigenvalues(model, nn.CrossEntropyLoss(), inputs, targets).shape == (57,)
