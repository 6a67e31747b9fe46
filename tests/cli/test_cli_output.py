"""The command starts without what it does not need, and whatever becomes of its output, the work is done."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from steepest.compare import Study
from tests import warm
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)
STEEPEST = [sys.executable, "-m", "steepest"]
HEAVY = ["torch", "optuna", "plotly", "pandas", "scipy", "numpy", "sqlalchemy"]


@pytest.mark.parametrize("arguments", ["--version", "--help", "compare --help"])
def test_help_and_version_load_no_library_of_a_study(arguments):
    assert loaded(HEAVY, *arguments.split()) == "[]\n"


def loaded(modules, *arguments):
    """Those of the modules that a command has imported."""
    code = (
        "import atexit, sys\n"
        f"atexit.register(lambda: print([m for m in {modules} if m in sys.modules], file=sys.stderr))\n"
        "from steepest.__main__ import main; main()"
    )
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 0
    assert done.stdout
    return done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A study whose table has signs beyond ASCII: percent after a no-break space, a target that is never reached."""
    out = tmp_path_factory.mktemp("whole") / "study"
    methods = [f"{TINY}:good", f"{TINY}:twin"]
    Study(f"{TINY}:clouds", methods=methods, trials=1, seeds=2, targets=1.0, jobs=1, out=out).run(progress=False)
    return out


@pytest.mark.slow
def test_a_report_is_written_without_torch_and_without_optuna(folder, tmp_path):
    """They take longer to load than thousands of records to read."""
    assert loaded(["torch", "optuna"], "report", str(folder), "--csv", str(tmp_path)) == "[]\n"


def report(folder, redirection="", **environment):
    line = f'"{sys.executable}" -m steepest report "$1" {redirection}'
    return subprocess.run(
        ["sh", "-c", line, "sh", folder], capture_output=True, env={**os.environ, **environment}, timeout=120
    )


@pytest.mark.parametrize(
    "environment",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
    ids=repr,
)
@pytest.mark.slow
def test_output_in_another_encoding_is_the_same_table_in_plain_signs(folder, environment):
    done = report(folder, **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert b" inf " in done.stdout
    assert b"\\x" not in done.stdout
    assert b"Report: " in done.stdout


@pytest.mark.slow
def test_a_closed_output_does_not_matter(folder):
    (folder / "report.md").unlink(missing_ok=True)
    done = report(folder, ">&- 2>&- <&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (folder / "report.md").exists()


def test_a_reader_that_goes_away_does_not_matter(folder):
    (folder / "report.md").unlink(missing_ok=True)
    process = warm.Popen([*STEEPEST, "report", folder], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == (b"", 0)
    process.stderr.close()
    assert (folder / "report.md").exists()


@pytest.mark.slow
def test_no_file_of_a_study_takes_the_place_of_a_closed_output(tmp_path):
    """Its descriptor would be the first that is free, and what is printed would be written into the file."""
    line = f'"{sys.executable}" -m steepest compare "$1" --methods sgd --trials 1 --seeds 1 --out "$2" >&- 2>&- <&-'
    subprocess.run(["sh", "-c", line, "sh", f"{TINY}:clouds", tmp_path / "study"], check=True, timeout=120)
    for file in (tmp_path / "study").iterdir():
        if file.suffix not in (".html", ".md"):
            assert b"Report:" not in file.read_bytes()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
def test_an_output_that_cannot_be_written_is_one_sentence_and_the_report_is_there(folder):
    (folder / "report.md").unlink(missing_ok=True)
    with open("/dev/full", "w") as full:
        done = warm.run([*STEEPEST, "report", folder], stdout=full, stderr=subprocess.PIPE)
    assert done.returncode == 1
    assert done.stderr == b"error: the output cannot be written (No space left on device)\n"
    assert (folder / "report.md").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is not there")
@pytest.mark.parametrize("arguments", ["--version", "--help", "compare --help", ""])
@pytest.mark.slow
def test_help_that_cannot_be_written_is_one_sentence_too(arguments):
    line = f'"{sys.executable}" -m steepest {arguments} > /dev/full'
    done = subprocess.run(["sh", "-c", line], capture_output=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr == b"error: the output cannot be written (No space left on device)\n"
