"""A study that is asked for more than it began with: what is there counts, what is missing runs."""

import json
import shutil

import pytest

from steepest._errors import InputError
from steepest.compare import Study
from steepest.compare.policy.finished import finished_records
from steepest.compare.records.folder import opened
from steepest.training.loop.checkpoint import checkpoint_path
from tests.compare import TINY_FILE

TINY = str(TINY_FILE)
TIMES = ("started", "finished", "seconds")
SMALL = {"methods": ["sgd", f"{TINY}:good"], "trials": 6, "seeds": 2, "choice": "fitted"}


def study(out, **more):
    return Study(f"{TINY}:clouds", **{**SMALL, "jobs": 1, "out": out, **more})


def records(out):
    return {r.key[1:]: r.to_dict() for r in finished_records(out)[1]}


def without_times(found):
    return {key: {n: x for n, x in r.items() if n not in TIMES} for key, r in found.items()}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    out = tmp_path_factory.mktemp("small") / "study"
    assert study(out).run(progress=False)
    return out


@pytest.fixture
def begun(small, tmp_path):
    return shutil.copytree(small, tmp_path / "study")


@pytest.mark.parametrize(
    ("more", "new"),
    [
        ({"seeds": 4}, 4),
        ({"methods": [*SMALL["methods"], f"{TINY}:twin"]}, 8),
        ({"methods": [f"{TINY}:twin", *reversed(SMALL["methods"])], "seeds": 3}, 11),
        ({"methods": [*reversed(SMALL["methods"])]}, 0),
        ({"targets": [0.7, 0.8, 0.9]}, 0),
        ({"trials": 9}, 6),
        ({"trials": 9, "seeds": 3}, 8),
    ],
    ids=["seeds", "method", "order, method and seeds", "order", "targets", "trials", "trials and seeds"],
)
@pytest.mark.slow
def test_it_becomes_the_study_that_it_would_have_been(begun, tmp_path, more, new):
    """To the last digit; what was there is not run again, but for final runs of another point."""
    before = records(begun)
    assert study(begun, **more).run(progress=False)
    after = records(begun)
    assert study(tmp_path / "fresh", **more).run(progress=False)
    assert without_times(after) == without_times(records(tmp_path / "fresh"))
    again = [key for key in before if after[key]["started"] != before[key]["started"]]
    assert all(phase == "final" and "trials" in more for _, phase, _ in again)
    assert len(after) - len(before) == new
    ours, fresh = study(begun, **more).table(), study(tmp_path / "fresh", **more).table()
    assert ours.drop(columns="seconds").equals(fresh.drop(columns="seconds"))


def test_final_runs_of_the_point_that_a_longer_search_finds_again_count(begun):
    before = records(begun)
    assert study(begun, trials=7).run(progress=False)
    after = records(begun)
    for method in ("sgd", "good"):
        chosen = [after[method, "final", i]["hyperparameters"] for i in range(2)]
        kept = [after[method, "final", i]["started"] == before[method, "final", i]["started"] for i in range(2)]
        assert kept == [point == before[method, "final", 0]["hyperparameters"] for point in chosen]


def test_seeds_that_were_added_later_are_told(begun):
    assert study(begun, seeds=4).run(progress=False)
    assert study(begun, seeds=5).run(progress=False)
    assert json.loads((begun / "spec.json").read_text())["study"]["earlier_seeds"] == [2, 4]
    told = "There were 2 and 4 before: who adds seeds until the answer pleases"
    assert told in study(begun, seeds=5).report().with_suffix(".md").read_text()
    again = Study.from_file(begun / "spec.json", out=begun.with_name("again"))
    assert again.spec.shared.earlier_seeds == ()  # elsewhere nobody has seen a verdict before


@pytest.mark.parametrize(
    ("less", "said"),
    [
        ({"seeds": 1}, "seeds differs: .* there, .* here"),
        ({"trials": 5}, "trials differs: 6 there, 5 here"),
        ({"methods": ["sgd"]}, "methods are sgd, good there and sgd here"),
        ({"trials": 9, "epochs": 2}, "epochs differs: 3 there, 2 here"),
        ({"targets": [0.6, 0.7]}, "targets differs"),
    ],
    ids=["seeds", "trials", "methods", "epochs", "first target"],
)
def test_it_never_shrinks_nor_changes(begun, less, said):
    before = (begun / "trials.jsonl").read_bytes(), (begun / "spec.json").read_bytes()
    with pytest.raises(InputError, match=rf"holds a study with another spec \({said}.*choose another"):
        study(begun, **less).run(progress=False)
    assert before == ((begun / "trials.jsonl").read_bytes(), (begun / "spec.json").read_bytes())


def test_a_pruned_search_does_not_grow(tmp_path):
    """Which runs were pruned hangs on those that had ended."""
    assert study(tmp_path, pruner="median").run(progress=False)
    with pytest.raises(InputError, match="trials differs: 6 there, 9 here"):
        study(tmp_path, pruner="median", trials=9).run(progress=False)
    assert study(tmp_path, pruner="median", seeds=3).run(progress=False)


