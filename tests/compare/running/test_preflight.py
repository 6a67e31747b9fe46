"""What cannot work is known before anything has been trained: faults that would show at the end, or in every run."""

import dataclasses
import os
import threading

import cloudpickle
import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Estimator, Method, Range, Study
from steepest.compare.policy.queue import jobs_left
from steepest.compare.records.record import Checked
from steepest.compare.running.pool import Pool
from steepest.compare.running.preflight import preflight
from steepest.compare.running.setting import Setting
from steepest.compare.running.worker import Pipe, serve
from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import Request
from steepest.data import Split, Splits
from steepest.training.code.lookup import reference_of
from steepest.training.definitions.estimator import Resumable
from tests.compare import tiny

SPLITS = tiny.two_clouds(None)
LR = {"lr": Range(1e-3, 1.0)}


class Here(Pool):
    """One worker, in this process: a job is done at once when it is sent."""

    def __init__(self, setting):
        super().__init__(1)
        self.setting, self.done = setting, []

    def _start(self):
        return Done(self)

    def _ready(self, workers, timeout):
        return workers


class Done:
    reason = "exit code 3"

    def __init__(self, pool):
        self.pool, self.said = pool, []

    def send(self, job):
        self.pool.done.append(job)
        jobs = [job]

        def receive():
            if not jobs:
                raise EOFError
            return jobs.pop()

        serve(Pipe(receive, self.said.append), self.pool.setting)

    def receive(self):
        return self.said.pop(0)

    def stop(self): ...


def check(workloads=(tiny.clouds,), methods=(tiny.good,)):
    study = freeze_study(Request(list(workloads), list(methods), trials=2, seeds=1, device="cpu"))
    given = cloudpickle.dumps({reference_of(part): part for part in [*workloads, *methods]})
    pool = Here(Setting(study, None, given))
    preflight(study, jobs_left(study, []), pool, threading.Event())
    return pool.done


def refusal(workload=tiny.clouds, *methods):
    with pytest.raises(InputError) as raised:
        check([workload], methods or [tiny.good])
    sentence = str(raised.value)
    assert "\n" not in sentence
    assert sentence.endswith("no run was started")
    return sentence


def changed(**fields):
    return dataclasses.replace(tiny.clouds, **fields)


def parts(name, change):
    """The data, one part of them with changed inputs and targets."""
    found = {kind: Split(part.inputs.clone(), part.targets.clone()) for kind, part in SPLITS._asdict().items()}
    change(found[name].inputs, found[name].targets)
    return changed(data=lambda _: Splits(**found))


def test_a_study_that_works_is_tried_once_a_workload_and_once_a_method():
    twice = dataclasses.replace(tiny.clouds, name="others")
    done = check([tiny.clouds, twice], [tiny.good, tiny.twin])
    assert [(job.workload, job.method) for job in done] == [
        ("clouds", ""), ("others", ""), ("clouds", "good"), ("clouds", "twin"), ("others", "good"), ("others", "twin"),
    ]  # fmt: skip
    assert {job.phase for job in done} == {"check"}


@pytest.mark.parametrize("name", ["train", "validation", "test"])
@pytest.mark.parametrize("place", [0, 3, 47, -1])
def test_one_label_that_the_model_does_not_know(name, place):
    def change(inputs, targets):
        targets[place] = 2

    where = "training" if name == "train" else name
    assert refusal(parts(name, change)).startswith(
        f"clouds fails on its {where} data: IndexError: Target 2 is out of bounds"
    )


@pytest.mark.parametrize("name", ["train", "validation", "test"])
def test_one_input_that_is_no_number(name):
    def change(inputs, targets):
        inputs[41, 2] = float("nan")

    where = "training" if name == "train" else name
    assert f"the loss of 'clouds' is nan on its {where} data, for a model not trained yet" in refusal(
        parts(name, change)
    )


def test_a_large_set_is_not_evaluated_whole_and_its_odd_sample_is_found(monkeypatch):
    from steepest.training import checks

    monkeypatch.setattr(checks, "_SECONDS", 0.0)

    def change(inputs, targets):
        targets[33] = 7

    assert "Target 7 is out of bounds" in refusal(parts("test", change))


class Wrapped(nn.Linear):
    def forward(self, x):
        return {"logits": super().forward(x)}


