"""What becomes of every public object when it, its model or its parameters are copied, loaded, swapped or replaced.

The table is that of `docs/copies.md`: a cell works, which is checked against the object that was left alone; is
refused, with the sentence; or is not followed, as by any optimizer of torch's.
"""

import copy
import io
import pickle
import re
from contextlib import contextmanager

import pytest
import torch
from torch import nn

import steepest
from steepest.gradients import GradientCalibration
from steepest.optim import ScaledSGD
from tests.markdown import ROOT


class Rig:
    """A model, one optimizer, and what stands beside them."""

    def __init__(self, kind, model, *, optimizer=None):
        self.kind, self.model = kind, model
        self.handle = HANDLES[kind](model) if kind in HANDLES else None
        self.optimizer = optimizer or OPTIMIZERS.get(kind, sgd)(model)
        if kind == "normalize_gradients":
            self.handle = steepest.normalize_gradients(self.optimizer)

    def loss(self, step):
        generator = torch.Generator().manual_seed(step)
        first = next(self.model.parameters())
        x = torch.randn(4, 6, generator=generator, dtype=torch.float64).to(first.dtype)
        self.model.zero_grad()
        return (self.model(x) - 1).square().mean()

    def closure(self, step):
        def evaluate():
            loss = self.loss(step)
            loss.backward()
            return loss

        return evaluate

    def train(self, first, last):
        for step in range(first, last):
            if self.kind == "SSGD":
                self.optimizer.step(self.closure(step))
            elif self.kind == "SymmetricNoise":
                self.optimizer.step(self.handle.closure(self.closure(step)))
            else:
                self.closure(step)()
                self.optimizer.step()
        return self

    def weights(self):
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def parts(self):
        return {"model": self.model, "optimizer": self.optimizer, "handle": self.handle}


def sgd(model):
    return torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)


def network(kind, *, lazy=False, device="cpu"):
    torch.manual_seed(0)
    first = nn.LazyLinear(5, device=device) if lazy else nn.Linear(6, 5, device=device)
    between = GradientCalibration(seed=3, keep=0.5, persistent=True) if kind == "GradientCalibration" else nn.Tanh()
    return nn.Sequential(first, between, nn.Linear(5, 5, device=device), nn.Tanh(), nn.Linear(5, 5, device=device))


OPTIMIZERS = {
    "ScaledSGD": lambda model: ScaledSGD(model.named_parameters(), lr=0.1),
    "SNGM": lambda model: steepest.SNGM(model.named_parameters(), lr=0.1),
    "BlockNormalizedSGD": lambda model: steepest.BlockNormalizedSGD(model.named_parameters(), lr=0.1),
    "LARS": lambda model: steepest.LARS(model.named_parameters(), lr=1.0),
    "INSGD": lambda model: steepest.INSGD(model.named_parameters(), lr=0.1),
    "SSGD": lambda model: steepest.SSGD(model.named_parameters(), lr=0.1, seed=5),
}
HANDLES = {
    "INSGD": lambda model: steepest.track_input_power(model),
    "SymmetricNoise": lambda model: steepest.SymmetricNoise(model.parameters(), seed=5),
    "calibrate": lambda model: steepest.calibrate(model, keep=0.5, seed=5),
}
KINDS = (*OPTIMIZERS, "normalize_gradients", "SymmetricNoise", "calibrate", "GradientCalibration")
# They know the parameters; the other three find them in the layers.
HOLDERS = {*OPTIMIZERS, "normalize_gradients", "SymmetricNoise"}


def straight(kind, model=None, last=6):
    """The weights of the object that was left alone."""
    return Rig(kind, network(kind) if model is None else model).train(0, last).weights()


def same(weights, expected):
    assert weights.keys() == expected.keys()
    for name, tensor in weights.items():
        assert torch.allclose(tensor.double(), expected[name].double(), rtol=1e-5, atol=1e-6), name


