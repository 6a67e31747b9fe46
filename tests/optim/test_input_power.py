"""What track_input_power measures, when it counts, and what it refuses."""

import copy
import gc
import pickle

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.utils.checkpoint import checkpoint

from steepest import track_input_power
from steepest.optim import tracked as tracked_layers
from steepest.optim.tracked import collect, records_of

NORMS = {"l1": np.abs, "l2": np.square}


def measured(*weights):
    """Mean power over the rows since the last call; NaN if there were none."""
    found = collect([(w, records_of(w)) for w in weights])
    means = [total / rows for total, rows in found]
    return means[0] if len(means) == 1 else means


def randn(*shape, seed=0, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def close(actual, expected):
    torch.testing.assert_close(actual, torch.as_tensor(expected, dtype=actual.dtype).reshape(-1), rtol=1e-12, atol=0)


@settings(max_examples=30, deadline=None)
@given(
    n=st.integers(1, 3),
    channels=st.integers(1, 4),
    space=st.lists(st.integers(1, 5), min_size=1, max_size=3),
    norm=st.sampled_from(list(NORMS)),
    seed=st.integers(0, 9),
    batched=st.booleans(),
)
def test_a_convolution_has_one_power_for_each_input_channel(n, channels, space, norm, seed, batched):
    conv = [nn.Conv1d, nn.Conv2d, nn.Conv3d][len(space) - 1](channels, 2, 1).double()
    track_input_power(conv, norm=norm)
    x = randn(n, channels, *space, seed=seed)
    conv(x if batched else x[0])
    rows = x.numpy() if batched else x.numpy()[:1]
    expected = [np.mean([NORMS[norm](row[c]).sum() for row in rows]) for c in range(channels)]
    close(measured(conv.weight), expected)


@settings(max_examples=30, deadline=None)
@given(
    shape=st.lists(st.integers(1, 4), min_size=1, max_size=4), norm=st.sampled_from(list(NORMS)), seed=st.integers(0, 9)
)
def test_a_linear_layer_has_one_power_the_mean_over_its_rows(shape, norm, seed):
    linear = nn.Linear(shape[-1], 2).double()
    track_input_power(linear, norm=norm)
    x = randn(*shape, seed=seed)
    linear(input=x)
    close(measured(linear.weight), np.mean([NORMS[norm](row).sum() for row in x.reshape(-1, shape[-1]).numpy()]))


@settings(max_examples=60, deadline=None)
@given(
    size=st.tuples(st.integers(5, 8), st.integers(5, 8)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    dilation=st.tuples(st.integers(1, 2), st.integers(1, 2)),
    padding=st.tuples(st.integers(0, 2), st.integers(0, 2)) | st.sampled_from(["same", "valid"]),
    mode=st.sampled_from(["zeros", "reflect", "replicate", "circular"]),
    groups=st.sampled_from([1, 2, 4]),
    norm=st.sampled_from(list(NORMS)),
)
def test_patch_power_is_that_of_the_unfolded_patches(size, kernel, stride, dilation, padding, mode, groups, norm):
    stride = (1, 1) if padding == "same" else stride
    conv = nn.Conv2d(4, 4, kernel, stride, padding, dilation, groups, padding_mode=mode).double()
    track_input_power(conv, norm=norm, patch=True)
    x = randn(3, 4, *size)
    outputs = conv(x)
    padded = F.pad(x, conv._reversed_padding_repeated_twice, mode="constant" if mode == "zeros" else mode)
    patches = F.unfold(padded, kernel, dilation, 0, stride)  # (N, C * kernel, positions)
    assert patches.shape[2] == outputs[0, 0].numel()
    of_a_group = patches.reshape(3, groups, -1, patches.shape[2]).numpy()
    close(measured(conv.weight), NORMS[norm](of_a_group).sum(axis=2).mean())


@pytest.mark.parametrize("dimensions", [1, 3])
def test_patch_power_in_one_and_three_dimensions(dimensions):
    conv = [nn.Conv1d, None, nn.Conv3d][dimensions - 1](2, 3, 3, stride=2, padding=1).double()
    track_input_power(conv, patch=True)
    x = randn(2, 2, *[6, 5, 4][:dimensions])
    ones = torch.ones(1, 2, *[3] * dimensions, dtype=torch.float64)
    convolve = [F.conv1d, None, F.conv3d][dimensions - 1]
    conv(x)
    close(measured(conv.weight), convolve(x.square(), ones, stride=2, padding=1).mean().item())


@pytest.mark.parametrize("scale", [0.1, 1.0, 1e3])
def test_standardized_power_does_not_depend_on_the_input(scale):
    """As in the authors' code: H * W - 1, whatever the input."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2), nn.Linear(12, 2))
    track_input_power(model, standardize=True)
    model(scale * randn(8, 3, 4, 8, dtype=torch.float32) + scale)
    conv, linear = measured(model[0].weight, model[2].weight)
    torch.testing.assert_close(conv, torch.full((3,), 31.0), rtol=1e-5, atol=0)
    torch.testing.assert_close(linear, torch.tensor([11.0]), rtol=1e-5, atol=0)


@pytest.mark.parametrize("deviation", [1e-4, 1e-3, 5e-3])
def test_a_deviation_below_a_hundredth_counts_as_a_hundredth(deviation):
    """As in the authors' code, ``torch.clamp(std_inp, min=0.01)``: next to nothing is not blown up to a signal."""
    x = randn(8, 3, 4, 8)
    x = deviation * (x - x.mean((2, 3), keepdim=True)) / x.std((2, 3), keepdim=True) + 2
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2)).double()
    track_input_power(model, standardize=True)
    model(x)
    expected = torch.full((3,), 31 * (deviation / 0.01) ** 2, dtype=torch.float64)
    torch.testing.assert_close(measured(model[0].weight), expected, rtol=1e-9, atol=0)


