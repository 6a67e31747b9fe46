"""Ternary layers against torch's own: outputs within rounding, weights exactly, and models with layers replaced."""

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional
from torch.nn.utils import prune

from steepest.compression import inference
from steepest.compression.inference import ReducedLinear, SparseLinear, TernaryLinear, for_inference
from steepest.compression.ternary_linear import FORMS

DTYPES = [torch.float32, torch.float64]


def ternary(rows, columns, dtype=torch.float32, sigma=0.3, sparsity=0.7, seed=0):
    generator = torch.Generator().manual_seed(seed)
    signs = torch.where(torch.rand(rows, columns, generator=generator) < 0.5, sigma, -sigma).to(dtype)
    return signs * (torch.rand(rows, columns, generator=generator) >= sparsity)


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def linear(rows, columns, **options):
    layer = nn.Linear(columns, rows)
    layer.load_state_dict({"weight": ternary(rows, columns, **options), "bias": normal(rows)})
    return layer


def pruned(rows, columns, zeros):
    """A layer of normal weights of which exactly so many are zero."""
    layer = nn.Linear(columns, rows)
    with torch.no_grad():
        layer.weight.copy_(normal(rows, columns, seed=3))
        layer.weight.view(-1)[torch.randperm(rows * columns, generator=torch.Generator().manual_seed(4))[:zeros]] = 0
    return layer


def allowed(x, weight, bias):
    """The documented bound on how far an output may be from torch's."""
    number = (weight != 0).sum(dim=1) + 2
    size = functional.linear(x.abs(), weight.abs(), None if bias is None else bias.abs())
    return number * (torch.finfo(x.dtype).eps * size + torch.finfo(x.dtype).smallest_normal)


@st.composite
def cases(draw, is_ternary=True):
    dtype = draw(st.sampled_from(DTYPES))
    rows, columns = draw(st.integers(1, 9)), draw(st.integers(1, 12))
    width = 32 if dtype == torch.float32 else 64
    sigma = draw(st.floats(2**-10, 2**10, width=32))
    codes = draw(st.lists(st.sampled_from([-1, 0, 0, 1]), min_size=rows * columns, max_size=rows * columns))
    weight = torch.tensor(codes, dtype=dtype).view(rows, columns) * sigma
    if not is_ternary:
        weight = weight * torch.linspace(0.5, 3.0, columns, dtype=dtype)
    shape = draw(st.sampled_from([(), (1,), (3,), (0,), (2, 1, 3)]))
    numbers = st.floats(-1e6, 1e6, width=width)
    count = columns * int(torch.tensor(shape, dtype=torch.int64).prod())
    x = torch.tensor(draw(st.lists(numbers, min_size=count, max_size=count)), dtype=dtype).view(*shape, columns)
    bias = torch.tensor(draw(st.lists(numbers, min_size=rows, max_size=rows)), dtype=dtype)
    return x, weight, draw(st.sampled_from([None, bias]))


@settings(deadline=None, max_examples=200)
@given(cases(), st.sampled_from(FORMS), st.sampled_from([SparseLinear, TernaryLinear]))
def test_outputs_are_torchs_within_the_documented_rounding(case, form, kind):
    check_outputs(kind, form, *case)


@settings(deadline=None, max_examples=200)
@given(cases(is_ternary=False), st.sampled_from(FORMS))
def test_weights_of_any_values_give_torchs_outputs_and_come_back_exactly(case, form):
    check_outputs(SparseLinear, form, *case)
    assert torch.equal(SparseLinear(case[1], form=form).weight, case[1])


def check_outputs(kind, form, x, weight, bias):
    layer = kind(weight, bias, form)
    right = functional.linear(x, weight, bias)
    found = layer(x)
    assert found.shape == right.shape
    assert found.dtype == right.dtype
    assert found.is_contiguous()
    assert bool(((found - right).abs() <= allowed(x, weight, bias)).all())
    with torch.inference_mode():
        assert torch.equal(layer(x), found)


@settings(deadline=None, max_examples=100)
@given(cases())
def test_a_layer_without_its_empty_rows_and_columns_gives_the_same(case):
    x, weight, bias = case
    layer = ReducedLinear(weight, bias)
    right = functional.linear(x, weight, bias)
    assert layer(x).shape == right.shape
    assert bool(((layer(x) - right).abs() <= allowed(x, weight, bias)).all())
    assert torch.equal(layer.weight, weight)


