"""A step may take the gradient of several batches together, or of a whole epoch, and pays for all of them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.data import Split, Splits, Tasks
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.method import Method
from steepest.training.definitions.range import Range
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.definitions.workload import Workload
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.train import train

X = torch.randn(24, 3, generator=torch.Generator().manual_seed(0))
Y = (X[:, 0] + 0.3 * X[:, 1] > 0).long()
SPLITS = Splits(Split(X, Y), Split(X, Y), Split(X, Y))
WORKLOAD = Workload("lines", data=lambda _: SPLITS, model=lambda: nn.Linear(3, 2), batch_size=4, epochs=5, target=0.9)
SGD = Method("gd", torch.optim.SGD, space={"lr": Range(1e-2, 1.0)}, batches_per_step="epoch")
CONSTANT = SCHEDULES["constant"]


def assignment(method=SGD, workload=WORKLOAD, splits=SPLITS, batch_size=4, epochs=5):
    return Assignment(workload, method, splits, {"lr": 0.5}, 1, epochs, batch_size, CONSTANT)


def trained(asked, **options):
    weights = []
    outcome = train(
        asked, with_test=False, trained=lambda m: weights.extend(p.detach().clone() for p in m.parameters()), **options
    )
    return outcome, weights


def by_hand(steps):
    torch.manual_seed(1)
    model = nn.Linear(3, 2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(X), Y).backward()
        optimizer.step()
    return list(model.parameters())


@pytest.mark.parametrize("evaluation_batch", [1, 10, 24, 2000])
def test_an_epoch_is_one_step_along_the_gradient_of_all_samples(evaluation_batch):
    outcome, weights = trained(assignment(workload=replace(WORKLOAD, evaluation_batch=evaluation_batch)))
    for ours, theirs in zip(weights, by_hand(5), strict=True):
        torch.testing.assert_close(ours, theirs.detach())
    assert outcome.gradient_evaluations == 30
    assert outcome.samples == 5 * 24
    assert outcome.curve["gradient_evaluations"] == [6, 12, 18, 24, 30]
    assert outcome.curve["train_loss"][0] == pytest.approx(0.9, abs=0.5)


def test_no_more_samples_than_it_says_are_evaluated_at_a_time():
    sizes = []

    class Watched(nn.Linear):
        def forward(self, x):
            if self.training:
                sizes.append(len(x))
            return super().forward(x)

    trained(assignment(workload=replace(WORKLOAD, model=lambda: Watched(3, 2), evaluation_batch=10), epochs=1))
    assert sizes == [10, 10, 4]


def test_two_batches_a_step_are_the_batches_of_twice_the_size():
    two, weights = trained(assignment(replace(SGD, batches_per_step=2)))
    twice, expected = trained(assignment(replace(SGD, batches_per_step=1), batch_size=8))
    assert (two.gradient_evaluations, two.samples) == (30, 120)
    assert twice.samples == 120
    for ours, theirs in zip(weights, expected, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_an_estimator_in_front_pays_for_both_of_its_points_in_each_batch():
    from steepest.training.builtin import ESTIMATORS

    method = replace(SGD, estimators=(ESTIMATORS["sam"],))
    outcome, _ = trained(assignment(method, epochs=4))
    assert assignment(method).method.cost == 12
    assert (outcome.gradient_evaluations, len(outcome.curve["train_loss"])) == (24, 2)


def test_a_run_that_was_interrupted_ends_as_if_it_had_not_been(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.pt", every_seconds=0)
    train(assignment(), with_test=False, checkpoint=checkpoint, progress=lambda seen: seen.validations == 3)
    _, weights = trained(assignment(), checkpoint=checkpoint)
    _, expected = trained(assignment())
    assert all(torch.equal(a, b) for a, b in zip(weights, expected, strict=True))


@pytest.mark.parametrize("batches", [0, -1, 1.5, "all", None, True])
def test_batches_are_a_number_or_an_epoch(batches):
    with pytest.raises(ValueError, match="batches_per_step"):
        replace(SGD, batches_per_step=batches)


def test_where_there_is_no_epoch_it_has_no_cost():
    with pytest.raises(InputError, match="gd takes all batches of an epoch"):
        _ = SGD.cost


def test_tasks_of_other_lengths_are_refused():
    half = tuple((part.inputs[:12], part.targets[:12]) for part in SPLITS)
    with pytest.raises(InputError, match=r"the tasks have \[6, 3\]"):
        assignment(splits=Tasks([SPLITS, half]))
    assert assignment(splits=Tasks([half, half])).method.cost == 3
