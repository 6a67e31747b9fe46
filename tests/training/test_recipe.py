"""A recipe's parts are to the last bit what a plain loop does that is written out here."""

import dataclasses
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from steepest import SNGM
from steepest._errors import InputError
from steepest.compare import Method, Range
from steepest.training import train as module
from steepest.training.builtin import ESTIMATORS
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULES, Schedule
from steepest.training.loop.batches import Batches
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.process.randomness import seed_generators
from tests.compare import tiny

SPLITS = tiny.two_clouds(None)
SGD = Method("sgd", torch.optim.SGD, {"lr": Range(0.01, 1.0)}, {"momentum": 0.9})
EPOCHS, SIZE, SEED = 3, 24, 5


def net():
    return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Dropout(0.2), nn.Linear(6, 2))


WORKLOAD = dataclasses.replace(tiny.clouds, model=net, batch_size=SIZE, epochs=EPOCHS)


def trained(recipe, method=SGD, schedule="linear", workload=WORKLOAD, lr=0.3, **options):
    """Weights at the end, as they are evaluated, and the outcome."""
    kept = []
    assignment = Assignment(
        workload, method, SPLITS, {"lr": lr}, SEED, EPOCHS, SIZE, SCHEDULES[schedule], recipe=recipe
    )
    outcome = module.train(
        assignment, with_test=True, trained=lambda model: kept.extend(p.detach().clone() for p in model.parameters()),
        **options,
    )  # fmt: skip
    return kept, outcome


def looped(*, warmup=0, clip=None, pieces=1, dtype=None, ema=None, factor=lambda share: 1 - share, lr=0.3):
    """The same by a loop that anybody would write."""
    seed_generators(SEED)
    model = net()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scaler = torch.amp.GradScaler("cpu") if dtype is torch.float16 else None
    average = AveragedModel(model, multi_avg_fn=get_ema_multi_avg_fn(ema)) if ema else None
    batches = Batches(SPLITS.train, SIZE, SEED)
    steps = len(SPLITS.train) // SIZE * EPOCHS
    for step in range(steps):
        if step < warmup:
            optimizer.param_groups[0]["lr"] = lr * (step + 1) / warmup
        else:
            optimizer.param_groups[0]["lr"] = lr * factor((step - warmup) / (steps - warmup))
        inputs, targets = next(batches)
        optimizer.zero_grad()
        for x, y in zip(inputs.chunk(pieces), targets.chunk(pieces), strict=True):
            with torch.autocast("cpu", dtype) if dtype else nullcontext():
                loss = F.cross_entropy(model(x), y) / pieces
            (scaler.scale(loss) if scaler else loss).backward()
        if scaler:
            scaler.unscale_(optimizer)
        if clip:
            torch.nn.utils.clip_grad_norm_(model.parameters(), clip)
        if scaler:
            scaler.step(optimizer)
            scaler.update()
        else:
            optimizer.step()
        if average:
            average.update_parameters(model)
    return list((average.module if average else model).parameters())


def equal(some, others):
    return len(some) == len(others) > 0 and all(map(torch.equal, some, others))


STEPS = len(SPLITS.train) // SIZE * EPOCHS


@pytest.mark.parametrize(
    ("recipe", "options"),
    [
        (Recipe(), {}),
        (Recipe(warmup=0.25), {"warmup": round(0.25 * STEPS)}),
        (Recipe(clip=0.05), {"clip": 0.05}),
        (Recipe(accumulate=4), {"pieces": 4}),
        (Recipe(precision="bfloat16"), {"dtype": torch.bfloat16}),
        (Recipe(precision="float16", clip=0.1), {"dtype": torch.float16, "clip": 0.1}),
        (Recipe(ema=0.9), {"ema": 0.9}),
        (
            Recipe(warmup=0.5, clip=0.1, accumulate=2, precision="bfloat16", ema=0.5),
            {"warmup": round(0.5 * STEPS), "clip": 0.1, "pieces": 2, "dtype": torch.bfloat16, "ema": 0.5},
        ),
    ],
    ids=str,
)
def test_it_is_to_the_last_bit_what_a_plain_loop_does(recipe, options):
    found, _ = trained(recipe)
    assert equal(found, looped(**options))
    if recipe != Recipe():
        assert not equal(found, looped())


