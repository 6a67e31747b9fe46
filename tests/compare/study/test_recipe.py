"""A study's recipe is the same for all methods, written down, said in the report, and part of what the study is."""

import dataclasses
import json

import pytest
import torch

from steepest._errors import InputError
from steepest.cli import run
from steepest.compare import Method, Range, Study
from steepest.compare.records.folder import fingerprint
from steepest.compare.spec import StudySpec
from tests.compare import tiny

RECIPE = {"warmup": 0.1, "clip": 1, "accumulate": 2, "precision": "bfloat16", "ema": 0.5, "keep_best": True}
SMALL = {"methods": ["sgd", "sngm"], "trials": 1, "seeds": 2, "epochs": 2, "jobs": 1, "device": "cpu"}


def test_it_is_frozen_reported_and_resumed(tmp_path):
    study = Study(tiny.clouds, out=tmp_path / "s", **SMALL, **RECIPE)
    assert study.run(progress=False)
    told = json.loads((tmp_path / "s" / "spec.json").read_text())
    assert told["study"]["recipe"] == {**RECIPE, "clip": 1.0}
    page = study.report().read_text()
    for sentence in (
        "the lr rises over the first 10 % of a run, gradients clipped to a norm of 1",
        "batches evaluated in 2 pieces, computed in bfloat16",
        "tested at an average of the weights that decays by 0.5 a step",
        "sngm does, takes the same steps with it and without",
        "of the best",
    ):
        assert sentence in page
    table = study.table()
    assert table.best_test_metric.between(0, 1).all()
    assert table.best_at.between(1, 12).all()
    before = [record.to_dict() for record in study.records()]
    assert Study(tiny.clouds, out=tmp_path / "s", **SMALL, **RECIPE).run(progress=False)
    assert [record.to_dict() for record in study.records()] == before
    with pytest.raises(InputError, match=r"recipe\.clip differs: 1.0 there, 2.0 here"):
        Study(tiny.clouds, out=tmp_path / "s", **SMALL, **{**RECIPE, "clip": 2.0}).run(progress=False)
    with pytest.raises(InputError, match=r"recipe\.ema differs: 0.5 there, nothing here"):
        Study(tiny.clouds, out=tmp_path / "s", **SMALL, **{**RECIPE, "ema": None}).run(progress=False)


def test_it_changes_what_runs_come_to():
    plain, clipped = (Study(tiny.clouds, **SMALL, **recipe).spec.shared for recipe in ({}, {"clip": 1}))
    assert (plain.recipe, clipped.recipe) == ({}, {"clip": 1.0})


def test_a_method_that_says_otherwise_is_told(tmp_path):
    own = Method("own", torch.optim.SGD, {"lr": Range(0.01, 1.0)}, recipe={"clip": None, "warmup": 0.2})
    study = Study(tiny.clouds, out=tmp_path / "s", **{**SMALL, "methods": ["sgd", own]}, clip=0.01)
    assert study.run(progress=False)
    assert "otherwise for own: not clipped, the lr rises over the first 20 % of a run" in study.report().read_text()
    other = dataclasses.replace(own, recipe={"clip": None})
    with pytest.raises(InputError, match=r"methods.own.recipe.warmup differs: 0.2 there, nothing here"):
        Study(tiny.clouds, out=tmp_path / "s", **{**SMALL, "methods": ["sgd", other]}, clip=0.01).run(progress=False)


def test_a_study_from_before_there_were_recipes_is_known_where_its_spec_is_lost():
    spec = Study(tiny.clouds, **{**SMALL, "methods": ["sgd"]}).spec
    assert fingerprint(spec) == fingerprint(Without(spec))
    assert fingerprint(spec) != fingerprint(Study(tiny.clouds, **{**SMALL, "methods": ["sgd"]}, clip=1).spec)


class Without:
    """A spec as it was written then."""

    def __init__(self, spec):
        raw = json.loads(spec.to_json())
        for part in (raw["study"], *raw["study"]["methods"]):
            del part["recipe"]
        self.to_json = lambda: json.dumps(raw)


def test_a_spec_from_before_there_were_recipes_is_a_plain_one():
    raw = json.loads(Study(tiny.clouds, **{**SMALL, "methods": ["sgd"]}).spec.to_json())
    del raw["study"]["recipe"]
    for method in raw["study"]["methods"]:
        del method["recipe"]
    assert StudySpec.from_json(json.dumps(raw)).shared.recipe == {}


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--clip", "0"], "--clip must be above 0, got 0"),
        (["--warmup", "1"], "--warmup must be from 0 to below 1, got 1"),
        (["--ema", "1.5"], "--ema must be above 0 and below 1, got 1.5"),
        (["--accumulate", "0"], "--accumulate must be at least 1, got 0"),
        (["--accumulate", "65"], "--accumulate cuts every batch of sgd, which must have at least 65 samples for that"),
        (["--precision", "bf16"], "--precision must be one of float32, tf32, bfloat16, float16, got 'bf16'"),
        (["--precision", "tf32", "--device", "cpu"], "precision tf32 is for CUDA alone, got device cpu"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(flags, sentence, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert run(["compare", "digits-mlp", "--methods", "sgd", *flags]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert sentence in said


def test_a_file_may_say_it(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "s.toml").write_text('workloads = ["digits-mlp"]\nmethods = ["sgd"]\nclip = 1\nkeep-best = true\n')
    assert Study.from_file(tmp_path / "s.toml").spec.shared.recipe == {"clip": 1.0, "keep_best": True}
