"""Methods of others are to the last bit what a plain loop does with the same optimizers, and cost what they take."""

import copy
import dataclasses

import prodigyopt
import pytest
import pytorch_optimizer
import schedulefree
import torch
from torch import nn
from torch.nn import functional as F

from steepest import param_groups
from steepest._errors import InputError, MissingExtraError
from steepest.compare import Method, Range
from steepest.training import train as module
from steepest.training.builtin import ESTIMATORS, METHODS
from steepest.training.builtin.peers import PEERS
from steepest.training.builtin.peers import methods as peers
from steepest.training.builtin.peers.muon import hidden_matrices
from steepest.training.code.lookup import find_method
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.batches import Batches
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.process.randomness import seed_generators
from tests.compare import tiny

SPLITS = tiny.two_clouds(None)
EPOCHS, SIZE, SEED = 6, 24, 5
STEPS = len(SPLITS.train) // SIZE * EPOCHS
NAMES = [method.name for method in PEERS]
POINTS = {
    "muon": {"lr": 0.02, "adamw_lr": 0.003},
    "lion": {"lr": 0.003},
    "schedule-free-sgd": {"lr": 1.0},
    "schedule-free-adamw": {"lr": 0.01},
    "prodigy": {"d_coef": 1.0},
    "adafactor": {"lr": 0.1},
    "shampoo": {"lr": 0.3},
    "lbfgs": {"lr": 1.0},
}


class Net(nn.Module):
    """Two kernels, a hidden and a last matrix, on four inputs."""

    def __init__(self):
        super().__init__()
        self.kernels = nn.Sequential(nn.Conv1d(1, 3, 2), nn.Tanh(), nn.Conv1d(3, 4, 2), nn.Tanh())
        self.body = nn.Linear(8, 6)
        self.drop = nn.Dropout(0.2)
        self.head = nn.Linear(6, 2)

    def forward(self, x):
        return self.head(self.drop(torch.tanh(self.body(self.kernels(x.unsqueeze(1)).flatten(1)))))


WORKLOAD = dataclasses.replace(tiny.clouds, model=Net, batch_size=SIZE, epochs=EPOCHS)


def assigned(name, recipe=Recipe(), workload=WORKLOAD, schedule="linear", epochs=EPOCHS):  # noqa: B008
    method = METHODS[name] if isinstance(name, str) else name
    point = POINTS[method.name.split("+")[-1]]
    return Assignment(workload, method, SPLITS, point, SEED, epochs, SIZE, SCHEDULES[schedule], recipe=recipe)


def trained(name, recipe=Recipe(), **options):  # noqa: B008
    """Weights at the end, as they are evaluated, and the outcome."""
    kept = []
    of_run = {key: options.pop(key) for key in ("workload", "schedule", "epochs") if key in options}
    outcome = module.train(
        assigned(name, recipe, **of_run), with_test=True,
        trained=lambda model: kept.extend(p.detach().clone() for p in model.parameters()), **options,
    )  # fmt: skip
    return kept, outcome


def two(model, muon, adamw):
    """Muon and AdamW side by side, on kernels that are matrices of their own."""
    hidden = ["kernels.2.weight", "body.weight"]
    named = dict(model.named_parameters())
    matrices = [nn.Parameter(named[name].detach().flatten(1)) for name in hidden]
    others = [named[name] for name in named if name not in hidden]
    first = torch.optim.Muon(matrices, lr=muon, momentum=0.95, weight_decay=0.01)
    decayed = [p for p in others if p.ndim > 1]
    plain = [p for p in others if p.ndim == 1]
    groups = [{"params": decayed}, {"params": plain, "weight_decay": 0.0}]
    second = torch.optim.AdamW(groups, lr=adamw, betas=(0.9, 0.95), weight_decay=0.01)

    def step(closure=None):
        for name, matrix in zip(hidden, matrices, strict=True):
            matrix.grad = named[name].grad.flatten(1)
        first.step()
        with torch.no_grad():
            for name, matrix in zip(hidden, matrices, strict=True):
                named[name].copy_(matrix.view_as(named[name]))
        second.step()

    return [*first.param_groups, *second.param_groups], step


def plain_optimizer(name, model):
    """Groups and step of the optimizer, as its own documentation has it made."""
    params = list(model.parameters())
    point = POINTS[name]
    if name == "muon":
        return two(model, point["lr"], point["adamw_lr"])
    if name == "lion":
        made = pytorch_optimizer.Lion(param_groups(model, 0.1), betas=(0.9, 0.99), **point)
    elif name == "schedule-free-sgd":
        made = schedulefree.SGDScheduleFree(params, momentum=0.9, **point)
    elif name == "schedule-free-adamw":
        made = schedulefree.AdamWScheduleFree(param_groups(model, 0.01), **point)
    elif name == "prodigy":
        made = prodigyopt.Prodigy(param_groups(model, 0.01), lr=1.0, **point)
    elif name == "adafactor":
        made = torch.optim.Adafactor(params, **point)
    else:
        made = pytorch_optimizer.Shampoo(params, **point)
    if hasattr(made, "train"):
        made.train()
    return made.param_groups, made


