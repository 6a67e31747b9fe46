"""Which method the others are told against: a matter of the report, and of no run."""

import json
import sys

import pytest

from steepest._errors import InputError
from steepest.compare import Study
from tests import warm
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)
METHODS = ["sgd", f"{TINY}:good", f"{TINY}:twin"]


def study(out, **more):
    return Study(f"{TINY}:clouds", methods=METHODS, trials=1, seeds=3, jobs=1, out=out, **more)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("told") / "study"
    assert study(out, baseline="good").run(progress=False)
    return out


def baseline_in(table):
    return table.loc[table.verdict == "baseline", "method"].tolist()


def test_another_baseline_runs_nothing_again(folder):
    assert baseline_in(study(folder, baseline="good").table()) == ["good"]
    before = (folder / "trials.jsonl").read_bytes()
    assert study(folder, baseline="twin").run(progress=False)
    assert (folder / "trials.jsonl").read_bytes() == before
    assert json.loads((folder / "spec.json").read_text())["study"]["baseline"] == "twin"
    assert baseline_in(study(folder).table()) == ["twin"]  # as it was last asked for, and not sgd
    assert study(folder, baseline="good").run(progress=False)


def test_the_differences_turn_round(folder):
    table = {name: study(folder, baseline=name).table().set_index("method") for name in ("good", "twin")}
    there, here = table["good"].loc["twin"], table["twin"].loc["good"]
    assert there.difference == -here.difference
    assert (there.difference_low, there.difference_high) == (-here.difference_high, -here.difference_low)


@pytest.mark.slow
def test_a_report_takes_any_and_changes_no_study(folder):
    def report(name):
        command = [sys.executable, "-m", "steepest", "report", str(folder), "--baseline", name]
        return warm.run(command, capture_output=True, text=True)

    before = (folder / "spec.json").read_bytes()
    done = report("sgd")
    assert done.returncode == 0, done.stderr
    assert "minus sgd" in done.stdout.splitlines()[0]
    assert "where sgd reaches" in (folder / "report.md").read_text()
    assert (folder / "spec.json").read_bytes() == before
    done = report("sngm")
    assert (done.returncode, done.stderr) == (2, "error: --baseline must be one of sgd, good, twin, got 'sngm'.\n")


@pytest.mark.slow
def test_the_winner_is_a_matter_of_the_report_too(folder):
    def said(*more):
        command = [sys.executable, "-m", "steepest", "report", str(folder), *more]
        return [
            line for line in warm.run(command, capture_output=True, text=True).stdout.splitlines() if "Winner:" in line
        ]

    assert not said()
    [sentence] = said("--winner")
    assert "19 times in 20" in sentence
    assert sentence in (folder / "report.md").read_text()
    before = (folder / "trials.jsonl").read_bytes()
    assert study(folder, winner=True).run(progress=False)
    assert (folder / "trials.jsonl").read_bytes() == before
    assert said() == [sentence]
    assert not said("--no-winner")


def test_an_unknown_one_is_named_as_it_was_asked_for(tmp_path):
    with pytest.raises(InputError, match=r"^baseline must be one of sgd, good, twin, got 'sngm'"):
        study(tmp_path, baseline="sngm").spec  # noqa: B018
    path = tmp_path / "study.toml"
    path.write_text(f'workloads = "{TINY}:clouds"\nmethods = {json.dumps(METHODS)}\nbaseline = "sngm"\n')
    with pytest.raises(InputError, match=r"^key 'baseline' of '.*study.toml' must be one of sgd, good, twin, got"):
        Study.from_file(path).spec  # noqa: B018
    assert study(tmp_path).spec.shared.baseline == "sgd"
