import dataclasses
import json
from pathlib import Path

import pytest

from steepest._errors import InputError
from steepest.compare import Range, Study
from steepest.compare.points import quasi_random_points
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.study.frozen import freeze

TINY = str(TINY_FILE)


def thawed(spec):
    """Written and read again."""
    return StudySpec.from_json(StudySpec((spec,)).to_json()).comparisons[0]


def test_round_trip():
    spec = freeze("digits-mlp", ["sgd", "bng-ratio", f"{TINY}:good"], trials=3, seeds=2)
    assert thawed(spec) == spec
    assert spec.differences(thawed(spec)) == []
    assert spec.baseline == "sgd"
    assert spec.tuning_seed not in spec.seeds
    assert spec.gradient_evaluations == 30 * (1078 // 64)


def test_the_same_asked_from_elsewhere_is_the_same(monkeypatch):
    absolute = freeze(f"{TINY}:clouds", [f"{TINY}:good"], trials=3, seeds=2)
    monkeypatch.chdir(Path(TINY).parent.parent)
    assert freeze("compare/tiny.py:clouds", ["compare/tiny.py:good"], trials=3, seeds=2) == absolute


def test_the_points_of_the_search_are_frozen():
    spec = freeze("digits-mlp", ["sgd", f"{TINY}:two_dimensions"], trials=3, seeds=2)
    assert [list(m.points) for m in spec.methods] == [quasi_random_points(m.space, 3, 0) for m in spec.methods]
    assert json.loads(StudySpec((spec,)).to_json())["format"] == 6
    there = (spec.methods[0], dataclasses.replace(spec.methods[1], points=({"momentum": 0.5, "lr": 0.1},) * 3))
    frozen = thawed(dataclasses.replace(spec, methods=there))
    assert frozen.differences(spec) == ["the search points of method 'two-dimensions' differ"]
    taken = spec.with_points_of(frozen)
    assert frozen.differences(taken) == []
    assert [list(point.items()) for point in taken.methods[1].points] == [[("lr", 0.1), ("momentum", 0.5)]] * 3
    for change in ({"trials": 2}, {"space": {"two-dimensions": {"lr": Range(0.1, 1)}}}):  # it would try others
        asked = freeze("digits-mlp", ["sgd", f"{TINY}:two_dimensions"], **{"trials": 3, "seeds": 2, **change})
        assert asked.with_points_of(frozen).methods[1] == asked.methods[1]


def test_a_study_again_from_its_spec_has_the_points_of_the_spec(tmp_path):
    """Whatever this release of SciPy would draw, and in whatever order the spec lists the names."""
    space = {"sgd": {"weight_decay": [1e-4, 1e-2], "momentum": [0.5, 0.9]}}
    spec = Study("digits-mlp", methods="sgd", trials=3, seeds=2, space=space).spec
    (tmp_path / "spec.json").write_text(spec.to_json())
    assert Study.from_file(tmp_path / "spec.json").spec == spec


def test_estimators_are_frozen():
    spec = freeze("digits-mlp", ["sgd", "csgd-learned+ssgd-full+sngm", f"ssgd+{TINY}:good"], trials=3, seeds=2)
    assert thawed(spec) == spec
    noise = {"alpha": 0.05, "noise": "sign", "per": "tensor"}
    assert [m.estimators for m in spec.methods] == [
        {},
        {"csgd-learned": {"calibrator": "learned", "rate": 0.01, "limits": [0.1, 10.0]}, "ssgd-full": noise},
        {"ssgd": noise},
    ]
    assert [m.evaluations_per_step for m in spec.methods] == [1, 2, 1]
    assert [m.name for m in spec.methods] == ["sgd", "csgd-learned+ssgd-full+sngm", "ssgd+good"]


def test_a_combination_asked_from_elsewhere_is_the_same(monkeypatch):
    absolute = freeze("digits-mlp", [f"csgd+{TINY}:good"], trials=3, seeds=2)
    assert absolute.methods[0].reference == f"csgd+{TINY}:good"
    monkeypatch.chdir(Path(TINY).parent.parent)
    assert freeze("digits-mlp", ["csgd+compare/tiny.py:good"], trials=3, seeds=2) == absolute


def test_other_options_of_an_estimator_are_named():
    spec = freeze("digits-mlp", ["ssgd"], trials=3, seeds=2)
    changed = dataclasses.replace(spec.methods[0], estimators={"ssgd": {"alpha": 0.1, "noise": "sign", "more": 1}})
    assert spec.differences(dataclasses.replace(spec, methods=(changed,))) == [
        "methods.ssgd.estimators.ssgd.alpha differs: 0.05 there, 0.1 here",
        "methods.ssgd.estimators.ssgd.more differs: nothing there, 1 here",
        "methods.ssgd.estimators.ssgd.per differs: tensor there, nothing here",
    ]


def test_a_spec_from_before_there_were_estimators_is_read():
    spec = freeze("digits-mlp", ["sgd"], trials=3, seeds=2)
    old = dataclasses.asdict(spec) | {"format": 1}
    del old["instruments"], old["captions"], old["methods"][0]["estimators"], old["name"], old["targets"], old["pruner"]
    assert StudySpec.from_json(json.dumps(old)) == StudySpec((spec,))


def test_instruments_are_frozen_with_what_the_report_says_of_them(monkeypatch):
    spec = freeze("digits-mlp", ["sgd"], trials=3, seeds=2)
    asked = freeze("digits-mlp", ["sgd"], trials=3, seeds=2, measure=["sharpness"])
    assert (spec.captions, [i.name for i in asked.instruments]) == ({}, ["sharpness"])
    assert "over all 1,078 training samples" in asked.captions["sharpness"]
    assert spec.differences(asked) == ["instruments are none there and sharpness here"]
    monkeypatch.setattr("steepest.training.builtin.instruments.sharpness.SAMPLES", 500)
    captions = freeze("digits-mlp", ["sgd"], trials=3, seeds=2, measure=["sharpness"]).captions
    assert "over the same 500 of 1,078 training samples" in captions["sharpness"]


def test_a_spec_of_the_format_before_is_read():
    """It repeated in each comparison what is the study's, and had the sharpness as a number of samples."""
    spec = freeze("digits-mlp", ["sgd", "sngm"], trials=3, seeds=2, measure=["sharpness"])
    again = dataclasses.replace(spec, name="again", batch_size=20)
    old = [json.loads(json.dumps(dataclasses.asdict(each))) | {"sharpness_samples": 1078} for each in (spec, again)]
    for each in old:
        del each["instruments"], each["captions"]
    read = StudySpec.from_json(json.dumps({"format": 3, "comparisons": old}))
    assert read == StudySpec((spec, again))
    old[1]["trials"] = 4
    with pytest.raises(ValueError, match="differ in what is the study's"):
        StudySpec.from_json(json.dumps({"format": 3, "comparisons": old}))


def test_what_is_the_study_s_is_written_once():
    spec = freeze("digits-mlp", ["sgd"], trials=3, seeds=2)
    written = json.loads(StudySpec((spec, dataclasses.replace(spec, name="again"))).to_json())
    assert [sorted(c) for c in written["comparisons"]] == 2 * [
        ["batch_size", "captions", "epochs", "name", "targets", "workload"]
    ]
    with pytest.raises(ValueError, match="in common"):
        StudySpec((spec, dataclasses.replace(spec, name="again", trials=4)))


def test_a_loss_without_a_second_derivative_is_refused_before_anything_runs(tmp_path):
    path = tmp_path / "constant.py"
    path.write_text(
        "from tests.compare.tiny import two_clouds\nfrom torch import nn\nfrom steepest.compare import Workload\n"
        "w = Workload('w', two_clouds, lambda: nn.Linear(4, 2), 20, 3, 0.9, loss=lambda o, t: o.detach().sum())\n"
    )
    freeze(f"{path}:w", ["sgd"], trials=1, seeds=1)
    with pytest.raises(InputError, match="measure sharpness is unavailable for 'w': RuntimeError"):
        freeze(f"{path}:w", ["sgd"], trials=1, seeds=1, measure=["sharpness"])


@pytest.mark.parametrize(
    ("method", "change", "message"),
    [
        ("ssgd", {"batch_size": 1}, "ssgd divides every batch and needs at least 2 samples in it, got batch size 1"),
        ("csgd+ssgd+sngm", {"batch_size": 1}, r"csgd\+ssgd\+sngm divides every batch"),
        ("sam", {"batch_size": 600, "epochs": 1}, "sam pays 2 gradient evaluations a step, and a run has 1; give"),
    ],
)
def test_what_an_estimator_cannot_do(method, change, message):
    with pytest.raises(InputError, match=message):
        freeze("digits-mlp", ["sgd", method], **{"trials": 1, "seeds": 1, **change})
    assert freeze("digits-mlp", ["sgd", "ssgd-full"], trials=1, seeds=1, epochs=1, batch_size=539)


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"trials": 4}, "trials differs: 3 there, 4 here"),
        ({"seeds": 3}, "seeds differs: [1, 2] there, [1, 2, 3] here"),
        ({"epochs": 7}, "epochs differs: 30 there, 7 here"),
        ({"batch_size": 7}, "batch_size differs: 64 there, 7 here"),
        ({"space": {"sgd": {"lr": Range(0.5, 1.0)}}}, "methods.sgd.space.lr.low differs: 0.001 there, 0.5 here"),
    ],
)
def test_differences_are_named(change, expected):
    spec = freeze("digits-mlp", ["sgd"], trials=3, seeds=2)
    asked = freeze("digits-mlp", ["sgd"], **{"trials": 3, "seeds": 2, **change})
    assert spec.differences(asked) == [expected]


