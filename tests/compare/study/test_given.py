"""Hyperparameters that a study takes without a search."""

import csv
import json

import pytest
import torch

from steepest._errors import InputError
from steepest.compare import Choice, Method, Range, Study
from steepest.compare.records.folder import read_records
from steepest.compare.results.exports import export_csv
from steepest.compare.spec import StudySpec
from steepest.compare.study.given import given
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)
GOOD, TWO = f"{TINY}:good", f"{TINY}:two_dimensions"
ADAM = Method(
    "adam",
    torch.optim.Adam,
    space={
        "lr": Range(1e-3, 1.0),
        "betas": Choice((0.9, 0.999), (0.8, 0.99)),
        "amsgrad": Choice(True, False),
        "eps": Range(1e-9, 1e-6, when={"amsgrad": True}),
    },
)
POINTS = {"good": {"lr": 0.1}, "two-dimensions": {"lr": 0.5, "momentum": 0.3}}
FILES = {
    "a.toml": '[good]\nlr = 0.1\n["two-dimensions"]\nlr = 0.5\nmomentum = 0.3\n',
    "a.json": json.dumps(POINTS),
    "a.csv": "method,lr,momentum\ngood,0.1,\ntwo-dimensions,0.5,0.3\n",
    "b.csv": "comparison,method,lr,momentum\nother,good,0.1,\nother,two-dimensions,0.5,0.3\n",
    "b.toml": "[clouds.good]\nlr = 0.1\n[clouds.two-dimensions]\nlr = 0.5\nmomentum = 0.3\n",
}


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_the_same_in_every_format_and_what_is_of_one_comparison_is_for_any(name, tmp_path):
    (tmp_path / name).write_text(FILES[name])
    assert given("values", tmp_path / name) == given("values", str(tmp_path / name)) == {"": POINTS}
    assert given("values", POINTS) == {"": POINTS}


def study(out, **options):
    options = {"methods": [GOOD, TWO], "seeds": 2, "device": "cpu", "jobs": 1, **options}
    return Study(f"{TINY}:clouds", out=out, **options)


@pytest.mark.slow
def test_a_study_of_given_values_has_final_runs_alone_and_reads_back_and_resumes(tmp_path):
    first = study(tmp_path / "a", values=POINTS)
    assert first.run(progress=False)
    records = read_records(tmp_path / "a")
    assert [(r.phase, r.hyperparameters) for r in records if r.method == "good"] == [("final", {"lr": 0.1})] * 2
    assert {r.phase for r in records} == {"final"}
    assert len(records) == 4
    table = first.table().set_index("method")
    assert table.loc["two-dimensions", "momentum"] == 0.3
    page = first.report().with_suffix(".md").read_text()
    assert "- Search: None: the values of all methods were given." in page
    assert "given: lr 0.5, momentum 0.3" in page
    assert "Search: none; the values of all methods were given" in page
    again = Study.from_file(tmp_path / "a" / "spec.json", out=tmp_path / "a", jobs=1)
    assert again.spec == first.spec
    before = (tmp_path / "a" / "trials.jsonl").read_text()
    assert again.run(progress=False)
    assert (tmp_path / "a" / "trials.jsonl").read_text() == before
    assert StudySpec.from_json(first.spec.to_json()) == first.spec
    plan = first.plan()
    assert [(m.trials, m.finals, m.failure) for m in plan.methods] == [(0, 2, None), (0, 2, None)]


@pytest.mark.slow
def test_what_a_study_has_chosen_runs_again_from_its_folder_and_from_its_table(tmp_path):
    chosen = study(tmp_path / "first", methods=[GOOD, ADAM], trials=5)
    assert chosen.run(progress=False)
    export_csv(chosen.summaries(), tmp_path / "tables")
    finals = {(r.method, r.trial): r for r in chosen.records() if r.phase == "final"}
    points = {name: r.hyperparameters for (name, _), r in finals.items()}
    assert isinstance(points["adam"]["betas"], tuple)
    for i, values in enumerate((tmp_path / "first", tmp_path / "tables" / "values.csv")):
        assert given("values", values) == {"": points}
        again = study(tmp_path / str(i), methods=[GOOD, ADAM], values=values)
        assert again.run(progress=False)
        for key, record in {(r.method, r.trial): r for r in again.records()}.items():
            assert (record.test_metric, record.curve) == (finals[key].test_metric, finals[key].curve)
    with pytest.raises(InputError, match="must hold values alone and has a column 'verdict'"):
        given("values", tmp_path / "tables" / "final.csv")


