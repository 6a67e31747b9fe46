"""One run on two ranks is that run on one; and the whole command under torchrun."""

import dataclasses
import tempfile
from pathlib import Path

import pytest
import torch
from torch import nn

from steepest.compare.lookup import find_method
from steepest.compare.running.checkpoint import Checkpoint, same
from steepest.compare.running.ranks import ALONE, ProcessGroup
from steepest.compare.running.train import train
from tests.compare import tiny
from tests.ranks import on_ranks

METHODS = ("sgd", "adamw", "sngm", "bng", "lars", "ssgd+sngm", "csgd", "csgd-learned", "sam")
STRATEGIES = ("ddp", "fsdp2")
CPU = torch.device("cpu")


def network():
    return nn.Sequential(nn.Linear(4, 7), nn.Tanh(), nn.Sequential(nn.Linear(7, 5), nn.Tanh()), nn.Linear(5, 2))


def jittered(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)


workload = dataclasses.replace(tiny.clouds, model=network, augment=jittered, evaluation_batch=33)


def run(method, ranks=ALONE, model=network, **options):
    """Outcome, and the full weights at the end."""
    models = []
    spied = dataclasses.replace(workload, model=lambda: models.append(model()) or models[-1])
    given = {"seed": 1, "epochs": 2, "batch_size": 22, "with_test": True, "ranks": ranks, **options}
    outcome = train(spied, find_method(method), tiny.two_clouds(None), {"lr": 0.05}, **given)
    weights = [getattr(p, "full_tensor", lambda p=p: p)().detach() for p in models[-1].parameters()]
    return dataclasses.replace(outcome, seconds=0), torch.cat([w.flatten() for w in weights])


def methods(rank):
    seen = {}
    for name in METHODS:
        alone, weights = run(name)
        for strategy in STRATEGIES:
            outcome, others = run(name, ProcessGroup(strategy, CPU))
            apart = ((others - weights).norm() / weights.norm()).item()
            seen[strategy, name] = (outcome, alone, apart)
    return seen


class Wilful(nn.Sequential):
    """Draws and averages by itself on every rank."""

    def __init__(self):
        super().__init__(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 2))
        self.dropped = []
        self[2].register_forward_hook(self.note)

    def note(self, layer, args, out):
        if layer.training:
            self.dropped.append(out.detach() == 0)


class Interrupting(Checkpoint):
    """Due after every validation; the run ends after the given one."""

    def __init__(self, path, last):
        super().__init__(path)
        self.left = last

    def due(self):
        return True

    def save(self, identity, state):
        super().save(identity, state)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


def checkpoints(rank):
    seen = {}
    for strategy in STRATEGIES:
        for name in ("csgd-learned+ssgd+sngm", "adamw"):
            ranks = ProcessGroup(strategy, CPU)
            folder = Path(ranks.agree(tempfile.mkdtemp()))
            whole, weights = run(name, ranks, Wilful, epochs=3)
            steps = []

            def again(last=-1, own=rank, steps=steps, name=name, ranks=ranks, folder=folder):
                def model():
                    made = Wilful()
                    made.register_forward_pre_hook(lambda module, args: steps.append(1) if module.training else None)
                    return made

                steps.clear()
                return run(name, ranks, model, epochs=3, checkpoint=Interrupting(folder / f"{own}.pt", last))

            with pytest.raises(KeyboardInterrupt):
                again(last=2)
            outcome, others = again()
            resumed = len(steps)
            (folder / f"{rank}.pt").unlink()  # and once more, but one rank loses its file: all begin anew
            with pytest.raises(KeyboardInterrupt):
                again(last=1)
            if rank == 1:
                (folder / "1.pt").unlink()
            anew, once_more = again()
            seen[strategy, name] = (
                outcome == whole == anew,
                same(others, weights) and same(once_more, weights),
                resumed,
                len(steps),
            )
    return seen


def streams(rank):
    """Initial weights, what dropout drops and running statistics."""
    seen = {}
    for strategy in STRATEGIES:
        models = []

        def model(models=models):
            models.append(Wilful())
            models.append([p.detach().clone() for p in models[0].parameters()])
            return models[0]

        outcome, _ = run("sgd", ProcessGroup(strategy, CPU), model)
        seen[strategy] = (models[1], models[0].dropped, models[0][1].running_mean, outcome)
    return seen


def pruned(rank):
    """Rank 0 decides."""
    ranks = ProcessGroup("ddp", CPU)
    return run("sgd", ranks, progress=lambda seen: rank == 0)[0], run("sgd", ranks, progress=lambda seen: rank == 1)[0]


def everything(rank):
    return {part.__name__: part(rank) for part in (methods, checkpoints, streams, pruned)}


@pytest.fixture(scope="module")
def seen():
    """By rank. Starting the ranks takes longer than all they do."""
    return on_ranks(everything)


def test_two_ranks_are_one_process(seen):
    for ranks in seen:
        assert len(ranks["methods"]) == len(METHODS) * len(STRATEGIES)
        for case, (outcome, alone, apart) in ranks["methods"].items():
            assert apart < 1e-5, case
            assert outcome.curve.gradient_evaluations == alone.curve.gradient_evaluations, case
            for name in ("train_loss", "validation_loss", "validation_metric"):
                assert getattr(outcome.curve, name) == pytest.approx(getattr(alone.curve, name), rel=1e-5), case
            assert outcome.test_loss == pytest.approx(alone.test_loss, rel=1e-5), case
            assert outcome.test_metric == pytest.approx(alone.test_metric, rel=1e-6), case
            assert outcome.samples == alone.samples
    for case in seen[0]["methods"]:
        assert seen[0]["methods"][case][0] == seen[1]["methods"][case][0], case


def test_a_run_on_ranks_goes_on_from_its_checkpoints(seen):
    for ranks in seen:
        for case, (outcomes, weights, resumed, anew) in ranks["checkpoints"].items():
            assert outcomes, case
            assert weights, case
            per_step = 2 if "ssgd" in case[1] else 1
            assert resumed == 5 * per_step, case
            assert anew == 15 * per_step, case


def test_ranks_begin_alike_and_drop_apart(seen):
    for strategy in STRATEGIES:
        (weights, dropped, mean, outcome), (weights_1, dropped_1, mean_1, outcome_1) = (
            ranks["streams"][strategy] for ranks in seen
        )
        assert same(weights, weights_1)
        assert len(dropped) == len(dropped_1) == 10
        assert not any(map(torch.equal, dropped, dropped_1))
        assert torch.equal(mean, mean_1)
        assert outcome == outcome_1


def test_rank_0_decides_about_pruning(seen):
    for ranks in seen:
        stopped, went_on = ranks["pruned"]
        assert stopped.pruned
        assert stopped.gradient_evaluations == 5
        assert not went_on.pruned
