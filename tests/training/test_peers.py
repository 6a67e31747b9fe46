"""Methods of others are to the last bit what a plain loop does with the same optimizers, and cost what they take."""

import copy
import dataclasses
import functools
import importlib.util

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
from steepest.data import Tasks
from steepest.training import train as module
from steepest.training.builtin import METHODS
from steepest.training.builtin.instruments import SHARPNESS
from steepest.training.builtin.peers import PEERS
from steepest.training.builtin.peers.muon import hidden_matrices
from steepest.training.code.lookup import find_method
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.ranks import ALONE
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


@functools.cache
def uninterrupted(name, epochs):
    return trained(name, epochs=epochs)


def stopping(method, after):
    """The method whose process is killed before it takes its step number ``after``, from 0."""

    def make(params, **options):
        optimizer = method.optimizer(params, **options)
        steps = iter(range(after))

        def stop(*_):
            if next(steps, None) is None:
                raise StopError

        optimizer.register_step_pre_hook(stop)
        return optimizer

    return dataclasses.replace(method, optimizer=make)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("after", [1, 4, 11])
@pytest.mark.slow
def test_it_resumes_to_the_last_bit_after_any_step(name, after, tmp_path):
    epochs = 40 if name == "lbfgs" else EPOCHS
    whole, expected = uninterrupted(name, epochs)
    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0)
    checkpoint.due = lambda: True
    with pytest.raises(StopError):
        trained(stopping(METHODS[name], after), checkpoint=checkpoint, epochs=epochs)
    assert checkpoint.load(assigned(name, epochs=epochs).identity(ALONE))["step"] == after
    found, outcome = trained(name, checkpoint=checkpoint, epochs=epochs)
    assert equal(found, whole)
    assert same(outcome, expected)


@pytest.mark.parametrize("name", NAMES)
def test_hooks_of_a_step_are_called_once(name):
    torch.optim.LBFGS(Net().parameters())  # of both are some in this process, so that torch has hooked their classes
    pytorch_optimizer.Shampoo(Net().parameters())
    called = []

    def make(params, **options):
        optimizer = METHODS[name].optimizer(params, **options)
        optimizer.register_step_pre_hook(lambda *_: called.append("before"))
        optimizer.register_step_post_hook(lambda *_: called.append("after"))
        return optimizer

    trained(dataclasses.replace(METHODS[name], optimizer=make), epochs=1)
    assert called == ["before", "after"] * (len(called) // 2)


@pytest.mark.parametrize("name", ["schedule-free-sgd", "schedule-free-adamw"])
def test_looking_more_often_does_not_move_the_weights(name):
    plain, _ = trained(name)
    assert equal(trained(name, Recipe(keep_best=True))[0], plain)
    assert equal(trained(name, instruments=[SHARPNESS])[0], plain)


def test_schedule_free_is_evaluated_and_kept_at_its_mean():
    found, outcome = trained("schedule-free-sgd")
    model = Net().eval()
    with torch.no_grad():
        for p, value in zip(model.parameters(), found, strict=True):
            p.copy_(value)
        loss = F.cross_entropy(model(SPLITS.validation.inputs), SPLITS.validation.targets)
        right = model(SPLITS.test.inputs).argmax(dim=1) == SPLITS.test.targets
    assert outcome.curve["validation_loss"][-1] == pytest.approx(loss.item())
    assert outcome.test_metric == pytest.approx(right.double().mean().item())


@pytest.mark.parametrize("name", ["schedule-free-sgd", "schedule-free-adamw"])
def test_running_statistics_of_other_weights_are_refused(name):
    def model():
        return nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 2))

    with pytest.raises(InputError, match=rf"{name} is evaluated at other .* statistics of 1 \(BatchNorm1d\)"):
        trained(name, workload=dataclasses.replace(WORKLOAD, model=model))


def test_what_is_a_hidden_matrix():
    class Attentive(nn.Module):
        def __init__(self, tied):
            super().__init__()
            self.words = nn.Embedding(9, 4)
            self.places = nn.Parameter(torch.zeros(5, 4))
            self.attention = nn.MultiheadAttention(4, 2)
            self.norm = nn.LayerNorm(4)
            self.hidden = nn.Linear(4, 4)
            self.head = nn.Linear(4, 9, bias=False)
            if tied:
                self.head.weight = self.words.weight

    inner = ["attention.in_proj_weight", "attention.out_proj.weight", "hidden.weight"]
    assert hidden_matrices(Attentive(False)) == inner
    assert hidden_matrices(Attentive(True)) == inner
    assert hidden_matrices(Net()) == ["kernels.2.weight", "body.weight"]
    assert hidden_matrices(nn.Sequential(nn.Linear(4, 3), nn.Linear(3, 2))) == ["0.weight"]
    assert hidden_matrices(nn.Linear(4, 2)) == []


def test_muon_without_a_hidden_matrix_is_refused():
    with pytest.raises(InputError, match="muon moves hidden matrices, and the model has none"):
        trained("muon", workload=tiny.clouds)


def test_muon_moves_kernels_in_any_layout():
    model = nn.Sequential(nn.Conv2d(1, 4, 2), nn.Conv2d(4, 4, 2), nn.Flatten(), nn.Linear(16, 2))
    other = copy.deepcopy(model).to(memory_format=torch.channels_last)
    inputs = torch.randn(8, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    for net in (model, other):
        optimizer = METHODS["muon"].build(net, POINTS["muon"])
        for _ in range(3):
            optimizer.zero_grad()
            net(inputs).square().sum().backward()
            optimizer.step()
    for one, two in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.allclose(one, two, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "recipe"), [("prodigy", Recipe(warmup=0.5)), ("lbfgs", Recipe(warmup=0.5, clip=0.01))]
)
def test_what_would_mislead_it_is_left_out_of_its_recipe(name, recipe):
    assert equal(trained(name, recipe)[0], trained(name)[0])


