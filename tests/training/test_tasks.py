"""A workload that is a sequence of tasks: its budget, what is seen of it, and that a run resumes in the middle."""

import copy
import dataclasses
import pickle
from contextlib import contextmanager

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Estimator, Instrument, Method, Range, Resumable, Schedule, Study
from steepest.compare.analysis.tasks import forgetting
from steepest.compare.identity.digests import data_digest
from steepest.compare.records.lines import json_of_record, record_of_json
from steepest.compare.records.pruning import Pruning, _values_in
from steepest.compare.records.recovery import misfit
from steepest.compare.results.exports import export_csv
from steepest.compare.spec import StudySpec
from steepest.data import Split, Splits, Tasks, digits, standardize
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.checkpoint import Checkpoint
from tests.compare import tiny
from tests.training.runs import train

LR = {"lr": Range(1e-3, 1.0)}
SGD = Method("sgd", torch.optim.SGD, LR)


def cloud(count, centre, seed):
    generator = torch.Generator().manual_seed(seed)
    targets = torch.arange(count) % 2
    inputs = torch.randn(count, 4, generator=generator) + (2 * targets[:, None] - 1) * torch.tensor(centre)
    return Split(inputs, targets)


def clouds_of(centre, count, seed):
    return Splits(*(cloud(n, centre, seed + i) for i, n in enumerate((count, 20, 24))))


def three_tasks(data_dir=None):
    """Each turns the classes of another direction; of 60, 40 and 50 training samples."""
    centres = ([2.0, 0, 0, 0], [0, -2.0, 0, 0], [-2.0, 0, 1.0, 0])
    return Tasks([clouds_of(c, n, 10 * i) for i, (c, n) in enumerate(zip(centres, (60, 40, 50), strict=True))])


class Told(nn.Linear):
    """A model that wants to know its task."""

    def __init__(self):
        super().__init__(4, 2)
        self.task = -1
        self.asked = []

    def set_task(self, task):
        self.task = task

    def forward(self, x):
        return super().forward(x) + 0.1 * self.task


sequence = dataclasses.replace(tiny.clouds, name="sequence", data=three_tasks, model=Told, augment=None)
TASKS = three_tasks()


def run(method=SGD, workload=sequence, splits=TASKS, epochs=2, batch_size=10, schedule=SCHEDULES["linear"], **options):
    return train(
        workload, method, splits, {"lr": 0.1}, seed=1, epochs=epochs, batch_size=batch_size, schedule=schedule,
        **{"with_test": True, **options},
    )  # fmt: skip


def test_every_task_has_its_own_epochs_and_validations_see_all_tasks():
    seen = []
    outcome = run(progress=seen.append)
    assert outcome.curve["gradient_evaluations"] == [6, 12, 16, 20, 25, 30]
    assert outcome.gradient_evaluations == 30
    assert [len(row) for row in outcome.task_matrix] == [3, 3, 3]
    ends = [outcome.curve["validation_metric"][i] for i in (1, 3, 5)]
    assert ends == pytest.approx([sum(row) / 3 for row in outcome.task_matrix])
    assert outcome.validation_metric == ends[-1]
    assert outcome.test_metric == pytest.approx(sum(outcome.test_metrics) / 3)
    assert outcome.task_matrix[0][0] > outcome.task_matrix[2][0]  # it has forgotten
    assert seen[-1].fraction == 1.0


def test_a_method_that_pays_two_takes_half_the_steps_of_every_task():
    twice = dataclasses.replace(SGD, evaluations_per_step=2)
    legs = Assignment(sequence, twice, TASKS, {"lr": 0.1}, 1, 3, 20).legs
    assert [(leg.start, leg.stop, leg.per_epoch) for leg in legs] == [(0, 4, 3), (4, 7, 2), (7, 10, 2)]
    assert run(twice, epochs=3, batch_size=20).curve["gradient_evaluations"] == [4, 6, 8, 10, 12, 14, 16, 18, 20]
    with pytest.raises(InputError, match="batch size must be at most the 40 training samples, got 50"):
        Assignment(sequence, SGD, TASKS, {"lr": 0.1}, 1, 3, 50).steps  # noqa: B018