@settings(deadline=None)
@given(cases())
def test_the_dense_weight_comes_back_exactly(case):
    _, weight, bias = case
    layer = TernaryLinear(weight, bias)
    assert torch.equal(layer.dense_weight(), weight)
    assert layer.dense_weight().dtype == weight.dtype
    assert layer.sigma == float(weight.abs().max())


@pytest.mark.parametrize("form", FORMS)
def test_inputs_that_lie_otherwise_in_memory_give_the_same(form):
    weight = ternary(7, 11)
    x = normal(11, 5).t()
    torch.testing.assert_close(TernaryLinear(weight, None, form)(x), functional.linear(x, weight))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("batch", [1, 4])
def test_gradients_pass_to_the_inputs(form, batch):
    weight, x = ternary(7, 11, torch.float64), normal(batch, 11, dtype=torch.float64).requires_grad_()
    (found,) = torch.autograd.grad(TernaryLinear(weight, None, form)(x).square().sum(), x)
    (right,) = torch.autograd.grad(functional.linear(x, weight).square().sum(), x)
    torch.testing.assert_close(found, right)


def test_only_what_is_not_zero_is_held():
    weight = ternary(100, 200, sparsity=0.9)
    layer = TernaryLinear(weight, torch.ones(100))
    count = int((weight != 0).sum())
    assert inference.count_bytes(layer) == 8 * count + 4 * 101 + 4 * 100


def test_a_state_loads_into_a_layer_of_other_weights():
    layer = TernaryLinear(ternary(6, 9), normal(6))
    other = TernaryLinear(ternary(6, 9, sigma=2.0, sparsity=0.2, seed=1), torch.zeros(6))
    model = nn.Sequential(other)
    model.load_state_dict(nn.Sequential(layer).state_dict())
    assert torch.equal(other.dense_weight(), layer.dense_weight())
    assert torch.equal(other.bias, layer.bias)
    assert torch.equal(other(normal(2, 9)), layer(normal(2, 9)))


def test_a_state_of_another_shape_is_refused():
    layer = TernaryLinear(ternary(6, 9), normal(6))
    with pytest.raises(RuntimeError, match="size mismatch for crow"):
        layer.load_state_dict(TernaryLinear(ternary(5, 9), normal(6)[:5]).state_dict())


def test_a_layer_is_made_from_torchs_and_shares_nothing_with_it():
    source = linear(4, 6)
    layer = TernaryLinear.from_linear(source, "bag")
    right = source(normal(2, 6)).detach()
    with torch.no_grad():
        source.weight.zero_()
        source.bias.zero_()
    torch.testing.assert_close(layer(normal(2, 6)), right)
    assert not list(layer.parameters())


def test_a_layer_tells_what_it_is():
    text = "in_features=2, out_features=2, bias=False, sigma=0.25, sparsity=0.7500, form='csc'"
    assert repr(TernaryLinear(torch.tensor([[0.25, 0.0], [0.0, 0.0]]), form="csc")) == f"TernaryLinear({text})"


def test_a_sparse_layer_is_made_from_torchs_and_tells_what_it_is():
    source = pruned(4, 6, 18)
    layer = SparseLinear.from_linear(source, "bag")
    assert type(layer) is SparseLinear
    assert repr(layer) == "SparseLinear(in_features=6, out_features=4, bias=True, sparsity=0.7500, form='bag')"
    torch.testing.assert_close(layer(normal(2, 6)), source(normal(2, 6)).detach())


def test_a_ternary_layer_is_a_sparse_one_whose_state_has_the_same_keys():
    weight = ternary(6, 9)
    assert issubclass(TernaryLinear, SparseLinear)
    assert list(TernaryLinear(weight, normal(6)).state_dict()) == ["crow", "col", "values", "bias"]
    other = SparseLinear(torch.zeros(6, 9), torch.zeros(6))
    other.load_state_dict(TernaryLinear(weight, normal(6)).state_dict())
    assert torch.equal(other.weight, weight)


