"""A training function of the user's is compared like a workload, as far as it shows what it does."""

import dataclasses
import math

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Method, Range, Study
from steepest.training import Workload
from steepest.training.builtin import METHODS
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.recipe import Recipe
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.train import train

SGD = Method("sgd", torch.optim.SGD, {"lr": Range(1e-3, 1.0)}, fixed={"momentum": 0.9})
SAMPLES = torch.randn(64, 3, generator=torch.Generator().manual_seed(5))
SMALL = {"trials": 2, "seeds": 2, "jobs": 1, "device": "cpu"}


def fit(run, record=None):
    model = nn.Linear(3, 1)
    optimizer = run.optimizer(model)
    for step in range(run.steps):
        optimizer.zero_grad()
        loss = (model(SAMPLES[torch.randint(64, (8,))]) - 1).square().mean()
        loss.backward()
        optimizer.step()
        if record is not None:
            record.append((optimizer.param_groups[0]["lr"], model.weight.detach().clone()))
        if (step % 5 == 4 or step + 1 == run.steps) and run.report(-loss, loss, train_loss=loss):
            return
    run.test(-loss.detach())


def workload(function=fit, **options):
    more = {"name": "own", "steps": 40, "target": -0.5, "percent": False, "validations": 8, **options}
    return Workload.from_function(function, **more)


def assignment(function=fit, method=SGD, lr=0.1, schedule="linear", **options):
    made = workload(function)
    chosen = {"seed": 3, "epochs": 8, "batch_size": 1, **options}
    return Assignment(made, method, made.data(None), {"lr": lr}, schedule=SCHEDULES[schedule], **chosen)


def test_it_gets_the_method_the_schedule_and_the_seed_of_its_run():
    seen = []
    outcome = train(
        assignment(lambda run: fit(run, seen), schedule="cosine", recipe=Recipe(warmup=0.1)), with_test=True
    )
    torch.manual_seed(3)
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.named_parameters(), lr=0.1, momentum=0.9)
    for step in range(40):
        share = (step - 4) / 36
        rate = 0.1 * (step + 1) / 4 if step < 4 else 0.1 * (1 + math.cos(math.pi * share)) / 2
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad()
        loss = (model(SAMPLES[torch.randint(64, (8,))]) - 1).square().mean()
        loss.backward()
        optimizer.step()
        assert seen[step][0] == rate
        assert torch.equal(seen[step][1], model.weight)
    assert outcome.test_metric == -loss.item()
    assert outcome.curve["gradient_evaluations"] == list(range(5, 41, 5))
    assert outcome.gradient_evaluations == 40
    assert outcome.weights == train(assignment(lr=0.3), with_test=False).weights


def test_a_study_of_it_is_reported_and_resumed(tmp_path):
    study = Study(workload(), methods=["sgd", "adamw", "sngm"], out=tmp_path / "s", **SMALL)
    assert study.run(progress=False)
    runs = study.records()
    assert {(r.method, r.gradient_evaluations) for r in runs} == {(m, 40) for m in ("sgd", "adamw", "sngm")}
    page = study.report().read_text()
    assert "it rests on that function that the steps of all methods take the same data" in page.replace("\n", " ")
    before = [r.to_dict() for r in runs]
    assert Study(workload(), methods=["sgd", "adamw", "sngm"], out=tmp_path / "s", **SMALL).run(progress=False)
    assert [r.to_dict() for r in study.records()] == before


def test_a_short_run_is_told_of_fewer_steps(tmp_path):
    study = Study(
        workload(steps=80), methods=["sgd", "adamw"], out=tmp_path / "s", **{**SMALL, "trials": 6}, stop_early=True
    )
    assert study.run(progress=False)
    assert {r.gradient_evaluations for r in study.records() if r.phase == "screen"} == {10}


@pytest.mark.slow
def test_it_is_planned_and_counted_in_seconds(tmp_path):
    study = Study(workload(), methods=["sgd", "adamw"], out=tmp_path / "s", budget="seconds", **SMALL)
    assert study.run(progress=False)
    assert [method.failure for method in study.plan().methods] == [None, None]