def test_one_task_is_the_usual_case_to_the_last_bit():
    alone = clouds_of([2.0, 0, 0, 0], 60, 0)
    one, usual = (run(splits=splits) for splits in (Tasks([alone]), alone))
    assert dataclasses.asdict(one) | {"seconds": 0, "curve": 0} == dataclasses.asdict(usual) | {
        "seconds": 0,
        "curve": 0,
    }
    assert one.curve == usual.curve
    assert (one.task_matrix, one.test_metrics) == (None, None)


def test_batches_are_of_the_task_and_the_schedule_begins_anew():
    taken, lrs = [], []

    class Noting(torch.optim.SGD):
        def step(self, closure=None):
            lrs.append(self.param_groups[0]["lr"])
            return super().step(closure)

    @contextmanager
    def noting(model, optimizer, seed):
        def take(batch):
            taken.append((batch.task, model.task, batch.inputs.clone()))
            return batch.backward()

        yield Resumable(take)

    run(dataclasses.replace(SGD, optimizer=Noting, estimators=(Estimator("noting", noting, "points"),)))
    assert [task for task, _, _ in taken] == [told for _, told, _ in taken] == [0] * 12 + [1] * 8 + [2] * 10
    for task, _, inputs in taken:
        own = TASKS.tasks[task].train.inputs
        assert all(any(torch.equal(row, other) for other in own) for row in inputs)
    assert lrs == pytest.approx([0.1 * (1 - i / n) for n in (12, 8, 10) for i in range(n)])


def test_a_schedule_of_its_own_finds_the_values_of_the_beginning():
    found = []

    class Raising:
        def __init__(self, optimizer, steps):
            found.append((steps, optimizer.param_groups[0]["momentum"]))
            self.optimizer = optimizer

        def before_step(self, step):
            self.optimizer.param_groups[0]["momentum"] = 0.9

        def observe(self, seen):
            pass

        def state_dict(self):
            return {}

        load_state_dict = before_step

    run(dataclasses.replace(SGD, fixed={"momentum": 0.5}), schedule=Schedule("raising", "", controller=Raising))
    assert found == [(12, 0.5), (8, 0.5), (10, 0.5)]


def test_what_an_optimizer_keeps_in_its_groups_stays():
    class Counting(torch.optim.SGD):
        def step(self, closure=None):
            group = self.param_groups[0]
            group["k"] = group.get("k", 0) + 1
            return super().step(closure)

    seen = []
    count = Instrument("k", lambda view: seen.append(view.optimizer.param_groups[0]["k"]), when="validation")
    run(dataclasses.replace(SGD, optimizer=Counting), instruments=[count])
    assert seen == [6, 12, 16, 20, 25, 30]


def test_parts_are_told_of_the_end_of_a_task():
    ended = []

    class Part:
        def state_dict(self):
            return {"ended": len(ended)}

        def load_state_dict(self, state):
            pass

        def end_task(self, view):
            ended.append((view.task, view.step, len(view.splits.tasks)))

    @contextmanager
    def attach(model, optimizer, seed):
        yield Resumable(lambda batch: batch.backward(), (Part(),))

    run(dataclasses.replace(SGD, estimators=(Estimator("part", attach, "points"),)))
    assert ended == [(0, 12, 3), (1, 20, 3)]


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("at", [1, 7, 12, 13, 16, 20, 21, 29])
@pytest.mark.slow
def test_interrupted_in_any_task_it_is_the_same_run_to_the_last_bit(at, tmp_path):
    class Due(Checkpoint):
        def due(self):
            return True

    class Stopping(torch.optim.SGD):
        left = 0

        def step(self, closure=None):
            Stopping.left -= 1
            if not Stopping.left:
                raise StoppedError
            return super().step(closure)

    method = Method("stopping", Stopping, LR, fixed={"momentum": 0.9})
    whole = run(method)
    Stopping.left = at + 1
    with pytest.raises(StoppedError):
        run(method, checkpoint=Due(tmp_path / "run", 0.0))
    Stopping.left = 30 - at + 1  # no more than these
    again = run(method, checkpoint=Due(tmp_path / "run", 0.0))
    assert again.curve == whole.curve
    assert (again.task_matrix, again.test_metrics) == (whole.task_matrix, whole.test_metrics)
    assert (again.test_loss, again.test_metric) == (whole.test_loss, whole.test_metric)