def saved_and_loaded(things):
    file = io.BytesIO()
    torch.save(things, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


COPIERS = {
    "copy.copy": copy.copy,
    "copy.deepcopy": copy.deepcopy,
    "pickle": lambda thing: pickle.loads(pickle.dumps(thing)),
    "torch.save": saved_and_loaded,
}


def alone(kind, copier):
    """The object is copied; its copy takes over, with the parameters that it holds now."""
    rig = Rig(kind, network(kind)).train(0, 3)
    if kind == "GradientCalibration":
        rig.model[1] = copier(rig.model[1])
    elif kind == "SymmetricNoise":
        rig.handle = copier(rig.handle)
        adopt(rig, rig.handle.param_groups)
        rig.optimizer, momentum = sgd(rig.model), rig.optimizer.state_dict()
        rig.optimizer.load_state_dict(momentum)
    elif kind == "calibrate":
        handle = copier(rig.handle)
        handle.uncovered()  # raises if it is the handle of no model
        rig.handle.remove() if handle is not rig.handle else None
    else:
        rig.optimizer = copier(rig.optimizer)
        adopt(rig, rig.optimizer.param_groups)
    same(rig.train(3, 6).weights(), straight(kind))


def adopt(rig, groups):
    """The model takes the parameters of a copy in place of its own."""
    names = [name for name, _ in rig.model.named_parameters()]
    for name, p in zip(names, (p for group in groups for p in group["params"]), strict=True):
        module, _, last = name.rpartition(".")
        rig.model.get_submodule(module)._parameters[last] = p


def together(kind, copier):
    """Model, optimizer and handle are copied in one go, and go on as if nothing had been."""
    rig = Rig(kind, network(kind)).train(0, 3)
    twin = object.__new__(Rig)
    twin.kind = kind
    vars(twin).update(copier(rig.parts()))
    same(twin.train(3, 6).weights(), straight(kind))
    same(rig.train(3, 6).weights(), straight(kind))  # and the first one was not disturbed


def state_dicts(kind):
    """The states are saved, and loaded into new objects of a new model."""
    rig = Rig(kind, network(kind)).train(0, 3)
    states = {name: part.state_dict() for name, part in rig.parts().items() if hasattr(part, "state_dict")}
    file = io.BytesIO()
    torch.save(states, file)
    file.seek(0)
    states = torch.load(file, weights_only=True)
    new = Rig(kind, network(kind))
    for name, state in states.items():
        getattr(new, name).load_state_dict(state)
    same(new.train(3, 6).weights(), straight(kind))


def follow(rig):
    """What finds the parameters in the layers goes on with a new optimizer; what holds them must do without."""
    if rig.kind in ("calibrate", "GradientCalibration"):
        rig.optimizer.zero_grad()
        state, rig.optimizer = rig.optimizer.state_dict(), sgd(rig.model)
        rig.optimizer.load_state_dict(state)
    return rig


def assigned(kind):
    """load_state_dict(assign=True) puts other parameters into the model."""
    rig = Rig(kind, network(kind)).train(0, 3)
    rig.model.load_state_dict({k: v.clone() for k, v in rig.model.state_dict().items()}, assign=True)
    same(follow(rig).train(3, 6).weights(), straight(kind))


def replaced(kind):
    """A layer is given another parameter of the same values."""
    rig = Rig(kind, network(kind)).train(0, 3)
    for layer in (rig.model[0], rig.model[2]):
        layer.weight = nn.Parameter(layer.weight.detach().clone())
    same(follow(rig).train(3, 6).weights(), straight(kind))


@contextmanager
def swapping():
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        yield
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


def converted(kind, *, swap):
    """model.double(), in place or by swapping the tensors; then as a new object of a double model that is loaded."""
    rig = Rig(kind, network(kind)).train(0, 3)
    rig.model.zero_grad(set_to_none=True)
    states = copy.deepcopy({n: part.state_dict() for n, part in rig.parts().items() if hasattr(part, "state_dict")})
    new = Rig(kind, network(kind).double())
    for name, state in states.items():
        getattr(new, name).load_state_dict(state)
    if swap:
        with swapping():
            rig.model.double()
    else:
        rig.model.double()
    rig.optimizer.load_state_dict(rig.optimizer.state_dict())  # torch leaves the momentum as it was
    same(rig.train(3, 6).weights(), new.train(3, 6).weights())


def swapped(kind):
    """torch.utils.swap_tensors exchanges the contents of two parameters."""
    rig = Rig(kind, network(kind)).train(0, 3)
    rig.model.zero_grad(set_to_none=True)
    for layer in (rig.model[0], rig.model[2]):
        torch.utils.swap_tensors(layer.weight, nn.Parameter(layer.weight.detach().clone()))
    same(rig.train(3, 6).weights(), straight(kind))


def from_meta(kind, *, swap):
    """The model is built on the meta device, the object made, and memory given afterwards."""
    rig = Rig(kind, network(kind, device="meta"))
    if swap:
        with swapping():
            rig.model.to_empty(device="cpu")
    else:
        rig.model.to_empty(device="cpu")
    rig.model.load_state_dict(network(kind).state_dict())
    same(follow(rig).train(0, 3).weights(), straight(kind, last=3))


def lazy(kind):
    """The object is made before the first batch fixes the shapes."""
    model = network(kind, lazy=True)
    rig = Rig(kind, model)
    rig.loss(0)
    rig.model.load_state_dict(network(kind).state_dict())
    same(rig.train(0, 3).weights(), straight(kind, last=3))


class Reuse(nn.Module):
    """A layer that takes its weight from another, to which alone it belongs."""

    def __init__(self, other, bias):
        super().__init__()
        self.bias, self.other = bias, [other]

    def forward(self, x):
        return nn.functional.linear(x, self.other[0].weight, self.bias)


def tied(kind):
    """Two layers share a weight: it takes one step, with both gradients and, in INSGD, the power of both inputs."""
    model = network(kind)
    model[4].weight = model[2].weight
    rig = Rig(kind, model).train(0, 3)
    weights = rig.weights()
    assert model[4].weight is model[2].weight
    if kind == "INSGD":  # the twin's last layer is no layer that could be tracked
        assert rig.optimizer.state[model[2].weight]["input_power"] > 0
        assert not torch.equal(weights["2.weight"], network(kind)[2].weight)
        return
    twin = network(kind)
    twin[4] = Reuse(twin[2], twin[4].bias)
    same(weights, straight(kind, twin, last=3))


def thawed(kind):
    """A frozen layer stays; thawed, it moves."""
    rig = Rig(kind, network(kind))
    rig.model[2].requires_grad_(False)
    before = rig.weights()
    rig.train(0, 3)
    frozen = rig.weights()
    same({"2.weight": frozen["2.weight"]}, {"2.weight": before["2.weight"]})
    assert not torch.equal(frozen["4.weight"], before["4.weight"])
    rig.model[2].requires_grad_(True)
    rig.train(3, 6)
    assert not torch.equal(rig.weights()["2.weight"], frozen["2.weight"])
    assert all(torch.isfinite(p).all() for p in rig.model.parameters())


WAYS = {
    "`copy.copy` of it": lambda kind: alone(kind, copy.copy),
    "`copy.deepcopy` of it": lambda kind: alone(kind, copy.deepcopy),
    "`pickle` of it": lambda kind: alone(kind, COPIERS["pickle"]),
    "`copy.deepcopy` with the model": lambda kind: together(kind, copy.deepcopy),
    "`pickle` with the model": lambda kind: together(kind, COPIERS["pickle"]),
    "`torch.save` with the model": lambda kind: together(kind, saved_and_loaded),
    "`state_dict` into new ones": state_dicts,
    "`load_state_dict(assign=True)` of the model": assigned,
    "a parameter replaced": replaced,
    "`model.double()`": lambda kind: converted(kind, swap=False),
    "the same, swapping": lambda kind: converted(kind, swap=True),
    "`swap_tensors`": swapped,
    "meta, then `to_empty`": lambda kind: from_meta(kind, swap=False),
    "the same, swapping ": lambda kind: from_meta(kind, swap=True),
    "lazy modules": lazy,
    "tied weights": tied,
    "frozen, then thawed": thawed,
}

WORKS = "works"
# Any optimizer of torch's keeps the parameters that it was given, wherever the model's are now.
NOT_FOLLOWED = "not followed"
NO_MODEL = "the model of this calibration is gone: copy or pickle a handle together with its model"
UNTRACKED = "INSGD holds no parameter whose input is tracked"
REPLACED = "its layer holds another weight now (rebuild the optimizer)"
LAZY_LAYER = "has no shape yet: run a batch through the model, then track it"
LAZY = "params must have a shape, got one of a lazy layer: run a batch through the model first"
META = "weights on the meta device have no values to move: build SymmetricNoise after to_empty()"
NOT_WORKING = {
    "`copy.deepcopy` of it": {"calibrate": NO_MODEL},
    "`pickle` of it": {"calibrate": NO_MODEL},
    "`copy.deepcopy` with the model": {"INSGD": UNTRACKED},
    "`pickle` with the model": {"INSGD": UNTRACKED},
    "`torch.save` with the model": {"INSGD": UNTRACKED},
    "`load_state_dict(assign=True)` of the model": {**dict.fromkeys(HOLDERS, NOT_FOLLOWED), "INSGD": UNTRACKED},
    "a parameter replaced": {**dict.fromkeys(HOLDERS, NOT_FOLLOWED), "INSGD": REPLACED},
    "meta, then `to_empty`": {**dict.fromkeys(HOLDERS, NOT_FOLLOWED), "SSGD": META, "SymmetricNoise": META},
    "lazy modules": {"INSGD": LAZY_LAYER, "SymmetricNoise": LAZY},
}
TABLE = {(way, kind): NOT_WORKING.get(way, {}).get(kind, WORKS) for way in WAYS for kind in KINDS}
PAGE = ROOT / "docs" / "copies.md"


@pytest.mark.parametrize(("way", "kind"), TABLE, ids=lambda part: part.strip().replace("`", ""))
def test_what_becomes_of_it(way, kind):
    outcome = TABLE[way, kind]
    if outcome == WORKS:
        WAYS[way](kind)
    elif outcome == NOT_FOLLOWED:
        with pytest.raises(AssertionError, match="weight"):
            WAYS[way](kind)
        with pytest.raises(AssertionError, match="weight"):
            WAYS[way]("torch.optim.SGD")
    else:
        with pytest.raises((RuntimeError, ValueError), match=re.escape(outcome)):
            WAYS[way](kind)


def rows():
    """The table as the page shows it: sentences by their number."""
    sentences = [*dict.fromkeys(outcome for outcome in TABLE.values() if outcome not in (WORKS, NOT_FOLLOWED))]
    marks = {WORKS: "yes", NOT_FOLLOWED: "no"} | {s: f"({i})" for i, s in enumerate(sentences, 1)}
    table = [["", *KINDS], *([way.strip(), *(marks[TABLE[way, kind]] for kind in KINDS)] for way in WAYS)]
    return table, [f"{i}. {sentence}" for i, sentence in enumerate(sentences, 1)]


def test_the_page_says_the_same():
    text = PAGE.read_text()
    shown = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in re.findall(r"^\|.*\|$", text, re.MULTILINE)
    ]
    table, sentences = rows()
    assert [row for row in shown if set(row[0]) != {"-"}] == table
    assert re.findall(r"^\d+\. .*$", text, re.MULTILINE) == sentences