@pytest.mark.parametrize("value", [0.0, 0.3, 1e-30, 3e5])
def test_standardized_power_of_a_constant_is_zero(value):
    """The rounded mean of 0.3 is not 0.3: a deviation of pure rounding must not pass for a signal."""
    model = nn.Sequential(nn.Conv2d(2, 4, 3, padding=1), nn.Flatten(2), nn.Linear(77, 2))
    track_input_power(model, standardize=True)
    model(torch.full((3, 2, 7, 11), value))
    assert torch.equal(measured(model[0].weight), torch.zeros(2))
    pixel = nn.Conv2d(2, 4, 1)
    track_input_power(pixel, standardize=True)
    pixel(torch.full((3, 2, 1, 1), value) + torch.tensor([0.0, 1.0]).view(2, 1, 1))
    assert torch.equal(measured(pixel.weight), torch.zeros(2))


def test_standardized_power_of_an_input_whose_variance_underflows_is_zero():
    linear = nn.Linear(3, 1)
    track_input_power(linear, standardize=True)
    linear(torch.tensor([[1e-30, 2e-30, 3e-30]]))
    assert measured(linear.weight).item() == 0


def test_calls_and_accumulated_batches_are_pooled_by_rows():
    linear = nn.Linear(3, 3).double()
    track_input_power(linear)
    x, y = randn(2, 3), randn(5, 4, 3, seed=1)
    linear(linear(x))
    linear(y)
    rows = torch.cat([x, linear(x).detach(), y.reshape(-1, 3), x])
    close(measured(linear.weight), rows.square().sum(1).mean().item())
    linear(x)
    close(measured(linear.weight), x.square().sum(1).mean().item())  # a new step forgets the rows of the last one
    assert measured(linear.weight).isnan()


@pytest.mark.parametrize("reentrant", [False, True])
def test_recomputation_changes_no_mean(reentrant):
    linear = nn.Linear(3, 3).double()
    track_input_power(linear)
    x = randn(4, 3).requires_grad_()
    checkpoint(lambda x: linear(x).tanh(), x, use_reentrant=reentrant).sum().backward()
    close(measured(linear.weight), x.detach().square().sum(1).mean().item())


def test_an_empty_batch_has_no_rows():
    model = nn.Sequential(nn.Conv2d(2, 2, 1), nn.Flatten(), nn.Linear(8, 1))
    track_input_power(model)
    model(torch.ones(0, 2, 2, 2))
    assert measured(model[0].weight).isnan().all()
    model(torch.ones(1, 2, 2, 2))
    assert torch.equal(measured(model[0].weight), torch.full((2,), 4.0))


def test_only_training_passes_with_gradients_count():
    linear = nn.Linear(3, 1)
    track_input_power(linear)
    linear.eval()
    linear(torch.ones(2, 3))
    linear.train()
    with torch.no_grad():
        linear(torch.ones(2, 3))
    linear.weight.requires_grad_(False)
    linear(torch.ones(2, 3))
    linear.weight.requires_grad_(True)
    assert measured(linear.weight).isnan()
    linear(torch.ones(2, 3))
    assert measured(linear.weight).item() == pytest.approx(3)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("patch", [False, True])
