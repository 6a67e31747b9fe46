"""Convolutions of 1 by 1 of few non-zero weights against torch's own, alone and in a model."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional

from steepest.compression import inference
from steepest.compression.inference import SparsePointwise, TernaryLinear, for_inference
from steepest.compression.sparse_pointwise import FORMS, SMALL

CONVOLVE = {1: functional.conv1d, 2: functional.conv2d}
SIDES = {1: [(1,), (SMALL - 1,), (SMALL,)], 2: [(1, 1), (2, 3), (4, SMALL // 4), (1, SMALL - 1)]}


def normal(*shape, dtype=torch.float32, seed=0):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def sparse(rows, columns, dimensions, dtype=torch.float32, sparsity=0.6, seed=0):
    kept = torch.rand(rows, columns, generator=torch.Generator().manual_seed(seed + 1)) >= sparsity
    return (normal(rows, columns, dtype=dtype, seed=seed) * kept).reshape(rows, columns, *(1,) * dimensions)


def convolution(rows, columns, dimensions=2, sparsity=0.6, **options):
    layer = {1: nn.Conv1d, 2: nn.Conv2d}[dimensions](columns, rows, 1, **options)
    layer.load_state_dict({"weight": sparse(rows, columns, dimensions, sparsity=sparsity), "bias": normal(rows)})
    return layer


@st.composite
def cases(draw):
    dimensions, dtype = draw(st.sampled_from([1, 2])), draw(st.sampled_from([torch.float32, torch.float64]))
    rows, columns, seed = draw(st.integers(1, 7)), draw(st.integers(1, 9)), draw(st.integers(0, 99))
    weight = sparse(rows, columns, dimensions, dtype, draw(st.sampled_from([0.0, 0.6, 1.0])), seed)
    sides = draw(st.sampled_from(SIDES[dimensions]))
    count = draw(st.sampled_from([(), (0,), (1,), (3,)]))
    x = 10 ** draw(st.integers(-3, 3)) * normal(*count, columns, *sides, dtype=dtype, seed=seed + 2)
    return x, weight, draw(st.sampled_from([None, normal(rows, dtype=dtype, seed=seed + 3)]))


@settings(deadline=None, max_examples=200)
@given(cases(), st.sampled_from(FORMS))
def test_outputs_are_torchs_within_the_documented_rounding(case, form):
    x, weight, bias = case
    convolve = CONVOLVE[weight.dim() - 2]
    layer = SparsePointwise(weight, bias, form)
    found, right = layer(x), convolve(x, weight, bias)
    number = ((weight != 0).sum(dim=1) + 2).reshape(-1, *(1,) * (weight.dim() - 2))
    size = convolve(x.abs(), weight.abs(), None if bias is None else bias.abs())
    assert found.shape == right.shape
    assert found.dtype == right.dtype
    assert found.is_contiguous()
    assert bool(((found - right).abs() <= number * torch.finfo(x.dtype).eps * size).all())
    assert torch.equal(layer.weight, weight)
    with torch.inference_mode():
        assert torch.equal(layer(x), found)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("side", [3, 8])
def test_images_that_lie_otherwise_in_memory_give_the_same(form, side):
    weight, x = sparse(6, 5, 2), normal(2, 5, side, side).to(memory_format=torch.channels_last)
    torch.testing.assert_close(SparsePointwise(weight, None, form)(x), functional.conv2d(x, weight))
    one = normal(1, side, side, 5).permute(0, 3, 1, 2)
    torch.testing.assert_close(SparsePointwise(weight, None, form)(one), functional.conv2d(one, weight))


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 5, 4), (3, 5, SMALL)])
def test_gradients_pass_to_the_images(form, shape):
    weight, x = sparse(6, 5, 1, torch.float64), normal(*shape, dtype=torch.float64).requires_grad_()
    (found,) = torch.autograd.grad(SparsePointwise(weight, None, form)(x).square().sum(), x)
    (right,) = torch.autograd.grad(functional.conv1d(x, weight).square().sum(), x)
    torch.testing.assert_close(found, right)


def test_small_images_are_multiplied_together_and_others_one_by_one(monkeypatch):
    layer, seen = SparsePointwise(sparse(6, 5, 1)), []
    multiply = layer.linear.multiply_columns
    monkeypatch.setattr(layer.linear, "multiply_columns", lambda x: seen.append(tuple(x.shape)) or multiply(x))
    layer(normal(3, 5, SMALL - 1))
    layer(normal(3, 5, SMALL))
    assert seen == [(5, 3 * (SMALL - 1)), *[(5, SMALL)] * 3]


def test_a_layer_is_made_from_torchs_and_loads_the_state_of_another():
    source = convolution(6, 5)
    layer = SparsePointwise.from_convolution(source, "bag")
    right = source(normal(2, 5, 7, 7)).detach()
    other = SparsePointwise(torch.zeros(6, 5, 1, 1), torch.zeros(6))
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.weight, source.weight)
    with torch.no_grad():
        source.weight.zero_()
        source.bias.zero_()
    torch.testing.assert_close(layer(normal(2, 5, 7, 7)), right)
    torch.testing.assert_close(other(normal(2, 5, 7, 7)), right)
    assert not list(layer.parameters())
    assert (layer.out_channels, layer.in_channels, layer.linear.form) == (6, 5, "bag")


OTHERS = [
    nn.Conv2d(4, 4, 3),
    nn.Conv2d(4, 4, (1, 2)),
    nn.Conv2d(4, 4, 1, stride=(1, 2)),
    nn.Conv2d(4, 4, 1, padding=1),
    nn.Conv2d(4, 4, 1, groups=2),
    nn.Conv1d(4, 4, 1, dilation=2),
    nn.Conv1d(4, 4, 1, padding=1, padding_mode="circular"),
]


@pytest.mark.parametrize("layer", OTHERS, ids=str)
def test_other_convolutions_are_refused(layer):
    with pytest.raises(ValueError, match="convolution must have kernel 1, stride 1, no padding and 1 group, got Conv"):
        SparsePointwise.from_convolution(layer)


@pytest.mark.parametrize("layer", [nn.Conv3d(2, 2, 1), nn.Linear(2, 2), None])
def test_what_is_no_convolution_of_one_or_two_dimensions_is_refused(layer):
    with pytest.raises(TypeError, match=r"convolution must be a torch\.nn\.Conv1d or Conv2d, got"):
        SparsePointwise.from_convolution(layer)


@pytest.mark.parametrize(
    ("weight", "bias", "form", "error", "words"),
    [
        (torch.ones(2, 2), None, "csr", ValueError, r"weight must have the shape \(out, in, 1\) or .*got \(2, 2\)"),
        (torch.ones(2, 2, 3), None, "csr", ValueError, r"got \(2, 2, 3\)"),
        (torch.ones(2, 2, 1, 1, 1), None, "csr", ValueError, r"got \(2, 2, 1, 1, 1\)"),
        (torch.ones(2, 2, 1).half(), None, "csr", ValueError, "float16"),
        (torch.ones(2, 2, 1), torch.ones(3), "csr", ValueError, r"bias must have the shape \(2,\)"),
        (torch.ones(2, 2, 1), None, "csc", ValueError, "form must be one of csr, bag, got 'csc'"),
        ([[[1.0]]], None, "csr", TypeError, "weight must be a tensor, got list"),
    ],
)
def test_what_is_no_weight_of_1_by_1_is_refused(weight, bias, form, error, words):
    with pytest.raises(error, match=words):
        SparsePointwise(weight, bias, form)


@pytest.mark.parametrize(
    "x", [torch.ones(2), torch.ones(1, 3, 4), torch.ones(1, 1, 2, 4), torch.ones(1, 2, 4).double()]
)
def test_images_of_another_shape_or_dtype_are_refused(x):
    with pytest.raises(ValueError, match=r"x must have the shape \(n, 2, length\) .*of torch\.float32, got \("):
        SparsePointwise(torch.ones(2, 2, 1))(x)
    with pytest.raises(ValueError, match=r"x must have the shape \(n, 2, height, width\)"):
        SparsePointwise(torch.ones(2, 2, 1, 1))(x)


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.narrow, self.wide = convolution(4, 6, sparsity=0.9), nn.Conv2d(4, 4, 3)
        self.again, self.last = convolution(5, 4, padding="same"), convolution(3, 5, 1, sparsity=0.7)

    def forward(self, x):
        return self.last(self.again(self.wide(self.narrow(x).relu())).flatten(2))


def faked(monkeypatch, fastest):
    """Let a form be the fastest, and the rest as slow as dense."""
    monkeypatch.setattr(inference, "medians", lambda calls, _: {name: 0.9 + (name != fastest) for name in calls})


@pytest.mark.parametrize("form", FORMS)
def test_a_model_gets_the_fastest_form_and_gives_the_same(form, monkeypatch):
    faked(monkeypatch, form)
    model, x = Net().eval(), normal(2, 6, 9, 8)
    fast, report = for_inference(model, x)
    assert [(layer.name, layer.shape, layer.inputs, layer.chosen) for layer in report.layers] == [
        ("narrow", (4, 6), 2 * 9 * 8, form),
        ("again", (5, 4), 2 * 7 * 6, form),
        ("last", (3, 5), 2 * 7 * 6, form),
    ]
    assert all(set(layer.milliseconds) == {"dense", *FORMS} for layer in report.layers)
    assert all(getattr(fast, layer.name).linear.form == form for layer in report.layers)
    assert type(fast.wide) is nn.Conv2d
    assert report.layers[0].sparsity == float((model.narrow.weight == 0).double().mean())
    assert report.layers[0].held == inference.count_bytes(fast.narrow) < report.layers[0].held_dense
    torch.testing.assert_close(fast(x), model(x))


def test_dense_stays_unless_another_is_clearly_faster(monkeypatch):
    monkeypatch.setattr(inference, "medians", lambda calls, _: {name: 1.0 - 0.04 * (name == "csr") for name in calls})
    fast, report = for_inference(Net(), normal(2, 6, 9, 8))
    assert [layer.chosen for layer in report.layers] == ["dense"] * 3
    assert type(fast.narrow) is nn.Conv2d


@pytest.mark.parametrize("layer", [*OTHERS, nn.Conv3d(4, 4, 1), nn.ConvTranspose2d(4, 4, 1)], ids=str)
def test_other_convolutions_of_zeros_stay(layer, monkeypatch):
    faked(monkeypatch, "csr")
    nn.init.zeros_(layer.weight)
    one = isinstance(layer, nn.Conv1d)
    fast, report = for_inference(layer, normal(2, 4, 6) if one else normal(2, 4, *(6,) * (layer.weight.dim() - 2)))
    assert report.layers == ()
    assert type(fast) is type(layer)


def test_convolutions_that_are_neither_ternary_nor_half_zero_stay(monkeypatch):
    faked(monkeypatch, "bag")
    layer = nn.Conv1d(4, 4, 1)
    fast, report = for_inference(layer, normal(2, 4, 6))
    assert (type(fast), report.layers) == (nn.Conv1d, ())
    nn.init.constant_(layer.weight, 0.5)
    fast, _ = for_inference(layer, normal(2, 4, 6))
    assert isinstance(fast, SparsePointwise)
    torch.testing.assert_close(fast(normal(2, 4, 6)), layer(normal(2, 4, 6)))


def test_a_real_measurement_tells_positive_times_of_both_forms():
    model = nn.Sequential(convolution(4, 6, sparsity=0.9), nn.Flatten(), nn.Linear(4 * 9, 2))
    nn.init.constant_(model[2].weight, 0.5)
    fast, report = for_inference(model, normal(2, 6, 3, 3), seconds=0.01)
    assert set(report.layers[0].milliseconds) == {"dense", *FORMS}
    assert min(report.layers[0].milliseconds.values()) > 0
    assert isinstance(fast[2], nn.Linear | TernaryLinear)
