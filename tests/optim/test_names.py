"""A name is a layer's identity: two parameters of one name are refused, whatever way they came."""

import itertools

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations

from steepest import LARS, SNGM, SSGD, BlockNormalizedSGD, param_groups
from steepest.optim import ScaledSGD


def networks():
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 3)), nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4))


def added_later(make, one, other):
    optimizer = make(one.named_parameters(), lr=0.1)
    optimizer.add_param_group({"params": other.named_parameters()})


WAYS = {
    "a list": lambda make, a, b: make([*a.named_parameters(), *b.named_parameters()], lr=0.1),
    "a chain": lambda make, a, b: make(itertools.chain(a.named_parameters(), b.named_parameters()), lr=0.1),
    "groups": lambda make, a, b: make([{"params": m.named_parameters()} for m in (a, b)], lr=0.1),
    "param_groups": lambda make, a, b: make(param_groups(a, 0.1) + param_groups(b, 0.1), lr=0.1),
    "added": added_later,
    "param_names": lambda make, a, b: make([{"params": [*a.parameters()][:2], "param_names": ["w", "w"]}], lr=0.1),
}


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
@pytest.mark.parametrize("make", [ScaledSGD, SNGM, LARS, BlockNormalizedSGD, SSGD])
def test_a_name_that_is_there_already_is_refused(make, way):
    with pytest.raises(ValueError, match=r"two parameters are named .*give each network a prefix of its own"):
        way(make, *networks())


def test_a_refused_group_is_not_added():
    one, other = networks()
    optimizer = LARS(one.named_parameters(), lr=0.1)
    with pytest.raises(ValueError, match="two parameters are named"):
        optimizer.add_param_group({"params": other.named_parameters()})
    assert len(optimizer.param_groups) == 1


def test_names_of_a_loaded_state_are_checked_too():
    one, other = networks()
    params = [("a", one[0].bias), ("b", other[0].bias)]
    state = LARS(params, lr=0.1).state_dict()
    state["param_groups"][0]["param_names"] = ["a", "a"]
    with pytest.raises(ValueError, match="two parameters are named 'a'"):
        LARS(params, lr=0.1).load_state_dict(state)


def test_what_the_sentence_says_helps():
    one, other = networks()
    together = nn.ModuleDict({"encoder": one, "decoder": other})
    optimizer = BlockNormalizedSGD(together.named_parameters(), lr=1.0, momentum=0.0)
    before = {layer: [p.detach().clone() for p in layer.parameters()] for layer in (*one, *other)}
    (1000 * other(one(torch.ones(5, 4))).square().mean()).backward()
    optimizer.step()
    for layer, old in before.items():
        moved = torch.cat([(p.detach() - q).flatten() for p, q in zip(layer.parameters(), old, strict=True)])
        assert moved.norm().item() == pytest.approx(1.0, rel=1e-5)


@pytest.mark.parametrize("wrap", [parametrizations.weight_norm, parametrizations.orthogonal, nn.utils.weight_norm])
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test_a_parametrized_layer_is_one_block(wrap):
    model = nn.Sequential(wrap(nn.Linear(4, 3)), nn.Linear(3, 2))
    optimizer = BlockNormalizedSGD(model.named_parameters(), lr=1.0, momentum=0.0)
    before = [p.detach().clone() for p in model[0].parameters()]
    (1000 * model(torch.randn(5, 4))).square().mean().backward()
    optimizer.step()
    moved = torch.cat([(p.detach() - q).flatten() for p, q in zip(model[0].parameters(), before, strict=True)])
    assert moved.norm().item() == pytest.approx(1.0, rel=1e-5)