def test_other_methods_are_named():
    spec = freeze("digits-mlp", ["sgd", "sngm"], trials=3, seeds=2)
    assert spec.differences(freeze("digits-mlp", ["sgd"], trials=3, seeds=2)) == [
        "methods are sgd, sngm there and sgd here"
    ]


def test_a_changed_file_or_changed_data_is_another_study(tmp_path):
    path = tmp_path / "mine.py"
    text = (
        "from tests.compare.tiny import two_clouds\nfrom torch import nn\nfrom steepest.compare import Workload\n"
        "w = Workload('mine', two_clouds, lambda: nn.Linear(4, 2), 20, 3, 0.9)\n"
    )
    path.write_text(text)
    spec = freeze(f"{path}:w", ["sgd"], trials=3, seeds=2)
    path.write_text(text + "# changed\n")
    assert spec.differences(freeze(f"{path}:w", ["sgd"], trials=3, seeds=2)) == ["workload.source file differs"]
    other_data = dataclasses.replace(spec, workload=dataclasses.replace(spec.workload, data_sha256="0"))
    assert spec.differences(other_data) == ["workload.data differs"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"trials": 0}, "trials must be at least 1, got 0"),
        ({"seeds": 0}, "seeds must be at least 1, got 0"),
        ({"epochs": 0}, "epochs must be at least 1, got 0"),
        ({"batch_size": -3}, "batch_size must be at least 1, got -3"),
        ({"batch_size": 2000}, "batch size must be at most the 1078 training samples, got 2000"),
        ({"device": "nonsense"}, "device must be auto, cpu, cuda, cuda:1, mps or the like, got 'nonsense'"),
        ({"device": "meta"}, "device 'meta' cannot be used here"),
        ({"space": {"x": {"lr": Range(0.1, 1)}}}, "space names 'x', which is not compared here; compared are sgd"),
    ],
)
def test_bad_input(change, message):
    with pytest.raises(InputError, match=message):
        freeze("digits-mlp", ["sgd"], **{"trials": 1, "seeds": 1, **change})