def test_a_sequence_is_its_tasks_one_after_the_other():
    for tasks in (TASKS, pickle.loads(pickle.dumps(TASKS)), copy.deepcopy(TASKS), TASKS.to("cpu"), standardize(TASKS)):
        assert isinstance(tasks, Tasks)
        assert [[len(split) for split in task] for task in tasks.tasks] == [[60, 20, 24], [40, 20, 24], [50, 20, 24]]
        assert torch.equal(torch.cat([task.test.inputs for task in tasks.tasks]), tasks.test.inputs)
    joint = Splits(*TASKS)
    assert joint.tasks == [joint]
    assert data_digest(joint) != data_digest(TASKS)


@pytest.mark.parametrize(
    ("tasks", "sentence"),
    [
        ([], "a sequence of tasks needs at least one, got none"),
        ([(1, 2)], "the data must be three parts, training, validation and test, got 2"),
        ([clouds_of([1.0] * 4, 8, 0), digits()], "the tasks of a sequence must have samples of one shape"),
    ],
)
def test_tasks_that_do_not_fit_together_are_refused(tasks, sentence):
    with pytest.raises(InputError, match=sentence):
        Tasks(tasks)


def test_forgetting_is_what_was_lost_of_the_best():
    spec = dataclasses.replace  # for brevity
    study = Study(sequence, methods=[SGD], trials=1, seeds=1).spec.comparisons[0]
    record = record_of_json(
        '{"workload": "s", "method": "sgd", "phase": "final", "trial": 0, "seed": 1, "hyperparameters": {}, "status": '
        '"finished", "started": 0, "finished": 1, "task_matrix": [[0.9, 0.5, 0.4], [0.7, 0.8, 0.3], [0.6, 0.75, 0.9]]}'
    )
    assert forgetting(study, record) == pytest.approx((0.3 + 0.05) / 2)
    lower = spec(study, workload=spec(study.workload, higher_is_better=False))
    assert forgetting(lower, record) == pytest.approx(((0.6 - 0.7) + (0.75 - 0.5)) / 2)
    assert forgetting(study, spec(record, task_matrix=record.task_matrix[:2])) is None
    assert forgetting(study, spec(record, task_matrix=None)) is None
    assert record_of_json(json_of_record(record)) == record


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = Study(sequence, methods=[SGD, tiny.exploding], trials=2, seeds=2, epochs=2, batch_size=10, jobs=1,
                  out=tmp_path_factory.mktemp("tasks") / "study")  # fmt: skip
    assert study.run(progress=False)
    return study


def test_a_study_of_a_sequence(study, tmp_path):
    [spec] = study.spec.comparisons
    assert spec.workload.tasks == (60, 40, 50)
    assert spec.gradient_evaluations == 30
    assert StudySpec.from_json((study.folder / "spec.json").read_text()) == study.spec
    finals = [r for r in study.records() if r.phase == "final" and r.method == "sgd"]
    table = study.table().set_index("method")
    mean = sum(forgetting(spec, r) for r in finals) / 2
    assert table.loc["sgd", "forgetting"] == pytest.approx(mean)
    assert table.loc["sgd", "test_metric"] == pytest.approx(sum(sum(r.test_metrics) / 3 for r in finals) / 2)
    page, markdown = study.report().read_text(), (study.folder / "report.md").read_text()
    assert "Task by task" in page
    assert page.count('data-label="Task 3"') == 2
    assert "| task 1 | when learnt |" in markdown
    *_, tasks = export_csv(study.summaries(), tmp_path)
    assert tasks.name == "tasks.csv"
    assert len(tasks.read_text().splitlines()) == 1 + 9 * 4  # of the other method's four runs none ends a task


