"""What becomes of the estimators when an optimizer, a model or a handle is copied, pickled, wrapped or replaced."""

import copy
import gc
import io
import itertools
import pickle
from collections import OrderedDict

import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.optim import optimizer as torch_optimizer
from torch.utils.hooks import RemovableHandle

from steepest import LARS, SSGD, GradientCalibration, SymmetricNoise, calibrate, normalize_gradients


def saved_and_loaded(thing):
    file = io.BytesIO()
    torch.save(thing, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIERS = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "torch.save": saved_and_loaded,
}
each_copier = pytest.mark.parametrize("copier", COPIERS.values(), ids=COPIERS)
OPTIMIZERS = {
    "sgd": lambda model: torch.optim.SGD(model.named_parameters(), lr=1e-6),
    "adam": lambda model: torch.optim.Adam(model.named_parameters(), lr=1e-6),
    "lars": lambda model: LARS(model.named_parameters(), lr=1.0),
    "ssgd": lambda model: SSGD(model.named_parameters(), lr=1.0),
}
each_optimizer = pytest.mark.parametrize("make", OPTIMIZERS.values(), ids=OPTIMIZERS)


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 30), nn.Tanh(), nn.Linear(30, 3))


def gradients_seen(model, optimizer, scale=1000.0):
    """The gradients that a step of the optimizer sees."""
    optimizer.zero_grad()
    (scale * model(torch.ones(2, 4))).sum().backward()
    optimizer.step()
    return [p.grad.clone() for p in model.parameters()]


def is_normalized(model, optimizer):
    weight, bias, *_ = gradients_seen(model, optimizer)
    return torch.cat([weight.flatten(), bias]).norm().item() == pytest.approx(1.0, rel=1e-4)


def is_calibrated(model, optimizer):
    return gradients_seen(model, optimizer)[0].eq(0).float().mean().item() > 0.2


@pytest.fixture(autouse=True)
def _no_hook_is_left():
    yield
    if torch_optimizer._global_optimizer_pre_hooks:
        gc.collect()
    left = len(torch_optimizer._global_optimizer_pre_hooks)
    torch_optimizer._global_optimizer_pre_hooks.clear()
    assert left == 0


# ---- normalize_gradients


@each_optimizer
@each_copier
def test_a_copied_optimizer_is_normalized_and_so_is_its_copy(copier, make):
    model = network()
    optimizer = make(model)
    normalize_gradients(optimizer)
    assert is_normalized(model, optimizer)
    other, copied = copier((model, optimizer))
    assert is_normalized(other, copied)
    third, again = copier(copier((other, copied)))
    assert is_normalized(third, again)
    assert copied.state_dict().keys() == optimizer.state_dict().keys()
    assert copied.state_dict()["param_groups"][0].keys() == optimizer.state_dict()["param_groups"][0].keys()


def test_a_shallow_copy_of_an_optimizer_shares_the_hook():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    handle = normalize_gradients(optimizer)
    copied = copy.copy(optimizer)
    assert is_normalized(model, copied)
    assert is_normalized(*copy.deepcopy((model, copied)))
    assert copy.copy(handle) is handle
    handle.remove()
    assert not is_normalized(model, copied)
    assert not is_normalized(model, optimizer)


@each_copier
def test_a_handle_copied_with_its_optimizer_is_that_of_the_copy(copier):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    handle = normalize_gradients(optimizer)
    other, copied, copied_handle = copier((model, optimizer, handle))
    copied_handle.remove()
    assert not is_normalized(other, copied)
    assert is_normalized(model, optimizer)
    assert not is_normalized(*copier((other, copied)))
    handle.remove()
    assert not is_normalized(model, optimizer)
    assert not is_normalized(*copier((model, optimizer)))


@each_copier
def test_the_order_of_the_tuple_does_not_matter(copier):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    handle = normalize_gradients(optimizer)
    copied_handle, copied, other = copier((handle, optimizer, model))
    assert is_normalized(other, copied)
    copied_handle.remove()
    assert not is_normalized(other, copied)


def test_a_hook_that_is_registered_on_the_copy_does_not_take_the_place_of_ours():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    normalize_gradients(optimizer)
    optimizer.register_step_pre_hook(lambda *_: None)  # cannot be pickled, and torch does not copy it
    other, copied = pickle.loads(pickle.dumps((model, optimizer)))
    called = []
    for _ in range(5):
        copied.register_step_pre_hook(lambda *_: called.append(1))
    assert is_normalized(other, copied)
    assert len(called) == 5


