"""Several workloads and batch sizes in one study, and a study as flags, file, frozen spec and Python."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from steepest._errors import InputError
from steepest.cli import flags, run
from steepest.compare import Method, Range, Study, Workload
from steepest.compare.policy.finished import finished_records
from steepest.compare.policy.queue import jobs_left
from steepest.compare.records.folder import load_spec
from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import Request
from tests import warm
from tests.compare import TINY_FILE, tiny
from tests.compare.study.test_study import results

TINY = str(TINY_FILE)
BOTH = [f"{TINY}:clouds", f"{TINY}:as_datasets"]
TOML = f"""
workloads = ["{TINY}:clouds", "{TINY}:as_datasets"]
methods = ["{TINY}:good", "{TINY}:twin"]
trials = 2
seeds = 2
epochs = {{ clouds = 2 }}
batch-size = {{ clouds = [20, 40] }}
targets = [0.6, 0.8]
schedule = "cosine"
jobs = 1

[space.good]
lr = [0.01, 1.0]
momentum = {{ low = 0.5, high = 0.9, log = false }}
"""
FLAGS = [
    *BOTH, "--methods", f"{TINY}:good,{TINY}:twin", "--trials", "2", "--seeds", "2", "--epochs", "clouds=2",
    "--batch-size", "clouds=20,40", "--targets", "0.6,0.8", "--schedule", "cosine", "--jobs", "1",
    "--space", "good.momentum=0.5:0.9:linear", "--lr-range", "good=0.01:1",
]  # fmt: skip
PYTHON = {
    "methods": [f"{TINY}:good", f"{TINY}:twin"],
    "trials": 2,
    "seeds": 2,
    "epochs": {"clouds": 2},
    "batch_size": {"clouds": [20, 40]},
    "targets": [0.6, 0.8],
    "schedule": "cosine",
    "space": {"good": {"lr": (0.01, 1.0), "momentum": Range(0.5, 0.9, log=False)}},
    "jobs": 1,
}


@pytest.fixture(scope="module")
def by_flags(tmp_path_factory):
    out = tmp_path_factory.mktemp("flags") / "study"
    done = warm.run([sys.executable, "-m", "steepest", "compare", *FLAGS, "--out", out], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return out


def measured(out):
    return results({record.key: record for record in finished_records(out)[1]})


@pytest.mark.slow
def test_every_workload_and_batch_size_is_a_comparison_of_its_own(by_flags):
    study, records = finished_records(by_flags)
    assert [(c.name, c.batch_size, c.epochs, c.targets) for c in study.comparisons] == [
        ("clouds, batch 20", 20, 2, (0.6, 0.8)),
        ("clouds, batch 40", 40, 2, (0.6, 0.8)),
        ("as-datasets", 20, 3, (0.6, 0.8)),
    ]
    assert {c.workload.target for c in study.comparisons} == {0.6}
    for comparison in study.comparisons:
        own = [r for r in records if r.workload == comparison.name]
        assert len(own) == 2 * (2 + 2)
        assert {r.gradient_evaluations for r in own} == {comparison.epochs * 120 // comparison.batch_size}
        assert {r.samples for r in own} == {comparison.epochs * 120}
        momenta = {r.hyperparameters.get("momentum") for r in own}
        assert momenta == {None} | {m for m in momenta if m is not None and 0.5 <= m <= 0.9}
        assert len(momenta) == 3
    # Equal workload, data and seed, unequal name and batch size.
    assert (
        measured(by_flags)["clouds, batch 20", "twin", "tune", 0]["curve"]
        != (measured(by_flags)["clouds, batch 40", "twin", "tune", 0]["curve"])
    )


def test_a_target_that_is_asked_for_is_counted(by_flags):
    for record in finished_records(by_flags)[1]:
        curve = zip(record.curve["gradient_evaluations"], record.curve["validation_metric"], strict=True)
        assert record.evaluations_to_target == next((at for at, metric in curve if metric >= 0.6), None)


def test_a_file_and_python_mean_the_same_as_flags(by_flags, tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TOML)
    frozen = load_spec(by_flags)
    assert Study.from_file(path).spec == frozen
    assert Study(BOTH, **PYTHON).spec == frozen
    assert run(["compare", str(path), "--out", str(tmp_path / "again")]) == 0
    assert measured(tmp_path / "again") == measured(by_flags)


def test_the_frozen_spec_runs_the_study_again(by_flags, tmp_path, capsys):
    out = tmp_path / "again"
    assert run(["compare", str(by_flags / "spec.json"), "--out", str(out), "--jobs", "1"]) == 0
    assert load_spec(out) == load_spec(by_flags)
    assert measured(out) == measured(by_flags)
    capsys.readouterr()


def test_a_frozen_spec_that_cannot_be_had_again_says_so(by_flags, tmp_path):
    raw = json.loads((by_flags / "spec.json").read_text())
    for comparison in raw["comparisons"]:
        comparison["workload"]["data_sha256"] = "0"
    (tmp_path / "spec.json").write_text(json.dumps(raw))
    with pytest.raises(InputError, match=r"this study cannot be reproduced as it was: workload\.data differs"):
        _ = Study.from_file(tmp_path / "spec.json").spec
    assert Study.from_file(tmp_path / "spec.json", trials=1).spec.comparisons[0].trials == 1  # another study


def test_flags_replace_what_the_file_says(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text(TOML)
    changed = Study.from_file(path, trials=5, space={"twin": {"lr": (0.1, 0.2)}}).spec.comparisons[0]
    assert changed.trials == 5
    assert changed.seeds == (1, 2)
    assert changed.method("twin").space == {"lr": Range(0.1, 0.2)}
    assert changed.method("good").space["lr"] == Range(0.01, 1.0)


def test_runs_of_a_comparison_come_before_those_of_the_next():
    study = freeze_study(Request(BOTH, [f"{TINY}:good"], trials=2, seeds=1))
    assert [(job.workload, job.phase, job.index) for job in jobs_left(study, [])] == [
        ("clouds", "tune", 0),
        ("clouds", "tune", 1),
        ("as-datasets", "tune", 0),
        ("as-datasets", "tune", 1),
    ]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("workloads = [", "is not a TOML file"),
        ("trials = 3", "names no workloads"),
        ("workloads = 3", "key 'workloads' of FILE must be names or steepest.compare.Workload objects, got 3"),
        ('workloads = "digits-mlp"\ntrails = 3', "unknown key 'trails'; did you mean 'trials'?"),
        ('workloads = "digits-mlp"\ntrials = "3"', "key 'trials' of FILE must be a whole number, got '3'"),
        ('workloads = "digits-mlp"\ntrials = true', "key 'trials' of FILE must be a whole number, got True"),
        ('workloads = "digits-mlp"\nsharpness = 1', "key 'sharpness' of FILE must be true or false, got 1"),
        ('workloads = "digits-mlp"\nschedule = 1', "key 'schedule' of FILE must be a text, got 1"),
        ('workloads = "digits-mlp"\ntargets = ["x"]', "key 'targets' of FILE must be a number, got 'x'"),
        ('workloads = "digits-mlp"\ntargets = 95', "must be a fraction from 0 to 1, such as 0.95 for 95 %, got 95"),
        ('workloads = "digits-mlp"\nepochs = { x = 3 }', "key 'epochs' of FILE names 'x', which is not compared on"),
        (
            'workloads = "digits-mlp"\nbatch_size = [3, 3]',
            "key 'batch_size' of FILE must name each size once, got 3 more than once",
        ),
        ('workloads = "digits-mlp"\nspace = 3', "key 'space' of FILE must be a table of methods"),
        (
            'workloads = "digits-mlp"\nspace.sgd.lr = [1]',
            "key 'space.sgd.lr' of FILE must be [low, high] or {low, high, log}",
        ),
        (
            'workloads = "digits-mlp"\nspace.sgd.lr = [1, 0.1]',
            "key 'space.sgd.lr' of FILE must be a range, got [1, 0.1] (a range needs",
        ),
        ('workloads = "digits-mlp"\nspace.sgd.rate = [0.1, 1]', "cannot be made from lr, rate (TypeError"),
        ('workloads = "digits-mlp"\npruner = "x"', "key 'pruner' of FILE must be one of median, halving, got 'x'"),
        (
            'workloads = "digits-mlp"\ncheckpoint-seconds = -1',
            "key 'checkpoint-seconds' of FILE must be at least 0, got -1",
        ),
        (
            'workloads = ["digits-mlp", "digits-mlp"]',
            "every workload must be given once, got digits-mlp more than once",
        ),
    ],
)
def test_a_mistake_in_a_file_is_one_sentence(tmp_path, capsys, text, sentence):
    path = tmp_path / "study.toml"
    path.write_text(text)
    assert run(["compare", str(path), "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert sentence.replace("FILE", repr(str(path))) in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("none.toml", "the study's file 'none.toml' cannot be read (No such file or directory)"),
        ("none.toml digits-mlp", "a study's file stands alone, got none.toml digits-mlp"),
        (
            "digits-mlp --space sgd.lr",
            "METHOD.NAME=LOW:HIGH, METHOD.NAME=LOW:HIGH:linear or METHOD.NAME=VALUE,VALUE, got 'sgd.lr'",
        ),
        ("digits-mlp --space sgd.lr=0.1:1 --lr-range sgd=0.1:1", "must name each method once, got sgd more than once"),
        ("digits-mlp --epochs 3 --epochs 4", "--epochs must be given once for all workloads, got '4' as well"),
        ("digits-mlp --epochs x", "--epochs must be a whole number, got 'x'"),
        ("digits-mlp --targets 0.5,x", "--targets must be a number, got 'x'"),
    ],
)
def test_a_mistake_in_the_flags_is_one_sentence(capsys, arguments, sentence):
    assert run(["compare", *arguments.split()]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_file_that_is_no_spec(tmp_path, capsys):
    (tmp_path / "spec.json").write_text("{}")
    assert run(["compare", str(tmp_path / "spec.json")]) == 2
    assert "is not the spec of a study" in capsys.readouterr().err


def test_flags_of_several_values():
    assert flags.by_workload("--targets", ["a=0.5, 0.6"], flags.listed(flags.number)) == {"a": [0.5, 0.6]}
    assert flags.values({"trials": 3, "lr_range": [], "space": []}) == {"trials": 3}


class TestFromPython:
    def test_objects_of_the_program_train_in_the_workers(self, tmp_path):
        """Also functions that are defined here and nowhere else: a worker cannot import them."""

        def data(data_dir):
            return tiny.two_clouds(data_dir)

        mine = Workload("mine", data, tiny.clouds.model, batch_size=20, epochs=2, target=0.7)
        methods = [tiny.good, Method("mine-sgd", tiny.good.optimizer, space=tiny.LR)]
        study = Study(mine, methods=methods, trials=2, seeds=2, jobs=1, out=tmp_path / "study")
        assert study.run(progress=False)
        table = study.table()
        assert sorted(table.method) == ["good", "mine-sgd"]
        assert set(table.comparison) == {"mine"}
        assert table.test_metric.between(0.5, 1).all()
        assert (table.seeds == 2).all()
        runs = study.runs()
        assert len(runs) == 8
        assert runs.lr.between(1e-3, 1).all()
        assert study.report() == tmp_path / "study" / "report.html"
        assert Study(mine, methods=methods, trials=2, seeds=2, jobs=1, out=tmp_path / "study").run(progress=False)
        with pytest.raises(InputError, match="was given 'good' as an object; run it from that program"):
            Study.from_file(tmp_path / "study" / "spec.json")

    @pytest.mark.slow
    def test_a_script_needs_no_main_guard(self, tmp_path):
        script = tmp_path / "script.py"
        script.write_text(
            "import torch\nfrom torch import nn\nfrom steepest.compare import Method, Range, Study, Workload\n"
            "from tests.compare.tiny import two_clouds\nprint('once')\n"
            "w = Workload('w', lambda d: two_clouds(d), lambda: nn.Linear(4, 2), 20, 2, 0.7)\n"
            "m = Method('m', lambda p, lr: torch.optim.SGD(p, lr=lr), space={'lr': Range(0.1, 1.0)})\n"
            "study = Study(w, methods=[m, 'sgd'], trials=1, seeds=2, jobs=2, out='study')\n"
            "study.run()\nprint(study.table().verdict.tolist())\n"
        )
        done = subprocess.run(
            [sys.executable, str(script)],
            capture_output=True,
            text=True,
            cwd=tmp_path,
            env={"PYTHONPATH": str(Path(TINY).parents[2]), "PATH": ""},
        )
        assert done.returncode == 0, done.stderr
        assert done.stdout.count("once") == 1
        assert "baseline" in done.stdout

    def test_an_empty_study_has_an_empty_table(self, tmp_path):
        study = Study("digits-mlp", methods="sgd", trials=1, seeds=1, out=tmp_path)
        assert study.records() == []
        assert study.runs().empty

    @pytest.mark.parametrize(
        ("options", "sentence"),
        [
            ({"trials": 1.5}, "trials must be a whole number, got 1.5"),
            ({"methods": [3]}, "methods must be names or steepest.compare.Method objects, got 3"),
            ({"jobs": 0}, "jobs must be at least 1, got 0"),
            ({"data_dir": "/no/such"}, "data_dir must be an existing folder, got '/no/such'"),
        ],
    )
    def test_a_bad_argument(self, options, sentence):
        with pytest.raises(InputError, match=sentence):
            Study("digits-mlp", **options)
