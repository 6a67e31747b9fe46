"""The examples of docs/jobs.md: each is killed in the middle of its study, whose table is that of one that was not."""

import importlib.util
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from steepest.compare.policy.finished import finished_records

ROOT = Path(__file__).parent.parent
EXAMPLES = re.findall(r"^\| `(\w+)\.py:(\w+)`", (ROOT / "docs" / "jobs.md").read_text("utf-8"), re.MULTILINE)
LONG = [(file, name) for file, name in EXAMPLES if file != "own_function"]  # enough to be killed in the middle


def test_the_page_lists_the_examples():
    assert len(EXAMPLES) == 8
    assert all((ROOT / "examples" / f"{file}.py").is_file() for file, _ in EXAMPLES)


def records(folder):
    """All but the times."""
    found = finished_records(folder)[1]
    return {r.key: {**r.to_dict(), "started": 0, "finished": 0, "seconds": 0} for r in found}


@pytest.mark.slow
@pytest.mark.parametrize(("file", "name"), LONG, ids=[name for _, name in LONG])
def test_it_is_compared_and_resumes(file, name, tmp_path):
    if importlib.util.find_spec("datasets") is None and file.startswith("hugging"):
        pytest.skip("datasets is not installed")
    methods = "sgd,adamw,sngm" + (",csgd+sgd" if file == "detector" else "")
    command = [
        sys.executable, "-m", "steepest", "compare", str(ROOT / "examples" / f"{file}.py") + f":{name}", "--methods",
        methods, "--trials", "1", "--seeds", "2", "--epochs", "1", "--jobs", "1", "--checkpoint-seconds",
        "0.2", "--out",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen([*command, killed], env=environment, start_new_session=True)
    lines, deadline = killed / "trials.jsonl", time.monotonic() + 600
    while not (lines.exists() and lines.read_bytes().count(b"\n") >= 2) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = records(killed)
    for folder in (killed, whole):
        subprocess.run([*command, folder], env=environment, check=True, capture_output=True)
    assert records(killed) == records(whole)
    assert 2 <= len(before) < len(records(whole)) == 3 * (methods.count(",") + 1)