def test_a_pickle_is_normalized_in_another_process_whose_hooks_are_counted_from_0(monkeypatch):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    monkeypatch.setattr(RemovableHandle, "next_id", 0)
    normalize_gradients(optimizer)
    pickled = pickle.dumps((model, optimizer))
    monkeypatch.setattr(RemovableHandle, "next_id", 0)
    other, copied = pickle.loads(pickled)
    copied.register_step_pre_hook(lambda *_: None)
    assert is_normalized(other, copied)


def test_a_state_that_is_loaded_leaves_the_hook():
    model = network()
    optimizer = OPTIMIZERS["adam"](model)
    normalize_gradients(optimizer)
    is_normalized(model, optimizer)
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert is_normalized(model, optimizer)


def test_layers_of_the_same_name_are_refused_at_once_and_when_they_are_added():
    first, second = network(), network()
    both = torch.optim.SGD(itertools.chain(first.named_parameters(), second.named_parameters()), lr=1.0)
    with pytest.raises(ValueError, match=r"two parameters are named '0\.weight'"):
        normalize_gradients(both)
    normalize_gradients(both, over="tensor")
    optimizer = torch.optim.SGD(first.named_parameters(), lr=1.0)
    normalize_gradients(optimizer)
    optimizer.add_param_group({"params": list(second.named_parameters())})
    with pytest.raises(ValueError, match=r"two parameters are named '0\.weight'"):
        gradients_seen(first, optimizer)


# ---- wrappers


class Wrapper:
    """As Accelerate's and others': an optimizer as ``.optimizer``, and no hooks of its own."""

    def __init__(self, optimizer):
        self.optimizer = optimizer
        self.param_groups = optimizer.param_groups

    def step(self, closure=None):
        return self.optimizer.step(closure)

    def zero_grad(self):
        self.optimizer.zero_grad()


class OptimizerWrapper(Wrapper, torch.optim.Optimizer):
    """The same, which is an optimizer by its class."""


def accelerated(optimizer):
    accelerate = pytest.importorskip("accelerate")
    return accelerate.optimizer.AcceleratedOptimizer(optimizer)


class Imitation:
    """As Lightning's, which takes the class of what it wraps and has nothing of its state."""

    def __init__(self, optimizer):
        self._wrapped = optimizer
        self.__class__ = type("Imitation", (Imitation, type(optimizer)), {})

    @property
    def optimizer(self):
        return self._wrapped

    def __getattr__(self, name):
        return getattr(self._wrapped, name)

    def step(self, closure=None):
        return self._wrapped.step(closure)

    def zero_grad(self):
        self._wrapped.zero_grad()


WRAPPERS = {
    "wrapper": Wrapper,
    "optimizer": OptimizerWrapper,
    "twice": lambda optimizer: Wrapper(OptimizerWrapper(optimizer)),
    "imitation": Imitation,
    "accelerate": accelerated,
}


@pytest.mark.parametrize("wrap", WRAPPERS.values(), ids=WRAPPERS)
def test_a_wrapped_optimizer_is_unwrapped(wrap):
    if wrap is accelerated:
        pytest.importorskip("accelerate").Accelerator(cpu=True)
    model = network()
    wrapped = wrap(OPTIMIZERS["sgd"](model))
    handle = normalize_gradients(wrapped)
    assert is_normalized(model, wrapped)
    handle.remove()
    handle = calibrate(model, keep=0.5, optimizer=wrapped)
    assert is_calibrated(model, wrapped)
    assert handle.draws == 1


@pytest.mark.parametrize("ours", [normalize_gradients, lambda o: calibrate(network(), optimizer=o)])
@pytest.mark.parametrize(
    "make",
    [
        lambda optimizer: torch.optim.lr_scheduler.StepLR(optimizer, 1),
        lambda optimizer: [optimizer],
        lambda optimizer: network(),
        lambda optimizer: "sgd",
    ],
)
def test_what_is_no_optimizer_is_refused(ours, make):
    wrong = make(OPTIMIZERS["sgd"](network()))
    with pytest.raises(
        ValueError, match=rf"optimizer must be a torch\.optim\.Optimizer or .*, got {type(wrong).__name__}"
    ):
        ours(wrong)


