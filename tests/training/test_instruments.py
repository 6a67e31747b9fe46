"""What is measured beside loss and metric: that it is told, and that the run does not notice."""

import dataclasses
import json
import re

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Instrument, Method, Range, Reading, Study
from steepest.compare.records.lines import json_of_record, record_of_json
from steepest.compare.results.columns import result_columns
from steepest.compare.results.exports import export_csv
from steepest.compare.spec import StudySpec
from steepest.data import digits
from steepest.training.builtin.instruments import INSTRUMENTS
from steepest.training.builtin.instruments import LR as MEAN_LR
from steepest.training.builtin.workloads import WORKLOADS
from steepest.training.definitions.instrument import RunView
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.loop.measuring import CHANGED
from tests.compare import tiny
from tests.training.runs import train

SPLITS = tiny.two_clouds(None)
LR = {"lr": Range(1e-3, 1.0)}
OWN = """
from steepest.compare import Instrument, Reading

def norm(view):
    return sum(p.square().sum().item() for p in view.model.parameters()) ** 0.5

norms = Instrument("norm", norm, when="validation", label="Norm of the weights", in_search=True)
last = Instrument("last-norm", lambda view: Reading(norm(view), "roughly"), label="Last norm", number=".2f",
                  caption=lambda workload, splits: f"Norm: of {workload.name}, {len(splits.train)} samples.")
"""


def run(*instruments, method=tiny.good, lr=0.1, **options):
    options = {"seed": 1, "epochs": 3, "batch_size": 20, "with_test": True, **options}
    return train(tiny.clouds, method, SPLITS, {"lr": lr}, instruments=instruments, **options)


def steps_seen(view):
    return view.step


@pytest.fixture(scope="module")
def plain():
    return run()


def test_a_validation_s_instrument_is_a_series_of_the_curve(plain):
    outcome = run(Instrument("steps", steps_seen, when="validation"), MEAN_LR)
    assert outcome.curve["steps"] == [6, 12, 18]
    assert outcome.curve["lr"] == pytest.approx([0.1 * 13 / 18, 0.1 * 7 / 18, 0.1 * 1 / 18])
    assert {name: outcome.curve[name] for name in plain.curve} == plain.curve
    assert (outcome.measures, outcome.notes) == ({}, {})


def test_the_end_s_instrument_is_read_once_after_a_run_that_came_to_its_end(plain):
    views = []
    end = Instrument("steps", lambda view: views.append(view) or view.gradient_evaluations)
    outcome = run(end)
    assert outcome.measures == {"steps": 18}
    assert outcome.test_loss == plain.test_loss
    assert run(end, progress=lambda seen: True).measures == {}
    assert run(end, method=tiny.exploding).measures == {}
    assert len(views) == 1


def meddle(view):
    """What an instrument must not do: draw, change modes and train on."""
    torch.rand(3)
    view.model.eval()
    with torch.no_grad():
        for p in view.model.parameters():
            p.add_(1.0)
    return 1.0


def peek(view):
    """As the loss at other weights needs it: moved, and put back."""
    torch.rand(3)
    view.model.eval()
    with torch.no_grad():
        before = [p.clone() for p in view.model.parameters()]
        for p in view.model.parameters():
            p.add_(1.0)
        for p, old in zip(view.model.parameters(), before, strict=True):
            p.copy_(old)
    return 1.0


def swap(view):
    """Other weights by another way."""
    for p in view.model.parameters():
        p.data = p.data + 1.0
    return 1.0


@pytest.mark.parametrize(
    ("measure", "value", "note"), [(meddle, None, CHANGED), (swap, None, CHANGED), (peek, 1.0, None)]
)
@pytest.mark.parametrize("whole_weights", [True, False])
def test_the_run_goes_on_as_if_nothing_had_been_measured(plain, measure, value, note, whole_weights):
    outcome = run(Instrument("meddler", measure, when="validation", whole_weights=whole_weights))
    assert outcome.test_loss == plain.test_loss
    assert {name: outcome.curve[name] for name in plain.curve} == plain.curve
    assert outcome.curve["meddler"] == [value] * 3
    assert outcome.notes.get("meddler") == note


def test_what_a_forward_pass_leaves_in_buffers_is_put_back_and_the_value_counts():
    def forward(view):
        with torch.no_grad():
            return view.model(view.splits.train.inputs).mean().item()  # in training mode: the statistics move

    normalised = dataclasses.replace(
        tiny.clouds, model=lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 2))
    )
    options = {"seed": 1, "epochs": 3, "batch_size": 20, "with_test": True}
    alone, measured = (
        train(normalised, tiny.good, SPLITS, {"lr": 0.1}, instruments=some, **options)
        for some in ((), [Instrument("mean", forward, when="validation")])
    )
    assert measured.test_loss == alone.test_loss
    assert all(isinstance(value, float) for value in measured.curve["mean"])
    assert measured.notes == {}


