"""The methods in runs: what they change, that they resume, and that they leave nothing behind."""

import dataclasses

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.data import Split, Splits, Tasks
from steepest.spiking.continual import ContinualNet
from steepest.spiking.continual.methods import METHODS
from steepest.spiking.continual.parts import Replay
from steepest.spiking.continual.workloads import DIGIT_PAIRS, TENS_OF_47, split, split_by_class, split_digits
from steepest.training import train as module
from steepest.training.definitions.assignment import Assignment
from steepest.training.definitions.estimator import Batch
from steepest.training.definitions.instrument import RunView
from steepest.training.definitions.schedule import SCHEDULES
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.loop.gradients import attached
from tests.spiking.continual.small import CLASSES, TASKS, clouds, run, values, weights_after, workload

BASE = {"cost-per-synapse": "blocks", "ewc": "naive", "si": "naive",
        "blocks-ewc": "blocks", "blocks-si": "blocks"}  # fmt: skip


class StoppedError(Exception):
    pass


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("at", [3, 8, 11, 21])  # steps: 3 tasks of 2 epochs of 4
@pytest.mark.slow
def test_interrupted_in_any_task_it_is_the_same_run_to_the_last_bit(name, at, tmp_path):
    class Due(Checkpoint):
        def due(self):
            return True

    method = METHODS[name]
    whole, outcome = weights_after(method)
    left = {"steps": 0}

    def stopping(estimator):
        @dataclasses.dataclass(frozen=True)
        class Stopping:
            attach: object

            def __call__(self, model, optimizer, seed, **options):
                optimizer.register_step_pre_hook(self.stop)
                return self.attach(model, optimizer, seed, **options)

            def stop(self, *_):
                left["steps"] -= 1
                if left["steps"] == 0:
                    raise StoppedError

        return dataclasses.replace(estimator, attach=Stopping(estimator.attach))

    if method.estimators:
        stopped = dataclasses.replace(method, estimators=tuple(map(stopping, method.estimators)))
    else:

        class Sgd(torch.optim.SGD):
            def step(self, closure=None):
                left["steps"] -= 1
                if left["steps"] == 0:
                    raise StoppedError
                return super().step(closure)

        stopped = dataclasses.replace(method, optimizer=Sgd)
    replayed = sum(5 * task for task in range(1, 3) if at >= 8 * task) if "replay" in name else 0
    left["steps"] = at + replayed + 1
    with pytest.raises(StoppedError):
        run(stopped, checkpoint=Due(tmp_path / "run", 0.0))
    left["steps"] = 24 - at + (30 - replayed if "replay" in name else 0) + 1  # no more than these
    again, resumed = weights_after(stopped, checkpoint=Due(tmp_path / "run", 0.0))
    assert all(torch.equal(whole[key], again[key]) for key in whole)
    assert resumed.curve == outcome.curve
    assert (resumed.task_matrix, resumed.test_metrics) == (outcome.task_matrix, outcome.test_metrics)


@pytest.mark.parametrize("name", sorted(BASE))
def test_strength_0_is_the_method_without_it_bit_for_bit_and_another_is_not(name):
    alone, _ = weights_after(METHODS[BASE[name]])
    method = METHODS[name]
    nothing, _ = weights_after(method, hyperparameters=values(method, strength=0.0))
    assert alone.keys() == nothing.keys()
    assert all(torch.equal(alone[key], nothing[key]) for key in alone)
    held, _ = weights_after(method)
    assert not torch.equal(held["hidden.weight"], alone["hidden.weight"])
    assert all(torch.isfinite(tensor).all() for tensor in held.values())


def test_a_strength_moves_the_weights_of_a_replay_otherwise():
    method = METHODS["cost-per-synapse-replay"]
    weights = [weights_after(method, hyperparameters=values(method, strength=s))[0] for s in (0.0, 1e5)]
    assert not torch.equal(*(found["hidden.weight"] for found in weights))


@pytest.mark.parametrize("name", sorted(METHODS))
def test_all_methods_begin_at_the_same_hidden_weights(name):
    torch.manual_seed(1)
    expected = workload.model().hidden.weight
    method = METHODS[name]
    torch.manual_seed(1)
    model = workload.model()
    optimizer = method.build(model, values(method))
    assert torch.equal(model.hidden.weight, expected)
    assert {id(p) for group in optimizer.param_groups for p in group["params"]} == {id(p) for p in model.parameters()}
    assert optimizer.param_groups[0]["momentum"] == 0


