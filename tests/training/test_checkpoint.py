"""An interrupted run goes on from its checkpoint, and nothing of its outcome tells."""

import dataclasses
import os
import random
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from steepest import INSGD, track_input_power
from steepest.compare import Estimator, Method, Range, Resumable
from steepest.training.builtin import ESTIMATORS
from steepest.training.builtin.instruments import SHARPNESS
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.builtin.orders import OrderModel
from steepest.training.code.lookup import find_method
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop import checkpoint as checkpoint_module
from steepest.training.loop.checkpoint import Checkpoint, checkpoint_path, same
from tests.compare import tiny
from tests.training.runs import train

SPLITS = tiny.two_clouds(None)
STEPS = 8  # 4 batches an epoch, 2 epochs


class Moody(nn.Module):
    """Everything that a model can carry from step to step."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))
        self.register_buffer("scale", torch.ones(()), persistent=False)
        self.passes = 0

    def forward(self, inputs):
        if self.training:
            self.passes += 1
            self.scale *= 1 + 0.01 * random.random()
        return self.layers(inputs) * self.scale + 0.01 * np.random.rand() + 0.001 * self.passes


def jitter(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)


class Watched:
    """A run that counts its steps and raises at a call of its loss."""

    def __init__(self, method, model=Moody, **options):
        self.method = method
        self.model = model
        self.options = {"hyperparameters": {"lr": 0.1}, "seed": 1, "epochs": 2, "batch_size": 30, **options}

    def __call__(self, checkpoint=None, raise_at=None):
        """Outcome without its seconds, and the model's last state."""
        self.steps = self.losses = 0
        models = []

        def model():
            models.append(self.model())
            return models[-1]

        def augment(inputs, generator):
            self.steps += 1
            return jitter(inputs, generator)

        def loss(outputs, targets):
            self.losses += 1
            if self.losses == raise_at:
                raise KeyboardInterrupt
            return nn.functional.cross_entropy(outputs, targets)

        workload = dataclasses.replace(tiny.clouds, model=model, augment=augment, loss=loss)
        method = find_method(self.method) if isinstance(self.method, str) else self.method
        options = {"splits": SPLITS, "with_test": True, "checkpoint": checkpoint, **self.options}
        outcome = train(workload, method, **options)
        return dataclasses.replace(outcome, seconds=0), models[-1].state_dict()


class EveryFew(Checkpoint):
    """Due every ``count`` steps, by the clock of no machine."""

    def __init__(self, path, count=1):
        super().__init__(path)
        self.count, self.asked = count, 0

    def due(self):
        self.asked += 1
        return self.asked % self.count == 0 and self._next < float("inf")


@pytest.fixture(autouse=True)
def _no_waiting_for_the_disk(monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda descriptor: None)


@pytest.fixture
def file(tmp_path):
    return checkpoint_path(tmp_path, "clouds", "<b>|../", 0)


def tracked():
    model = Moody()
    track_input_power(model)
    return model


class Seesaw(torch.optim.SGD):
    """Asks for its gradients, and counts in an attribute of its own."""

    steps = 0

    def step(self, closure):
        self.steps += 1
        for group in self.param_groups:
            group["lr"] *= 1 + self.steps % 2
        loss = closure()
        super().step()
        return loss


LR = {"lr": Range(0.1, 1)}
OWN = {
    "insgd": Watched(Method("insgd", INSGD, LR), tracked, hyperparameters={"lr": 0.01}),
    "closure": Watched(Method("closure", Seesaw, LR, closure=True)),
    "cosine, decay": Watched(
        Method("decay", torch.optim.SGD, LR, {"weight_decay": 0.1, "momentum": 0.9}), schedule=SCHEDULES["cosine"]
    ),
}
NAMES = ("sgd", "adamw", "sngm", "bng-ratio", "lars", "ssgd+sngm", "noise-sgd", "sam", "csgd", "csgd-learned+ssgd+sngm")