class Outer(torch.optim.Optimizer):
    """An optimizer that holds all parameters and lets another one step, as ZeroRedundancyOptimizer does."""

    def __init__(self, params, inner):
        super().__init__(params, {})
        self.optim = inner

    def step(self, closure=None):
        return self.optim.step(closure)


def test_an_optimizer_inside_another_is_calibrated_once_a_step():
    model = network()
    outer = Outer(model.parameters(), torch.optim.SGD(model[0].parameters(), lr=0.0))
    handle = calibrate(model, keep=0.5)
    seen = gradients_seen(model, outer)
    assert handle.draws == 1
    assert len(seen[0].div(gradients_seen_without(model)[0]).round().unique()) == 2  # 0 and 2, not 4
    gradients_seen(model, outer)
    gradients_seen(model, outer.optim)  # by itself it is an optimizer like any other
    assert handle.draws == 3
    handle.remove()


def gradients_seen_without(model):
    model.zero_grad()
    (1000.0 * model(torch.ones(2, 4))).sum().backward()
    return [p.grad.clone() for p in model.parameters()]


# ---- calibrate


class Holder(nn.Module):
    """A module that keeps its handle, as Lightning's do."""

    def __init__(self, first):
        super().__init__()
        self.layers = network()
        self.handle = calibrate(self, keep=0.5)
        if first:  # then it is copied before the layers are
            attributes = dict(vars(self))
            vars(self).clear()
            vars(self).update({"handle": attributes["handle"], **attributes})

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("first", [False, True])
@each_copier
def test_a_module_copied_with_its_handle_is_calibrated(copier, first):
    holder = Holder(first)
    copied = copier(holder)
    assert is_calibrated(copied, OPTIMIZERS["sgd"](copied))
    assert (holder.handle.draws, copied.handle.draws) == (0, 1)
    assert copied.handle.uncovered() == ["layers.0.bias", "layers.2.bias"]
    copied.handle.remove()
    assert not is_calibrated(copied, OPTIMIZERS["sgd"](copied))
    assert is_calibrated(holder, OPTIMIZERS["sgd"](holder))
    assert not is_calibrated(*(lambda m: (m, OPTIMIZERS["sgd"](m)))(copier(copied)))
    assert copy.copy(holder.handle) is holder.handle


@each_copier
def test_a_model_copied_without_its_handle_is_not_calibrated(copier):
    model = network()
    calibrate(model, keep=0.5)
    copied = copier(model)
    assert not is_calibrated(copied, OPTIMIZERS["sgd"](copied))


@each_copier
def test_a_handle_copied_alone_has_no_model(copier):
    model = network()
    handle = calibrate(model, "learned")
    gradients_seen(model, OPTIMIZERS["sgd"](model))
    copied = copier(handle)
    gc.collect()
    with pytest.raises(RuntimeError, match="copy or pickle a handle together with its model"):
        copied.uncovered()
    assert copied.draws == 1
    assert handle.uncovered() == ["0.bias", "2.bias"]


@each_copier
def test_an_optimizer_that_is_calibrated_and_its_model_are_copied_together(copier):
    model = network()
    optimizer = OPTIMIZERS["adam"](model)
    handle = calibrate(model, keep=0.5, optimizer=optimizer)
    other, copied = copier((model, optimizer))
    assert is_calibrated(other, copied)
    assert handle.draws == 0
    assert not is_calibrated(other, OPTIMIZERS["adam"](other))


@each_copier
def test_an_optimizer_that_is_calibrated_and_copied_alone_refuses_to_step(copier):
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    calibrate(model, keep=0.5, optimizer=optimizer)
    copied = copier(optimizer)
    gc.collect()
    for p in copied.param_groups[0]["params"]:
        p.grad = torch.ones_like(p)
    before = [p.detach().clone() for p in copied.param_groups[0]["params"]]
    with pytest.raises(RuntimeError, match="SGD holds no weight of the model that calibrate"):
        copied.step()
    assert all(map(torch.equal, before, copied.param_groups[0]["params"]))


def test_an_optimizer_whose_weights_were_replaced_is_refused():
    model = network()
    optimizer = OPTIMIZERS["sgd"](model)
    calibrate(model, optimizer=optimizer)
    model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True)
    with pytest.raises(RuntimeError, match="the parameters were replaced"):
        optimizer.step()