@pytest.mark.parametrize(
    ("weight", "bias", "form", "error", "words"),
    [
        (torch.tensor([[1.0, 2.0]]), None, "csr", ValueError, "sizes 1 and 2"),
        (torch.tensor([[1.0, float("nan")]]), None, "csr", ValueError, "sizes 1 and nan"),
        (torch.tensor([[float("inf")]]), None, "csr", ValueError, "sizes inf"),
        (torch.ones(3), None, "csr", ValueError, r"shape \(out, in\)"),
        (torch.ones(2, 2, dtype=torch.float16), None, "csr", ValueError, "float16"),
        (torch.ones(2, 2, device="meta"), None, "csr", ValueError, "meta"),
        ([[1.0]], None, "csr", TypeError, "list"),
        (torch.ones(2, 2), torch.ones(3), "csr", ValueError, r"bias must have the shape \(2,\)"),
        (torch.ones(2, 2), torch.ones(2).double(), "csr", ValueError, "float64"),
        (torch.ones(2, 2), None, "coo", ValueError, "csr, csc, bag, got 'coo'"),
    ],
)
def test_what_is_no_ternary_layer_is_refused(weight, bias, form, error, words):
    with pytest.raises(error, match=words):
        TernaryLinear(weight, bias, form)


@pytest.mark.parametrize("x", [torch.ones(()), torch.ones(2, 3), torch.ones(2, 2).double()])
@pytest.mark.parametrize("form", FORMS)
def test_inputs_of_another_shape_or_dtype_are_refused(x, form):
    with pytest.raises(ValueError, match=r"x must have 2 values of torch\.float32 in its last dimension"):
        TernaryLinear(torch.ones(2, 2), None, form)(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first, self.second = linear(30, 20, sparsity=0.9), linear(30, 30, sparsity=0.9, seed=1)
        self.again, self.free, self.unused = self.second, nn.Linear(30, 5), linear(3, 3)
        self.drop = nn.Dropout(0.5)

    def forward(self, x):
        x = self.first(x).relu()
        return self.free(self.drop(self.again(self.second(x).relu())))


def faked(monkeypatch, fastest):
    """Let a form be the fastest, and the rest as slow as dense."""
    monkeypatch.setattr(inference, "medians", lambda calls, _: {name: 0.9 + (name != fastest) for name in calls})


@pytest.mark.parametrize("form", FORMS)
def test_a_model_gets_the_fastest_form_and_gives_the_same(form, monkeypatch):
    faked(monkeypatch, form)
    model, x = Net(), normal(4, 20)
    before = copy.deepcopy(model.state_dict())
    fast, report = for_inference(model, x)
    assert [(layer.name, layer.chosen, layer.inputs) for layer in report.layers] == [
        ("first", form, 4),
        ("second", form, 4),
    ]
    assert isinstance(fast.first, TernaryLinear)
    assert fast.first.form == form
    assert fast.second is fast.again
    assert isinstance(fast.second, TernaryLinear)
    assert type(fast.free) is nn.Linear
    assert type(fast.unused) is nn.Linear
    assert not fast.training
    assert model.training
    assert type(model.first) is nn.Linear
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in before.items())
    torch.testing.assert_close(fast(x), model.eval()(x))
    assert report.layers[0].held < report.layers[0].held_dense
    assert form in str(report)
    assert "the model: " in str(report)


def test_dense_stays_unless_another_is_clearly_faster(monkeypatch):
    monkeypatch.setattr(inference, "medians", lambda calls, _: {name: 1.0 - 0.04 * (name == "csr") for name in calls})
    fast, report = for_inference(Net(), normal(4, 20))
    assert {layer.chosen for layer in report.layers} == {"dense"}
    assert type(fast.first) is nn.Linear
    assert report.layers[0].held == report.layers[0].held_dense
    assert (report.layers[0].dense, report.layers[0].ternary) == (1.0, 0.96)


def test_empty_rows_or_columns_are_left_out_where_there_are_some(monkeypatch):
    faked(monkeypatch, "reduced")
    layer = linear(8, 6, sparsity=0.0)
    fast, report = for_inference(layer, normal(2, 6))
    assert "reduced" not in report.layers[0].milliseconds
    assert type(fast) is nn.Linear
    with torch.no_grad():
        layer.weight[:, 2] = 0
    fast, report = for_inference(layer, normal(2, 6))
    assert isinstance(fast, ReducedLinear)
    assert fast.kept.shape == (8, 5)
    torch.testing.assert_close(fast(normal(2, 6)), layer(normal(2, 6)))


