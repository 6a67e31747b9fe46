import pytest
import torch
from torch import nn

from steepest import BlockNormalizedSGD, param_groups


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.bn = nn.BatchNorm2d(4)
        self.attention = nn.MultiheadAttention(4, 1)
        self.rnn = nn.LSTM(4, 4)
        self.scale = nn.Parameter(torch.ones(1))  # one-dimensional, but no norm layer and no bias
        self.head = nn.Linear(4, 2, bias=False)
        self.tied = nn.Linear(4, 2, bias=False)
        self.tied.weight = self.head.weight


def names(group):
    return {name for name, _ in group["params"]}


def test_split_is_by_module_type_and_keeps_names():
    decayed, undecayed = param_groups(Net(), weight_decay=0.1)
    assert (decayed["weight_decay"], undecayed["weight_decay"]) == (0.1, 0.0)
    assert names(undecayed) == {
        "conv.bias",
        "bn.weight",
        "bn.bias",
        "attention.in_proj_bias",
        "attention.out_proj.bias",
        "rnn.bias_ih_l0",
        "rnn.bias_hh_l0",
    }
    assert {"scale", "conv.weight", "head.weight"} <= names(decayed)
    assert "tied.weight" not in names(decayed)  # shared: once


def test_a_users_norm_layer():
    class MyNorm(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.ones(3))

    model = nn.Sequential(nn.Linear(3, 3, bias=False), MyNorm())
    assert len(param_groups(model, 0.1)) == 1
    _, undecayed = param_groups(model, 0.1, no_decay=(MyNorm,))
    assert names(undecayed) == {"1.gain"}


def test_a_layer_cut_by_the_groups_is_still_one_block():
    layer = nn.Linear(2, 1)
    optimizer = BlockNormalizedSGD(param_groups(layer, 0.1), lr=1.0, momentum=0.0, weight_decay=0.0)
    for group in optimizer.param_groups:
        group["weight_decay"] = 0.0
    before = torch.cat([p.detach().flatten() for p in layer.parameters()])
    layer(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    after = torch.cat([p.detach().flatten() for p in layer.parameters()])
    assert (after - before).norm().item() == pytest.approx(1.0)


@pytest.mark.parametrize("bad", [-0.1, float("nan"), float("inf")])
def test_bad_weight_decay(bad):
    with pytest.raises(ValueError, match="weight_decay must be a finite number of at least 0"):
        param_groups(Net(), weight_decay=bad)


def test_a_model_without_parameters():
    with pytest.raises(ValueError, match="model must have parameters, got Tanh with none"):
        param_groups(nn.Tanh(), weight_decay=0.1)
