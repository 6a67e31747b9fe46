"""The methods of examples/momentum_annealing.py: what they print, what their groups hold, and a study of them."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from steepest.cli import run
from steepest.training.code.lookup import find_method
from tests.compare import tiny

EXAMPLE = Path(__file__).parent.parent / "examples" / "momentum_annealing.py"


def groups_over(name, steps):
    """lr and momentum before each step."""
    method = find_method(f"{EXAMPLE}:{name}")
    (lr,) = {round(end, 6) for end in (method.space["lr"].low, method.space["lr"].high)}
    optimizer = method.build(torch.nn.Linear(2, 2), {"lr": lr})
    controller = method.schedule.start(optimizer, steps)
    found = []
    for step in range(steps):
        controller.before_step(step)
        found.append(tuple(optimizer.param_groups[0][key] for key in ("lr", "momentum")))
    return found


@pytest.mark.parametrize(
    ("name", "first", "last"),
    [
        ("plain", (0.01, 0.0), (0.01, 0.0)),
        ("momentum", (0.01, 0.9), (0.01, 0.9)),
        ("lr_annealed", (0.01, 0.9), (0.001, 0.9)),
        ("momentum_annealed", (0.01, 0.9), (0.01, 0.0)),
        ("plain_effective", (0.1, 0.0), (0.1, 0.0)),
    ],
)
def test_lr_and_momentum_change_in_the_middle(name, first, last):
    assert groups_over(name, 6) == [pytest.approx(first)] * 3 + [pytest.approx(last)] * 3


@pytest.mark.slow
def test_a_study_takes_what_is_printed(tmp_path):
    printed = subprocess.run([sys.executable, EXAMPLE], capture_output=True, text=True, check=True).stdout.strip()
    arguments = ["--methods", printed, "--trials", "1", "--seeds", "2", "--jobs", "1", "--out", str(tmp_path / "study")]
    assert run(["compare", f"{tiny.__file__}:clouds", "--schedule", "constant", *arguments]) == 0
    text = (tmp_path / "study" / "report.html").read_text()
    assert all(name in text for name in ("momentum-annealed", "lr-annealed", "plain-effective"))