def test_layers_with_hooks_and_shared_weights_stay(monkeypatch):
    faked(monkeypatch, "csr")
    hooked, one, other = linear(5, 5), linear(5, 5), linear(5, 5)
    other.weight = one.weight
    seen = []
    hooked.register_forward_hook(lambda *_: seen.append(1))
    fast, report = for_inference(nn.Sequential(hooked, one, other), normal(1, 5))
    assert report.layers == ()
    assert all(type(layer) is nn.Linear for layer in fast)
    assert not fast[1]._forward_pre_hooks
    assert len(fast[0]._forward_hooks) == 1


@pytest.mark.parametrize(("zeros", "measured"), [(29, False), (30, True), (54, True)])
def test_layers_of_any_values_are_measured_where_half_of_them_are_zero(zeros, measured, monkeypatch):
    faked(monkeypatch, "csr")
    model = pruned(6, 10, zeros)
    fast, report = for_inference(model, normal(2, 10))
    assert [layer.sparsity for layer in report.layers] == [zeros / 60] * measured
    assert type(fast) is (SparseLinear if measured else nn.Linear)
    torch.testing.assert_close(fast(normal(2, 10)), model(normal(2, 10)))


def test_layers_that_torch_still_masks_stay_until_the_mask_is_removed(monkeypatch):
    faked(monkeypatch, "csr")
    model = nn.Sequential(nn.Linear(10, 6))
    prune.l1_unstructured(model[0], "weight", amount=0.8)
    with torch.no_grad():
        right = model(normal(2, 10))  # torch copies a masked layer only after a call that asks for no gradients
    fast, report = for_inference(model, normal(2, 10))
    assert report.layers == ()
    assert type(fast[0]) is nn.Linear
    prune.remove(model[0], "weight")
    fast, _ = for_inference(model, normal(2, 10))
    assert type(fast[0]) is SparseLinear
    torch.testing.assert_close(fast(normal(2, 10)), right)


def test_a_layer_whose_weight_is_no_parameter_stays(monkeypatch):
    faked(monkeypatch, "csr")
    layer = pruned(6, 10, 54)
    weight = layer.weight.detach()
    del layer.weight
    layer.register_buffer("weight", weight)
    fast, report = for_inference(layer, normal(2, 10))
    assert (type(fast), report.layers) == (nn.Linear, ())


def test_no_hook_is_left_while_it_is_measured(monkeypatch):
    def looks(calls, _):
        assert not any(layer._forward_pre_hooks for call in calls.values() for layer in call.func.modules())
        return dict.fromkeys(calls, 1.0)

    monkeypatch.setattr(inference, "medians", looks)
    for_inference(Net(), normal(4, 20))


def test_a_model_of_several_arguments_takes_them_as_a_tuple(monkeypatch):
    faked(monkeypatch, "csc")

    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = linear(3, 4)

        def forward(self, x, y):
            return self.layer(x + y)

    fast, _ = for_inference(Two(), (normal(2, 4), normal(2, 4)))
    assert isinstance(fast.layer, TernaryLinear)


def test_a_real_measurement_tells_positive_times_of_every_form():
    fast, report = for_inference(Net(), normal(4, 20), seconds=0.01)
    assert {"dense", *FORMS} <= set(report.layers[0].milliseconds)
    assert min(report.layers[0].milliseconds.values()) > 0
    assert report.model > 0
    assert report.after > 0
    assert report.threads == torch.get_num_threads()
    assert fast(normal(4, 20)).shape == (4, 5)


@pytest.mark.parametrize(
    ("model", "options", "error", "words"),
    [
        (3, {}, TypeError, "model must be a torch.nn.Module, got int"),
        (nn.Linear(2, 2, device="meta"), {}, ValueError, "must be on the CPU, got one on meta"),
        (nn.Linear(2, 2), {"seconds": 0}, ValueError, "seconds must be a finite number above 0, got 0"),
    ],
)
def test_bad_arguments_are_refused(model, options, error, words):
    with pytest.raises(error, match=words):
        for_inference(model, torch.ones(1, 2), **options)