def test_a_bad_task_is_named_before_the_first_run(tmp_path):
    def broken(data_dir=None):
        first, second, third = three_tasks().tasks
        bad = Split(third.test.inputs, third.test.targets + 5)  # no such class
        return Tasks([first, second, Splits(third.train, third.validation, bad)])

    study = Study(dataclasses.replace(sequence, data=broken), methods=[SGD], trials=1, seeds=1, out=tmp_path / "s")
    with pytest.raises(InputError, match="on its test data of task 3"):
        study.run(progress=False)


@pytest.mark.slow
def test_a_pruner_knows_every_validation_of_a_sequence(tmp_path):
    twice = dataclasses.replace(SGD, name="twice", evaluations_per_step=2)
    methods = [SGD, twice]
    study = Study(sequence, methods=methods, trials=7, seeds=1, epochs=3, batch_size=20, jobs=1, pruner="median",
                  out=tmp_path / "study")  # fmt: skip
    assert study.run(progress=False)
    [spec] = study.spec.comparisons
    told = Pruning(tmp_path / "study", study.spec).asked
    for record in (r for r in study.records() if r.phase == "tune"):
        assert told[record.key].values == _values_in(spec, record), record.key
    whole = next(r for r in study.records() if r.method == "twice" and r.status == "finished")
    assert list(_values_in(spec, whole)) == list(range(1, 9))
    assert spec.spent(spec.method("twice")) == whole.gradient_evaluations == 20
    assert misfit(study.spec, study.records()) == ""
    assert [plan.steps for plan in study.plan().methods] == [21, 10]


def test_parts_are_told_before_and_after_every_task():
    told = []

    class Part:
        def begin_task(self, view):
            told.append(("begin", view.task, view.step))

        def finish_task(self, view):
            told.append(("finish", view.task, view.step))
            with torch.no_grad():
                for p in view.model.parameters():
                    p.zero_()  # what is validated is what it leaves

        def end_task(self, view):
            told.append(("end", view.task, view.step))

        def state_dict(self):
            return {}

        def load_state_dict(self, state):
            pass

    epochs = []

    @contextmanager
    def held(model, optimizer, seed):
        def take(batch):
            epochs.append((batch.task, batch.epoch))
            return batch.backward()

        yield Resumable(take, (Part(),))

    outcome = run(dataclasses.replace(SGD, estimators=(Estimator("told", held, "points"),)))
    steps = [(0, 12), (1, 20), (2, 30)]
    begin = dict(zip((0, 1, 2), (0, 12, 20), strict=True))
    expected = [
        x for task, at in steps for x in (("begin", task, begin[task]), ("finish", task, at), ("end", task, at))
    ]
    assert told == expected[:-1]
    assert epochs == [(t, e) for t, n in ((0, 6), (1, 4), (2, 5)) for e in (0, 1) for _ in range(n)]
    zero = [sum(row) / 3 for row in outcome.task_matrix]
    assert zero == pytest.approx([zero[0]] * 3)


def test_the_mean_matrix_is_of_whole_runs_alone():
    from types import SimpleNamespace

    from steepest.compare.analysis.tasks import mean_matrix

    def row(*matrices):
        return SimpleNamespace(finals=[SimpleNamespace(task_matrix=matrix) for matrix in matrices])

    assert mean_matrix(row([[1.0, 0.0], [0.5, 1.0]], [[0.0, 0.0], [0.0, 0.5]])) == [[0.5, 0.0], [0.25, 0.75]]
    assert mean_matrix(row([[1.0, 0.0]], [[0.0, 0.5], [0.0, 0.5]], None)) == [[0.0, 0.5], [0.0, 0.5]]
    assert mean_matrix(row([[1.0, 0.0]], None)) == []
    assert mean_matrix(row()) == []