def test_a_run_that_is_told_to_stop_takes_no_further_step():
    asked = []

    def stubborn(run):
        model = nn.Linear(3, 1)
        optimizer = run.optimizer(model)
        for _ in range(run.steps):
            try:
                optimizer.step()
            except Exception as error:  # what may hold nothing back
                raise AssertionError from error
            run.report(0.1, 0.1)
            asked.append(run.step)

    outcome = train(assignment(stubborn), with_test=True, progress=lambda seen: seen.validations == 3)
    assert (outcome.pruned, outcome.test_metric, asked) == (True, None, [1, 2, 3])


def test_a_run_that_diverges_is_told_to_stop():
    def diverging(run):
        model = nn.Linear(3, 1)
        optimizer = run.optimizer(model)
        for _ in range(run.steps):
            optimizer.step()
            if run.report(float("nan"), 0.1):
                return

    outcome = train(assignment(diverging), with_test=True)
    assert (outcome.diverged, outcome.gradient_evaluations, outcome.validation_metric) == (True, 1, None)


def short(run):
    optimizer = run.optimizer(nn.Linear(3, 1))
    optimizer.step()
    run.report(0.1, 0.1)


def long(run):
    optimizer = run.optimizer(nn.Linear(3, 1))
    for _ in range(run.steps + 1):
        optimizer.step()


def silent(run):
    optimizer = run.optimizer(nn.Linear(3, 1))
    for _ in range(run.steps):
        optimizer.step()


def untested(run):
    silent(run)
    run.report(0.1, 0.1)


def twice(run):
    run.optimizer(nn.Linear(3, 1))
    run.optimizer(nn.Linear(3, 1))


@pytest.mark.parametrize(
    ("function", "sentence"),
    [
        (lambda run: None, "must make its optimizer by run.optimizer"),
        (lambda run: run.report(0.1, 0.1), "must make its optimizer before it reports"),
        (short, "'own' ended after 1 of its 40 steps"),
        (long, "'own' took more than the 40 steps of its run"),
        (silent, "'own' must report after its last step"),
        (untested, r"'own' must say run.test\(metric\) after its last step"),
        (twice, "'own' must make one optimizer, and asked for a second"),
    ],
)
def test_a_function_that_does_not_do_its_part_is_told(function, sentence):
    with pytest.raises(InputError, match=sentence):
        train(assignment(function), with_test=True)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"method": METHODS["ssgd"]}, "ssgd obtains its gradient in a way of its own, and 'own' is a function"),
        ({"method": dataclasses.replace(SGD, batches_per_step=2)}, "sgd takes several batches a step"),
        ({"recipe": Recipe(clip=1.0, warmup=0.1)}, "the recipe has clip, and 'own' is a function"),
        ({"method": METHODS["schedule-free-sgd"]}, "schedule-free-sgd is evaluated at other weights than it is train"),
        ({"method": METHODS["lbfgs"]}, "lbfgs pays for what each of its steps takes"),
        ({"method": METHODS["sgd-mi"]}, "the learning rate of sgd-mi goes by more than steps and validations"),
    ],
)
def test_what_a_function_does_not_show_is_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        train(assignment(**changes), with_test=False)


def test_what_a_function_does_not_show_is_refused_before_the_first_run(tmp_path):
    study = Study(workload(), methods=["sgd", "ssgd"], out=tmp_path / "s", **SMALL)
    with pytest.raises(InputError, match="ssgd obtains its gradient in a way of its own"):
        study.run(progress=False)
    study = Study(workload(), methods=["sgd"], save_weights=True, out=tmp_path / "w", **SMALL)
    with pytest.raises(InputError, match="save_weights must be left out for own, a function"):
        study.run(progress=False)
    study = Study(workload(), methods=["sgd"], measure=["sharpness"], out=tmp_path / "t", **SMALL)
    with pytest.raises(InputError, match="sharpness is measured, and 'own' is a function, which shows neither"):
        study.run(progress=False)


def test_it_begins_anew_where_it_was_interrupted(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0)
    first = train(assignment(), with_test=True, checkpoint=checkpoint)
    assert not checkpoint.path.exists()
    assert train(assignment(), with_test=True, checkpoint=checkpoint).curve == first.curve


def test_steps_and_validations_are_counted():
    with pytest.raises(ValueError, match="workload 'own': steps must divide into 8 validations, got 41"):
        workload(steps=41)
    with pytest.raises(ValueError, match="workload 'own': function must be a function of a run"):
        workload(3)
