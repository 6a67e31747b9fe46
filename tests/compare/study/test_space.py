"""Whole numbers, choices, conditions and groups in all that a study writes and reads."""

import json
from pathlib import Path

import optuna
import pytest
import torch

from steepest._errors import InputError
from steepest.cli import flags
from steepest.compare import Choice, Method, Range, Study
from steepest.compare.analysis.response import fit_response
from steepest.compare.records.folder import fingerprint, read_records
from steepest.compare.records.optuna_ledger import OptunaLedger
from steepest.compare.records.record import Job
from steepest.compare.records.retries import Patience
from steepest.compare.report.figures import figures
from steepest.compare.spec import StudySpec
from steepest.training.definitions.space import is_point
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)
MIXED = Method(
    "mixed",
    torch.optim.SGD,
    space={
        "lr": Range(1e-3, 1.0),
        "nesterov": Choice(True, False),
        "momentum": Range(0.5, 0.99, log=False, when={"nesterov": True}),
        "lr_scale@bias": Range(0.1, 10.0),
    },
)
TUPLES = Method(
    "tuples",
    torch.optim.Adam,
    space={"lr": Range(1e-3, 1.0), "betas": Choice((0.9, 0.999), (0.8, 0.99)), "amsgrad": Choice(True, False)},
)
BATCHED = Method(
    "batched",
    lambda params, lr, layers: torch.optim.SGD(params, lr / layers),
    space={"lr": Choice(0.1, 0.5), "layers": Range(1, 9, integer=True)},
)


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    out = tmp_path_factory.mktemp("space") / "study"
    found = Study(
        f"{TINY}:clouds", methods=[f"{TINY}:good", MIXED, TUPLES, BATCHED], trials=6, seeds=2, device="cpu", jobs=1,
        out=out,
    )  # fmt: skip
    assert found.run(progress=False)
    return found


def test_a_spec_without_any_of_it_has_the_bytes_and_the_fingerprint_of_before():
    """Written at commit a42e619, before there was any of it; the fingerprint is that of before recipes, too."""
    text = Path(__file__).parents[1].joinpath("spec_6.json").read_text().rstrip("\n")
    spec = StudySpec.from_json(text)
    assert spec.to_json() == text
    assert fingerprint(spec) == "6:e9dde3daf0806f1ae3dcb26d1758ff7ad4a7a75dd6ff18a1566751ce42da67ef"


@pytest.mark.slow
def test_the_frozen_spec_reads_back_as_it_was_and_the_records_are_points_of_it(study):
    text = (study.folder / "spec.json").read_text()
    assert StudySpec.from_json(text) == study.spec
    spec = study.spec.comparisons[0]
    methods = {method.name: method for method in spec.methods}
    assert methods["mixed"].space == MIXED.space
    records = read_records(study.folder)
    assert len(records) == 4 * (6 + 2)
    for r in records:
        assert r.status == "finished"
        assert is_point(methods[r.method].space, r.hyperparameters)
        if r.phase == "tune":
            assert r.hyperparameters == methods[r.method].points[r.trial]
    assert json.loads(text)["study"]["methods"][1]["space"]["momentum"] == {
        "low": 0.5, "high": 0.99, "log": False, "when": {"nesterov": [True]},
    }  # fmt: skip


def test_the_same_study_resumes_and_one_with_another_space_is_refused(study):
    assert Study(
        f"{TINY}:clouds", methods=[f"{TINY}:good", MIXED, TUPLES, BATCHED], trials=6, seeds=2, device="cpu", jobs=1,
        out=study.folder,
    ).run(progress=False)  # fmt: skip
    other = MIXED.with_space({"nesterov": Choice(False, True)})
    with pytest.raises(InputError, match=r"methods\.mixed\.space\.nesterov\.values differs: \[True, False\] there"):
        Study(
            f"{TINY}:clouds", methods=[f"{TINY}:good", other, TUPLES, BATCHED], trials=6, seeds=2, device="cpu", jobs=1,
            out=study.folder,
        ).run(progress=False)  # fmt: skip


def test_optuna_reads_the_runs_of_every_kind(study):
    for method in (MIXED, TUPLES, BATCHED):
        loaded = optuna.load_study(
            study_name=f"clouds/{method.name}/tune", storage=f"sqlite:///{study.folder / 'study.db'}"
        )
        spec = study.spec.comparisons[0].method(method.name)
        found = [{n: str(v) for n, v in trial.params.items()} for trial in loaded.trials]
        assert found == [{n: str(v) for n, v in point.items()} for point in spec.points]


@pytest.mark.slow
def test_a_ledger_of_optuna_plans_takes_and_ends_runs_of_every_kind(study, tmp_path):
    with OptunaLedger(f"sqlite:///{tmp_path / 'ledger.db'}", study.spec, Patience("the storage")) as ledger:
        records = study.records()
        jobs = [Job(*r.key, r.seed, r.hyperparameters) for r in records]
        for _ in range(2):
            ledger.plan(jobs)
        for job, record in zip(jobs, records, strict=True):
            assert ledger.take(job)
            assert ledger.finish(record) == record
        assert {r.key: r for r in ledger.records()} == {r.key: r for r in records}


def test_tables_have_every_value_and_nothing_where_it_was_not_searched(study):
    runs = study.runs()
    mixed = runs[(runs.method == "mixed") & (runs.phase == "tune")]
    for _, row in mixed.iterrows():
        assert (row.momentum != row.momentum) == (not row.nesterov)  # NaN is not itself
    assert set(runs[runs.method == "tuples"].betas) <= {"(0.9, 0.999)", "(0.8, 0.99)"}
    final = study.table().set_index("method")
    assert final.loc["mixed", "nesterov"] in (True, False)
    assert final.loc["batched", "layers"] in range(1, 10)