def test_half_precision_is_measured_in_float32(dtype, patch):
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Flatten(), nn.Linear(1024, 1)).to(dtype)
    track_input_power(model, patch=patch)
    model(torch.full((2, 1, 32, 32), 300.0, dtype=dtype))  # the sum of squares is beyond float16
    conv = measured(model[0].weight)
    assert conv.dtype == torch.float32
    assert conv.item() == (9e4 if patch else 9e4 * 1024)


def test_autocast_measures_what_the_layer_is_given():
    model = nn.Sequential(nn.Conv2d(2, 3, 3, padding=1), nn.Flatten(), nn.Linear(48, 2))
    x = randn(4, 2, 4, 4, dtype=torch.float32)
    for patch in (False, True):
        with track_input_power(model, patch=patch):
            model(x)
            plain = measured(model[0].weight)
            with torch.autocast("cpu", torch.bfloat16):
                model(x)
            torch.testing.assert_close(measured(model[0].weight), plain, rtol=1e-6, atol=0)


def test_a_model_may_be_moved_after_tracking():
    linear = nn.Linear(3, 1)
    track_input_power(linear)
    linear.double()
    x = randn(4, 3)
    linear(x)
    power = measured(linear.weight)
    assert power.dtype == torch.float64
    close(power, x.square().sum(1).mean().item())


@pytest.mark.parametrize(("norm", "expected"), [("l1", 6.0), ("l2", 26.0)])
def test_complex_input(norm, expected):
    linear, conv = nn.Linear(2, 1, dtype=torch.complex128), nn.Conv1d(2, 1, 1, dtype=torch.complex128)
    track_input_power(linear, norm=norm)
    track_input_power(conv, norm=norm, patch=True)
    x = torch.tensor([[3 + 4j, 1j]], dtype=torch.complex128)
    linear(x)
    conv(x.unsqueeze(-1))
    for weight in (linear.weight, conv.weight):
        power = measured(weight)
        assert power.dtype == torch.float64
        close(power, expected)


def test_a_shared_weight_has_one_record_of_both_layers():
    first, second = nn.Linear(3, 3, bias=False).double(), nn.Linear(3, 3, bias=False).double()
    second.weight = first.weight
    model = nn.Sequential(first, nn.Tanh(), second)
    track_input_power(model)
    x = randn(4, 3)
    model(x)
    rows = torch.cat([x, first(x).tanh().detach(), x])
    close(measured(first.weight), rows.square().sum(1).mean().item())


def test_a_tied_embedding_is_covered_by_the_linear_layer_alone():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(5, 3), nn.Linear(3, 5)
            self.head.weight = self.table.weight

        def forward(self, tokens):
            return self.head(self.table(tokens))

    model = Tied()
    handle = track_input_power(model)
    assert handle.uncovered() == ["head.bias"]
    tokens = torch.tensor([[0, 1], [2, 2]])
    model(tokens)
    expected = model.table(tokens).detach().square().sum(-1).mean()
    torch.testing.assert_close(measured(model.table.weight).squeeze(), expected)


