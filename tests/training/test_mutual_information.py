"""sgd-mi and sgd-mi-layer: what a run does of them, that it resumes, on one rank and on two, and what is refused."""

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare.records.lines import RECORDS
from steepest.data import Split, Splits
from steepest.schedules import ConfusionCounts, MutualInformationLR
from steepest.training.builtin import INSTRUMENTS, METHODS
from steepest.training.code.lookup import find_method
from steepest.training.definitions.ranks import ALONE
from steepest.training.loop.checkpoint import Checkpoint
from steepest.training.process.group import ProcessGroup
from tests.compare import tiny
from tests.ranks import on_ranks
from tests.training.runs import train
from tests.training.test_strategy import results, wait_for

SPLITS = tiny.two_clouds(None)
NAMES = ("sgd-mi", "sgd-mi-layer")


def network():
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2))


workload = dataclasses.replace(tiny.clouds, model=network)


def run(name, *, epochs=6, lr=0.1, splits=SPLITS, with_workload=workload, **options):
    given = {"seed": 1, "batch_size": 20, "with_test": True, "instruments": [INSTRUMENTS["lr"]], **options}
    outcome = train(with_workload, find_method(name), splits, {"lr": lr}, epochs=epochs, **given)
    return dataclasses.replace(outcome, seconds=0)


def rates_by_hand(epochs=6, lr=0.1):
    """The lr after each epoch of ``sgd-mi``, from a loop of one's own over the same batches."""
    from steepest.training.loop.batches import Batches
    from steepest.training.process.randomness import seed_generators

    seed_generators(1)
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=lr, momentum=0.9)
    scheduler = MutualInformationLR(optimizer, lr / 1000, lr)
    batches, seen, found = Batches(SPLITS.train, 20, 1), ConfusionCounts(2), []
    for step in range(6 * epochs):
        x, y = next(batches)
        optimizer.zero_grad()
        logits = model(x)
        nn.functional.cross_entropy(logits, y).backward()
        seen.update(logits, y)
        optimizer.step()
        if step % 6 == 5:
            found.append(optimizer.param_groups[0]["lr"])  # as it was in the step before the validation
            scheduler.step(seen)
            seen.reset()
    return found


def test_the_rate_of_a_run_is_that_of_a_loop_of_ones_own():
    found = run("sgd-mi").curve["lr"]
    assert found == pytest.approx(rates_by_hand(), rel=1e-12)
    assert found[-1] < 0.1


def test_the_rates_of_layers_differ():
    seen = []
    find = find_method("sgd-mi-layer")

    def noting(params, **options):
        seen.append(find.optimizer(params, **options))
        return seen[-1]

    method = dataclasses.replace(find, optimizer=noting)
    train(workload, method, SPLITS, {"lr": 0.1}, seed=1, epochs=6, batch_size=20, with_test=False)
    [optimizer] = seen
    assert [group["layer"] for group in optimizer.param_groups] == ["0", "3"]
    first, second = (group["lr"] for group in optimizer.param_groups)
    assert first != second
    assert max(first, second) < 0.1


@pytest.mark.parametrize("name", ["ssgd+sgd-mi", "ssgd-full+sgd-mi-layer", "sam+sgd-mi-layer", "csgd+sgd-mi"])
def test_behind_an_estimator_every_point_is_counted(name, monkeypatch):
    counted = []
    step = MutualInformationLR.step

    def noting(self, counts):
        counted.append(int(counts.table().sum()))
        step(self, counts)

    monkeypatch.setattr(MutualInformationLR, "step", noting)
    found = run(name, epochs=12).curve["lr"]
    assert found[-1] < 0.1
    assert set(counted) == {120}  # an epoch's worth of evaluations


class Due(Checkpoint):
    """Due after every step; the process is ended, so to say, after so many."""

    def __init__(self, path, left=-1):
        super().__init__(path)
        self.left = left

    def due(self):
        return True

    def save(self, identity, state):
        super().save(identity, state)
        self.left -= 1
        if self.left == 0:
            raise KeyboardInterrupt


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("at", [3, 18, 26])
def test_an_interrupted_run_resumes_bit_for_bit(tmp_path, name, at):
    whole = run(name)
    with pytest.raises(KeyboardInterrupt):
        run(name, checkpoint=Due(tmp_path / "run.pt", at))
    steps = []
    optimizer = find_method(name).optimizer

    def counting(params, **options):
        made = optimizer(params, **options)
        made.register_step_post_hook(lambda *_: steps.append(1))
        return made

    method = dataclasses.replace(find_method(name), optimizer=counting)
    again = train(
        workload,
        method,
        SPLITS,
        {"lr": 0.1},
        seed=1,
        epochs=6,
        batch_size=20,
        with_test=True,
        instruments=[INSTRUMENTS["lr"]],
        checkpoint=Checkpoint(tmp_path / "run.pt"),
    )
    assert len(steps) == 36 - at
    assert dataclasses.replace(again, seconds=0) == whole