@pytest.mark.parametrize("name", [*NAMES, *OWN])
def test_interrupted_anywhere_it_is_the_same_run_to_the_last_bit(name, file):
    """At every call of the loss: in the middle of a step or between its two points, of a validation, of the test."""
    run = OWN.get(name) or Watched(name)
    outcome, weights = run()
    steps, losses = run.steps, run.losses
    assert losses >= STEPS + 3
    for at in range(1, losses + 1):
        with pytest.raises(KeyboardInterrupt):
            run(EveryFew(file), raise_at=at)
        taken = run.steps
        again, weights_again = run(EveryFew(file))
        assert again == outcome, at
        assert same(weights_again, weights), at
        assert steps <= taken + run.steps <= steps + 1, at  # it did not begin anew
        Checkpoint(file).remove()


@pytest.mark.parametrize("every", [1, 3, 5])
@pytest.mark.parametrize("interruptions", [(3, 4), (14, 2), (6, 9, 1, 5)])
def test_interrupted_again_and_again(every, interruptions, file):
    run = Watched("csgd-learned+ssgd+sngm")
    outcome, weights = run()
    for at in interruptions:
        with pytest.raises(KeyboardInterrupt):
            run(EveryFew(file, every), raise_at=at)
    again, weights_again = run(EveryFew(file, every))
    assert again == outcome
    assert same(weights_again, weights)
    if every == 1:
        assert run.steps < STEPS


def interrupted(run, file, at=6):
    with pytest.raises(KeyboardInterrupt):
        run(EveryFew(file), raise_at=at)
    return file.read_bytes()


