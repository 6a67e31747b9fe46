"""The largest eigenvalue of the Hessian: against known spectra and dense Hessians, and that nothing else is touched."""

import gc
import math
import weakref

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import checkpoint
from torch.utils.data import DataLoader, TensorDataset

from steepest.diagnostics import HessianEigenvalue, largest_hessian_eigenvalue
from steepest.diagnostics.lanczos import lanczos
from tests.diagnostics.problems import (
    ONE_BATCH,
    Counted,
    Quadratic,
    Restless,
    dense_eigenvalues,
    mean,
    mlp,
    same,
    samples,
    state_of,
    symmetric,
)

SPECTRA = {
    "positive": [1.0, 2.0, 3.0, 7.0],
    "negative-dominates": [-100.0, -1.0, 0.5, 2.0],
    "all-negative": [-9.0, -4.0, -0.25],
    "largest-is-zero": [-9.0, -4.0, 0.0, 0.0],
    "double": [-1.0, 3.0, 5.0, 5.0],
    "multiple-of-identity": [2.5, 2.5, 2.5],
    "one-parameter": [-6.0],
    "wide": [-1e6, *(float(i) for i in range(40)), 41.0],
    "small": [1e-12, 3e-12, -4e-12],
}


def close(value, expected, relative):
    return math.isclose(value, float(expected), rel_tol=relative)


@pytest.mark.parametrize("name", SPECTRA)
def test_a_known_spectrum(name):
    spectrum = SPECTRA[name]
    found = largest_hessian_eigenvalue(Quadratic(symmetric(spectrum)), mean, ONE_BATCH, tolerance=1e-6)
    assert found.converged
    assert abs(found.value - max(spectrum)) <= max(1e-6 * abs(max(spectrum)), 1e-14 * max(map(abs, spectrum)))


@pytest.mark.parametrize("name", ["positive", "negative-dominates", "all-negative", "double"])
def test_float32_is_right_to_its_precision(name):
    spectrum = SPECTRA[name]
    found = largest_hessian_eigenvalue(Quadratic(symmetric(spectrum).float()), mean, ONE_BATCH, tolerance=1e-5)
    assert found.converged
    assert abs(found.value - max(spectrum)) <= 1e-5 * max(map(abs, spectrum))


def test_tiny_float32_curvature_does_not_vanish():
    found = largest_hessian_eigenvalue(Quadratic(1e-25 * symmetric([1.0, 2.0, 7.0]).float()), mean, ONE_BATCH)
    assert found.converged
    assert found.residual > 0
    assert close(found.value, 7e-25, 1e-3)


def test_a_loss_that_is_linear_has_the_value_zero():
    found = largest_hessian_eigenvalue(nn.Linear(5, 1), mean, [(torch.ones(4, 5), torch.zeros(4))])
    assert found == HessianEigenvalue(value=0.0, residual=0.0, iterations=1, converged=True)


def test_linear_regression():
    inputs, _ = samples()
    found = largest_hessian_eigenvalue(
        nn.Linear(5, 1, bias=False).double(), nn.MSELoss(), [(inputs, inputs[:, :1])], tolerance=1e-6
    )
    assert close(found.value, torch.linalg.eigvalsh(2 * inputs.T @ inputs / len(inputs))[-1], 1e-6)


def test_a_network_against_its_dense_hessian():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = largest_hessian_eigenvalue(model, loss_fn, [samples()], tolerance=1e-6)
    assert found.converged
    assert close(found.value, dense_eigenvalues(model, loss_fn, *samples())[-1], 1e-6)
    usual = largest_hessian_eigenvalue(model, loss_fn, [samples()])
    assert usual.iterations < found.iterations
    assert close(usual.value, found.value, 1e-4)  # the error goes with the square of the residual


