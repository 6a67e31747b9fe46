"""All runs of a model and a seed begin from the same weights, whatever their process and the runs before them."""

import json

import pytest
import torch
from torch import nn

from steepest._errors import StudyError
from steepest.compare.spec import StudySpec
from steepest.training.loop.beginning import initial_weights
from tests.compare import tiny
from tests.compare.running.inline import outcome, run
from tests.compare.study.frozen import freeze

SPEC = StudySpec((freeze(tiny.clouds, ["sgd", "sngm"], trials=2, seeds=2),))


def from_weights(weights):
    return lambda job: {**outcome(job), "weights": weights(job)}


def test_a_run_from_other_weights_ends_the_study(tmp_path, monkeypatch):
    def by_process(job):
        return f"here:{job.index}" if job.phase == "final" and job.method == "sngm" else f"here:{job.seed}"

    sentence = (
        "runs on 'clouds' with seed 1 began from different weights \\(of sgd and of sngm\\); its model must draw them "
        "from torch's global generator alone, whatever the process, the time and the runs before"
    )
    with pytest.raises(StudyError, match=sentence):
        run(monkeypatch, SPEC, tmp_path / "study", outcome=from_weights(by_process))


def test_also_in_a_later_call(tmp_path, monkeypatch):
    folder = tmp_path / "study"
    run(monkeypatch, SPEC, folder, outcome=from_weights(lambda job: "here:first"), until=1)
    with pytest.raises(StudyError, match="began from different weights"):
        run(monkeypatch, SPEC, folder, outcome=from_weights(lambda job: "here:second"))


@pytest.mark.parametrize("text", ["", "junk", "[1]", '{"a": 1}', '{"a": {"method": "sgd"}}'])
def test_a_damaged_memory_of_them_is_made_anew(text, tmp_path, monkeypatch):
    folder = tmp_path / "study"
    run(monkeypatch, SPEC, folder, outcome=from_weights(lambda job: f"here:{job.seed}"), until=1)
    (folder / "beginnings.json").write_text(text)
    assert len(run(monkeypatch, SPEC, folder, outcome=from_weights(lambda job: f"here:{job.seed}"))[1]) == 8
    assert len(json.loads((folder / "beginnings.json").read_text())) == 3


def test_on_another_machine_a_draw_may_be_rounded_otherwise(tmp_path, monkeypatch):
    hosts = {"tune": "one:1", "final": "two:2"}
    _, found, _ = run(monkeypatch, SPEC, tmp_path / "study", outcome=from_weights(lambda job: hosts[job.phase]))
    assert len(found) == 8


def test_weights_are_told_apart_by_their_last_bit():
    torch.manual_seed(0)
    model = nn.Linear(3, 2)
    before = initial_weights(model)
    assert initial_weights(model) == before
    with torch.no_grad():
        model.bias[1] = torch.nextafter(model.bias[1], torch.tensor(9.0))
    assert initial_weights(model) != before
    assert initial_weights(model).partition(":")[0] == before.partition(":")[0]
