"""Functions of the user's that are told when a run, or a study, has ended."""

import logging
import signal

import pytest

from steepest import _files
from steepest._errors import InputError
from steepest.compare import Study
from steepest.compare.records.folder import read_records
from tests.compare import TINY_FILE

TINY = f"{TINY_FILE}:clouds"


class Notes:
    """What a user's object hears, and whether the record is on the disk by then."""

    def __init__(self):
        self.runs, self.on_disk, self.ends = [], [], []

    def on_run_end(self, record, study):
        self.runs.append(record)
        self.on_disk.append(record.key in {r.key for r in read_records(study.folder)})

    def on_study_end(self, study):
        self.ends.append(len(study.records()))


def study(out, **options):
    return Study(TINY, methods=["sgd", "adamw"], **{"trials": 2, "seeds": 2, "jobs": 1, "out": out, **options})


@pytest.fixture
def told(caplog, monkeypatch):
    """The sentences that the log has."""
    monkeypatch.setattr(_files, "_told", set())
    caplog.set_level(logging.WARNING, "steepest")
    return lambda: [record.getMessage() for record in caplog.records]


def test_every_run_is_told_once_when_it_is_on_the_disk_and_the_study_when_all_have_ended(tmp_path):
    notes, functions = Notes(), Notes()
    assert study(tmp_path / "s").run(
        progress=False, callbacks=notes, on_run_end=functions.on_run_end, on_study_end=[functions.on_study_end]
    )
    records = {record.key: record for record in study(tmp_path / "s").records()}
    assert {r.key: r.test_metric for r in notes.runs} == {key: r.test_metric for key, r in records.items()}
    assert len(notes.runs) == 8
    assert all(notes.on_disk)
    assert notes.ends == [8]
    assert [r.key for r in functions.runs] == [r.key for r in notes.runs]
    assert functions.ends == [8]


def test_a_study_that_is_resumed_tells_of_what_ends_now(tmp_path):
    first, second, third = Notes(), Notes(), Notes()

    def interrupt(record, study):
        if len(first.runs) == 3:
            signal.raise_signal(signal.SIGINT)

    assert not study(tmp_path / "s").run(progress=False, callbacks=[first], on_run_end=interrupt)
    assert not first.ends
    assert study(tmp_path / "s").run(progress=False, callbacks=[second])
    assert sorted(r.key for r in [*first.runs, *second.runs]) == sorted(r.key for r in study(tmp_path / "s").records())
    assert study(tmp_path / "s").run(progress=False, callbacks=[third])
    assert (third.runs, third.ends) == ([], [8])


def test_what_a_callback_raises_is_one_sentence_and_costs_nothing(tmp_path, told):
    class Broken:
        def on_run_end(self, record, study):
            record.hyperparameters["lr"] = 7.0
            record.curve.clear()
            raise ValueError("planted\nin two lines")

        def on_study_end(self, study):
            raise SystemExit("planted at the end")

    later = Notes()
    assert study(tmp_path / "s").run(progress=False, callbacks=[Broken(), later])
    assert [sentence for sentence in told() if "planted" in sentence] == told()
    run, end = told()
    assert run.startswith("on_run_end (")
    assert "Broken.on_run_end) raised ValueError: planted (" in run
    assert run.endswith("; the study goes on, and nothing that was computed is lost")
    assert "raised SystemExit: planted at the end" in end
    assert len(later.runs) == 8
    assert all(r.curve and r.hyperparameters["lr"] < 7 for r in [*later.runs, *study(tmp_path / "s").records()])
    study(tmp_path / "plain").run(progress=False)
    assert study(tmp_path / "plain").table().equals(study(tmp_path / "s").table().assign(seconds=study(
        tmp_path / "plain").table().seconds))  # fmt: skip


def test_what_cannot_be_called_is_refused_before_anything_runs(tmp_path):
    for options, said in (
        ({"callbacks": object()}, "callbacks must be objects with on_run_end"),
        ({"callbacks": [Notes(), print]}, "callbacks must be objects with on_run_end"),
        ({"on_run_end": 3}, "on_run_end must be a function, or a list of some, got 3"),
        ({"on_study_end": [print, None]}, "on_study_end must be a function, or a list of some, got None"),
    ):
        with pytest.raises(InputError, match=said):
            study(tmp_path / "s").run(progress=False, **options)
    assert not (tmp_path / "s").exists()