def test_unequal_batches_are_one_batch():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    inputs, targets = samples()
    whole = largest_hessian_eigenvalue(model, loss_fn, [(inputs, targets)], tolerance=1e-8)
    sizes = [1, 0, 12, 7]
    parts = list(zip(inputs.split(sizes), targets.split(sizes), strict=True))
    loader = DataLoader(TensorDataset(inputs, targets), batch_size=6, shuffle=True)
    for data in (parts, tuple(map(list, parts)), loader):
        found = largest_hessian_eigenvalue(model, loss_fn, data, tolerance=1e-8)
        assert close(found.value, whole.value, 1e-9)
        assert found.iterations == whole.iterations


def test_frozen_parameters_are_left_out():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    everything = largest_hessian_eigenvalue(model, loss_fn, [samples()], tolerance=1e-6)
    model[2].requires_grad_(False)
    found = largest_hessian_eigenvalue(model, loss_fn, [samples()], tolerance=1e-6)
    assert close(found.value, dense_eigenvalues(model, loss_fn, *samples())[-1], 1e-6)
    assert found.value < 0.9 * everything.value
    assert model[2].weight.grad is None


def test_a_tied_parameter_counts_once():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(5, 5, bias=False), nn.Tanh(), nn.Linear(5, 5, bias=False)).double()
    model[2].weight = model[0].weight
    inputs, _ = samples()
    found = largest_hessian_eigenvalue(model, nn.MSELoss(), [(inputs, inputs.flip(0))], tolerance=1e-6)
    expected = dense_eigenvalues(model, nn.MSELoss(), inputs, inputs.flip(0))
    assert len(expected) == 25
    assert close(found.value, expected[-1], 1e-6)


def test_parameters_that_the_loss_does_not_use_have_no_curvature():
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    found = largest_hessian_eigenvalue(model, loss_fn, [samples()], tolerance=1e-6)
    model.unused = nn.Linear(4, 4).double()
    model.forward = lambda x: model[2](model[1](model[0](x)))
    assert close(largest_hessian_eigenvalue(model, loss_fn, [samples()], tolerance=1e-6).value, found.value, 1e-6)
    # With negative curvature alone, it is those parameters that hold the largest eigenvalue.
    concave = Quadratic(symmetric([-3.0, -1.0]))
    concave.unused = nn.Parameter(torch.ones(2, dtype=torch.float64))
    found = largest_hessian_eigenvalue(concave, mean, ONE_BATCH)
    assert abs(found.value) < 1e-12


def test_parameters_of_two_precisions():
    class Head(nn.Linear):
        def forward(self, x):
            return super().forward(x.float())

    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    expected = largest_hessian_eigenvalue(model, loss_fn, [samples()])
    head = Head(6, 3)
    head.load_state_dict(model[2].state_dict())
    model[2] = head
    assert close(largest_hessian_eigenvalue(model, loss_fn, [samples()]).value, expected.value, 1e-5)


