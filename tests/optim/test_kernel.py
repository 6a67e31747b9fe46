"""The Triton kernel in Triton's interpreter, on the CPU: the same steps as the loop. On a GPU: ``tests/cuda``."""

import os
import subprocess
import sys

import pytest


def test_in_the_interpreter_it_is_the_loop():
    pytest.importorskip("triton")
    run = subprocess.run(
        [sys.executable, "-m", "tests.optim.kernel"],
        env={**os.environ, "TRITON_INTERPRET": "1"},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert int(run.stdout) == 168
