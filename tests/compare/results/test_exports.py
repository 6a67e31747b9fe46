"""A study's numbers outside of the page: CSV, TensorBoard, optuna-dashboard."""

import io
import math

import pandas as pd
import pytest

from steepest._errors import InputError
from steepest.compare.results.events import write_events
from steepest.compare.results.exports import export_csv
from steepest.compare.results.tables import records_of
from tests.compare.report.pages import made_up


@pytest.fixture(scope="module")
def summaries():
    return made_up(workloads=("a", "b, batch 64"), methods=("sgd", "ssgd+sngm"), trials=2, seeds=2, points=4)


def test_csv_files_hold_every_number(summaries, tmp_path):
    paths = export_csv(summaries, tmp_path / "new" / "folder")
    final, runs, curves, chosen = (pd.read_csv(path) for path in paths)
    assert [path.name for path in paths] == ["final.csv", "runs.csv", "curves.csv", "values.csv"]
    assert list(chosen.columns) == ["comparison", "method", "lr"]
    assert list(chosen.lr) == list(final.lr)
    assert list(final.comparison) == ["a", "a", "b, batch 64", "b, batch 64"]
    records = [(s, r) for s in summaries for r in records_of(s)]
    assert len(runs) == len(records) == 16
    assert len(curves) == 4 * sum(r.curve is not None for _, r in records)
    for row, (summary, record) in zip(runs.itertuples(), records, strict=True):
        assert (row.comparison, row.method, row.phase) == (summary.spec.workload.name, record.method, record.phase)
        for name in ("validation_metric", "test_metric", "seconds"):
            value = getattr(record, name)
            assert math.isnan(getattr(row, name)) if value is None else getattr(row, name) == value
        if record.curve is not None:
            own = curves[(curves.comparison == row.comparison) & (curves.method == row.method)]
            own = own[(own.phase == row.phase) & (own.trial == row.trial)]
            assert {name: list(own[name]) for name in record.curve} == record.curve
    for row, (summary, shown) in zip(final.itertuples(), ((s, r) for s in summaries for r in s.rows), strict=True):
        assert (row.test_metric, row.lr) == (shown.mean, shown.chosen.hyperparameters["lr"])
        assert row.evaluations_to_target == shown.evaluations_to_target
        assert row.target == summary.spec.workload.target


def test_csv_is_rfc_4180_and_a_miss_is_infinite(summaries, tmp_path):
    paths = export_csv(summaries, tmp_path)
    text = paths[1].read_bytes().decode()
    assert text.count("\r\n") == text.count("\n") == 17
    assert '"b, batch 64",' in text
    runs = pd.read_csv(io.StringIO(text))
    ended = runs[runs.status == "finished"]
    missed = ended["evaluations_to_0.85"] == math.inf
    assert missed.sum() == (ended.validation_metric < 0.85).sum() > 0
    assert runs[runs.status == "diverged"]["evaluations_to_0.85"].isna().all()


def test_csv_wants_a_folder(summaries, tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(InputError, match=r"csv must be a folder, got the file '.*file'"):
        export_csv(summaries, tmp_path / "file")
    assert (tmp_path / "file").read_text() == "mine"


def test_tensorboard_reads_the_events_back(summaries, tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    assert write_events(summaries, tmp_path) == 16
    record = next(r for r in records_of(summaries[1]) if r.method == "ssgd+sngm" and r.phase == "final")
    events = accumulator.EventAccumulator(str(tmp_path / "b-batch-64" / "ssgd+sngm" / "seed-1"))
    events.Reload()
    for tag, column in (
        ("loss/training", "train_loss"),
        ("loss/validation", "validation_loss"),
        ("accuracy/validation", "validation_metric"),
    ):
        scalars = events.Scalars(tag)
        assert [s.step for s in scalars] == record.curve["gradient_evaluations"]
        assert [s.value for s in scalars] == pytest.approx(record.curve[column], rel=1e-6)
    (last,) = events.Scalars("final/test accuracy")
    assert last.value == pytest.approx(record.test_metric, rel=1e-6)
    plugin = pytest.importorskip("tensorboard.plugins.hparams.plugin_data_pb2")
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    told = plugin.HParamsPluginData.FromString(content).session_start_info.hparams
    assert told["method"].string_value == "ssgd+sngm"
    assert told["lr"].number_value == record.hyperparameters["lr"]
    lost = accumulator.EventAccumulator(str(tmp_path / "a" / "ssgd+sngm" / "search-02"))
    lost.Reload()
    assert lost.Tags()["scalars"] == []  # it diverged: there is no curve, but it is there


def test_events_are_not_mixed_with_others(summaries, tmp_path):
    (tmp_path / "events").write_text("older")
    with pytest.raises(InputError, match="tensorboard must be a new or empty folder"):
        write_events(summaries, tmp_path)


def test_methods_whose_names_make_one_path_stay_apart(tmp_path):
    found = made_up(workloads=("../a",), methods=("sgd",), trials=1, seeds=1, points=2)
    assert write_events([found[0], found[0]], tmp_path) == 4
    folders = sorted(path.parent.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("events*"))
    assert folders == ["-a/sgd/search-01", "-a/sgd/search-01-2", "-a/sgd/seed-1", "-a/sgd/seed-1-2"]