def test_attention_whose_fast_kernels_cannot_be_differentiated_twice():
    class Attention(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.query = nn.Linear(4, 4).double()

        def forward(self, x):
            return nn.functional.scaled_dot_product_attention(self.query(x), x, x)

    model, inputs = Attention(), torch.randn(3, 2, 6, 4, generator=torch.Generator().manual_seed(1)).double()
    found = largest_hessian_eigenvalue(model, nn.MSELoss(), [(inputs, inputs.flip(0))], tolerance=1e-6)
    with sdpa_kernel(SDPBackend.MATH):
        expected = dense_eigenvalues(model, nn.MSELoss(), inputs, inputs.flip(0))[-1]
    assert close(found.value, expected, 1e-6)


@settings(deadline=None, max_examples=60)
@given(
    rest=st.lists(st.floats(-10, 10), min_size=1, max_size=12),
    top=st.floats(-5, 5),
    gap=st.floats(0.5, 5),
    seed=st.integers(0, 1000),
)
def test_any_symmetric_matrix_with_a_gap(rest, top, gap, seed):
    spectrum = [min(value, top - gap) for value in rest] + [top]
    model = Quadratic(symmetric(spectrum, seed))
    found = largest_hessian_eigenvalue(model, mean, ONE_BATCH, tolerance=1e-6, seed=seed)
    scale = max(map(abs, spectrum))
    assert found.converged
    assert found.iterations <= len(spectrum)
    assert abs(found.value - top) <= 1e-6 * abs(top) + 1e-13 * scale
    # Some eigenvalue lies within the residual.
    assert min(abs(found.value - value) for value in spectrum) <= found.residual + 1e-13 * scale


@pytest.mark.parametrize("iterations", [1, 2, 3, 5, 100])
def test_the_residual_is_that_of_the_vector_found(iterations):
    matrix, asked = symmetric([-20.0, *(0.1 * i for i in range(30))]), []

    def product(vector):
        asked.append(vector.clone())
        return matrix @ vector

    start = torch.randn(31, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = lanczos(product, start, iterations, 1e-3)
    vector = asked[-1]
    assert close(vector.norm(), 1, 1e-12)
    assert close(found.value, vector @ matrix @ vector, 1e-9)
    assert close(found.residual, torch.linalg.vector_norm(matrix @ vector - found.value * vector), 1e-9)
    assert found.converged == (found.residual <= 1e-3 * abs(found.value)) == (iterations == 100)
    # And the public function is this process, on products by double backward.
    public = largest_hessian_eigenvalue(Quadratic(matrix), mean, ONE_BATCH, iterations=iterations, seed=0)
    assert close(public.residual, found.residual, 1e-6)
    assert public[2:] == found[2:]


def test_an_inexact_product_shows_in_the_residual():
    matrix = symmetric([1.0, 2.0, 3.0, 7.0])
    start = torch.ones(4, dtype=torch.float64)
    # The process itself believes that four steps exhaust four dimensions.
    found = lanczos(lambda v: (matrix @ v).bfloat16().double(), start, 100, 1e-6)
    assert 1e-4 < found.residual < 1e-1
    assert not found.converged
    assert lanczos(lambda v: matrix @ v, start, 100, 1e-6).converged
    found = lanczos(lambda v: (matrix @ v).float().double(), start, 100, 1e-6)
    assert found.iterations == 4
    assert found.converged


def test_the_lanczos_vectors_are_orthonormal_and_exhaust_the_space():
    n, asked = 50, []
    spectrum = torch.cat([torch.tensor([-1e6]), torch.linspace(1, 2, n - 1)]).double()

    def product(vector):
        asked.append(vector.clone())
        return spectrum * vector

    start = torch.ones(n, dtype=torch.float64)
    start[1:] *= 1e-8  # almost an eigenvector, where one round of orthogonalisation is too little
    found = lanczos(product, start, iterations=10**9, tolerance=1e-15)
    basis = torch.stack(asked[:-1])
    assert len(basis) == found.iterations <= n
    torch.testing.assert_close(basis @ basis.T, torch.eye(len(basis), dtype=torch.float64), rtol=0, atol=1e-13)
    assert found.converged
    assert close(found.value, 2, 1e-9)


def test_a_start_that_hardly_sees_the_largest_eigenvalue_does_not_end_the_search():
    spectrum = torch.tensor([1.0] * 30 + [1.5], dtype=torch.float64)
    start = torch.ones(31, dtype=torch.float64)
    start[-1] = 1e-4  # the residual is at once below the tolerance, at 1
    found = lanczos(lambda v: spectrum * v, start, 100, 1e-3)
    assert close(found.value, 1.5, 1e-6)


@pytest.mark.parametrize("iterations", [1, 4, 100])
def test_iterations_bound_the_passes_over_the_data(iterations):
    data = Counted([samples()])
    found = largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), data, iterations=iterations)
    assert found.iterations <= iterations
    assert data.passes == found.iterations + 1
    assert found.converged == (iterations == 100)


