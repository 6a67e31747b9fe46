"""sgd-mi-range: a sweep at the beginning of a run, of which nothing but the bounds is left."""

import contextlib
import dataclasses
import tempfile
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Method, Range, Schedule, Study
from steepest.data import Tasks
from steepest.training.builtin import INSTRUMENTS, METHODS
from steepest.training.builtin.range_schedule import RangeThenMutualInformation
from steepest.training.process.group import ProcessGroup
from tests.compare import tiny
from tests.ranks import on_ranks
from tests.training.runs import train
from tests.training.test_mutual_information import Due

SPLITS = tiny.two_clouds(None)
METHOD = METHODS["sgd-mi-range"]


class Recorded(RangeThenMutualInformation):
    """Keeps what it found before each step and after it."""

    made: ClassVar = []

    def __init__(self, optimizer, steps):
        super().__init__(optimizer, steps)
        self.rates, self.during, self.after = [], [], []
        Recorded.made.append(self)

    def before_step(self, step):
        super().before_step(step)
        self.rates.append(self._optimizer.param_groups[0]["lr"])
        self.during.append(self.weights())

    def after_step(self, loss):
        noted = super().after_step(loss)
        self.after.append((self.weights(), noted, len(self._optimizer.state)))
        return noted

    def weights(self):
        return torch.cat([t.detach().flatten().float() for t in self._live()])


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 2))


workload = dataclasses.replace(tiny.clouds, model=network)
recorded = dataclasses.replace(METHOD, schedule=Schedule("recorded", "recorded", controller=Recorded))


def run(method=METHOD, *, epochs=40, splits=SPLITS, threshold=0.05, **options):
    given = {"seed": 1, "batch_size": 20, "with_test": True, "instruments": [INSTRUMENTS["lr"]], **options}
    outcome = train(workload, method, splits, {"threshold": threshold}, epochs=epochs, **given)
    return dataclasses.replace(outcome, seconds=0)


def test_a_tenth_of_the_run_is_swept_and_then_all_is_as_at_the_beginning():
    Recorded.made.clear()
    outcome = run(recorded, threshold=0.5)
    [it] = Recorded.made
    assert len(it.rates) == 240
    assert outcome.gradient_evaluations == 240  # the sweep is charged
    sweep = [noted is not None for _, noted, _ in it.after]
    length = sum(sweep)
    assert sweep == [True] * length + [False] * (240 - length)
    assert 10 <= length <= 24
    assert it.rates[:3] == pytest.approx([1e-4 * 1e5 ** (i / 23) for i in range(3)])
    start = it.during[0]
    assert all(torch.equal(weights, start) for weights, _, _ in it.after[:length])  # between steps: the beginning
    assert not torch.equal(it.during[length - 1], start)
    assert torch.equal(it.during[length], start)
    assert it.after[length - 1][2] == 0  # no momentum is left
    low, high = it._scheduler.bounds.of(1)[0]
    assert it.rates[length] == high
    assert 1e-4 <= low < high <= 10
    assert all(low <= rate <= high for rate in it.rates[length:])
    assert it.rates[-1] < high
    losses = {float(noted) for _, noted, _ in it.after[:length]}
    assert losses == {it._curve.start}
    assert outcome.curve["validation_loss"][0] == outcome.curve["validation_loss"][1]  # epochs of 6 steps


@pytest.mark.parametrize("seed", [1, 2, 3])
@pytest.mark.parametrize("epochs", [36, 40, 48, 60])  # sweeps of 21, 24, 28 and 36 rates, of 20 samples each
@pytest.mark.slow
def test_bounds_are_rates_that_learn(epochs, seed):
    outcome = run(epochs=epochs, seed=seed, threshold=0.1)
    assert outcome.curve["validation_metric"][-1] > 0.8


def test_after_a_longer_sweep_the_rate_falls():
    Recorded.made.clear()
    run(recorded, epochs=60)
    [it] = Recorded.made
    _, high = it._scheduler.bounds.of(1)[0]
    assert it.rates[-1] < high


def test_what_follows_is_a_run_that_begins_with_the_bounds():
    """The same batches, from the step after the sweep on, by hand."""
    Recorded.made.clear()
    run(recorded, epochs=36)  # 216 steps, a sweep of 21
    [it] = Recorded.made
    length = sum(noted is not None for _, noted, _ in it.after)
    from steepest.training.loop.batches import Batches
    from steepest.training.process.randomness import seed_generators

    seed_generators(1)
    model = network()
    model.train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    batches = Batches(SPLITS.train, 20, 1)
    for step, _ in enumerate(range(216)):
        x, y = next(batches)
        if step < length:
            continue
        optimizer.param_groups[0]["lr"] = it.rates[step]
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()
    by_hand = torch.cat([t.detach().flatten().float() for t in [*model.parameters(), *model.buffers()]])
    torch.testing.assert_close(it.after[-1][0], by_hand)


