"""Runs in Weights & Biases, MLflow and Trackio, read by their own means; nothing asks the network."""

import dataclasses
import json
import logging
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from steepest import _files
from steepest._errors import InputError, MissingExtraError
from steepest.compare import Study
from steepest.compare.names import TRACKERS
from steepest.compare.results import trackers
from steepest.compare.results.tables import records_of
from steepest.compare.results.trackers.base import TOLD, Tracker
from steepest.compare.results.trackers.told import told_of
from steepest.compare.spec import StudySpec
from tests.compare import TINY_FILE
from tests.compare.report.pages import made_up


class Finished:
    """What a tracker asks of a study."""

    def __init__(self, folder, summaries):
        folder.mkdir(exist_ok=True)
        self.folder, self.spec = folder, StudySpec(tuple(s.spec for s in summaries))
        self._records = [dataclasses.replace(r, workload=s.spec.name) for s in summaries for r in records_of(s)]

    def records(self):
        return list(self._records)


@pytest.fixture(scope="module")
def summaries():
    return made_up(workloads=("a",), methods=("sgd", "ssgd+sngm"), trials=2, seeds=2, points=4)


@pytest.fixture
def study(tmp_path, summaries):
    return Finished(tmp_path / "my study", summaries)


@pytest.fixture
def told(caplog, monkeypatch):
    monkeypatch.setattr(_files, "_told", set())
    caplog.set_level(logging.WARNING, "steepest")
    return lambda: [record.getMessage() for record in caplog.records]


def finite(record):
    """The curve of a record as points, by the gradient evaluations."""
    curve = record.curve or {"gradient_evaluations": []}
    names = [name for name in curve if name != "gradient_evaluations"]
    at = curve["gradient_evaluations"]
    return {(name, x): y for name in names for x, y in zip(at, curve[name], strict=True) if y is not None}


class Memory:
    """A store that keeps what is entered, and fails while ``broken``."""

    broken = False

    def __init__(self):
        self.entered = []

    def enter(self, run):
        if self.broken:
            raise ConnectionError("no route\nto the host")
        self.entered.append(run)


def test_a_run_is_entered_once_whatever_interrupts_the_study(study, told):
    store = Memory()
    first, *others = study.records()
    Tracker("memory", lambda: store).on_run_end(first, study)
    for _ in range(2):  # a process that goes on, and one that finds all of it done
        again = Tracker("memory", lambda: store)
        again.on_run_end(first, study)
        again.on_run_end(others[0], study)
        again.on_study_end(study)
    assert [run.id for run in store.entered] == [told_of(study.spec, "x", r).id for r in study.records()]
    other = Memory()
    Tracker("other", lambda: other).on_study_end(study)
    assert len(other.entered) == len(study.records())
    assert not told()


def test_a_run_that_is_done_again_is_entered_again(study):
    store = Memory()
    record = study.records()[0]
    tracker = Tracker("memory", lambda: store)
    tracker.on_run_end(record, study)
    tracker.on_run_end(dataclasses.replace(record, started=record.started + 1), study)
    assert len({run.id for run in store.entered}) == 2


def test_what_cannot_be_entered_is_one_sentence_and_entered_later(study, told):
    store = Memory()
    store.broken = True
    tracker = Tracker("memory", lambda: store)
    for record in study.records():
        tracker.on_run_end(record, study)
    assert told() == [
        "memory could not be told of a run (ConnectionError: no route); the study goes on, and the same command tells "
        "it of what is missing"
    ]
    store.broken = False
    tracker.on_study_end(study)
    assert len(store.entered) == len(study.records())


def test_damaged_lines_are_of_no_run(study):
    (study.folder / TOLD).write_bytes(b'{"tracker": "memory"}\n\xff\n[1]\n{"tracker": "memo')
    store = Memory()
    Tracker("memory", lambda: store).on_study_end(study)
    assert len(store.entered) == len(study.records())


def test_settings_curve_and_ends_are_told(study):
    for record in study.records():
        run = told_of(study.spec, "mine", record)
        for name in ("method", "phase", "trial", "seed", "status"):
            assert run.settings[name] == getattr(record, name)
        assert record.hyperparameters.items() <= run.settings.items()
        assert {(name, at): x for at, seen in run.points for name, x in seen.items()} == finite(record)
        for name in ("test_metric", "validation_metric"):
            assert run.ends.get(name) == getattr(record, name)


# Weights & Biases