def on_a_rank(rank):
    found = {}
    for name, strategy in CASES:
        ranks = ProcessGroup(strategy, torch.device("cpu"))
        path = Path(ranks.agree(tempfile.mkdtemp()), f"{rank}.pt")
        whole = run(name, epochs=6, ranks=ranks).curve
        if strategy == "ddp":
            with contextlib.suppress(KeyboardInterrupt):
                run(name, epochs=6, ranks=ranks, checkpoint=Due(path, 3))
            assert path.exists()
            assert run(name, epochs=6, ranks=ranks, checkpoint=Checkpoint(path)).curve == whole
        found[name, strategy] = whole, run(name, epochs=6, ranks=ALONE).curve
    return found


CASES = (("sgd-mi", "ddp"), ("sgd-mi-layer", "ddp"), ("sgd-mi-layer", "fsdp2"))


@pytest.mark.slow
def test_ranks_move_together_and_as_one():
    first, second = on_ranks(on_a_rank)
    for case in CASES:
        whole, alone = first[case]
        assert whole["lr"] == pytest.approx(alone["lr"], rel=1e-3)
        assert whole["validation_loss"] == second[case][0]["validation_loss"]
        assert whole["lr"][-1] < 0.1


def test_what_has_no_classes_is_refused_at_the_first_batch():
    regression = dataclasses.replace(
        workload,
        model=lambda: nn.Linear(4, 1),
        loss=lambda outputs, targets: (outputs[:, 0] - targets).square().mean(),
        metric=lambda outputs, targets: (outputs[:, 0] - targets).square().mean(),
    )
    floats = Splits(*(Split(split.inputs, split.targets.float()) for split in SPLITS))
    with pytest.raises(InputError, match=r"needs targets that are classes: targets must be integers, .*float32"):
        run("sgd-mi", with_workload=regression, splits=floats)
    with pytest.raises(InputError, match=r"needs targets that are classes: logits must have a score for 2 classes"):
        run("sgd-mi", with_workload=regression)


def test_an_epoch_of_one_class_is_refused():
    zeros = Splits(*(Split(split.inputs, torch.zeros_like(split.targets)) for split in SPLITS))
    with pytest.raises(InputError, match="cannot be set: all 120 samples are of class 0"):
        run("sgd-mi", splits=zeros)


def test_groups_of_layers_take_no_weight_decay():
    with pytest.raises(InputError, match="takes no weight_decay other than 0"):
        METHODS["sgd-mi-layer"].build(network(), {"lr": 0.1, "weight_decay": 0.1})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_left_on_the_model(name):
    models = []

    def made():
        models.append(network())
        return models[-1]

    run(name, with_workload=dataclasses.replace(workload, model=made))
    kinds = {type(hook).__name__ for m in models[-1].modules() for hook in m._forward_hooks.values()}
    assert "_Coder" not in kinds


def study(out):
    command = [sys.executable, "-m", "steepest", "compare", "digits-mlp", "--out", str(out)]
    command += ["--methods", "sgd,sgd-mi,sgd-mi-layer", "--trials", "2", "--seeds", "2", "--epochs", "3"]
    return subprocess.Popen(
        [*command, "--measure", "lr", "--checkpoint-seconds", "0", "--jobs", "1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


@pytest.mark.slow
def test_a_killed_study_ends_in_the_same_records(tmp_path):
    process = study(tmp_path / "undisturbed")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    out = tmp_path / "study"
    for count in (3, 8):
        process = study(out)
        wait_for(lambda count=count: (out / RECORDS).exists() and len(results(out)) >= count)
        time.sleep(0.1)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate(timeout=300)
    process = study(out)
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert results(out) == results(tmp_path / "undisturbed")


def test_a_study_with_it_shows_the_learning_rate_of_every_run(tmp_path):
    from steepest.compare import Study

    study = Study("digits-mlp", methods=["sgd", "sgd-mi"], trials=1, seeds=2, epochs=2, jobs=1, out=tmp_path / "study")
    assert [instrument.name for instrument in study.spec.shared.instruments] == ["lr"]
    assert study.run(progress=False)
    assert all(len(record.curve["lr"]) == 2 for record in study.records())
    assert "Learning rate while training" in study.report().read_text()
    plain = Study("digits-mlp", methods=["sgd"], trials=1, seeds=2, epochs=2)
    assert not plain.spec.shared.instruments
