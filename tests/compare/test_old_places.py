"""What users import from places of earlier releases is still there."""

import subprocess
import sys

import pytest

LINES = """
from steepest.compare.builtin import METHODS, WORKLOADS
from steepest.compare.builtin.resnet import resnet20; resnet20()
from steepest.compare.builtin.models import mlp
from steepest.compare.study import Study
from steepest.compare import Batch, Estimator, Method, Range, Resumable, Study, Workload, accuracy
"""


@pytest.mark.slow
def test_they_are_there():
    done = subprocess.run([sys.executable, "-c", LINES], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
