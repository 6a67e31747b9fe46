"""A parametrised model's weights under the names, and in the order, of the plain model."""

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from steepest.compression.format.file import load_compressed, save_compressed
from steepest.compression.format.plain import plain_state_dict
from tests.compression.states import assert_same


class Halved(nn.Module):
    def forward(self, weight):
        return weight / 2

    def right_inverse(self, weight):
        return weight


class Half(nn.Module):
    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, weight):
        return weight * self.scale


CASES = {
    "linear": (lambda: nn.Linear(4, 3), {"": ["weight"]}),
    "no bias": (lambda: nn.Linear(4, 3, bias=False), {"": ["weight"]}),
    "bias alone": (lambda: nn.Linear(4, 3), {"": ["bias"]}),
    "nested": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(4, 2)), {"0": ["weight", "bias"], "1": ["weight"]}),
    "batch norm": (lambda: nn.BatchNorm2d(4), {"": ["running_var", "weight"]}),
    "lstm": (lambda: nn.LSTM(3, 4, 2, bidirectional=True), {"": ["weight_ih_l0", "weight_hh_l1_reverse"]}),
    "gru": (lambda: nn.GRU(3, 4), {"": ["bias_hh_l0"]}),
    "attention": (lambda: nn.MultiheadAttention(4, 2, kdim=3), {"": ["k_proj_weight"], "out_proj": ["weight"]}),
    "transformer": (
        lambda: nn.TransformerEncoderLayer(8, 2, 16), {"linear1": ["weight"], "self_attn": ["in_proj_weight"]}
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("make", [Halved, Half])
def test_a_parametrised_model_is_saved_by_its_evaluated_weights(tmp_path, case, make):
    build, wanted = CASES[case]
    model, plain = build(), build()
    for path, names in wanted.items():
        for name in names:
            parametrize.register_parametrization(model.get_submodule(path), name, make())
    save_compressed(model, tmp_path / "a.stcn")
    found = load_compressed(tmp_path / "a.stcn")
    assert list(found) == list(plain.state_dict())
    plain.load_state_dict(found, strict=True)
    for path, names in wanted.items():
        for name in names:
            expected = getattr(model.get_submodule(path), name)
            assert torch.equal(getattr(plain.get_submodule(path), name), expected)


def test_weight_and_spectral_norm_are_evaluated_and_left_as_they_were():
    model = nn.Sequential(
        parametrizations.weight_norm(nn.Linear(4, 3)), parametrizations.spectral_norm(nn.Linear(3, 2))
    ).train()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state = plain_state_dict(model)
    assert list(state) == ["0.weight", "0.bias", "1.weight", "1.bias"]
    assert torch.equal(state["0.weight"], model[0].weight)
    assert_same(dict(model.state_dict()), before)
    assert all(module.training for module in model.modules())
    model.eval()
    assert torch.equal(state["1.weight"], model[1].weight)
    assert not any(tensor.requires_grad for tensor in state.values())


def test_a_module_that_stands_twice_and_a_parametrised_parametrisation():
    layer = nn.Linear(4, 4)
    parametrize.register_parametrization(layer, "weight", Half())
    parametrize.register_parametrization(layer.parametrizations.weight[0], "scale", Halved())
    model = nn.ModuleDict({"a": layer, "b": layer, "parametrizations": nn.Linear(1, 1)})
    state = plain_state_dict(model)
    assert list(state) == [
        "a.weight",
        "a.bias",
        "b.weight",
        "b.bias",
        "parametrizations.weight",
        "parametrizations.bias",
    ]
    assert torch.equal(state["b.weight"], layer.weight)


def test_a_module_of_ones_own_keeps_its_children_after_its_parameters():
    class Own(nn.Module):
        def __init__(self):
            super().__init__()
            self.child = nn.Linear(2, 2)
            self.theta = nn.Parameter(torch.ones(3))

    model, plain = Own(), Own()
    parametrize.register_parametrization(model, "theta", Halved())
    assert list(plain_state_dict(model)) == list(plain.state_dict())


def test_a_compiled_model_is_saved_as_what_was_compiled():
    model = nn.Linear(3, 2)
    assert list(plain_state_dict(torch.compile(model))) == ["weight", "bias"]
