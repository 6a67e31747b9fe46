"""What users import from places of earlier releases is still there."""

import subprocess
import sys

import pytest


@pytest.mark.parametrize(
    "line",
    [
        "from steepest.compare.builtin import METHODS, WORKLOADS",
        "from steepest.compare.builtin.resnet import resnet20; resnet20()",
        "from steepest.compare.builtin.models import mlp",
        "from steepest.compare.study import Study",
        "from steepest.compare import Batch, Estimator, Method, Range, Resumable, Study, Workload, accuracy",
    ],
)
def test_it_is_there(line):
    done = subprocess.run([sys.executable, "-c", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
