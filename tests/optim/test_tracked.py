"""A tracked layer keeps its record whatever becomes of its weight, and its model whatever is done with it."""

import copy
import io
import pickle

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, jvp, vmap

from steepest import INSGD, track_input_power
from steepest.optim.tracked import collect, records_of


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(8, 3))


def power_of(layer):
    """The layer's mean power over the rows since the last call; NaN if there were none."""
    [(total, rows)] = collect([(layer.weight, records_of(layer.weight))])
    return (total / rows).sum().item()


def images(dtype=torch.float32):
    return torch.ones(4, 1, 4, 4, dtype=dtype)


@pytest.fixture
def swapping():
    torch.__future__.set_swap_module_params_on_conversion(True)
    yield
    torch.__future__.set_swap_module_params_on_conversion(False)


def saved(model):
    return {name: 2 * value for name, value in model.state_dict().items()}


def re_registered(model):
    for layer in (model[0], model[2]):
        layer.register_parameter("weight", nn.Parameter(layer.weight.detach().clone()))


def assigned(model):
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def through_meta(model):
    model.to("meta")
    model.to_empty(device="cpu")
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.1)


def thawed(model):
    model.requires_grad_(False)
    model(images())
    model.requires_grad_(True)


CHANGES = {
    "double": lambda model: model.double(),
    "half and back": lambda model: model.half().float(),
    "to": lambda model: model.to(torch.float64),
    "load_state_dict": lambda model: model.load_state_dict(saved(model)),
    "assign": lambda model: model.load_state_dict(saved(model), assign=True),
    "meta and to_empty": through_meta,
    "re-registered": re_registered,
    "assigned": assigned,
    "thawed": thawed,
}


def check_that_it_is_tracked(model):
    optimizer = INSGD(model.parameters(), lr=0.01)
    dtype = model[0].weight.dtype
    model(images(dtype)).square().mean().backward()
    optimizer.step()
    assert optimizer.state[model[0].weight]["input_power"].item() == pytest.approx(0.1 * 16)
    assert optimizer.state[model[2].weight]["step"] == 1


@pytest.mark.parametrize("change", CHANGES)
def test_a_layer_is_tracked_whatever_becomes_of_its_weight(change):
    model = network()
    handle = track_input_power(model)
    CHANGES[change](model)
    check_that_it_is_tracked(model)
    assert handle.uncovered() == ["0.bias", "2.bias"]
    handle.remove()
    assert handle.uncovered() == ["0.weight", "0.bias", "2.weight", "2.bias"]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.usefixtures("swapping")
def test_a_layer_is_tracked_when_torch_swaps_its_weight(change):
    model = network()
    track_input_power(model)
    CHANGES[change](model)
    check_that_it_is_tracked(model)


@pytest.mark.usefixtures("swapping")
def test_an_optimizer_goes_on_with_a_swapped_weight():
    model = network()
    track_input_power(model)
    optimizer = INSGD(model.parameters(), lr=0.01, momentum=0.0)
    for dtype in (torch.float32, torch.float64):
        model.to(dtype)
        model(images(dtype)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    assert optimizer.state[model[0].weight]["step"] == 2


def test_a_model_that_was_tracked_on_the_meta_device_measures_once_it_has_memory():
    with torch.device("meta"):
        model = network()
    track_input_power(model)
    through_meta(model)
    check_that_it_is_tracked(model)


def test_a_lazy_layer_is_tracked_once_it_has_a_shape():
    model = nn.Sequential(nn.LazyConv2d(2, 3), nn.Flatten(), nn.LazyLinear(3))
    with pytest.raises(ValueError, match="has no shape yet"):
        track_input_power(model)
    model(images())
    track_input_power(model)
    check_that_it_is_tracked(model)


def test_weights_that_are_tied_and_untied_later_are_pooled_and_then_are_not():
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.Linear(2, 2, bias=False))
    with torch.no_grad():
        model[0].weight.copy_(3 * torch.eye(2))
    track_input_power(model)
    x = torch.tensor([[1.0, 0.0]])
    model(x)
    assert (power_of(model[0]), power_of(model[1])) == (1.0, 9.0)
    model[1].weight = model[0].weight
    model(x)
    assert power_of(model[1]) == 5.0  # the mean of 1 and 9
    model[1].weight = nn.Parameter(model[0].weight.detach().clone())
    model(x)
    assert (power_of(model[0]), power_of(model[1])) == (1.0, 9.0)


def test_weights_that_are_tied_later_to_one_of_other_groups_are_refused_by_the_step():
    model = nn.ModuleList([nn.Conv2d(4, 4, 1), nn.Conv2d(8, 4, 1, groups=2)])
    track_input_power(model)
    model[1].weight = model[0].weight
    model[0](torch.ones(1, 4, 1, 1)).sum().backward()
    with pytest.raises(RuntimeError, match="shared by layers whose inputs cannot be pooled"):
        INSGD(model.parameters()).step()