def test_each_schedule_falls_over_what_the_warm_up_leaves():
    for name, schedule in SCHEDULES.items():
        found, _ = trained(Recipe(warmup=0.3), schedule=name)
        assert equal(found, looped(warmup=round(0.3 * STEPS), factor=schedule.factor))


class Halved:
    """A controller that multiplies what it finds, at each step."""

    def __init__(self, optimizer, steps):
        self.optimizer = optimizer

    def before_step(self, step):
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.9

    def observe(self, seen):
        for group in self.optimizer.param_groups:
            group["lr"] *= 0.5

    def state_dict(self):
        return {}

    def load_state_dict(self, state):
        pass


def test_a_controller_that_finds_the_lr_finds_its_own():
    method = dataclasses.replace(SGD, schedule=Schedule("halved", "halved", controller=Halved))
    lrs = []

    class Noting(torch.optim.SGD):
        def step(self, closure=None):
            lrs.append(self.param_groups[0]["lr"])
            return super().step(closure)

    plain = dataclasses.replace(method, optimizer=Noting)
    trained(Recipe(), plain)
    without, lrs[:] = list(lrs), []
    trained(Recipe(warmup=0.5), plain)
    rising = round(0.5 * STEPS)
    expected = [lr * min((step + 1) / rising, 1) for step, lr in enumerate(without)]
    assert lrs == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("name", ["ssgd", "sam", "csgd"])
def test_estimators_take_the_same_gradient_in_pieces(name):
    method = dataclasses.replace(SGD, estimators=(ESTIMATORS[name],))
    still = dataclasses.replace(WORKLOAD, model=lambda: nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 2)))
    whole, pieces = (trained(Recipe(accumulate=n), method, workload=still)[0] for n in (1, 3))
    for one, other in zip(whole, pieces, strict=True):
        assert torch.allclose(one, other, rtol=1e-4, atol=1e-6)


def test_clipping_changes_nothing_for_a_method_that_divides_by_the_norm():
    method = Method("sngm", SNGM, {"lr": Range(0.01, 1.0)})
    still = dataclasses.replace(WORKLOAD, model=lambda: nn.Linear(4, 2))
    plain, clipped = (trained(recipe, method, workload=still)[0] for recipe in (Recipe(), Recipe(clip=1e-3)))
    for one, other in zip(plain, clipped, strict=True):
        assert torch.allclose(one, other, rtol=1e-3, atol=1e-5)


def test_a_method_may_say_otherwise():
    method = dataclasses.replace(SGD, recipe={"clip": None})
    assert equal(trained(Recipe(clip=0.01, warmup=0.25), method)[0], looped(warmup=round(0.25 * STEPS)))


@pytest.mark.parametrize(
    "recipe",
    [Recipe(warmup=0.5, ema=0.9, clip=0.1, accumulate=2, keep_best=True), Recipe(precision="float16")],
    ids=str,
)
def test_it_resumes_to_the_last_bit(recipe, tmp_path):
    class StopError(Exception):
        pass

    def stop(seen):
        if seen.validations == 2:
            raise StopError

    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0)
    with pytest.raises(StopError):
        trained(recipe, checkpoint=checkpoint, progress=stop)
    assert checkpoint.path.exists()
    steps = []

    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            steps.append(1)
            return super().step(closure)

    found, outcome = trained(recipe, dataclasses.replace(SGD, optimizer=Counting), checkpoint=checkpoint)
    whole, expected = trained(recipe)
    assert len(steps) < STEPS
    assert equal(found, whole)
    assert dataclasses.replace(outcome, seconds=0) == dataclasses.replace(expected, seconds=0)