def test_values_of_several_comparisons_go_to_those_of_their_name(tmp_path):
    values = {"clouds": {"good": {"lr": 0.1}}, "clouds, batch 30": {"good": {"lr": 0.2}}}
    spec = study(tmp_path, methods=[GOOD], batch_size=[20, 30], values=values).spec
    assert [c.given(c.methods[0]) for c in spec.comparisons] == [{"lr": 0.1}, {"lr": 0.2}]
    with pytest.raises(InputError, match="values has none for as-datasets"):
        Study(f"{TINY}:as_datasets", methods=[GOOD], values=values, device="cpu", out=tmp_path).spec  # noqa: B018


def test_texts_that_look_like_something_else_keep_what_they_are_in_the_table(tmp_path):
    odd = Method(
        "=odd",
        lambda params, name, **options: torch.optim.SGD(params, **options),
        space={"lr": Range(0.1, 1.0), "name": Choice("true", "5", "=1", "a,b", None)},
    )
    chosen = study(tmp_path / "first", methods=[odd], trials=5)
    assert chosen.run(progress=False)
    export_csv(chosen.summaries(), tmp_path / "tables")
    point = next(r.hyperparameters for r in chosen.records() if r.phase == "final")
    assert given("values", tmp_path / "tables" / "values.csv") == {"": {"=odd": point}}
    with (tmp_path / "tables" / "values.csv").open() as file:
        assert next(csv.reader(file)) == ["comparison", "method", "lr", "name"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"values": {"good": {"lr": 0.1}}}, "values must have values of every method, .*; it has none of 'two-dim"),
        ({"values": {**POINTS, "two-dimensions": {"lr": 0.1}}}, "of two-dimensions must have 'momentum', which it"),
        ({"values": POINTS, "trials": 4}, "trials is of a search, and with values there is none; leave it out"),
        ({"values": POINTS, "sampler": "tpe"}, "sampler is of a search"),
        ({"values": POINTS, "space": {"good": {"lr": [0.1, 1]}}}, "space is of a search"),
        ({"values": {"good": {"lr": 0.1, "moment": 1}, "two-dimensions": {"lr": 0.1, "momentum": 0.5}}},
         "values of good: its optimizer cannot be made from lr, moment"),
        ({"values": {"good": 0.1}}, "values must be a table of methods, each with its hyperparameters"),
        ({"values": {"good": {"lr": float("nan")}}}, "lr of good must be a finite number"),
    ],
)  # fmt: skip
def test_what_cannot_be_given_is_refused_in_a_sentence(options, sentence, tmp_path):
    with pytest.raises(InputError, match=sentence):
        study(tmp_path / "out", **options).spec  # noqa: B018
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("a.csv", "name,lr\ngood,1\n", "must have a column 'method', got name, lr"),
        ("a.csv", "method,lr\ngood,1\ngood,2\n", "must name each method once, got 'good' more than once"),
        ("a.csv", "method,lr\ngood,1,2\n", "has a row of another length than its first line: 'good'"),
        ("a.toml", "[good\n", "cannot be read"),
        ("a.json", "{}", "must be a table of methods"),
        ("a.json", '{"good": {"lr": 1, "x": {"y": 1}}}', "or this for every comparison"),
        ("a.yaml", "", "must be a .toml, .json or .csv file, or the folder of a study"),
    ],
)
def test_a_file_that_cannot_be_read_is_told_in_a_sentence(name, text, sentence, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=sentence):
        given("values", tmp_path / name)
    with pytest.raises(InputError, match=r"values '.*' (cannot|must)|holds no study"):
        given("values", tmp_path / "absent.toml")