def squared_error(model):
    return lambda p, x: functional_call(model, p, (x,)).square().mean()


def of_samples(model, p):
    return vmap(grad(squared_error(model)), (None, 0))(p, images().unsqueeze(1))


def of_tangents(model, p):
    still = {name: value.detach() for name, value in p.items()}
    return jvp(lambda p: functional_call(model, p, (images(),)), (still,), (still,))


def of_an_ensemble(model, p):
    stacked = {name: torch.stack([value.detach()] * 3) for name, value in p.items()}
    return vmap(lambda p: functional_call(model, p, (images(),)))(stacked)


def of_the_input(model, p):
    return grad(lambda x: model(x).sum())(images())


TRANSFORMS = {
    "grad": lambda model, p: grad(squared_error(model))(p, images()),
    "per-sample gradients": of_samples,
    "jvp": of_tangents,
    "an ensemble": of_an_ensemble,
    "the input's gradient": of_the_input,
}


@pytest.mark.parametrize("transform", TRANSFORMS)
def test_tracking_pauses_inside_the_transforms_of_torch_func(transform):
    model = network()
    parameters = dict(model.named_parameters())
    expected = TRANSFORMS[transform](model, parameters)
    track_input_power(model)
    seen = TRANSFORMS[transform](model, parameters)
    torch.testing.assert_close(seen, expected)
    assert power_of(model[0]) != power_of(model[0])  # NaN: no rows
    model(images())
    assert power_of(model[0]) == pytest.approx(16)


class Holder(nn.Module):
    """A module that keeps the handle of its own tracking, as Lightning's do."""

    def __init__(self):
        super().__init__()
        self.layers = network()
        self.handle = track_input_power(self)

    def forward(self, x):
        return self.layers(x)


def saved_and_loaded(module):
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIERS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": saved_and_loaded,
}


@pytest.mark.parametrize("copier", COPIERS)
def test_a_module_that_holds_its_handle_can_be_copied_and_the_copy_is_not_tracked(copier):
    holder = Holder()
    copied = COPIERS[copier](holder)
    copied(images()).sum().backward()
    with pytest.raises(RuntimeError, match="holds no parameter whose input is tracked: call steepest"):
        INSGD(copied.parameters()).step()
    with pytest.raises(RuntimeError, match=r"uncovered\(\) of a copied handle needs params"):
        copied.handle.uncovered()
    assert copied.handle.uncovered(copied.layers[2]) == ["weight", "bias"]
    copied.handle.remove()
    assert power_of(holder.layers[0]) != power_of(holder.layers[0])  # NaN: the copy's rows are not the model's
    track_input_power(copied)
    check_that_it_is_tracked(copied.layers)
    check_that_it_is_tracked(holder.layers)


def test_a_shallow_copy_shares_the_handle():
    holder = Holder()
    assert copy.copy(holder.handle) is holder.handle
    assert copy.copy(holder).handle is holder.handle


@pytest.mark.parametrize("copied", [False, True])
def test_a_tracked_model_is_refused_by_torch_script_in_a_sentence(copied):
    model = network()
    handle = track_input_power(model)
    scripted = copy.deepcopy(model) if copied else model
    with pytest.raises(AttributeError, match=r"torch.jit.script cannot compile .*remove\(\)"):
        torch.jit.script(scripted)
    handle.remove()
    assert torch.jit.script(model)(images()).shape == (4, 3)


@pytest.mark.parametrize("training", [False, True])
def test_a_tracked_model_can_be_exported_and_traced_without_the_measuring(training):
    model = network().train(training)
    plain = torch.export.export(model, (images(),)).graph_module.code
    track_input_power(model)
    assert torch.export.export(model, (images(),)).graph_module.code == plain
    traced = torch.jit.trace(model, images())
    assert power_of(model[0]) != power_of(model[0])  # NaN
    assert torch.equal(traced(images()), model(images()))


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"norm": 2}, "norm must be 'l1' or 'l2', got 2"),
        ({"patch": "False"}, "patch must be True or False, got 'False'"),
        ({"standardize": 1}, "standardize must be True or False, got 1"),
        ({"model": [nn.Linear(1, 1)]}, "model must be a torch.nn.Module, got list"),
    ],
)
def test_arguments_of_a_wrong_type_are_named(options, sentence):
    with pytest.raises(ValueError, match=sentence):
        track_input_power(**{"model": network(), **options})


def test_a_model_of_parametrized_layers_alone_is_refused_by_their_name():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(2, 2)), nn.ReLU())
    with pytest.raises(ValueError, match="to track, got Sequential, whose 1 have a parametrized weight"):
        track_input_power(model)
