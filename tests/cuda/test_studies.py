"""A study on a GPU: every built-in method trains there, an interrupted run goes on, ranks talk by NCCL."""

import dataclasses
import json
import os
import subprocess
import sys

import pytest
import torch
from torch import nn

from steepest.training.builtin import ESTIMATORS, METHODS
from steepest.training.code.lookup import find_method
from steepest.training.loop.checkpoint import same
from tests.compare import tiny
from tests.training.runs import train
from tests.training.test_checkpoint import EveryFew


def network():
    return nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.Dropout(0.3), nn.Linear(6, 2))


def run(name, checkpoint=None, stop_at=None):
    steps = 0

    def loss(outputs, targets):
        nonlocal steps
        steps += 1
        if steps == stop_at:
            raise KeyboardInterrupt
        return nn.functional.cross_entropy(outputs, targets)

    outcome = train(
        dataclasses.replace(tiny.clouds, model=network, loss=loss), find_method(name), tiny.two_clouds(None).to("cuda"),
        {"lr": 0.05}, seed=1, epochs=2, batch_size=30, with_test=True, checkpoint=checkpoint,
    )  # fmt: skip
    return dataclasses.replace(outcome, seconds=0)


@pytest.mark.parametrize("name", [*METHODS, *(f"{estimator}+sngm" for estimator in ESTIMATORS)])
def test_a_run_goes_on_from_its_checkpoint(name, tmp_path):
    whole = run(name)
    checkpoint = EveryFew(tmp_path / "checkpoint.pt", 1)
    with pytest.raises(KeyboardInterrupt):
        run(name, checkpoint, stop_at=6)
    assert checkpoint.path.exists()
    assert same(run(name, checkpoint), whole)


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