def raises(view):
    raise KeyError("nobody knows")


@pytest.mark.parametrize(
    ("measure", "note"),
    [
        (raises, "KeyError: 'nobody knows'"),
        (lambda view: "much", "ValueError: what bad measures must be a number, got 'much'"),
        (lambda view: float("inf"), "it is inf"),
        (lambda view: Reading(None, "not today"), "not today"),
        (lambda view: None, None),
    ],
)
@pytest.mark.parametrize("when", ["end", "validation"])
def test_what_goes_wrong_costs_the_value_and_not_the_run(plain, measure, note, when):
    outcome = run(Instrument("bad", measure, when=when))
    assert outcome.test_loss == plain.test_loss
    assert (outcome.measures if when == "end" else outcome.curve)["bad"] == (None if when == "end" else [None] * 3)
    assert outcome.notes.get("bad") == note


def test_the_columns_of_a_curve_are_of_one_length_also_where_a_run_diverges():
    outcome = run(Instrument("steps", steps_seen, when="validation"), method=tiny.exploding)
    assert outcome.diverged
    assert {len(values) for values in outcome.curve.values()} == {1}
    assert outcome.curve["steps"] == [None]


def test_an_interrupted_run_resumes_with_its_series(tmp_path):
    class Due(Checkpoint):
        def due(self):
            return True

    class StoppedError(Exception):
        pass

    class Stopping(torch.optim.SGD):
        left = 9

        def step(self, closure=None):
            Stopping.left -= 1
            if not Stopping.left:
                raise StoppedError
            return super().step(closure)

    note = Instrument("odd", lambda view: Reading(view.step, f"after {view.step}"), when="validation")
    method = Method("stopping", Stopping, LR)
    with pytest.raises(StoppedError):
        run(note, method=method, checkpoint=Due(tmp_path / "run", 0.0))
    Stopping.left = 18 - 8 + 1
    resumed = run(note, method=method, checkpoint=Due(tmp_path / "run", 0.0))
    assert resumed.curve["odd"] == [6, 12, 18]
    assert resumed.notes == {"odd": "after 6"}
    Stopping.left = 100
    begun_anew = run(note, MEAN_LR, method=method, checkpoint=Due(tmp_path / "run", 0.0))  # that has another series
    assert begun_anew.curve["odd"] == [6, 12, 18]
    assert len(begun_anew.curve["lr"]) == 3


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"name": ""}, "an instrument's name must not be empty"),
        ({"name": "train_loss"}, "an instrument's name must be none of gradient_evaluations, train_loss, validation_l"),
        ({"measure": 3}, "instrument 'i': measure must be a function of a steepest.compare.RunView, got 3"),
        ({"when": "always"}, "instrument 'i': when must be 'end' or 'validation', got 'always'"),
        ({"when": ["end"]}, "instrument 'i': when must be 'end' or 'validation', got ['end']"),
        ({"number": "%d"}, "instrument 'i': number must be a format of a number, such as '.3g', got '%d'"),
        ({"check": "yes"}, "instrument 'i': check must be a function of a workload and its splits, got 'yes'"),
        ({"in_search": 1}, "instrument 'i': in_search must be True or False, got 1"),
        ({"in_search": True}, "instrument 'i': in_search needs when='validation'; at its end only a final run is"),
    ],
)
def test_a_bad_field_is_named(fields, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Instrument(**{"name": "i", "measure": steps_seen, **fields})


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """An own file's instruments beside a built-in one, in a study that is run."""
    folder = tmp_path_factory.mktemp("instruments")
    (folder / "own.py").write_text(OWN)
    study = Study(
        tiny.clouds,
        methods=[tiny.good, tiny.exploding],
        trials=2,
        seeds=2,
        jobs=1,
        measure=["lr", f"{folder}/own.py:norms", f"{folder}/own.py:last"],
        out=folder / "study",
    )
    assert study.run(progress=False)
    return study


def test_a_user_s_instruments_are_one_file(study, tmp_path):
    final = [r for r in study.records() if r.phase == "final" and r.method == "good"]
    tuned = [r for r in study.records() if r.phase == "tune" and r.method == "good"]
    assert all(set(r.curve) >= {"lr", "norm"} for r in [*final, *tuned])
    assert all(r.measures["last-norm"] == pytest.approx(r.curve["norm"][-1]) for r in final)
    assert all(r.measures == {} for r in tuned)
    table = study.table().set_index("method")
    assert table.loc["good", "last-norm_low"] <= table.loc["good", "last-norm"] <= table.loc["good", "last-norm_high"]
    page = study.report().read_text()
    assert "Norm of the weights while training" in page
    assert "Learning rate while training" in page
    assert "Norm: of clouds, 120 samples." in page
    assert "good: last-norm missing or inexact in 2 of 2 final runs, first: roughly." in page
    markdown = (study.folder / "report.md").read_text()
    assert "| last norm |" in markdown
    _, _, curves = export_csv(study.summaries(), tmp_path)
    assert curves.read_text().splitlines()[0].endswith("validation_metric,lr,norm")
    column = next(c for c in result_columns(study.summaries()[0]) if c.by == "last-norm")
    assert column.terminal[0].heading == "last norm"


def test_the_spec_knows_the_instruments_and_their_code(study, tmp_path):
    frozen = StudySpec.from_json((study.folder / "spec.json").read_text())
    assert [(i.name, i.when) for i in frozen.shared.instruments] == [
        ("lr", "validation"),
        ("norm", "validation"),
        ("last-norm", "end"),
    ]
    assert frozen == study.spec
    assert [i.source_sha256 is None for i in frozen.shared.instruments] == [True, False, False]
    changed = dataclasses.replace(frozen.shared.instruments[1], source_sha256="0")
    other = dataclasses.replace(
        frozen.comparisons[0], instruments=(frozen.shared.instruments[0], changed, frozen.shared.instruments[2])
    )
    assert frozen.comparisons[0].differences(other) == ["source file of instrument 'norm' differs"]


def test_records_read_back_and_older_ones_have_their_sharpness(study):
    record = next(r for r in study.records() if r.measures)
    assert record_of_json(json_of_record(record)) == record
    old = json.loads(json_of_record(record))
    del old["measures"], old["notes"]
    for note in (None, "not converged"):
        read = record_of_json(json.dumps(old | {"sharpness": 2.5, "sharpness_note": note}))
        assert read.measures == {"sharpness": 2.5}
        assert read.notes == ({} if note is None else {"sharpness": note})


def test_a_series_without_a_value_at_times_is_a_series_with_gaps(tmp_path):
    def at_times(view):
        return None if view.step == 12 else float(view.step)

    study = Study(
        tiny.clouds,
        methods=[tiny.good],
        trials=1,
        seeds=1,
        jobs=1,
        measure=Instrument("at-times", at_times, when="validation"),
        out=tmp_path / "study",
    )
    assert study.run(progress=False)
    (final,) = [r for r in study.records() if r.phase == "final"]
    assert final.status == "finished"
    assert {x is None for x in final.curve["at-times"]} == {True, False}
    assert study.report().exists()


def test_a_name_that_nobody_has_and_one_that_is_given_twice():
    with pytest.raises(InputError, match="unknown instrument 'sharpnes'; did you mean 'sharpness'"):
        Study(tiny.clouds, measure="sharpnes").spec  # noqa: B018
    with pytest.raises(InputError, match="measure must name each instrument once, got lr more than once"):
        Study(tiny.clouds, measure=["lr", "lr"]).spec  # noqa: B018
    with pytest.raises(InputError, match=r"measure must be names or steepest.compare.Instrument objects, got 3"):
        Study(tiny.clouds, measure=3)


@pytest.mark.parametrize(
    ("measure", "sharpness", "names"),
    [((), True, ["sharpness"]), ("lr", True, ["lr", "sharpness"]), (["sharpness", "lr"], False, ["lr"]),
     ("sharpness", None, ["sharpness"]), ("sharpness", True, ["sharpness"]), ((), False, [])],
)  # fmt: skip
def test_sharpness_is_short_for_an_instrument(measure, sharpness, names):
    study = Study(tiny.clouds, methods=[tiny.good], measure=measure, sharpness=sharpness)
    assert [instrument.name for instrument in study.spec.shared.instruments] == names


@pytest.mark.parametrize(
    ("measure", "diagnose", "names"),
    [("top-eigenvalue", True, ["top-eigenvalue", "noise-scale"]), (["lr", "noise-scale"], False, ["lr"])],
)
def test_diagnose_is_short_for_two(measure, diagnose, names):
    study = Study(tiny.clouds, methods=[tiny.good], measure=measure, diagnose=diagnose)
    assert [instrument.name for instrument in study.spec.shared.instruments] == names


@pytest.mark.parametrize("name", ["noise-scale", "top-eigenvalue"])
def test_built_in_series_are_measured_on_real_data(name):
    workload, splits = WORKLOADS["digits-mlp"], digits()
    INSTRUMENTS[name].check(workload, splits)
    view = RunView(workload, splits, workload.model(), None, 0, 0)
    assert INSTRUMENTS[name].read(view).value > 0
    assert "1,078 training samples" in INSTRUMENTS[name].caption(workload, splits)


@pytest.mark.parametrize(
    "name", ["test_metric", "seconds", "difference", "lr", "momentum", "error", "diverged", "seed"]
)
def test_an_instrument_takes_no_other_column_s_place(name):
    methods = [dataclasses.replace(tiny.good, space={**LR, "momentum": Range(0.1, 0.9)})]
    study = Study(tiny.clouds, methods=methods, trials=1, seeds=1, measure=Instrument(name, steps_seen))
    with pytest.raises(InputError, match=f"measure has an instrument '{name}', and so is a column of the results"):
        study.spec  # noqa: B018