def test_the_average_is_what_is_validated_and_tested():
    found, outcome = trained(Recipe(ema=0.9))
    model = net().eval()
    with torch.no_grad():
        for p, value in zip(model.parameters(), found, strict=True):
            p.copy_(value)
        right = model(SPLITS.test.inputs).argmax(dim=1) == SPLITS.test.targets
    assert outcome.test_metric == pytest.approx(right.double().mean().item())


def test_what_cannot_be_computed_is_refused():
    with pytest.raises(InputError, match="precision tf32 is for CUDA alone, got device cpu"):
        trained(Recipe(precision="tf32"))
    closure = dataclasses.replace(SGD, closure=True)
    with pytest.raises(InputError, match="float16 scales the loss, and sgd takes its steps by a closure"):
        trained(Recipe(precision="float16"), closure)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("warmup", 1.0, "warmup must be from 0 to below 1, got 1"),
        ("warmup", "0.1", "warmup must be a number, got '0.1'"),
        ("clip", 0.0, "clip must be above 0, got 0"),
        ("clip", float("nan"), "clip must be above 0, got nan"),
        ("accumulate", 0, "accumulate must be at least 1, got 0"),
        ("precision", "bf16", "precision must be one of float32, tf32, bfloat16, float16, got 'bf16'"),
        ("ema", 1.0, "ema must be above 0 and below 1, got 1"),
        ("compile", 1, "compile must be True or False, got 1"),
    ],
)
def test_a_field_that_is_not_what_it_must_be_is_named(field, value, sentence):
    with pytest.raises(ValueError, match=sentence):
        Recipe(**{field: value})
    with pytest.raises(ValueError, match=sentence):
        dataclasses.replace(SGD, recipe={field: value})


def test_a_method_names_fields_that_there_are():
    with pytest.raises(ValueError, match="method 'sgd': recipe: a recipe has no 'warm_up'; it has warmup, clip"):
        dataclasses.replace(SGD, recipe={"warm_up": 0.1})


def test_the_best_weights_are_tested_as_well():
    """By a model that is worst at the end: what it says is the step's number, which the metric takes apart."""

    class Counted(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.zeros(1))

        def forward(self, inputs):
            return self.weight.expand(len(inputs), 1)

    class Walk(torch.optim.SGD):
        @torch.no_grad()
        def step(self, closure=None):
            self.param_groups[0]["params"][0].add_(1.0)

    workload = dataclasses.replace(
        tiny.clouds, model=Counted, loss=lambda outputs, targets: outputs.mean(),
        metric=lambda outputs, targets: -(outputs.mean() - STEPS / EPOCHS).abs(), percent=False, target=0.0,
    )  # fmt: skip
    method = Method("walk", Walk, {"lr": Range(0.01, 1.0)})
    per_epoch = STEPS // EPOCHS
    kept, outcome = trained(Recipe(keep_best=True), method, workload=workload)
    assert (outcome.best_at, outcome.best_test_metric) == (per_epoch, 0.0)
    assert outcome.test_metric == -(STEPS - per_epoch)
    assert kept[0].item() == STEPS  # and the last are what is kept
    outcome = trained(Recipe(), method, workload=workload)[1]
    assert (outcome.best_at, outcome.best_test_metric) == (None, None)


def test_the_model_of_training_steps_is_compiled(monkeypatch):
    called = []
    monkeypatch.setattr(torch, "compile", lambda model: lambda inputs: called.append(len(inputs)) or model(inputs))
    found, _ = trained(Recipe(compile=True, accumulate=2))
    assert called == [SIZE // 2] * (2 * STEPS)
    assert equal(found, looped(pieces=2))


@pytest.mark.slow
def test_a_compiled_model_learns_and_its_evaluations_are_counted():
    found, outcome = trained(Recipe(compile=True))
    plain, expected = trained(Recipe())
    assert outcome.gradient_evaluations == expected.gradient_evaluations == STEPS
    for one, other in zip(found, plain, strict=True):
        assert one.shape == other.shape
        assert one.isfinite().all()
