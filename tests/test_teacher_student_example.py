"""What examples/teacher_student.py prints: a row for each time, without and with images."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLE = Path(__file__).parent.parent / "examples" / "teacher_student.py"


def printed(*arguments):
    words = [sys.executable, str(EXAMPLE), *arguments, "--time", "1", "--seeds", "2"]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout.splitlines()


@pytest.mark.slow
def test_theory_stands_beside_runs():
    head, row = printed()
    assert head.split() == ["time", "theory", "normal", "3136", "examples"]
    time, theory, normal, finite = map(float, row.split())
    assert time == 1
    assert normal == pytest.approx(theory, rel=0.1)
    assert finite == pytest.approx(theory, rel=0.2)


@pytest.mark.slow
def test_images_are_another_matter(real_data):
    head, row = printed(str(real_data))
    assert head.split()[-2:] == ["images", "whitened"]
    *_, normal, _, pictures, whitened = map(float, row.split())
    assert pictures < 0.5 * normal
    assert whitened == pytest.approx(normal, rel=0.2)