@pytest.mark.parametrize("name", ["schedule-free-sgd", "schedule-free-adamw", "lbfgs"])
def test_it_has_a_constant_schedule_of_its_own(name):
    assert equal(trained(name, schedule="cosine")[0], trained(name, schedule="linear")[0])


def test_lbfgs_refuses_what_it_cannot_do():
    with pytest.raises(InputError, match=r"csgd.lbfgs.* for the gradient of one loss .* csgd does not give"):
        find_method("csgd+lbfgs")
    with pytest.raises(InputError, match="lbfgs knows no weight_decay other than 0"):
        METHODS["lbfgs"].build(Net(), {"lr": 1.0, "weight_decay": 0.1})
    with pytest.raises(InputError, match="float16 scales the loss, and lbfgs takes its steps by a closure"):
        trained("lbfgs", Recipe(precision="float16"))


def test_lbfgs_in_pieces_finds_the_same_gradients():
    still = dataclasses.replace(WORKLOAD, model=lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)))
    whole, pieces = (trained("lbfgs", Recipe(accumulate=n), workload=still, epochs=1)[1] for n in (1, 2))
    assert pieces.gradient_evaluations == whole.gradient_evaluations
    assert pieces.curve["train_loss"] == pytest.approx(whole.curve["train_loss"], rel=1e-4)


@pytest.mark.parametrize("name", ["csgd+muon", "csgd+lion", "sam+schedule-free-sgd", "ssgd+adafactor", "sam+prodigy"])
def test_estimators_go_in_front(name):
    method = find_method(name)
    _, outcome = trained(method)
    assert outcome.gradient_evaluations == STEPS // method.cost * method.cost


class Greedy(torch.optim.SGD):
    """Asks for three gradients, whatever is left."""

    def step(self, closure):
        losses = [closure() for _ in range(3)]
        super().step()
        return losses[-1]


LR = {"lr": Range(0.01, 1.0)}


def test_a_counted_method_stays_within_its_budget():
    greedy = Method("greedy", Greedy, LR, closure=True, counted=True, evaluations_per_step=3)
    POINTS["greedy"] = {"lr": 0.1}
    assert trained(greedy, epochs=3)[1].gradient_evaluations == 15
    with pytest.raises(InputError, match="greedy called its closure 3 times in a step, and the budget had 2 left"):
        trained(greedy, epochs=1)
    with pytest.raises(InputError, match="greedy took 3 gradient evaluations in a step and pays 2"):
        trained(dataclasses.replace(greedy, evaluations_per_step=2), epochs=3)


def test_a_counted_method_needs_a_closure():
    with pytest.raises(ValueError, match="method 'm': what is counted are the calls of a closure"):
        Method("m", torch.optim.SGD, LR, counted=True)


def test_batches_of_an_epoch_are_each_paid_for_at_every_call():
    whole = dataclasses.replace(METHODS["lbfgs"], batches_per_step="epoch")
    still = dataclasses.replace(WORKLOAD, model=lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)))
    _, outcome = trained(whole, workload=still, epochs=12)
    per_epoch = len(SPLITS.train) // SIZE
    assert outcome.gradient_evaluations == 12 * per_epoch
    assert all(at % per_epoch == 0 for at in outcome.curve["gradient_evaluations"])
    assert outcome.curve["train_loss"][-1] < outcome.curve["train_loss"][0]


def test_each_task_of_a_sequence_has_its_budget():
    tasks = Tasks([SPLITS, SPLITS])
    asked = Assignment(WORKLOAD, METHODS["lbfgs"], tasks, POINTS["lbfgs"], SEED, 9, SIZE)
    outcome = module.train(asked, with_test=False)
    half = 9 * (len(SPLITS.train) // SIZE)
    assert outcome.gradient_evaluations == 2 * half
    assert half in outcome.curve["gradient_evaluations"]


@pytest.mark.parametrize("name", ["lion", "schedule-free-sgd", "schedule-free-adamw", "prodigy", "shampoo"])
def test_a_package_that_is_missing_is_named_with_its_extra(name, monkeypatch):
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda module, *more: None if "." not in module else found(module))
    with pytest.raises(MissingExtraError, match=r"is not installed; it comes with: pip install 'steepest\[methods\]'"):
        trained(name)


@pytest.mark.parametrize("name", ["muon", "adafactor", "lbfgs"])
def test_what_torch_has_needs_no_extra(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda module, *more: None)
    METHODS[name].build(Net(), POINTS[name])


def test_shampoo_refuses_a_dimension_whose_matrix_is_too_large():
    with pytest.raises(InputError, match=r"at most, and a parameter has the shape \(8193, 2\)"):
        METHODS["shampoo"].build(nn.Linear(2, 8193), POINTS["shampoo"])


def test_shampoo_whose_matrix_has_no_root_has_diverged():
    workload = dataclasses.replace(WORKLOAD, loss=lambda outputs, targets: 1e30 * F.cross_entropy(outputs, targets))
    _, outcome = trained("shampoo", workload=workload)
    assert outcome.diverged
