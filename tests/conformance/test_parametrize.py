"""The suite as pytest cases, run by pytest as a user's test file has it."""

import subprocess
import sys

import pytest
import torch

from steepest import LARS
from steepest.testing import CHECKS, parametrize_with_checks

FILE = """
import torch
from steepest.testing import parametrize_with_checks


class Normalised(torch.optim.SGD):
    def step(self, closure=None):
        for p in (p for group in self.param_groups for p in group["params"] if p.grad is not None):
            p.grad.div_(p.grad.norm())  # 0 / 0, and .grad is not its own
        return super().step(closure)


@parametrize_with_checks(
    {
        "sgd": (torch.optim.SGD, {"options": [{"lr": 0.1}], "dtypes": [torch.float32],
                                  "paths": {"loop": {"foreach": False, "fused": False}},
                                  "exclude": {"complex is two reals": "not today"}}),
        "mine": (Normalised, {"options": [{"lr": 0.1}], "paths": {"loop": {"foreach": False}},
                              "dtypes": [torch.float32]}),
    }
)
def test_conformance(check):
    check()
"""


@parametrize_with_checks(
    {"lars": (LARS, {"options": [{"lr": 1.0}], "dtypes": [torch.float32], "skips_nonfinite": True})}
)
def test_a_member_of_the_family(check):
    check()


@pytest.mark.slow
def test_every_check_is_a_case_that_fails_alone_or_says_why_it_is_skipped(tmp_path):
    (tmp_path / "test_theirs.py").write_text(FILE)
    command = [sys.executable, "-m", "pytest", "-q", "-rfs", "-p", "no:cacheprovider", "--color=no", "test_theirs.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr
    words = done.stdout
    assert "FAILED test_theirs.py::test_conformance[mine: zero gradients do not move]" in words
    assert "FAILED test_theirs.py::test_conformance[mine: leaves .grad alone]" in words
    assert "FAILED test_theirs.py::test_conformance[sgd" not in words
    assert "not today" in words
    assert "skips_nonfinite=False" in words
    passed = int(words.rsplit(" passed", 1)[0].rsplit(" ", 1)[1].strip(","))
    assert passed > len(CHECKS)


def test_an_unknown_check_is_named():
    with pytest.raises(ValueError, match="no check"):
        parametrize_with_checks({"sgd": (torch.optim.SGD, {"exclude": ["no check"]})})