def test_a_smaller_tolerance_gives_a_smaller_residual():
    found = [
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), [samples()], tolerance=tolerance)
        for tolerance in (0.5, 1e-2, 1e-4, 1e-8)
    ]
    for tolerance, one in zip((0.5, 1e-2, 1e-4, 1e-8), found, strict=True):
        assert one.converged
        assert one.residual <= tolerance * one.value
    assert [one.iterations for one in found] == sorted({one.iterations for one in found})


def test_the_seed_fixes_the_result_and_hardly_matters():
    runs = [largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), [samples()], seed=seed) for seed in (0, 0, 1)]
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert close(runs[0].value, runs[2].value, 1e-3)


def test_the_start_does_not_depend_on_the_defaults_of_torch():
    model, data = mlp(), [samples()]
    expected = largest_hessian_eigenvalue(model, nn.CrossEntropyLoss(), data)
    torch.set_default_device("meta")
    try:
        assert largest_hessian_eigenvalue(model, nn.CrossEntropyLoss(), data) == expected
    finally:
        torch.set_default_device(None)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(mode):
    model, loss_fn = mlp(), nn.CrossEntropyLoss()
    loader = DataLoader(TensorDataset(*samples()), batch_size=20)
    expected = largest_hessian_eigenvalue(model, loss_fn, loader)
    with mode():
        assert largest_hessian_eigenvalue(model, loss_fn, loader) == expected


def test_batch_norm_and_dropout_are_in_evaluation_mode_and_nothing_is_touched():
    model, loss_fn = mlp(nn.BatchNorm1d(6), nn.Dropout(0.5)), nn.CrossEntropyLoss()
    inputs, targets = samples()
    for _ in range(3):
        loss_fn(model(inputs), targets).backward()
    model[2].eval()
    model[4].bias.grad = None
    before = state_of(model)
    runs = [largest_hessian_eigenvalue(model, loss_fn, [(inputs, targets)], tolerance=1e-6) for _ in range(2)]
    assert same(state_of(model), before)
    assert before["modes"] == [True, True, True, False, True, True]
    assert runs[0] == runs[1]
    assert close(runs[0].value, dense_eigenvalues(model, loss_fn, inputs, targets)[-1], 1e-6)


@pytest.mark.parametrize("fails", [False, True])
def test_a_restless_model_is_left_as_it_was_even_after_an_error(fails):
    model, calls = mlp(Restless()), []

    def loss_fn(outputs, targets):
        calls.append(1)
        if fails and len(calls) == 4:
            raise KeyError("from the loss")
        return nn.functional.cross_entropy(outputs, targets)

    model[0].training = False
    before = {k: v for k, v in state_of(model).items() if k != "tensors"}
    buffers = [(id(b), b.clone()) for b in model.buffers()]
    loader = DataLoader(TensorDataset(*samples()), 8, shuffle=True, generator=torch.Generator().manual_seed(3))
    order = loader.generator.get_state()
    if fails:
        with pytest.raises(KeyError, match="from the loss"):
            largest_hessian_eigenvalue(model, loss_fn, loader)
    else:
        # Every pass sees the same dropout: otherwise the change of the loss is refused.
        found = largest_hessian_eigenvalue(model, loss_fn, loader)
        assert found == largest_hessian_eigenvalue(model, loss_fn, loader)
    assert same({k: v for k, v in state_of(model).items() if k != "tensors"}, before)
    assert same([(id(b), b) for b in model.buffers()], buffers)
    assert torch.equal(loader.generator.get_state(), order)


class Token:
    pass


def test_no_graph_outlives_its_batch():
    model, graphs, alive = mlp(), [], []
    inputs, targets = samples()

    def loss_fn(outputs, targets):
        token = Token()
        outputs.grad_fn.register_hook(lambda *_, held=token: None)  # lives as long as the graph does
        alive.append(sum(graph() is not None for graph in graphs))
        graphs.append(weakref.ref(token))
        return nn.functional.cross_entropy(outputs, targets)

    gc.collect()
    gc.disable()
    try:
        largest_hessian_eigenvalue(model, loss_fn, [(inputs, targets)] * 3, iterations=3)
        assert len(alive) == 12 + 2 * 3  # of the first and the last batch also what finite differences need
        assert set(alive) == {0}
        assert [graph() for graph in graphs] == [None] * len(alive)
    finally:
        gc.enable()
    reference = weakref.ref(model)
    del model, loss_fn
    assert reference() is None