@pytest.mark.parametrize("name", sorted(METHODS))
@pytest.mark.parametrize("finished", [True, False])
def test_a_context_that_is_left_leaves_no_hooks_behind(name, finished):
    method = METHODS[name]
    model = workload.model()
    optimizer = method.build(model, values(method))
    context = attached(method.estimators, model, optimizer, 0)
    if finished:
        with context:
            pass
    else:
        with pytest.raises(StoppedError), context:
            raise StoppedError
    assert not optimizer._optimizer_step_post_hooks
    assert not optimizer._optimizer_step_pre_hooks
    assert not any(module._forward_hooks or module._backward_hooks for module in model.modules())


def test_joint_takes_the_data_of_all_tasks_at_every_task():
    taken = []

    class Noting(ContinualNet):
        def forward(self, x):
            if self.training:
                taken.append(x.detach().clone())
            return super().forward(x)

    noting = dataclasses.replace(workload, model=lambda: Noting(4, 8, CLASSES))
    module.train(Assignment(noting, METHODS["joint"], TASKS, {"lr": 0.05}, 1, 2, 10), with_test=False)
    assert len(taken) == 24
    rows = {tuple(x): y for x, y in zip(TASKS.train.inputs.tolist(), TASKS.train.targets.tolist(), strict=True)}
    for start in (0, 8, 16):
        labels = {rows[tuple(x)] for batch in taken[start : start + 8] for x in batch.tolist()}
        assert labels == set(range(6))
    first_pass = [tuple(x) for batch in taken[:12] for x in batch.tolist()]
    assert sorted(first_pass) == sorted(rows)  # each once: its order is its own, across tasks


def view_of(model, optimizer, task):
    return RunView(workload, TASKS, model, optimizer, 0, 0, task)


def test_a_replay_makes_its_passes_over_what_it_stores_of_all_tasks_so_far():
    model = workload.model()
    model.use_blocks()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    part = Replay(stored=7, share=1.0, passes=5, batch=10, seed=3)
    part.begin_task(view_of(model, optimizer, 1))
    optimizer.param_groups[0]["lr"] = 0.01  # as a schedule would leave it
    for task in (0, 1):
        model.set_task(task)
        model(torch.zeros(1, 4))
    seen, lrs = [], []
    model.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    model.register_forward_hook(lambda module, args, out: seen.append(out.isfinite().all(0).nonzero().flatten()))
    optimizer.register_step_pre_hook(lambda optimizer, *_: lrs.append(optimizer.param_groups[0]["lr"]))
    part.finish_task(view_of(model, optimizer, 1))
    inputs, finite = seen[::2], seen[1::2]
    assert [len(x) for x in inputs] == [10, 4] * 5
    assert lrs == [0.5] * 10
    assert optimizer.param_groups[0]["lr"] == 0.01
    assert all(labels.tolist() == [0, 1, 3, 4] for labels in finite)
    stored = part.stored(view_of(model, optimizer, 1))
    for number in range(5):
        whole = torch.cat(inputs[2 * number : 2 * number + 2])
        assert sorted(whole.tolist()) == sorted(stored.inputs.tolist())
    assert len({tuple(x) for x in stored.inputs.tolist()}) == 14
    assert [sum(int(y) in labels for y in stored.targets) for labels in CLASSES] == [7, 7, 0]
    later = part.stored(view_of(model, optimizer, 2))
    assert torch.equal(later.inputs[:14], stored.inputs)  # what is stored stays
    assert all(p.grad is None for p in model.parameters())


def test_a_replay_stores_no_more_than_its_share_and_no_less_than_one():
    model = workload.model()
    for share, count in ((0.1, 4), (0.5, 20), (0.001, 1)):
        part = Replay(stored=363, share=share, passes=1, batch=10, seed=0)
        assert len(part.stored(view_of(model, None, 2))) == 3 * count


def test_a_replay_counts_for_nothing_in_the_budget():
    assert run(METHODS["replay"]).gradient_evaluations == run(METHODS["blocks"]).gradient_evaluations == 24


