import pytest
import torch
from torch import nn

from steepest import BlockNormalizedSGD, param_groups
from steepest.optim import decayed_names


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


def test_a_users_own_layer():
    class Scaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.gain = nn.Parameter(torch.full((3,), 0.5))

    model = nn.Sequential(nn.Linear(3, 3, bias=False), Scaled())
    assert len(param_groups(model, 0.1)) == 1
    _, undecayed = param_groups(model, 0.1, no_decay=(Scaled,))
    assert names(undecayed) == {"1.gain"}


def layer(name, base=nn.Module, **parameters):
    """A module of a class of that name with parameters of its own."""
    made = type(name, (base,), {})() if base is nn.Module else type(name, (base,), {})(4, 1)
    for key, value in parameters.items():
        setattr(made, key, nn.Parameter(value))
    return made


class T5LayerNorm(nn.Module):
    def __init__(self, *_):
        super().__init__()


TRAINED = torch.linspace(0.5, 1.5, 4)
FOREIGN = {
    "by its name": layer("LlamaRMSNorm", weight=TRAINED),
    "with a number behind": layer("LayerNorm2d", weight=TRAINED.view(4, 1, 1), bias=TRAINED.view(4, 1, 1)),
    "with a word behind": layer("BatchNormAct2d", weight=TRAINED, bias=TRAINED),
    "frozen": layer("FrozenBatchNorm2d", weight=TRAINED),
    "of one vector in four dimensions": layer("ConvNextV2GlobalResponseNorm", weight=TRAINED.view(1, 1, 1, 4)),
    "a subclass under another name": layer("Scaler", T5LayerNorm, weight=TRAINED),
    "spelled out": layer("LayerNormalization", weight=TRAINED),
    "in small letters": layer("rms_norm", weight=TRAINED),
    "one word": layer("Layernorm2d", weight=TRAINED),
    "by a gain of ones": layer("Rescale", scale=torch.ones(4)),
    "of one feature": layer("RMSNorm", weight=torch.ones(1)),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_normalisation_layers_that_are_not_torchs_are_recognised(name):
    assert decayed_names(nn.Sequential(nn.Linear(4, 4), FOREIGN[name])) == ["0.weight"]
    decayed, undecayed = param_groups(nn.Sequential(nn.Linear(4, 4), FOREIGN[name]), 0.1)
    assert names(decayed) == {"0.weight"}
    assert len(undecayed["params"]) == 1 + len(list(FOREIGN[name].parameters()))


DECAYED = {
    "a matrix in a normalisation layer": layer("AdaptiveLayerNorm", weight=torch.ones(4, 4)),
    "a linear layer of one output": layer("NormLinear", nn.Linear, bias=torch.zeros(1)),
    "another word": layer("NormalHead", weight=TRAINED),
    "a vector that is no gain": layer("Position", weight=TRAINED),
    "a single number": layer("Temperature", weight=torch.ones(1)),
}


@pytest.mark.parametrize("name", DECAYED)
def test_what_only_looks_like_a_normalisation_layer_is_decayed(name):
    assert decayed_names(DECAYED[name]) == ["weight"]


def test_models_without_memory_and_without_shapes_are_split_too():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(4, 4), layer("LlamaRMSNorm", weight=TRAINED), nn.BatchNorm1d(4))
    assert decayed_names(model) == ["0.weight"]
    assert decayed_names(nn.Sequential(nn.LazyLinear(3), nn.LazyBatchNorm1d())) == ["0.weight"]


def test_torchs_own_layers_go_by_no_decay_alone():
    model = nn.Sequential(nn.BatchNorm1d(4), nn.LayerNorm(4))
    assert decayed_names(model, no_decay=(nn.LayerNorm,)) == ["0.weight"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"weight_decay": "1e-4"}, "weight_decay must be a finite number of at least 0, got '1e-4'"),
        ({"weight_decay": True}, "weight_decay must be .*, got True"),
        ({"weight_decay": None}, "weight_decay must be .*, got None"),
        ({"no_decay": nn.LayerNorm}, "no_decay must be a tuple of module types, got <class"),
        ({"model": [nn.Linear(1, 1)]}, r"model must be a torch\.nn\.Module, got list"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        param_groups(**{"model": nn.Linear(2, 2), "weight_decay": 0.1, **options})


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