def through_meta(model):
    model.to("meta")
    model.to_empty(device="cpu")
    with torch.no_grad():
        for p in model.parameters():
            p.fill_(0.01)


def re_registered(model):
    model[0].weight = nn.Parameter(model[0].weight.detach().clone())


def thawed(model):
    model.requires_grad_(False)
    model.requires_grad_(True)


CHANGES = {
    "double": lambda model: model.double().float(),
    "assign": lambda model: model.load_state_dict(copy.deepcopy(model.state_dict()), assign=True),
    "meta": through_meta,
    "re-registered": re_registered,
    "thawed": thawed,
}


@pytest.mark.parametrize("swapping", [False, True])
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_layer_is_calibrated_whatever_becomes_of_its_weight(change, swapping):
    model = network()
    calibrate(model, keep=0.5)
    torch.__future__.set_swap_module_params_on_conversion(swapping)
    try:
        change(model)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert is_calibrated(model, OPTIMIZERS["sgd"](model))


def test_lazy_layers_are_calibrated_once_they_have_shapes():
    model = nn.Sequential(nn.LazyLinear(30), nn.Tanh(), nn.LazyLinear(3))
    calibrate(model, keep=0.5)
    model(torch.ones(2, 4))
    assert is_calibrated(model, OPTIMIZERS["sgd"](model))


def test_a_container_that_is_gone_takes_no_calibration_with_it():
    model = network()
    handle = calibrate(nn.Sequential(*model), keep=0.5)
    gc.collect()
    assert is_calibrated(model, OPTIMIZERS["sgd"](model))
    handle.remove()


PARAMETRIZED = {
    "weight_norm": nn.utils.parametrizations.weight_norm,
    "spectral_norm": nn.utils.parametrizations.spectral_norm,
    "orthogonal": nn.utils.parametrizations.orthogonal,
    "the old weight_norm": nn.utils.weight_norm,
    "the old spectral_norm": nn.utils.spectral_norm,
    "pruned": lambda layer: prune.identity(layer, "weight"),
}


@pytest.mark.filterwarnings("ignore::FutureWarning")
@pytest.mark.parametrize("per", ["element", "filter"])
@pytest.mark.parametrize("wrap", PARAMETRIZED.values(), ids=PARAMETRIZED)
def test_what_a_weight_is_computed_from_is_calibrated(wrap, per):
    model = nn.Sequential(wrap(nn.Linear(4, 30)), nn.Tanh(), nn.Linear(30, 3))
    handle = calibrate(model, keep=0.5, per=per)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.0)
    (model(torch.randn(5, 4)) ** 2).sum().backward()
    optimizer.step()
    assert handle.uncovered() == [name for name, p in model.named_parameters() if p.dim() < 2]
    matrices = [p for p in model[0].parameters() if p.dim() >= 2]
    assert matrices
    assert all(0.1 < p.grad.eq(0).float().mean() < 0.9 for p in matrices)
    handle.remove()
    handle = calibrate(model, "learned")
    optimizer.step()
    assert set(handle.scales) == {name for name, p in model.named_parameters() if p.dim() >= 2}
    handle.remove()


def test_what_a_weight_is_computed_from_is_listed_where_it_is_left_alone():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 30), dim=None))
    handle = calibrate(model)
    assert handle.uncovered() == ["0.bias", "0.parametrizations.weight.original0"]  # one number in all
    handle.remove()


# ---- SymmetricNoise and SSGD


def moved_by(noise, weight):
    before = weight.detach().clone()
    with noise.plus():
        moved = (weight.detach() - before).norm().item()
        (weight**2).sum().backward()
    if noise.sides == 2:
        with noise.minus():
            pass
    assert torch.equal(weight.detach(), before)
    return moved


@each_copier
def test_a_noise_copied_with_its_model_moves_the_copy(copier):
    model = network()
    noise = SymmetricNoise(model.named_parameters(), model=model, batch_norm="plus")
    with noise.plus():
        pass
    copied_noise, other = copier((noise, model))  # a pair is open: the copy's is not
    with pytest.warns(UserWarning, match="none of the weights that SymmetricNoise moved has a gradient"), noise.minus():
        pass
    for one, net in ((copied_noise, other), (noise, model)):
        assert moved_by(one, net[0].weight) > 0
    assert copied_noise.draws == noise.draws == 2


