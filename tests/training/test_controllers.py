"""Schedules that look at the run, and those that a method has of its own."""

import contextlib
import dataclasses

import pytest
import torch

from steepest.compare import Method, Range, Schedule
from steepest.data import Tasks
from steepest.training.builtin import ESTIMATORS
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.checkpoint import Checkpoint
from tests.compare import tiny
from tests.training.runs import train

SPLITS = tiny.two_clouds(None)
LR = {"lr": Range(1e-3, 1.0)}


class Falling:
    """Halves the momentum of the first group at every validation, and notes what it sees."""

    def __init__(self, optimizer, steps):
        self.optimizer, self.steps, self.seen, self.momentum = optimizer, steps, [], 0.8

    def before_step(self, step):
        self.optimizer.param_groups[0]["momentum"] = self.momentum
        self.optimizer.param_groups[0]["lr"] = 0.1 * (1 + step)

    def observe(self, seen):
        self.seen.append(seen)
        self.momentum /= 2

    def state_dict(self):
        return {"momentum": self.momentum}

    def load_state_dict(self, state):
        self.momentum = state["momentum"]


def run(controllers, taken, schedule=None, **options):
    def falling(optimizer, steps):
        controllers.append(Falling(optimizer, steps))
        return controllers[-1]

    class Noting(torch.optim.SGD):
        def step(self, closure=None):
            taken.append((self.param_groups[0]["lr"], self.param_groups[0]["momentum"]))
            return super().step(closure)

    method = Method(
        "falling",
        Noting,
        LR,
        fixed={"momentum": 0.5},
        schedule=schedule or Schedule("falling", "falling", controller=falling),
    )
    return train(tiny.clouds, method, SPLITS, {"lr": 0.1}, seed=1, epochs=3, batch_size=30, with_test=True, **options)


def test_a_controller_sets_any_value_of_a_group_and_sees_every_validation():
    controllers, taken = [], []
    outcome = run(controllers, taken)
    [controller] = controllers
    assert controller.steps == len(taken) == 12
    assert [momentum for _, momentum in taken] == [0.8] * 4 + [0.4] * 4 + [0.2] * 4
    assert [lr for lr, _ in taken] == pytest.approx([0.1 * (1 + i) for i in range(12)])
    assert [s.validation_loss for s in controller.seen] == outcome.curve["validation_loss"]
    assert [s.train_loss for s in controller.seen] == outcome.curve["train_loss"]
    assert [s.fraction for s in controller.seen] == pytest.approx([1 / 3, 2 / 3, 1])


def test_an_interrupted_run_resumes_with_its_controller(tmp_path):
    class Due(Checkpoint):
        def due(self):
            return True

    whole = run([], [])
    taken = []
    with pytest.raises(KeyboardInterrupt):
        run([], taken, checkpoint=Due(tmp_path / "run.pt"), progress=interrupt_at(2))
    resumed = run([], taken, checkpoint=Due(tmp_path / "run.pt"))
    again = [0.4]  # the step after the last checkpoint
    assert [momentum for _, momentum in taken] == [0.8] * 4 + [0.4] * 4 + again + [0.2] * 4
    assert dataclasses.replace(resumed, seconds=0) == dataclasses.replace(whole, seconds=0)


def interrupt_at(validation):
    seen = []

    def progress(_):
        seen.append(1)
        if len(seen) == validation:
            raise KeyboardInterrupt

    return progress


def test_a_methods_own_schedule_counts_instead_of_the_studys():
    taken = []
    run(
        [],
        taken,
        schedule=Schedule("thirds", "to a third", lambda share: 1 - 2 * share / 3),
    )
    assert [lr for lr, _ in taken] == pytest.approx([0.1 * (1 - i / 18) for i in range(12)])


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "schedule 's': give one of factor and controller, got neither"),
        ({"factor": abs, "controller": Falling}, "schedule 's': give one of factor and controller, got both"),
        ({"factor": 0.5}, "schedule 's': factor must be a function of the share of the run"),
    ],
)
def test_a_schedule_that_cannot_be_used_is_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        Schedule("s", "", **fields)


def test_a_method_takes_a_schedule_and_no_name_of_one():
    with pytest.raises(ValueError, match=r"schedule must be a steepest.compare.Schedule, got 'linear'"):
        Method("m", torch.optim.SGD, LR, schedule="linear")
    assert Method("m", torch.optim.SGD, LR, schedule=SCHEDULES["cosine"]).schedule.name == "cosine"


class Watching(Falling):
    """Has all three further methods: hooks the model, notes what it is shown, and says another loss."""

    def attach(self, model):
        self.calls, self.shown, self.left = [], [], 0
        self.hook = model.register_forward_hook(lambda _, args, out: self.calls.append(len(out)))
        self.model = model
        return contextlib.closing(self)

    def close(self):
        self.hook.remove()
        self.left += 1

    def see(self, outputs, targets):
        self.shown.append((len(outputs), outputs.requires_grad, targets.dtype))

    def after_step(self, loss):
        self.model.bias.data.fill_(1.0)
        return loss * 0 + len(self.shown) if len(self.shown) <= 2 else None


def watched(controllers, **options):
    def watching(optimizer, steps):
        controllers.append(Watching(optimizer, steps))
        return controllers[-1]

    given = {"seed": 1, "epochs": 1, "batch_size": 60, "with_test": False} | options
    workload = given.pop("workload", tiny.clouds)
    method = Method(
        "watched",
        torch.optim.SGD,
        LR,
        schedule=Schedule("watching", "watching", controller=watching),
        estimators=given.pop("estimators", ()),
    )
    return train(workload, method, given.pop("splits", SPLITS), {"lr": 0.1}, **given)


def test_a_controller_is_shown_every_forward_pass_and_may_note_another_loss():
    controllers = []
    outcome = watched(controllers)
    [controller] = controllers
    assert controller.shown == [(60, False, torch.int64)] * 2
    assert controller.calls[:2] == [60, 60]
    assert outcome.curve["train_loss"] == [1.5]  # the mean of 1 and 2, instead of the losses
    assert controller.model.bias.tolist() == [1.0, 1.0]
    assert controller.left == 1
    assert controller.hook.id not in controller.model._forward_hooks


def test_an_estimator_with_two_points_is_seen_at_both():
    controllers = []
    watched(controllers, estimators=(ESTIMATORS["ssgd"],))
    assert controllers[0].shown == [(30, False, torch.int64)] * 4


def test_nothing_is_left_on_the_model_of_a_run_that_fails_or_of_a_task_that_is_over():
    def explode(outputs, targets):
        raise ZeroDivisionError

    controllers = []
    with pytest.raises(ZeroDivisionError):
        watched(controllers, workload=dataclasses.replace(tiny.clouds, loss=explode))
    assert controllers[0].left == 1
    controllers = []
    watched(controllers, splits=Tasks([SPLITS, SPLITS]))
    assert [controller.left for controller in controllers] == [1, 1]
    assert all(controller.hook.id not in controllers[0].model._forward_hooks for controller in controllers)
    assert len(controllers[0].calls) == len(controllers[0].shown) + 2  # and two evaluations, until its task is over


def test_a_controller_without_the_further_methods_is_a_controller_still():
    taken = []
    run([], taken)
    assert len(taken) == 12