@pytest.fixture(scope="module")
def whole():
    return run()


@pytest.mark.parametrize("at", [1, 23, 24, 100])
@pytest.mark.slow
def test_it_resumes_within_the_sweep_and_after_it(tmp_path, at, whole):
    with pytest.raises(KeyboardInterrupt):
        run(checkpoint=Due(tmp_path / "run.pt", at))
    Recorded.made.clear()
    again = run(dataclasses.replace(METHOD, schedule=counting), checkpoint=Due(tmp_path / "run.pt"))
    assert again == whole
    assert len(Recorded.made[0].rates) == 240 - at


counting = dataclasses.replace(METHOD.schedule, controller=Recorded)


def test_every_task_is_swept_anew():
    Recorded.made.clear()
    run(recorded, epochs=36, splits=Tasks([SPLITS, SPLITS]))
    first, second = Recorded.made
    for it in (first, second):
        length = sum(noted is not None for _, noted, _ in it.after)
        assert all(torch.equal(weights, it.during[0]) for weights, _, _ in it.after[:length])
    assert {count for _, _, count in second.after} == {6}  # momentum of the task before, put back
    assert torch.equal(second.during[0], first.after[-1][0])


def test_a_run_that_is_too_short_is_refused():
    with pytest.raises(InputError, match="a run must have 200 steps, got 18; give it more epochs"):
        run(epochs=3)


def test_a_sweep_that_shows_nothing_leaves_the_optimizers_own_rate_and_says_so():
    Recorded.made.clear()
    lazy = dataclasses.replace(workload, model=lambda: Frozen(4, 2))
    outcome = train(lazy, recorded, SPLITS, {"threshold": 0.1}, seed=1, epochs=40, batch_size=20, with_test=False)
    assert Recorded.made[0]._scheduler.bounds.of(1) == [(pytest.approx(1e-4), 0.1)]
    said = "the sweep over learning rates found no bounds, and lr 0.1 was taken: nothing seen: from"
    assert outcome.notes["lr schedule"].startswith(said)


class Frozen(nn.Linear):
    """Learns next to nothing."""

    def forward(self, x):
        return super().forward(1e-6 * x) * 1e-6


def on_a_rank(rank):
    ranks = ProcessGroup("ddp", torch.device("cpu"))
    path = Path(ranks.agree(tempfile.mkdtemp()), f"{rank}.pt")
    whole = run(ranks=ranks, epochs=40)
    with contextlib.suppress(KeyboardInterrupt):
        run(ranks=ranks, epochs=40, checkpoint=Due(path, 1))  # after a validation within the sweep
    assert path.exists()
    sharded = run(ranks=ProcessGroup("fsdp2", torch.device("cpu")), epochs=40)
    return whole.curve, run(ranks=ranks, epochs=40, checkpoint=Due(path)).curve, sharded.curve


@pytest.mark.slow
def test_ranks_sweep_together_and_resume():
    (first, again, sharded), (second, _, _) = on_ranks(on_a_rank)
    assert first == again
    assert first["validation_loss"] == second["validation_loss"]
    assert sharded["lr"] == pytest.approx(first["lr"], rel=0.05)
    assert sharded["validation_loss"] == pytest.approx(first["validation_loss"], rel=0.05)


def test_a_method_may_search_no_lr_if_its_own_controller_finds_it():
    assert "lr" not in METHOD.space
    with pytest.raises(ValueError, match=r"the space of method 'm' must hold 'lr', got \['momentum'\]"):
        Method("m", torch.optim.SGD, {"momentum": Range(0.8, 0.9)}, fixed={"lr": 0.1})
    with pytest.raises(ValueError, match="must hold 'lr'"):
        Method("m", torch.optim.SGD, {}, fixed={"lr": 0.1}, schedule=METHOD.schedule)
    with pytest.raises(ValueError, match="must hold 'lr'"):
        Method("m", torch.optim.SGD, {"momentum": Range(0.8, 0.9)}, schedule=METHOD.schedule)


@pytest.mark.parametrize("methods", [["sgd", "sgd-mi-range"], ["sgd-mi-range"]])
@pytest.mark.slow
def test_a_study_of_it_has_its_tables_and_its_page(tmp_path, methods, browser):
    study = Study(workload_of_a_user(), methods=methods, trials=5, seeds=2, epochs=40, out=tmp_path / "s", jobs=1)
    study.run()
    study.report()
    assert "threshold 0." in (tmp_path / "s" / "report.md").read_text()
    page = browser.new_page()
    wrong = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.goto((tmp_path / "s" / "report.html").as_uri())
    page.wait_for_timeout(300)
    for button in page.locator("tr button").all():
        button.click()
    page.wait_for_timeout(300)
    assert wrong == []
    page.close()


def workload_of_a_user():
    return f"{tiny.__file__}:clouds"