@each_copier
def test_a_noise_copied_alone_says_that_it_has_no_effect(copier):
    model = network()
    noise = copier(SymmetricNoise(model.parameters()))
    with noise.plus():
        model(torch.ones(2, 4)).sum().backward()
    with pytest.warns(UserWarning, match="none of the weights") as warned, noise.minus():
        model(torch.ones(2, 4)).sum().backward()
    assert warned[0].filename == __file__


@each_copier
def test_a_noise_is_not_copied_while_the_weights_are_moved(copier):
    noise = SymmetricNoise(network().parameters())
    with noise.plus(), pytest.raises(RuntimeError, match=r"cannot be copied inside plus\(\) or minus\(\)"):
        copier(noise)


MEMORIES = pytest.mark.parametrize("memory", ["copy", "regenerate"])


@MEMORIES
@pytest.mark.parametrize("swapping", [False, True])
@pytest.mark.parametrize("change", [CHANGES["double"], thawed], ids=["double", "thawed"])
def test_a_weight_that_keeps_its_identity_is_moved_and_put_back(change, swapping, memory):
    model = network()
    noise = SymmetricNoise(model.parameters(), memory=memory)
    torch.__future__.set_swap_module_params_on_conversion(swapping)
    try:
        change(model)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert moved_by(noise, model[0].weight) > 0


@MEMORIES
def test_a_weight_that_is_converted_between_plus_and_minus_is_refused_and_not_moved(memory):
    model = network()
    noise = SymmetricNoise(model.parameters(), memory=memory)
    with noise.plus():
        model(torch.ones(2, 4)).sum().backward()
    model.zero_grad()
    model.double()
    before = model[0].weight.detach().clone()
    with pytest.raises(RuntimeError, match=r"changed between plus\(\) and minus\(\)"), noise.minus():
        pass
    assert torch.equal(model[0].weight.detach(), before)
    noise.reset()
    assert moved_by(noise, model[0].weight) > 0


@pytest.mark.parametrize("swapping", [False, True])
@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
@MEMORIES
def test_a_weight_that_is_converted_inside_a_context_comes_back_or_it_is_said(memory, dtype, swapping):
    model = network()
    clean = model[0].weight.detach().clone()
    noise = SymmetricNoise(model.parameters(), memory=memory)
    torch.__future__.set_swap_module_params_on_conversion(swapping)
    try:
        if memory == "copy":
            with noise.plus():
                model.to(dtype)
            noise.reset()
        else:
            with pytest.raises(RuntimeError, match=r"2 weights, .* keep their noise: load"), noise.plus():
                model.to(dtype)
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)
    assert torch.equal(model[0].weight.detach(), clean.to(dtype)) == (memory == "copy")
    assert noise.sign == 0


@MEMORIES
def test_a_weight_that_gets_another_shape_inside_a_context_is_named(memory):
    weight = nn.Parameter(torch.ones(3, 4))
    noise = SymmetricNoise([weight], memory=memory)
    with pytest.raises(RuntimeError, match=r"the first of shape \(1, 4\), were changed"), noise.plus():
        weight.data = torch.ones(1, 4)


def test_a_model_whose_parameters_were_replaced_is_refused_where_the_noise_knows_it():
    model = network()
    noise = SymmetricNoise(model.parameters(), model=model)
    re_registered(model)
    before = [p.detach().clone() for p in model.parameters()]
    with pytest.raises(RuntimeError, match="other parameters than those SymmetricNoise was built with"), noise.plus():
        pass
    assert all(map(torch.equal, before, model.parameters()))
    SymmetricNoise(model.parameters(), model=model).plus().__enter__()


def test_weights_without_memory_and_without_shapes_are_refused():
    with torch.device("meta"):
        noise = SymmetricNoise(network().parameters())
    with pytest.raises(RuntimeError, match="on the meta device have no values"), noise.plus():
        pass
    with pytest.raises(ValueError, match="must have a shape, got one of a lazy layer"):
        SymmetricNoise(nn.LazyLinear(3).parameters())
    with pytest.raises(ValueError, match=r"got a tensor: give \[tensor\]"):
        SymmetricNoise(nn.Parameter(torch.ones(2, 3, 4)))