OWN = """
import torch
from steepest.compare import Method, Range
LR = Range(1e-3, 1.0)
{name} = Method("{name}", torch.optim.SGD, space={{"lr": LR}}, fixed={{"momentum": {momentum}}})
"""


@pytest.fixture
def own(tmp_path):
    """Two methods in a file each, and how to change one."""

    def write(name, momentum=0.0):
        (tmp_path / f"{name}.py").write_text(OWN.format(name=name, momentum=momentum))
        return f"{tmp_path / name}.py:{name}"

    return write


@pytest.mark.parametrize(
    "options", [{}, {"stop_early": True, "seeds": 5}, {"pruner": "median"}], ids=["plain", "early", "pruned"]
)
@pytest.mark.slow
def test_a_changed_method_runs_anew_and_alone(own, tmp_path, caplog, options):
    methods = ["sgd", own("mine"), own("other")]
    assert study(tmp_path / "a", methods=methods, **options).run(progress=False)
    before = records(tmp_path / "a")
    own("mine", momentum=0.9)
    assert study(tmp_path / "a", methods=methods, **options).run(progress=False)
    after = records(tmp_path / "a")
    assert "mine was changed since the study began and will run anew" in caplog.text
    same = {key for key in before.keys() & after.keys() if before[key]["started"] == after[key]["started"]}
    assert {key[0] for key in same} == {"sgd", "other"}
    assert {key[0] for key in after.keys() - same} <= (
        {"mine"} if "stop_early" not in options else {"mine", "sgd", "other"}
    )
    assert {key for key in before if key[1] != "final" and key[0] != "mine"} <= same
    assert study(tmp_path / "b", methods=methods, **options).run(progress=False)
    fresh = without_times(records(tmp_path / "b"))
    assert {key: without_times(after)[key] for key in fresh} == fresh
    aside = [json.loads(line) for line in (tmp_path / "a" / "attempts.jsonl").read_text().splitlines()]
    assert {(line["reason"], line["method"]) for line in aside} == {("the method was changed", "mine")}
    assert len(aside) == sum(key[0] == "mine" for key in before)


def test_a_changed_method_does_not_go_on_from_a_checkpoint_of_what_it_was(own, tmp_path):
    methods = ["sgd", own("mine")]
    assert study(tmp_path / "a", methods=methods).run(progress=False)
    left = tmp_path / "a" / "checkpoints"
    left.mkdir(exist_ok=True)
    keys = list(finished_records(tmp_path / "a")[1])
    for record in keys:
        checkpoint_path(tmp_path / "a", *record.key).write_bytes(b"of before")
    own("mine", momentum=0.9)
    with opened(tmp_path / "a", study(tmp_path / "a", methods=methods).spec) as spec:
        assert spec.shared.method("mine").fixed == {"momentum": 0.9}
    assert len(list(left.iterdir())) == sum(record.method == "sgd" for record in keys)


@pytest.mark.slow
def test_a_changed_method_and_more_seeds_together(own, tmp_path):
    methods = ["sgd", own("mine")]
    assert study(tmp_path / "a", methods=methods).run(progress=False)
    own("mine", momentum=0.9)
    assert study(tmp_path / "a", methods=methods, seeds=3).run(progress=False)
    assert study(tmp_path / "b", methods=methods, seeds=3).run(progress=False)
    assert without_times(records(tmp_path / "a")) == without_times(records(tmp_path / "b"))


def test_another_range_is_no_changed_method(own, tmp_path):
    methods = ["sgd", own("mine")]
    assert study(tmp_path / "a", methods=methods).run(progress=False)
    with pytest.raises(InputError, match=r"mine\.space\.lr\.high differs: 1\.0 there, 0\.5 here"):
        study(tmp_path / "a", methods=methods, space={"mine": {"lr": (1e-3, 0.5)}}).run(progress=False)
    own("mine", momentum=0.9)
    with pytest.raises(InputError, match=r"epochs differs: .*mine\.source file differs"):
        study(tmp_path / "a", methods=methods, epochs=1).run(progress=False)
    assert len(records(tmp_path / "a")) == 16


@pytest.mark.parametrize("measure", ["sharpness", "lr"])
@pytest.mark.slow
def test_an_added_instrument_repeats_what_it_measures_and_nothing_else(begun, tmp_path, measure, caplog):
    before = records(begun)
    assert study(begun, measure=measure, seeds=3).run(progress=False)
    after = records(begun)
    assert study(tmp_path / "fresh", measure=measure, seeds=3).run(progress=False)
    assert without_times(after) == without_times(records(tmp_path / "fresh"))
    again = {key[1] for key in before if after[key]["started"] != before[key]["started"]}
    assert again == ({"final"} if measure == "sharpness" else {"final", "tune"})
    assert f"instruments by {measure}, which its final runs are repeated for" in caplog.text
    assert json.loads((begun / "spec.json").read_text())["study"]["earlier_seeds"] == [2]
    with pytest.raises(InputError, match=f"instruments are {measure} there and none here"):
        study(begun, seeds=3).run(progress=False)