PER_SAMPLE = "must be one number, the mean over the batch, got shape"


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"metric": lambda o, y: (o.argmax(1) == y).float()}, f"the metric of 'clouds' {PER_SAMPLE}"),
        ({"metric": lambda o, y: torch.tensor(float("inf"))}, "the metric of 'clouds' is inf on its validation data"),
        ({"metric": lambda o, y: float("nan")}, "the metric of 'clouds' is nan on its validation data"),
        ({"metric": lambda o, y: None}, "the metric of 'clouds' must be one number, the mean over the batch, got None"),
        ({"loss": nn.CrossEntropyLoss(reduction="none")}, f"the loss of 'clouds' {PER_SAMPLE}"),
        ({"loss": lambda o, y: (o.sum(), {})}, "the loss of 'clouds' must be one number"),
        ({"loss": lambda o, y: 1.0}, "must return a 0-dim tensor, the mean over the batch, got float"),
        ({"loss": lambda o, y: o.detach().sum()}, "the loss has no gradient"),
        ({"model": lambda: Wrapped(4, 2)}, "clouds fails on its training data: TypeError: cross_entropy_loss()"),
        ({"model": lambda: nn.Linear(4, 2).half()}, "clouds fails on its training data: RuntimeError: mat1 and mat2"),
        ({"model": lambda: nn.Linear(4, 2).requires_grad_(False)}, "has no parameter that needs a gradient"),
        ({"model": nn.Identity}, "the model of 'clouds' has no parameter that needs a gradient"),
        ({"model": lambda: (nn.Linear(4, 2), 1)}, "the model of 'clouds' must be a torch.nn.Module, got tuple"),
    ],
)  # fmt: skip
def test_a_workload_that_cannot_be_trained_or_evaluated(fields, sentence):
    assert sentence in refusal(changed(**fields))


class AtOnce(torch.optim.SGD):
    def step(self, closure=None):
        raise RuntimeError("no\n  such kernel\nat all")


class Many(torch.optim.SGD):
    def step(self, closure):
        for _ in range(20):
            loss = closure()
            super().step()
        return loss


class NoRates(torch.optim.SGD):
    def __init__(self, params, lr):
        super().__init__(params, lr=lr)
        for group in self.param_groups:
            del group["lr"]


def elsewhere(params, lr):
    return torch.optim.SGD(nn.Linear(4, 2).parameters(), lr=lr)


def smaller(model):
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(0.5)


@pytest.mark.parametrize(
    ("optimizer", "options", "sentence"),
    [
        (AtOnce, {}, "bad on clouds fails in its first step: RuntimeError: no ... ("),
        (Many, {"closure": True}, "bad took 20 gradient evaluations in a step and pays 1"),
        (Many, {"closure": True, "evaluations_per_step": 17}, "bad took 20 gradient evaluations in a step and pays 17"),
        (lambda params, lr: object(), {}, "the optimizer of bad must be a torch.optim.Optimizer"),
        (NoRates, {}, "every parameter group of bad must have an 'lr', which the schedule moves"),
        (elsewhere, {}, "the optimizer of bad holds no parameter of the model that it was made for"),
        (lambda params, lr, wd: torch.optim.SGD(params, lr=lr), {}, "bad on clouds fails when its optimizer is made"),
        (torch.optim.SGD, {"prepare": smaller}, "good and bad begin from different weights on clouds"),
    ],
)
@pytest.mark.slow
def test_a_method_that_cannot_take_a_step(optimizer, options, sentence):
    method = Method("bad", optimizer, LR, **options)
    with pytest.raises(InputError) as raised:
        check(methods=[tiny.good, method])
    assert sentence in str(raised.value)


def twice(model, optimizer, seed):
    """A whole second gradient by its own means, which it does not own up to."""

    def take(batch):
        batch.loss(batch.model(batch.inputs), batch.targets).backward()
        return batch.backward()

    return Yielding(Resumable(take))


class Yielding:
    def __init__(self, value):
        self.value = value

    def __enter__(self):
        return self.value

    def __exit__(self, *_): ...


def test_an_estimator_is_counted_too():
    method = dataclasses.replace(tiny.good, estimators=(Estimator("two", twice, "points"),))
    assert "good took 2 gradient evaluations in a step and pays 1" in refusal(tiny.clouds, method)
    check(
        methods=[dataclasses.replace(method, estimators=(Estimator("two", twice, "points", evaluations_per_step=2),))]
    )


def test_what_is_read_from_the_test_data_goes_nowhere():
    pool = Here(None)
    job = dataclasses.replace(check()[0], phase="check")
    pool.setting = Setting(
        freeze_study(Request([tiny.clouds], [tiny.good], trials=2, seeds=1, device="cpu")),
        None,
        cloudpickle.dumps({reference_of(part): part for part in (tiny.clouds, tiny.good)}),
    )
    worker = pool._start()
    worker.send(job)
    [record] = worker.said
    assert isinstance(record, Checked)
    assert record.status == "finished"
    assert {record.test_loss, record.test_metric, record.validation_loss, record.curve} == {None}


class Exits(nn.Linear):
    def forward(self, x):
        if self.training:
            os._exit(3)
        return super().forward(x)


def late_labels(_):
    targets = SPLITS.test.targets.clone()
    targets[3] = 2
    return SPLITS._replace(test=Split(SPLITS.test.inputs, targets))


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model": lambda: Exits(4, 2)}, r"good on clouds ends its process \(exit code 3\); no run was started"),
        ({"data": late_labels}, r"clouds fails on its test data: IndexError: Target 2 is out of bounds"),
    ],
)
def test_a_refused_study_leaves_nothing_behind(tmp_path, fields, sentence):
    """In processes of its own; once the cause is mended, the same folder serves."""
    study = Study(changed(**fields), methods=[tiny.good], trials=1, seeds=1, jobs=1, out=tmp_path / "study")
    with pytest.raises(InputError, match=sentence):
        study.run(progress=False)
    assert not (tmp_path / "study").exists()