def test_the_report_has_a_figure_for_each_hyperparameter_with_categories_where_there_are_some(study):
    (summary,) = study.summaries()
    found = {figure.title: figure for figure in figures(summary)}
    named = ["nesterov", "momentum", "lr_scale@bias", "betas", "amsgrad", "layers"]
    assert {f"Sensitivity to {name}" for name in named} <= found.keys()
    axis = found["Sensitivity to nesterov"].plot.layout.xaxis
    assert (axis.type, axis.categoryarray) == ("category", ("True", "False"))
    assert found["Sensitivity to betas"].plot.layout.xaxis.categoryarray == ("(0.9, 0.999)", "(0.8, 0.99)")
    assert found["Sensitivity to lr_scale@bias"].plot.layout.xaxis.type == "log"
    drawn = [x for trace in found["Sensitivity to layers"].plot.data for x in trace.x]
    tried = [r.hyperparameters["layers"] for r in study.records() if r.method == "batched" and r.phase == "tune"]
    assert drawn[: len(tried)] == tried
    assert set(drawn) == set(tried)
    page = study.report()
    assert "nesterov True,False, momentum 0.5:0.99 if nesterov=True" in page.with_suffix(".md").read_text()
    assert "layers 1:9:integer" in page.with_suffix(".md").read_text()


def test_flags_files_and_python_say_the_same_space(tmp_path):
    searched = {
        "nesterov": Choice(True, False),
        "momentum": Range(0.8, 0.99, log=False, when={"nesterov": True}),
        "lr_scale@head.*": Range(0.1, 10.0),
        "layers": Range(1, 8, integer=True, when={"kind": ["a", "b"], "nesterov": False}),
        "kind": Choice("a", "b", 3, 0.5, None),
    }
    texts = [
        "sgd.nesterov=true,false",
        "sgd.momentum=0.8:0.99:linear if nesterov=true",
        "sgd.lr_scale@head.*=0.1:10",
        "sgd.layers=1:8:integer if kind=a,b and nesterov=false",
        "sgd.kind=a,b,3,0.5,none",
    ]
    assert flags.spaces([], texts) == {"sgd": searched}
    (tmp_path / "study.toml").write_text(
        'workloads = ["digits-mlp"]\nmethods = ["sgd"]\n[space.sgd]\nnesterov = { values = [true, false] }\n'
        "momentum = { low = 0.8, high = 0.99, log = false, when = { nesterov = true } }\n"
        '"lr_scale@1.*" = [0.1, 10.0]\n'
    )
    study = Study.from_file(tmp_path / "study.toml", out=tmp_path / "out", device="cpu")
    space = study.spec.methods[0].space
    assert space["nesterov"] == Choice(True, False)
    assert space["momentum"] == searched["momentum"]
    assert space["lr_scale@1.*"] == Range(0.1, 10.0)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("sgd.nesterov=true", "--space must be METHOD.NAME=LOW:HIGH, .*needs at least two values, got True"),
        ("sgd.nesterov=true,false if", "--space must be METHOD.NAME=LOW:HIGH"),
        ("sgd.momentum=1:2:wide", "--space must be METHOD.NAME=LOW:HIGH"),
        ("sgd.momentum=1:2.5:integer", "needs whole ends"),
        ("sgd.momentum=1:2 if nesterov", "behind if must be NAME=VALUE"),
    ],
)
def test_a_flag_that_is_no_space_is_refused_in_a_sentence(text, sentence):
    with pytest.raises(InputError, match=sentence):
        flags.spaces([], [text])


@pytest.mark.parametrize(
    ("space", "sentence"),
    [
        ({"lr_scale@heads.*": [0.1, 1]}, "sgd has values for 'heads.*', which matches no parameter of the model"),
        ({"momentum": Range(0.1, 0.9, when={"nestrov": True})}, "when of 'momentum' must name what is searched too"),
        ({"nesterov": {"values": True}}, "values must be a list"),
        ({"momentum": Choice(0.9, -1.0)}, "cannot be made from lr, momentum=-1.0 (ValueError: Invalid mom"),
        ({"foo@1.*": [0.1, 1]}, "its optimizer no 'foo' that a group could have"),
    ],
)
def test_a_space_that_the_optimizer_or_the_model_cannot_have_is_refused_before_the_first_run(space, sentence, tmp_path):
    with pytest.raises(InputError) as raised:
        Study("digits-mlp", methods=["sgd"], space={"sgd": space}, device="cpu", out=tmp_path / "out").spec  # noqa: B018
    assert sentence in str(raised.value)


def test_a_response_tells_the_values_of_a_choice_apart_and_goes_on_where_one_is_not_searched():
    space = {"kind": Choice("a", "b", "c"), "lr": Range(1e-3, 1.0), "extra": Range(0.1, 1.0, when={"kind": "a"})}
    points, scores = [], []
    for i in range(18):
        kind = "abc"[i % 3]
        points.append({"kind": kind, "lr": 10 ** (-3 + i / 6), **({"extra": 0.5} if kind == "a" else {})})
        scores.append({"a": 0.9, "b": 0.5, "c": 0.7}[kind])
    means = fit_response(space, points, scores).means
    by_kind = {kind: [m for m, p in zip(means, points, strict=True) if p["kind"] == kind] for kind in "abc"}
    assert min(by_kind["a"]) > max(by_kind["c"]) > min(by_kind["c"]) > max(by_kind["b"])
