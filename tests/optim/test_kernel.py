"""The steps for CUDA on the CPU, in Triton's interpreter and with a stand-in for torch's kernel: those of the loop.

On a GPU: ``tests/cuda``.
"""

import os
import subprocess
import sys

import pytest

from steepest.optim.fused_lists import lists_step
from tests.optim.kernel import count_equal_cases


@pytest.mark.slow
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


@pytest.mark.slow
def test_over_lists_it_is_the_loop():
    assert count_equal_cases(lists_step, "cpu") == 336
