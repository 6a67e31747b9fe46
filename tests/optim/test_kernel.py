"""The steps for CUDA on the CPU, in Triton's interpreter and with a stand-in for torch's kernel: those of the loop, in
few calls. On a GPU: ``tests/cuda``."""

import os
import subprocess
import sys

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim.fused_lists import lists_step
from tests.optim.kernel import count_equal_cases


def test_in_the_interpreter_it_is_the_loop():
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "tests.optim.kernel"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == 48


def test_over_lists_it_is_the_loop():
    assert count_equal_cases(lists_step, "cpu") == 336


class Calls(TorchDispatchMode):
    """Counts what torch is asked to compute."""

    count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += not function.is_view
        return function(*args, **(kwargs or {}))


def calls_of_a_step(make, layers, **options):
    model = nn.Sequential(*(nn.Linear(3, 3) for _ in range(layers)))
    optimizer = make(model.named_parameters(), lr=0.1, momentum=0.9, **options)
    optimizer._choose_path = lambda: lists_step
    for _ in range(2):  # the first step makes the state
        model(torch.ones(1, 3)).sum().backward()
        with Calls() as calls:
            optimizer.step()
    return calls.count


@pytest.mark.parametrize(
    ("make", "options", "once", "for_each_block"),
    [(SNGM, {}, 26, 0), (BlockNormalizedSGD, {}, 26, 1), (LARS, {"weight_decay": 0.1}, 38, 1)],
)
def test_calls_are_few_and_do_not_grow_with_the_tensors(make, options, once, for_each_block):
    few, many = (calls_of_a_step(make, layers, **options) for layers in (4, 24))
    assert many - few == 20 * for_each_block
    assert few <= once + 4 * for_each_block
