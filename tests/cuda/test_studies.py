"""A study on a GPU: every built-in method trains there, an interrupted run goes on, ranks talk by NCCL."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from steepest.training.builtin import ESTIMATORS, METHODS, WORKLOADS
from steepest.training.builtin.order_estimators import ORDER_ESTIMATORS
from steepest.training.code.lookup import find_method
from steepest.training.definitions.space import middle_of
from steepest.training.loop.checkpoint import same
from tests.compare import tiny
from tests.training.runs import train
from tests.training.test_checkpoint import EveryFew

# One needs 200 steps for its sweep, the other takes a whole epoch for a step.
EPOCHS = {"sgd-mi-range": 60, "lbfgs": 12}
# A method that is evaluated at other weights than it is trained at refuses BatchNorm.
NORMS = {"schedule-free-sgd": lambda n: nn.GroupNorm(2, n), "schedule-free-adamw": lambda n: nn.GroupNorm(2, n)}


class Run:
    """A run that counts its evaluations of the loss, and is stopped at one of them."""

    def __init__(self, name):
        self.name, self.losses = name, 0
        self.method = find_method(name)
        if {estimator.name for estimator in self.method.estimators} & set(ORDER_ESTIMATORS):
            self.workload, self.splits = WORKLOADS["permutation-toy"], WORKLOADS["permutation-toy"].data(None)
        else:
            self.workload, self.splits = dataclasses.replace(tiny.clouds, model=self.network), tiny.two_clouds(None)

    def network(self):
        norm = NORMS.get(self.name, nn.BatchNorm1d)
        return nn.Sequential(nn.Linear(4, 6), norm(6), nn.Dropout(0.3), nn.Linear(6, 2))

    def __call__(self, checkpoint=None, stop_at=None):
        self.losses = 0

        def loss(outputs, targets):
            self.losses += 1
            if self.losses == stop_at:
                raise KeyboardInterrupt
            return self.workload.loss(outputs, targets)

        outcome = train(
            dataclasses.replace(self.workload, loss=loss), self.method, self.splits.to("cuda"),
            middle_of(self.method.space), seed=1, epochs=EPOCHS.get(self.name, 2),
            batch_size=self.method.batch_size or 30, with_test=True, checkpoint=checkpoint,
        )  # fmt: skip
        return dataclasses.replace(outcome, seconds=0)


@pytest.mark.parametrize("name", [*METHODS, *(f"{estimator}+sngm" for estimator in ESTIMATORS)])
def test_a_run_goes_on_from_its_checkpoint(name, tmp_path):
    run = Run(name)
    whole = run()
    checkpoint = EveryFew(tmp_path / "checkpoint.pt", 1)
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint, stop_at=run.losses * 2 // 3)
    assert checkpoint.path.exists()
    assert same(run(checkpoint), whole)


def steepest(*arguments, launcher=("-m", "steepest")):
    command = [sys.executable, *launcher, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})


def records(folder):
    return [json.loads(line) for line in (folder / "trials.jsonl").read_text().splitlines()]


def test_the_command_trains_on_the_gpu_by_itself(tmp_path):
    ran = steepest(
        "compare", "digits-mlp", "--methods", "sgd,sngm,bng", "--trials", 3, "--seeds", 3, "--epochs", 2, "--jobs", 3,
        "--measure", "lr,sharpness", "--out", tmp_path / "study",
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert torch.cuda.get_device_name() in (tmp_path / "study" / "report.html").read_text()
    assert len(records(tmp_path / "study")) == 3 * (3 + 3)


@pytest.mark.parametrize("strategy", ["ddp", "fsdp2"])
def test_ranks_talk_by_nccl(strategy, tmp_path):
    ran = steepest(
        "--standalone", "--nproc-per-node", torch.cuda.device_count(), "-m", "steepest", "compare", "digits-mlp",
        "--methods", "sngm", "--trials", 2, "--seeds", 2, "--epochs", 1, "--strategy", strategy, "--device", "cuda",
        "--out", tmp_path / "study", launcher=("-m", "torch.distributed.run"),
    )  # fmt: skip
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert len(records(tmp_path / "study")) == 4