def test_nested_sequences_are_not_pairs_of_tensors():
    with pytest.raises(TypeError, match=r"data must give pairs .* one batch alone is \[\(inputs, targets\)\]"):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), samples(2))
    with pytest.raises(TypeError, match=r"data must give pairs .* got list"):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), [[samples()]])
    with pytest.raises(TypeError, match=r"data must give pairs .* first dimension"):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), [(torch.tensor(1.0), torch.tensor(1.0))])


def test_data_that_cannot_be_iterated_again_is_refused():
    for once in ((batch for batch in [samples()]), map(tuple, [samples()]), iter([samples()])):
        with pytest.raises(
            TypeError, match=r"data must be iterable several times, got .*: pass a list or a DataLoader"
        ):
            largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), once)
    with pytest.raises(TypeError, match=r"data must give batches, got TensorDataset: pass DataLoader"):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), TensorDataset(*samples()))
    with pytest.raises(TypeError, match="data must be a list of batches or a DataLoader, got int"):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), 3)


def test_data_that_changes_between_passes_is_refused():
    class Growing(list):
        def __iter__(self):
            self.append(samples(4))
            return super().__iter__()

    class Noisy(list):
        noise = 0.0

        def __iter__(self):
            self.noise += 1e-3
            return iter([(inputs + self.noise, targets) for inputs, targets in list.__iter__(self)])

    for data in (Growing([samples()]), Noisy([samples()])):
        with pytest.raises(RuntimeError, match=r"the loss over data changed from .* without random augmentation"):
            largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), data)


def test_batches_may_come_in_another_order():
    inputs, targets = samples(40, torch.float32)

    class Dealt:
        """The same samples in other batches each time, and by no random state of torch."""

        turn = 0

        def __iter__(self):
            self.turn += 1
            order = (torch.arange(40) * [1, 7, 9][self.turn % 3]) % 40
            return iter([(inputs[part], targets[part]) for part in order.split(3 + self.turn % 4)])

    model, loss_fn = mlp().float(), nn.CrossEntropyLoss()
    expected = largest_hessian_eigenvalue(model, loss_fn, [(inputs, targets)])
    assert close(largest_hessian_eigenvalue(model, loss_fn, Dealt()).value, expected.value, 1e-4)


def test_rounding_ends_the_search_where_the_tolerance_is_below_it():
    model = mlp().float()
    found = largest_hessian_eigenvalue(
        model, nn.CrossEntropyLoss(), [samples(dtype=torch.float32)], iterations=1000, tolerance=1e-12
    )
    assert found.converged
    assert found.iterations < sum(p.numel() for p in model.parameters()) // 2
    assert 1e-12 * found.value < found.residual < 1e-5 * found.value


@pytest.mark.parametrize("data", [[], [(torch.zeros(0, 5).double(), torch.zeros(0).long())]])
def test_no_samples_are_refused(data):
    with pytest.raises(ValueError, match="data must hold at least one sample, got none"):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), data)


