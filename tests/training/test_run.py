"""What a run does with optimizers that ask for more than a step, and what it counts and keeps."""

import dataclasses
import itertools
import time
from typing import ClassVar

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Method, Range
from steepest.data import Split
from steepest.training.builtin import METHODS
from steepest.training.builtin.instruments import SHARPNESS
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.batches import Batches
from steepest.training.loop.checkpoint import Checkpoint
from tests.compare import tiny
from tests.training.runs import train

SPLITS = tiny.two_clouds(None)
LR = {"lr": Range(1e-3, 1.0)}


def run(method, workload=tiny.clouds, splits=SPLITS, epochs=3, **options):
    options = {"seed": 1, "batch_size": 20, "with_test": True, **options}
    return train(workload, method, splits, {"lr": 0.1}, epochs=epochs, **options)


def same(one, other):
    return dataclasses.replace(one, seconds=0) == dataclasses.replace(other, seconds=0)


class Averaged(torch.optim.SGD):
    """Trains at one set of weights and is evaluated at their mean, as Schedule-Free is."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.mode = "none"
        self.modes = []

    def train(self):
        self._swap("train")

    def eval(self):
        self._swap("eval")

    def _swap(self, mode):
        self.modes.append(mode)
        if {self.mode, mode} == {"train", "eval"}:
            for p in (p for group in self.param_groups for p in group["params"]):
                state = self.state[p]
                if state:
                    other = state["other"].clone()
                    state["other"].copy_(p.detach())
                    p.data.copy_(other)
        self.mode = mode

    @torch.no_grad()
    def step(self, closure=None):
        if self.mode != "train":
            raise RuntimeError("step was called in evaluation mode")
        super().step(closure)
        for p in (p for group in self.param_groups for p in group["params"]):
            state = self.state[p]
            state["other"] = state["other"].lerp(p, 0.1) if "other" in state else p.detach().clone()


def test_an_optimizer_with_two_modes_is_put_into_each():
    made = []

    def make(params, lr):
        made.append(Averaged(params, lr))
        return made[-1]

    averaged = run(Method("averaged", make, LR), instruments=[SHARPNESS])
    assert made[0].modes == ["train", *["eval", "train"] * 3, *["eval", "train"] * 2]  # validations, test, sharpness
    plain = run(Method("plain", torch.optim.SGD, LR))
    assert averaged.curve["validation_loss"] != plain.curve["validation_loss"]  # it is the mean that was evaluated
    assert averaged.curve["train_loss"] == pytest.approx(plain.curve["train_loss"])  # and not trained from


def test_such_a_run_resumes_from_its_checkpoint(tmp_path):
    assert_resumes(Method("averaged", Averaged, LR), tmp_path, has_checkpoint=True)


def by_layer(params, lr):
    groups = [{"params": [(name, p)], "lr": lr * (0.01 if name == "bias" else 1)} for name, p in params]
    return Seen(groups, lr=lr)


class Seen(torch.optim.SGD):
    rates: ClassVar[list] = []

    def step(self, closure=None):
        self.rates.append([group["lr"] for group in self.param_groups])
        super().step(closure)


def test_a_schedule_keeps_the_ratio_of_a_groups_own_rates():
    Seen.rates.clear()
    run(Method("by-layer", by_layer, LR), epochs=2, schedule=SCHEDULES["cosine"])
    assert len({weight for weight, _ in Seen.rates}) == 12
    assert all(bias == pytest.approx(0.01 * weight) for weight, bias in Seen.rates)


class Two(torch.optim.Optimizer):
    """Two optimizers within one, whose state the outer state_dict leaves out."""

    def __init__(self, params, lr):
        params = [p for _, p in params]
        self.inner = [torch.optim.SGD([p], lr=lr, momentum=0.9) for p in params]
        super().__init__(params, {"lr": lr})
        self.param_groups = [group for inner in self.inner for group in inner.param_groups]

    def step(self, closure=None):
        for inner in self.inner:
            inner.step()


class Listed(torch.optim.SGD):
    """Keeps its past in a list of its own."""

    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        self.norms = []

    def step(self, closure=None):
        grads = [p.grad for group in self.param_groups for p in group["params"]]
        self.norms.append(float(sum(g.square().sum() for g in grads)))
        for g in grads:
            g.div_(1 + sum(self.norms))
        super().step(closure)


class Counting(nn.Linear):
    """Keeps its past in a tensor that is no buffer."""

    def __init__(self):
        super().__init__(4, 2)
        self.seen = [torch.zeros(4)]

    def forward(self, x):
        if self.training:
            self.seen[0] += x.detach().mean(0)
        return super().forward(x + 0.001 * self.seen[0])


def assert_resumes(method, folder, workload=tiny.clouds, *, has_checkpoint):
    class StopError(Exception):
        pass

    def stop(seen):
        if seen.fraction > 0.5:
            raise StopError

    path = folder / "run.pt"
    whole = run(method, workload, epochs=6)
    with pytest.raises(StopError):
        run(method, workload, epochs=6, checkpoint=Checkpoint(path, 0), progress=stop)
    assert path.exists() == has_checkpoint
    assert same(run(method, workload, epochs=6, checkpoint=Checkpoint(path, 1e9)), whole)


@pytest.mark.parametrize("optimizer", [Two, Listed])
def test_a_run_with_what_no_checkpoint_holds_begins_anew(optimizer, tmp_path):
    assert_resumes(Method("own", optimizer, LR), tmp_path, has_checkpoint=False)


def test_so_does_one_whose_model_keeps_it(tmp_path):
    workload = dataclasses.replace(tiny.clouds, model=Counting)
    assert_resumes(tiny.good, tmp_path, workload, has_checkpoint=False)


@pytest.mark.parametrize("name", [n for n, m in METHODS.items() if "lr" in m.space and n not in ORDER_ESTIMATORS])
def test_every_built_in_method_has_checkpoints(name, tmp_path):
    method = METHODS[name]
    if "adamw_lr" in method.space:  # a second rate is a point of its own, and a linear model has no hidden matrix
        method = dataclasses.replace(method, space=LR, fixed={**method.fixed, "adamw_lr": 0.01})
    workload = dataclasses.replace(
        tiny.clouds, model=lambda: nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2))
    )
    assert_resumes(method, tmp_path, workload, has_checkpoint=method.name != "lbfgs")


class Evaluating(torch.optim.SGD):
    """Asks for another number of gradients in every step."""

    def step(self, closure):
        state = self.state.setdefault(self.param_groups[0]["params"][0], {})
        state["steps"] = state.get("steps", -1) + 1
        for _ in range(1 + state["steps"] % 3):
            loss = closure()
        super().step()
        return loss


def test_fewer_gradients_than_paid_for_are_no_fault():
    outcome = run(Method("some", Evaluating, LR, closure=True, evaluations_per_step=3))
    assert outcome.gradient_evaluations == 18
    with pytest.raises(InputError, match="some took 3 gradient evaluations in a step and pays 2"):
        run(Method("some", Evaluating, LR, closure=True, evaluations_per_step=2))


class Secret(torch.optim.SGD):
    """Knows the model and takes gradients of its own, without a closure."""

    def __init__(self, params, lr, known):
        super().__init__(params, lr=lr)
        self.known = known

    def step(self, closure=None):
        self.known[-1](SPLITS.train.inputs[:20]).sum().backward()
        super().step()


def test_gradients_that_an_optimizer_takes_by_itself_are_counted():
    known = []
    secret = Method("secret", lambda params, lr: Secret(params, lr, known), LR, prepare=known.append)
    with pytest.raises(InputError, match="secret took 2 gradient evaluations in a step and pays 1"):
        run(secret)


class Returning(torch.optim.SGD):
    def __init__(self, params, lr, returned):
        super().__init__(params, lr=lr)
        self.returned = returned

    def step(self, closure):
        closure()
        super().step()
        return self.returned


def test_a_closure_method_may_return_nothing_and_nothing_else():
    def method(returned):
        return Method("m", lambda params, lr: Returning(params, lr, returned), LR, closure=True)

    assert run(method(None)).curve == run(tiny.good).curve
    with pytest.raises(InputError, match=r"step\(closure\) of m must call the closure or return the loss, got 'loss'"):
        run(method("loss"))


def test_what_works_in_place_does_not_change_the_data():
    class InPlace(nn.Linear):
        def forward(self, x):
            return super().forward(x.mul_(0.5))

    before = SPLITS.validation.inputs.clone(), SPLITS.validation.targets.clone()
    workload = dataclasses.replace(tiny.clouds, model=lambda: InPlace(4, 2), metric=lambda o, y: y.mul_(1).sum())
    first, second = run(tiny.good, workload), run(tiny.good, workload)
    assert same(first, second)
    assert torch.equal(SPLITS.validation.inputs, before[0])
    assert torch.equal(SPLITS.validation.targets, before[1])


def test_the_seconds_of_a_run_are_its_own(monkeypatch):
    """Not those for which it waits to be told whether to stop."""
    clock = [0.0]
    monkeypatch.setattr(time, "perf_counter", lambda: clock[0])

    def progress(seen):
        clock[0] += 100.0

    assert run(tiny.good, progress=progress).seconds == 0.0


@pytest.mark.parametrize("layout", ["contiguous", "channels last", "strided", "expanded"])
def test_batches_are_the_rows_of_the_data_and_lie_in_memory_as_indexing_lays_them(layout):
    """What lies otherwise would be computed otherwise: the same study would have other numbers."""
    plain = torch.randn(20, 3, 4, 4, generator=torch.Generator().manual_seed(0))
    inputs = {
        "contiguous": plain,
        "channels last": plain.to(memory_format=torch.channels_last),
        "strided": plain[..., ::2],
        "expanded": plain[:1].expand(20, 3, 4, 4),
    }[layout]
    targets = torch.arange(20)
    for x, y in itertools.islice(Batches(Split(inputs, targets), 6, seed=0), 7):
        assert torch.equal(x, inputs[y])
        assert x.stride() == inputs[y].stride()