def test_weights_that_are_kept_by_a_parametrization_are_computed_anew_at_each_point():
    model = nn.Sequential(nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)))
    noise = SymmetricNoise(model.parameters(), alpha=0.1)
    x = torch.ones(2, 4)
    with nn.utils.parametrize.cached():
        clean = model(x).detach()
        with noise.plus():
            up = model(x)
            up.sum().backward()
        with noise.minus():
            down = model(x)
            down.sum().backward()
        assert torch.equal(model(x), clean)
    assert len({tensor.sum().item() for tensor in (clean, up, down)}) == 3


@each_copier
def test_a_copied_ssgd_moves_the_weights_of_its_model(copier):
    model = network()
    optimizer = SSGD(model.named_parameters(), lr=0.1, alpha=0.1)
    for net, one in ((model, optimizer), copier((model, optimizer))):
        outputs = []

        def closure(net=net, one=one, outputs=outputs):
            one.zero_grad()
            loss = net(torch.ones(2, 4)).square().sum()
            outputs.append(loss.item())
            loss.backward()
            return loss

        one.step(closure)
        assert len(set(outputs)) == 2


# ---- GradientCalibration


@pytest.mark.parametrize("persistent", [False, True])
@each_copier
def test_a_calibrating_layer_is_copied_with_what_it_learned(copier, persistent):
    model = nn.Sequential(nn.Linear(4, 6), GradientCalibration("learned", persistent=persistent), nn.Linear(6, 3))
    for _ in range(2):
        model(torch.randn(5, 4)).square().sum().backward()
    copied = copier(model)
    assert torch.equal(copied[1].scale, model[1].scale)
    model.zero_grad(), copied.zero_grad()
    for net in (model, copied):
        net(torch.ones(5, 4)).square().sum().backward()
    assert torch.equal(copied[0].weight.grad, model[0].weight.grad)


def test_a_calibrating_layer_on_its_way_through_meta_begins_anew():
    layer = GradientCalibration("learned")
    model = nn.Sequential(nn.Linear(4, 6), layer, nn.Linear(6, 3))
    model(torch.randn(5, 4)).square().sum().backward()
    assert layer.scale is not None
    model.zero_grad()
    through_meta(model)
    assert layer.scale is None
    model(torch.randn(5, 4)).square().sum().backward()
    assert torch.equal(layer.scale, torch.ones(6))


def test_a_calibrating_layer_inside_torch_func_says_what_to_do():
    model = nn.Sequential(nn.Linear(4, 3), GradientCalibration(keep=0.5))
    parameters = dict(model.named_parameters())

    def loss(parameters, x):
        return torch.func.functional_call(model, parameters, (x[None],)).sum()

    per_sample = torch.func.vmap(torch.func.grad(loss), (None, 0))
    with pytest.raises(RuntimeError, match=r"does not work inside the transforms of torch\.func .* call eval\(\)"):
        per_sample(parameters, torch.ones(5, 4))
    model.eval()
    assert per_sample(parameters, torch.ones(5, 4))["0.weight"].shape == (5, 3, 4)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_calibrating_layer_in_torch_script_evaluates_and_refuses_to_train():
    model = nn.Sequential(nn.Linear(4, 3), GradientCalibration(keep=0.5))
    scripted = torch.jit.script(model.eval())
    assert torch.equal(scripted(torch.ones(2, 4)), model(torch.ones(2, 4)))
    with pytest.raises(torch.jit.Error, match=r"calibrates nothing inside torch\.jit\.script: call eval\(\) first"):
        scripted.train()(torch.ones(2, 4))


def test_hooks_of_others_are_no_business_of_ours():
    """Only what travels is carried along; an optimizer without our hooks is copied as torch copies it."""
    optimizer = OPTIMIZERS["sgd"](network())
    handle = normalize_gradients(optimizer)
    optimizer.register_step_post_hook(lambda *_: None)
    copied = copy.deepcopy(optimizer)
    assert isinstance(copied._optimizer_step_pre_hooks, OrderedDict)
    assert len(copied._optimizer_step_pre_hooks) == 1
    assert not copied._optimizer_step_post_hooks
    handle.remove()
    assert not copy.deepcopy(optimizer)._optimizer_step_pre_hooks