class Zoo(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.bn = nn.BatchNorm2d(4)
        self.up = nn.ConvTranspose2d(4, 4, 3, bias=False)
        self.table = nn.Embedding(4, 4)
        self.rnn = nn.RNN(4, 4, bias=False)
        self.attention = nn.MultiheadAttention(4, 1, bias=False)
        self.parametrized = nn.utils.parametrizations.weight_norm(nn.Linear(4, 4, bias=False))
        self.head = nn.Linear(4, 2)
        self.scale = nn.Parameter(torch.ones(1))


def test_uncovered_lists_every_parameter_without_a_tracked_input():
    model = Zoo()
    handle = track_input_power(model)
    expected = {
        "scale",
        "bn.weight",
        "bn.bias",
        "up.weight",
        "table.weight",
        "rnn.weight_ih_l0",
        "rnn.weight_hh_l0",
        "attention.in_proj_weight",
        "attention.out_proj.weight",
        "parametrized.parametrizations.weight.original0",
        "parametrized.parametrizations.weight.original1",
        "head.bias",
    }
    assert set(handle.uncovered()) == set(handle.uncovered(model.parameters())) == expected
    assert handle.uncovered(model.head) == ["bias"]
    assert handle.uncovered([("mine", model.scale), ("weight", model.head.weight)]) == ["mine"]
    assert handle.uncovered([{"params": [model.conv.weight, nn.Parameter(torch.ones(1))]}]) == ["params[1]"]
    assert handle.uncovered([{"params": [("b", model.head.bias)]}, {"params": model.conv.weight}]) == ["b"]
    groups = torch.optim.SGD(model.named_parameters(), lr=1.0).param_groups
    assert set(handle.uncovered(groups)) == expected


def test_remove_and_context_manager():
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    with track_input_power(model):
        assert records_of(model[1].weight)
    assert not records_of(model[0].weight)
    assert not model[0]._forward_pre_hooks
    handle = track_input_power(model)
    assert handle.uncovered() == ["0.bias", "1.bias"]
    handle.remove()
    handle.remove()


def test_a_collected_model_leaves_nothing_behind():
    gc.collect()
    before = len(tracked_layers._tracked)
    model = nn.Linear(2, 2)
    handle = track_input_power(model)
    assert len(tracked_layers._tracked) == before + 1
    del model
    gc.collect()
    assert len(tracked_layers._tracked) == before
    assert handle.uncovered() == []
    handle.remove()


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))], ids=["copy", "pickle"])
def test_a_copy_of_the_model_is_not_tracked_and_does_not_count(copier):
    model = nn.Linear(3, 1)
    track_input_power(model)
    copied = copier(model)
    copied(torch.ones(2, 3))
    assert measured(model.weight).isnan()
    assert not records_of(copied.weight)
    track_input_power(copied)
    copied(torch.ones(2, 3))
    assert measured(copied.weight).item() == pytest.approx(3)


def test_the_state_dict_is_as_before():
    model = nn.Conv2d(2, 2, 1)
    keys = list(model.state_dict())
    track_input_power(model)
    assert list(model.state_dict()) == keys
    assert not vars(model.weight)


def shared_by_unlike_convolutions():
    model = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1, groups=2))
    model[1].weight = model[0].weight
    return model


def compiled_in_place():
    model = nn.Sequential(nn.Linear(2, 2))
    model[0].compile(backend="eager")
    return model


def tracked():
    model = nn.Linear(2, 2)
    track_input_power(model)
    return nn.Sequential(model)


@pytest.mark.parametrize(
    ("make", "options", "message"),
    [
        (lambda: nn.Linear(2, 2), {"norm": "l3"}, "norm must be 'l1' or 'l2', got 'l3'"),
        (lambda: nn.LayerNorm(2), {}, "must have an nn.Linear or nn.Conv1d/2d/3d to track, got LayerNorm"),
        (lambda: nn.Sequential(nn.LazyLinear(2)), {}, "layer '0' has no shape yet: run a batch"),
        (tracked, {}, r"layer '0' is tracked already: call remove\(\)"),
        (shared_by_unlike_convolutions, {}, "the weight of '1' is shared with a layer whose input has other channels"),
        (compiled_in_place, {}, "compiled already, .*: track first, then compile"),
        (lambda: torch.compile(nn.Linear(2, 2), backend="eager"), {}, "compiled already, .*: track first"),
    ],
    ids=["norm", "nothing", "lazy", "twice", "unlike", "compiled-in-place", "compiled"],
)
def test_what_cannot_be_tracked_is_refused_and_leaves_no_hook(make, options, message):
    model = make()
    hooks = [len(m._forward_pre_hooks) for m in model.modules()]
    with pytest.raises(ValueError, match=message):
        track_input_power(model, **options)
    assert [len(m._forward_pre_hooks) for m in model.modules()] == hooks


@pytest.mark.parametrize("options", [{}, {"patch": True, "norm": "l1"}, {"standardize": True}], ids=str)
@pytest.mark.slow
def test_compiled_after_tracking_measures_the_same_and_compiles_once(options):
    from torch._dynamo.testing import CompileCounterWithBackend  # a second, for these tests alone

    torch._dynamo.reset()
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3, groups=2), nn.ReLU(), nn.Flatten(), nn.Linear(16, 2)).double()
    counter = CompileCounterWithBackend("aot_eager")
    track_input_power(model, **options)
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for seed in range(4):
        x = randn(5, 2, 4, 4, seed=seed)
        powers = []
        for forward in (model, compiled):
            forward(x).sum().backward()
            powers.append(measured(model[0].weight, model[3].weight))
        torch.testing.assert_close(powers[1], powers[0], rtol=1e-12, atol=0)
        assert not powers[1][0].isnan().any()
    assert counter.frame_count == 1