@pytest.mark.parametrize(
    ("wrong", "error", "sentence"),
    [
        ({"iterations": 0}, ValueError, "iterations must be at least 1, got 0"),
        ({"iterations": 2.0}, TypeError, "iterations must be an int, got 2.0"),
        ({"iterations": True}, TypeError, "iterations must be an int, got True"),
        ({"tolerance": 0.0}, ValueError, r"tolerance must be in \(0, 1\), got 0.0"),
        ({"tolerance": 1}, ValueError, r"tolerance must be in \(0, 1\), got 1"),
        ({"tolerance": math.nan}, ValueError, r"tolerance must be in \(0, 1\), got nan"),
        ({"tolerance": "small"}, TypeError, "tolerance must be a float, got 'small'"),
        ({"seed": 1.5}, TypeError, "seed must be an int, got 1.5"),
    ],
)
def test_bad_arguments_are_refused(wrong, error, sentence):
    with pytest.raises(error, match=sentence):
        largest_hessian_eigenvalue(mlp(), nn.CrossEntropyLoss(), [samples()], **wrong)


def test_models_that_cannot_be_measured_are_refused():
    loss_fn, data = nn.CrossEntropyLoss(), [samples()]
    for nothing in (mlp().requires_grad_(False), nn.Tanh()):
        with pytest.raises(ValueError, match="model must have a parameter with requires_grad=True, got none in"):
            largest_hessian_eigenvalue(nothing, loss_fn, data)
    with pytest.raises(TypeError, match=r"model must be a torch.nn.Module, got function"):
        largest_hessian_eigenvalue(mean, loss_fn, data)
    with pytest.raises(TypeError, match=r"float32 or float64, got torch.bfloat16: use a copy in float32"):
        largest_hessian_eigenvalue(mlp().bfloat16(), loss_fn, data)


def test_a_sharded_model_is_refused():
    wrapped = type("FullyShardedDataParallel", (nn.Sequential,), {})(mlp())
    with pytest.raises(TypeError, match=r"must not be sharded, got FullyShardedDataParallel"):
        largest_hessian_eigenvalue(wrapped, nn.CrossEntropyLoss(), [samples()])


@pytest.mark.parametrize("where", ["loss", "second derivative"])
def test_what_is_not_finite_is_refused(where):
    data = [samples(2), samples(3)]

    def loss_fn(outputs, targets):
        if where == "loss" and len(outputs) == 3:
            return outputs.mean() * math.inf
        return (outputs - outputs.detach()).pow(1.5).mean()  # 0, with the gradient 0

    with pytest.raises(RuntimeError, match="the loss over data must be finite" if where == "loss" else "not smooth"):
        largest_hessian_eigenvalue(mlp(), loss_fn, data)


def test_a_loss_that_is_no_number_is_refused():
    for loss_fn, got in ((nn.CrossEntropyLoss(reduction="none"), r"shape \(20,\)"), (lambda o, t: 1.0, "float")):
        with pytest.raises(ValueError, match=f"loss_fn must return one number, .* got {got}"):
            largest_hessian_eigenvalue(mlp(), loss_fn, [samples()])


def test_parameters_that_the_graph_does_not_show_are_refused():
    class Hidden(nn.Module):
        def __init__(self, forward):
            super().__init__()
            self.inside, self.head, self.way = mlp(), nn.Linear(3, 3).double(), forward

        def forward(self, x):
            return self.head(self.way(self.inside, x.clone().requires_grad_()))

    expected = largest_hessian_eigenvalue(Hidden(lambda f, x: f(x)), nn.CrossEntropyLoss(), [samples()])
    fine = Hidden(lambda f, x: checkpoint(f, x, use_reentrant=False))
    assert largest_hessian_eigenvalue(fine, nn.CrossEntropyLoss(), [samples()]).iterations == expected.iterations
    # Its parameters would silently count as unused, and the head's alone would give the value.
    reentrant = Hidden(lambda f, x: checkpoint(f, x, use_reentrant=True))
    with pytest.raises(RuntimeError, match="use_reentrant=False only"):
        largest_hessian_eigenvalue(reentrant, nn.CrossEntropyLoss(), [samples()])
    for loss_fn in (lambda o, t: o.detach().mean(), lambda o, t: torch.ones((), requires_grad=True)):
        with pytest.raises(RuntimeError, match="does not depend on any trainable parameter"):
            largest_hessian_eigenvalue(mlp(), loss_fn, [samples()])