@pytest.mark.parametrize(
    ("methods", "message"), [([], "at least one method, got none"), (["sgd"] * 2, "sgd more than")]
)
def test_bad_methods(methods, message):
    with pytest.raises(InputError, match=message):
        freeze("digits-mlp", methods, trials=1, seeds=1)


def test_data_of_the_users_that_raises(tmp_path):
    path = tmp_path / "broken.py"
    path.write_text(
        "from torch import nn\nfrom steepest.compare import Workload\n"
        "w = Workload('broken', lambda d: 1 / 0, nn.Identity, 20, 3, 0.9)\n"
    )
    with pytest.raises(InputError, match="the data of 'broken' could not be loaded: ZeroDivisionError"):
        freeze(f"{path}:w", ["sgd"], trials=1, seeds=1)


def test_a_spec_of_format_4_chooses_by_the_best_score():
    """It did not say so, since there was no other choice."""
    spec = StudySpec((freeze("digits-mlp", ["sgd"], trials=3, seeds=2, choice="best"),))
    raw = json.loads(spec.to_json())
    for name in ("choice", "winner", "earlier_seeds"):
        del raw["study"][name]
    assert StudySpec.from_json(json.dumps({**raw, "format": 4})) == spec
    assert spec.shared.choice == "best"


def test_a_spec_of_format_5_has_neither_short_runs_nor_looks():
    spec = StudySpec((freeze("digits-mlp", ["sgd"], trials=3, seeds=2),))
    raw = json.loads(spec.to_json())
    for name in ("pairs", "screen", "finalists", "more_tuning_seeds", "stopping", "cover_search"):
        del raw["study"][name]
    for method in raw["study"]["methods"]:
        del method["more_points"]
    assert StudySpec.from_json(json.dumps({**raw, "format": 5})) == spec