def test_the_penalty_stands_beside_a_replay_and_its_anchor_follows():
    method = METHODS["cost-per-synapse-replay"]
    model = workload.model()
    optimizer = method.build(model, values(method))
    with attached(method.estimators, model, optimizer, 0) as gradients:
        costs, _ = gradients._parts
        anchors, pulled = [], []
        gradients.tell("begin_task", view_of(model, optimizer, 0))
        split = TASKS.tasks[0].train
        for epoch in (0, 1):
            optimizer.zero_grad()
            gradients(Batch(model, workload.loss, split.inputs, split.targets, epoch=epoch))
            optimizer.step()
        optimizer.register_step_pre_hook(
            lambda *_: anchors.append(costs.penalty.kept["anchor"]["hidden.weight"].clone())
        )
        optimizer.register_step_post_hook(lambda *_: pulled.append(costs.penalty.pulls))
        before = model.hidden.weight.detach().clone()
        gradients.tell("finish_task", view_of(model, optimizer, 0))
    assert costs.penalty.tasks == 1
    assert (costs.penalty.omega["hidden.weight"] > 0).any()
    assert all(pulled)
    assert all(torch.equal(anchor, before) for anchor in anchors)
    assert len(anchors) == 5
    assert torch.equal(costs.penalty.kept["anchor"]["hidden.weight"], model.hidden.weight)
    assert not torch.equal(model.hidden.weight, before)


def test_the_cost_is_of_the_last_epoch_and_of_the_hidden_weight_alone():
    method = METHODS["cost-per-synapse"]
    model = workload.model()
    optimizer = method.build(model, values(method))
    split = TASKS.tasks[0].train
    with attached(method.estimators, model, optimizer, 0) as gradients:
        (costs,) = gradients._parts
        assert list(costs.penalty.weights) == ["hidden.weight"]
        for epoch in (0, 0, 1, 1):
            optimizer.zero_grad()
            if epoch == 1 and costs._epoch == (0, 0):
                expected = torch.zeros_like(model.hidden.weight)
            before = model.hidden.weight.detach().clone()
            gradients(Batch(model, workload.loss, split.inputs, split.targets, epoch=epoch))
            optimizer.step()
            if epoch == 1:
                expected += (model.hidden.weight.detach() - before) ** 2
    assert torch.allclose(costs.penalty.kept["cost"]["hidden.weight"], expected)


def test_blocks_forget_less_than_nothing_does_and_joint_training_least():
    pytest.importorskip("sklearn")
    data = split_digits.data(None)
    found = {}
    for name in ("naive", "blocks", "joint"):
        asked = Assignment(split_digits, METHODS[name], data, {"lr": 0.03}, 0, 3, 10, SCHEDULES["constant"])
        found[name] = module.train(asked, with_test=True).test_metric
    assert found["naive"] + 0.2 < found["blocks"] < found["joint"] - 0.1


@pytest.mark.parametrize("name", sorted(set(METHODS) - {"naive", "ewc", "si", "joint"}))
def test_another_model_is_refused(name):
    other = dataclasses.replace(workload, model=lambda: nn.Linear(4, 6))
    with pytest.raises(InputError, match="need a workload whose model is a ContinualNet, such as 'split-digits', got"):
        METHODS[name].build(other.model(), values(METHODS[name]))


def test_a_split_has_the_classes_of_each_task_and_nothing_of_the_others():
    tasks = split_by_class(clouds(), CLASSES)
    assert isinstance(tasks, Tasks)
    for task, labels in zip(tasks.tasks, CLASSES, strict=True):
        assert [len(part) for part in task] == [40, 12, 12]
        assert all(set(part.targets.tolist()) == set(labels) for part in task)
    some = split_by_class(clouds(), [(2,), (5,)])
    assert len(some.train) == 40


def test_data_that_cannot_be_split_is_refused():
    part = Split(torch.zeros(3, 2), torch.tensor([0, 1, 1]))
    with pytest.raises(InputError, match="the train data has no sample of class 2"):
        split_by_class(Splits(part, part, part), [(0, 1), (2,)])
    floats = Split(torch.zeros(3, 2), torch.zeros(3))
    with pytest.raises(InputError, match="targets must be labels, integers"):
        split_by_class(Splits(floats, floats, floats), [(0,)])


def test_the_workloads_are_as_the_source_has_them():
    assert DIGIT_PAIRS == ((0, 1), (2, 3), (4, 5), (6, 7), (8, 9))
    assert list(map(len, TENS_OF_47)) == [5] * 7 + [4] * 3
    assert [label for labels in TENS_OF_47 for label in labels] == list(range(47))
    assert (split_digits.batch_size, split_digits.epochs) == (10, 10)
    letters = split("letters", clouds, TENS_OF_47, features=3630, hidden=4)
    assert letters.model()(torch.zeros(1, 3630)).shape == (1, 47)
    pytest.importorskip("sklearn")
    assert len(split_digits.data(None).tasks) == 5