def looped(name, factor):
    """The same by a loop that anybody would write; also the evaluations that it took."""
    seed_generators(SEED)
    model = Net()
    groups, optimizer = plain_optimizer(name, model)
    peaks = [group["lr"] for group in groups]
    batches = Batches(SPLITS.train, SIZE, SEED)
    taken = []
    for step in range(STEPS):
        for group, peak in zip(groups, peaks, strict=True):
            group["lr"] = peak * factor(step)
        inputs, targets = next(batches)

        def closure(inputs=inputs, targets=targets):
            model.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            taken.append(1)
            return loss

        closure()
        optimizer.step() if hasattr(optimizer, "step") else optimizer()
    if hasattr(optimizer, "eval"):
        optimizer.eval()
    return list(model.parameters()), len(taken)


def equal(some, others):
    return len(some) == len(others) > 0 and all(map(torch.equal, some, others))


def factor_of(name):
    if not name.startswith("schedule-free"):
        return lambda step: 1 - step / STEPS
    rising = round(0.05 * STEPS)
    return lambda step: (step + 1) / rising if step < rising else 1.0


@pytest.mark.parametrize("name", [name for name in NAMES if name != "lbfgs"])
def test_it_is_to_the_last_bit_what_a_plain_loop_does(name):
    found, outcome = trained(name)
    expected, taken = looped(name, factor_of(name))
    assert equal(found, expected)
    assert outcome.gradient_evaluations == taken == STEPS
    assert not equal(found, looped(name, lambda step: 0.5)[0])


def searched(epochs, size=SIZE):
    """L-BFGS in a loop that cuts its last line search short; also the evaluations of each step."""
    seed_generators(SEED)
    model = Net()
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", **POINTS["lbfgs"])
    batches = Batches(SPLITS.train, size, SEED)
    taken, left = [], len(SPLITS.train) // size * epochs
    while left:
        inputs, targets = next(batches)
        calls = []

        def closure(inputs=inputs, targets=targets, calls=calls):
            model.zero_grad()
            loss = F.cross_entropy(model(inputs), targets)
            loss.backward()
            calls.append(1)
            return loss

        if left == 1:
            closure()
        else:
            optimizer.param_groups[0]["max_eval"] = min(25, left - 1)
            optimizer.step(closure)
        taken.append(len(calls))
        left -= len(calls)
    return list(model.parameters()), taken


@pytest.mark.parametrize("epochs", [*range(1, 12), 40])
def test_lbfgs_pays_for_the_calls_of_its_closure_and_stops_at_the_budget(epochs):
    steps = []
    method = dataclasses.replace(METHODS["lbfgs"], prepare=lambda model: steps.clear())
    noting = dataclasses.replace(WORKLOAD, model=lambda: noted(Net(), steps))
    found, outcome = trained(method, epochs=epochs, workload=noting)
    expected, taken = searched(epochs)
    assert equal(found, expected)
    assert outcome.gradient_evaluations == sum(taken) == len(steps) == len(SPLITS.train) // SIZE * epochs
    assert outcome.curve["gradient_evaluations"][-1] == sum(taken)


def noted(model, seen):
    """The same, which notes every pass whose gradient is taken."""
    model.head.register_full_backward_hook(lambda module, inputs, outputs: seen.append(1))
    return model


def test_steps_of_lbfgs_differ_in_what_they_take():
    assert len(set(searched(40)[1])) > 2


def same(one, other):
    return dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


@pytest.mark.parametrize("name", NAMES)
def test_two_runs_of_a_seed_are_equal_and_it_learns(name):
    (first, outcome), (second, again) = trained(name), trained(name)
    assert equal(first, second)
    assert same(outcome, again)
    assert min(outcome.curve["validation_loss"]) < 0.69  # log 2, which is to know nothing


class StopError(Exception):
    pass


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("after", range(1, EPOCHS))
def test_it_resumes_to_the_last_bit_after_any_validation(name, after, tmp_path):
    def stop(seen):
        if seen.validations == after:
            raise StopError

    whole, expected = trained(name)
    if len(expected.curve["validation_loss"]) <= after:
        pytest.skip("a step of lbfgs is longer than an epoch")
    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0)
    with pytest.raises(StopError):
        trained(name, checkpoint=checkpoint, progress=stop)
    assert checkpoint.path.exists()
    found, outcome = trained(name, checkpoint=checkpoint)
    assert equal(found, whole)
    assert same(outcome, expected)