def read_wandb(path):
    """The records of a .wandb file: W&B's own messages in the log format of LevelDB, after a head of seven bytes."""
    from wandb.proto import wandb_internal_pb2

    content, at, whole = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while at + 7 <= len(content):
        if (room := 32768 - at % 32768) < 7:
            at += room
            continue
        length, kind = struct.unpack_from("<HB", content, at + 4)
        whole += content[at + 7 : at + 7 + length]
        at += 7 + length
        if kind in (1, 4):  # whole, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.fixture
def wandb_folder(tmp_path, monkeypatch):
    pytest.importorskip("wandb", reason="wandb is not installed: pip install 'steepest[wandb]'")
    for name in [name for name in os.environ if name.startswith("WANDB_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    return tmp_path / "wandb"


@pytest.mark.slow
def test_wandb_keeps_runs_on_the_disk_and_its_own_messages_hold_them(study, wandb_folder, told):
    import wandb

    wanted = [study.records()[0], study.records()[-1]]
    tracker = trackers.make_tracker("wandb")
    for record in wanted:
        tracker.on_run_end(record, study)
    wandb.teardown()  # as when the process ends: all is on the disk then
    assert not told()
    for record in wanted:
        run_id = told_of(study.spec, "", record).id
        (path,) = wandb_folder.glob(f"offline-run-*-{run_id}/run-{run_id}.wandb")
        found = list(read_wandb(path))
        (run,) = (r.run for r in found if r.WhichOneof("record_type") == "run")
        config = {item.key: json.loads(item.value_json) for item in run.config.update}
        assert (run.project, run.run_group, run.job_type) == ("steepest", "my study", record.phase)
        assert {"method": record.method, "seed": record.seed, **record.hyperparameters}.items() <= config.items()
        points = {}
        for history in (r.history for r in found if r.WhichOneof("record_type") == "history"):
            row = {item.key or item.nested_key[0]: json.loads(item.value_json) for item in history.item}
            points |= {(name, row["gradient_evaluations"]): x for name, x in row.items() if not name.startswith("_")}
        assert finite(record).items() <= points.items()
        ends = {}
        for summary in (r.summary for r in found if r.WhichOneof("record_type") == "summary"):
            ends |= {item.key or item.nested_key[0]: json.loads(item.value_json) for item in summary.update}
        assert ends["status"] == record.status
        assert ends.get("test_metric") == record.test_metric
        assert any(r.WhichOneof("record_type") == "exit" for r in found)
    listed = subprocess.run(
        [sys.executable, "-m", "wandb", "sync", "--dry-run"], capture_output=True, text=True, cwd=wandb_folder.parent,
        timeout=300, check=False,
    )  # fmt: skip
    assert all(told_of(study.spec, "", record).id in listed.stdout + listed.stderr for record in wanted)


def test_wandb_has_nothing_of_an_attempt_that_was_killed(study, wandb_folder):
    record = study.records()[-1]
    run_id = told_of(study.spec, "", record).id
    torn = wandb_folder / f"offline-run-20200101_000000-{run_id}"
    torn.mkdir(parents=True)
    (torn / f"run-{run_id}.wandb").write_bytes(b":W&B torn")
    trackers.make_tracker("wandb").on_run_end(record, study)
    (found,) = wandb_folder.glob(f"offline-run-*-{run_id}")
    assert found != torn


# MLflow


@pytest.fixture(scope="module")
def mlflow_store(tmp_path_factory):
    """An address, whose tables take seconds to make."""
    pytest.importorskip("mlflow", reason="mlflow is not installed: pip install 'steepest[mlflow]'")
    return f"sqlite:///{tmp_path_factory.mktemp('mlflow') / 'runs.db'}"


@pytest.mark.slow
def test_mlflow_has_each_run_once_as_its_own_client_reads_it(study, mlflow_store, monkeypatch, told):
    from mlflow import MlflowClient

    monkeypatch.setenv("MLFLOW_TRACKING_URI", mlflow_store)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)
    monkeypatch.chdir(study.folder)
    client = MlflowClient(mlflow_store)
    record = study.records()[-1]
    begun = client.create_experiment("my study")
    torn = client.create_run(begun, tags={"steepest.run": told_of(study.spec, "", record).id})  # of a killed process
    for _ in range(2):
        trackers.make_tracker("mlflow").on_study_end(study)
        (study.folder / TOLD).unlink()  # so that MLflow alone knows
    assert not told()
    runs = {run.data.tags["steepest.run"]: run for run in client.search_runs([begun])}
    assert len(client.search_runs([begun])) == len(study.records()) == len(runs)
    assert torn.info.run_id not in {run.info.run_id for run in runs.values()}
    for record in study.records():
        run = runs[told_of(study.spec, "", record).id]
        wanted = {"method": record.method, "seed": record.seed, **record.hyperparameters}
        assert {name: str(value) for name, value in wanted.items()}.items() <= run.data.params.items()
        assert run.info.status == ("FINISHED" if record.status == "finished" else "FAILED")
        assert run.data.metrics.get("final/test_metric") == record.test_metric
        for name in {name for name, _ in finite(record)}:
            read = {(name, m.step): m.value for m in client.get_metric_history(run.info.run_id, name)}
            assert read == {key: x for key, x in finite(record).items() if key[0] == name}


# Trackio


@pytest.fixture(scope="module")
def trackio(tmp_path_factory):
    """The package, which reads its folder's place as it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TRACKIO_DIR", str(tmp_path_factory.mktemp("trackio")))
        yield pytest.importorskip("trackio", reason="trackio is not installed: pip install 'steepest[trackio]'")


def test_trackio_has_each_run_once_as_its_own_tables_say(study, trackio, capsys, told):
    from trackio.sqlite_storage import SQLiteStorage

    record = study.records()[-1]
    torn = trackio.init(
        "my-study", name="torn", config={"steepest_run": told_of(study.spec, "", record).id}, embed=False,
        auto_log_gpu=False, auto_log_cpu=False,
    )  # fmt: skip
    torn.log({"train_loss": 7.0}, step=1)
    torn.finish()
    open_before = trackio.init("mine", name="open", embed=False, auto_log_gpu=False, auto_log_cpu=False)
    capsys.readouterr()
    for _ in range(2):
        trackers.make_tracker("trackio").on_study_end(study)
        (study.folder / TOLD).unlink()
    assert not told()
    assert capsys.readouterr().out == ""
    assert trackio.context_vars.current_run.get() is open_before
    trackio.finish()
    runs = {run.config["steepest_run"]: run for run in trackio.Api().runs("my-study")}
    assert len(list(trackio.Api().runs("my-study"))) == len(study.records()) == len(runs)
    for record in study.records():
        run = runs[told_of(study.spec, "", record).id]
        assert {"method": record.method, "seed": record.seed, **record.hyperparameters}.items() <= run.config.items()
        logs = SQLiteStorage.get_logs("my-study", run.name, run_id=run.id)
        read = {(name, row["step"]): x for row in logs for name, x in row.items() if name not in ("step", "timestamp")}
        assert finite(record).items() <= read.items()
        finals = {name: x for (name, _), x in read.items() if name.startswith("final/")}
        assert finals.get("final/test_metric") == record.test_metric


# The option


def test_a_study_enters_its_runs_once_and_those_of_an_earlier_call(tmp_path, monkeypatch):
    store = Memory()
    monkeypatch.setitem(trackers._STORES, "mlflow", lambda: store)
    monkeypatch.setattr("steepest.compare.study.study.check_tracker", lambda name: None)
    options = {"methods": "sgd", "trials": 2, "seeds": 2, "jobs": 1, "out": tmp_path / "s"}
    Study(f"{TINY_FILE}:clouds", **options).run(progress=False)
    for _ in range(2):
        Study(f"{TINY_FILE}:clouds", **options, log="mlflow").run(progress=False)
    assert sorted(run.settings["phase"] for run in store.entered) == ["final", "final", "tune", "tune"]
    Study(f"{TINY_FILE}:clouds", **{**options, "seeds": 3}, log=["mlflow"]).run(progress=False)
    assert len(store.entered) == 5
    assert "mlflow" not in (tmp_path / "s" / "spec.json").read_text()


def test_a_tracker_that_is_unknown_or_not_installed_is_told_before_anything_runs(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="log must be one of wandb, mlflow, trackio, got 'tensorboard'"):
        Study("digits-mlp", log=["tensorboard"], out=tmp_path / "s")
    monkeypatch.setattr("importlib.util.find_spec", lambda name, package=None: None)
    for name in TRACKERS:
        with pytest.raises(MissingExtraError, match=rf"{name} is not installed; .*'steepest\[{name}\]'"):
            trackers.check_tracker(name)
    assert not list(Path(tmp_path).iterdir())