def damage(whole):
    yield b""
    yield b"\0" * len(whole)
    yield whole + b"\0"
    for end in (1, 100, 200, len(whole) // 2, len(whole) - 1):
        yield whole[:end]
    for place in (0, 50, 150, len(whole) // 3, len(whole) // 2, len(whole) - 10):
        yield whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]


def test_a_damaged_file_is_no_checkpoint(file):
    run = Watched("sgd")
    outcome, weights = run()
    for content in damage(interrupted(run, file)):
        file.write_bytes(content)
        again, weights_again = run(Checkpoint(file))
        assert (again, run.steps) == (outcome, STEPS)
        assert same(weights_again, weights)
    file.unlink()
    file.mkdir()
    assert run(EveryFew(file))[0] == outcome


@pytest.mark.parametrize(
    "other",
    [
        Watched("nesterov"),
        Watched("sgd", hyperparameters={"lr": 0.1000001}),
        Watched("sgd", seed=2),
        Watched("sgd", epochs=3),
        Watched("sgd", batch_size=24),
        Watched("sgd", schedule=SCHEDULES["cosine"]),
        Watched("sgd", splits=SPLITS._replace(validation=SPLITS.test)),
    ],
)
def test_a_checkpoint_of_another_run_is_none(other, file):
    interrupted(Watched("sgd"), file)
    other(Checkpoint(file))
    resumed = other.steps
    other()
    assert other.steps == resumed or other.options.get("splits")  # of the same sizes: the frozen spec tells them apart


def test_a_checkpoint_of_another_torch_is_none(file, monkeypatch):
    run = Watched("sgd")
    interrupted(run, file)
    monkeypatch.setattr(torch, "__version__", "9.0")
    run(Checkpoint(file))
    assert run.steps == STEPS


class Keeping(torch.optim.SGD):
    """Keeps an object in its state."""

    kept = staticmethod(lambda: None)

    def step(self, closure=None):
        super().step(closure)
        self.state[self.param_groups[0]["params"][0]]["kept"] = self.kept


class KeepingPath(Keeping):
    kept = Path("pickled, but by code that a file must not run")


class Wide(torch.optim.SGD):
    """Its state is wider than its weights, and torch narrows it on loading."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                total = self.state[p].get("total", torch.zeros_like(p, dtype=torch.float64))
                self.state[p]["total"] = total + p.grad.double() / 3
                p.data -= 0.1 * self.state[p]["total"]


class WithExtraState(Moody):
    kept = staticmethod(lambda: None)

    def get_extra_state(self):
        return self.kept

    def set_extra_state(self, state):
        raise AssertionError("never saved")


@contextmanager
def secretive(model, optimizer, seed):
    calls = []

    def take(batch):
        calls.append(1)
        return batch.backward(weight=1 / len(calls))

    yield take


@pytest.mark.parametrize(
    ("run", "writes"),
    [
        (Watched(Method("lambda", Keeping, LR)), False),
        (Watched(Method("path", KeepingPath, LR)), False),
        (Watched("sgd", WithExtraState), False),
        (Watched(dataclasses.replace(tiny.good, estimators=(Estimator("own", secretive, "points"),))), False),
        (Watched(Method("wide", Wide, LR)), True),
    ],
)
def test_what_cannot_be_saved_is_run_anew(run, writes, file):
    outcome, weights = run()
    with pytest.raises(KeyboardInterrupt):
        run(EveryFew(file), raise_at=6)
    assert file.exists() == writes
    again, weights_again = run(EveryFew(file))
    assert (again, run.steps) == (outcome, STEPS)
    assert same(weights_again, weights)


def test_an_estimator_that_offers_its_state_goes_on(file):
    class Counter:
        calls = 0

        def state_dict(self):
            return {"calls": self.calls}

        def load_state_dict(self, state):
            self.calls = state["calls"]

    @contextmanager
    def open_one(model, optimizer, seed):
        counter = Counter()

        def take(batch):
            counter.calls += 1
            return batch.backward(weight=1 / counter.calls)

        yield Resumable(take, (counter,))

    run = Watched(dataclasses.replace(tiny.good, estimators=(Estimator("own", open_one, "points"),)))
    outcome, weights = run()
    interrupted(run, file)
    again, weights_again = run(Checkpoint(file))
    assert again == outcome
    assert same(weights_again, weights)
    assert run.steps < STEPS


def test_the_last_step_can_be_one_to_go_on_from(file):
    run = Watched("sgd")
    outcome, weights = run()
    with pytest.raises(KeyboardInterrupt):
        run(EveryFew(file, STEPS), raise_at=run.losses)  # in the test evaluation
    again, weights_again = run(EveryFew(file, STEPS))
    assert again == outcome
    assert same(weights_again, weights)
    assert run.steps == 0


def test_seconds_add_up(file):
    run = Watched("sgd")
    method, checkpoint = find_method("sgd"), EveryFew(file)
    options = {"splits": SPLITS, "with_test": True, **run.options}
    saved = []
    checkpoint.save = lambda identity, state: saved.append((identity, state["seconds"], dict(state)))
    whole = train(tiny.clouds, method, checkpoint=checkpoint, **options).seconds
    assert [seconds for _, seconds, _ in saved] == sorted(seconds for _, seconds, _ in saved)
    assert 0 < saved[0][1] < saved[-1][1] <= whole
    identity, _, state = saved[-1]
    Checkpoint(file).save(identity, {**state, "seconds": 1000.0})
    assert 1000 < train(tiny.clouds, method, checkpoint=Checkpoint(file), **options).seconds < 1100


def test_a_pruned_run_is_not_tested():
    seen = []
    outcome = train(
        tiny.clouds,
        tiny.good,
        SPLITS,
        {"lr": 0.1},
        seed=1,
        epochs=3,
        batch_size=20,
        with_test=True,
        instruments=[SHARPNESS],
        progress=lambda progress: seen.append(progress) or len(seen) == 2,
    )
    assert outcome.pruned
    assert not outcome.diverged
    assert outcome.gradient_evaluations == 12
    assert (outcome.test_loss, outcome.test_metric, outcome.measures) == (None, None, {})
    assert outcome.validation_metric == outcome.curve["validation_metric"][-1] == seen[-1].validation_metric


def test_a_finished_run_cannot_be_pruned():
    run = Watched("sgd", progress=lambda progress: progress.fraction == 1)
    outcome, _ = run()
    assert not outcome.pruned
    assert outcome.test_metric is not None


def test_a_full_disk_costs_the_checkpoint_alone(file, monkeypatch):
    def full(descriptor):
        raise OSError(28, "No space left on device")

    run = Watched("sgd")
    outcome, _ = run()
    monkeypatch.setattr(os, "fsync", full)
    assert run(EveryFew(file))[0] == outcome
    assert list(file.parent.iterdir()) == []


def test_how_often_it_is_due(file, monkeypatch):
    now = 100.0
    monkeypatch.setattr(checkpoint_module.time, "monotonic", lambda: now)
    checkpoint = Checkpoint(file, every_seconds=30)
    assert not checkpoint.due()
    now = 130.0
    assert checkpoint.due()
    checkpoint.save("run", {"step": 1})
    assert not checkpoint.due()
    now = 160.0
    assert checkpoint.due()

    def slow_disk(descriptor):
        nonlocal now
        now += 2.0

    monkeypatch.setattr(os, "fsync", slow_disk)
    checkpoint.save("run", {"step": 2})  # took 2 seconds: the next one in 100
    now += 99.0
    assert not checkpoint.due()
    now += 1.0
    assert checkpoint.due()


def test_a_short_run_writes_nothing(file):
    Watched("sgd")(Checkpoint(file))
    assert not file.parent.exists()


def test_files_of_runs_are_told_apart(tmp_path):
    paths = {checkpoint_path(tmp_path, *key) for key in (("a", 1), ("a", "1"), ("a1",), ("a", 1, 0), ("A", 1))}
    assert len(paths) == 5
    assert {path.parent for path in paths} == {tmp_path / "checkpoints"}


def killed_while_saving(path):
    """The life of a process that is killed when half of its sixth checkpoint is written."""
    write, saves = checkpoint_module._header, []

    def half(identity, payload):
        if payload:
            saves.append(1)
        if len(saves) < 6 or not payload:
            return write(identity, payload)
        torn = checkpoint._temporary.open("wb")
        torn.write((write(identity, payload) + payload)[: len(payload) // 2])
        torn.flush()
        os.kill(os.getpid(), 9)

    checkpoint_module._header = half
    checkpoint = EveryFew(path)
    Watched("csgd-learned+ssgd+sngm")(checkpoint)


@pytest.mark.slow
def test_killed_in_the_middle_of_saving(file):
    run = Watched("csgd-learned+ssgd+sngm")
    outcome, weights = run()
    code = f"from tests.training.test_checkpoint import *; killed_while_saving(Path({str(file)!r}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == -9
    assert len(list(file.parent.iterdir())) == 2  # the torn one lies there
    again, weights_again = run(EveryFew(file))
    assert again == outcome
    assert same(weights_again, weights)
    assert run.steps == STEPS - 5
    assert list(file.parent.iterdir()) == [file]


def test_augmentation_is_paired_by_seed_and_for_training_alone():
    def noises(method, seed=1):
        drawn, seen = [], []

        def augment(batch, generator):
            assert generator.device == batch.device
            drawn.append(jitter(torch.zeros_like(batch), generator))
            seen.append(batch + drawn[-1])
            return seen[-1]

        def model():
            layer = nn.Linear(4, 2)
            layer.register_forward_pre_hook(lambda module, args: passed.append(args[0]) if module.training else None)
            return layer

        passed = []
        workload = dataclasses.replace(tiny.clouds, model=model, augment=augment)
        train(workload, method, SPLITS, {"lr": 0.1}, seed=seed, epochs=2, batch_size=20, with_test=True)
        assert all(map(torch.equal, passed, seen))
        assert len(passed) == len(seen)
        return torch.stack(drawn)

    plain = noises(tiny.good)
    assert len(plain) == 12
    assert torch.equal(plain, noises(Method("adam", torch.optim.Adam, LR)))
    assert not torch.equal(plain, noises(tiny.good, seed=2))


def test_all_built_in_estimators_go_on():
    """None of them is run anew for want of a word."""
    layer = nn.Linear(4, 2)
    orders = OrderModel(3, lambda orders: orders[:, 0], lambda matrices: matrices[:, 0, 0])
    for name, estimator in ESTIMATORS.items():
        model = orders if name in ORDER_ESTIMATORS else layer
        optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1)
        with estimator.attach(model, optimizer, 0, **estimator.options) as yielded:
            assert isinstance(yielded, Resumable), estimator.name
