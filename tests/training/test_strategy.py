"""One run on two ranks is that run on one; and the whole command under torchrun."""

import dataclasses
import json
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

from steepest.cli import run as run_command
from steepest.compare.records.folder import load_spec
from steepest.compare.records.lines import RECORDS
from steepest.training.code.lookup import find_method
from steepest.training.definitions.ranks import ALONE
from steepest.training.loop.checkpoint import Checkpoint, same
from steepest.training.process.group import ProcessGroup
from tests.compare import tiny
from tests.compare.tiny import Held
from tests.ranks import on_ranks
from tests.training.runs import train

METHODS = ("sgd", "adamw", "sngm", "bng", "lars", "ssgd+sngm", "csgd", "csgd-learned", "sam")
STRATEGIES = ("ddp", "fsdp2")
CPU = torch.device("cpu")


class Tanh(nn.Tanh):
    """As some layers do, it refuses an empty batch."""

    def forward(self, inputs):
        assert len(inputs)
        return super().forward(inputs)


def network():
    return nn.Sequential(nn.Linear(4, 7), Tanh(), nn.Sequential(nn.Linear(7, 5), nn.Tanh()), nn.Linear(5, 2))


def jittered(inputs, generator):
    return inputs + 0.1 * torch.randn(inputs.shape, generator=generator)


workload = dataclasses.replace(
    tiny.clouds, model=network, augment=jittered, evaluation_batch=59
)  # and 1, too few for two


def run(method, ranks=ALONE, model=network, **options):
    """Outcome, and the full weights at the end."""
    models = []
    spied = dataclasses.replace(workload, model=lambda: models.append(model()) or models[-1])
    given = {"seed": 1, "epochs": 2, "batch_size": 22, "with_test": True, "ranks": ranks, **options}
    outcome = train(spied, find_method(method), tiny.two_clouds(None), {"lr": 0.05}, **given)
    weights = [getattr(p, "full_tensor", lambda p=p: p)().detach() for p in models[-1].parameters()]
    return dataclasses.replace(outcome, seconds=0), torch.cat([w.flatten() for w in weights])


def one_layer():
    """Here the parameters are those of the module that is called, which FSDP2 gathers otherwise than its children's."""
    return nn.Linear(4, 2)


def methods(rank):
    seen = {}
    for name, model in [*((name, network) for name in METHODS), ("ssgd+sngm", one_layer), ("sam", one_layer)]:
        alone, weights = run(name, model=model)
        for strategy in STRATEGIES:
            outcome, others = run(name, ProcessGroup(strategy, CPU), model)
            apart = ((others - weights).norm() / weights.norm()).item()
            seen[strategy, name, model.__name__] = (outcome, alone, apart)
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


@pytest.mark.slow
def test_two_ranks_are_one_process(seen):
    for ranks in seen:
        assert len(ranks["methods"]) == (len(METHODS) + 2) * len(STRATEGIES)
        for case, (outcome, alone, apart) in ranks["methods"].items():
            assert apart < 1e-5, case
            assert outcome.curve["gradient_evaluations"] == alone.curve["gradient_evaluations"], case
            for name in ("train_loss", "validation_loss", "validation_metric"):
                assert outcome.curve[name] == pytest.approx(alone.curve[name], rel=1e-5), case
            assert outcome.test_loss == pytest.approx(alone.test_loss, rel=1e-5), case
            assert outcome.test_metric == pytest.approx(alone.test_metric, rel=1e-6), case
            assert outcome.samples == alone.samples
    for case in seen[0]["methods"]:
        assert seen[0]["methods"][case][0] == seen[1]["methods"][case][0], case


def test_a_run_on_ranks_resumes_from_its_checkpoints(seen):
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


TINY = str(Path(tiny.__file__))


def torchrun(out, *arguments, hold=None):
    """The command on two ranks, started."""
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "steepest"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", **({} if hold is None else {"TINY_HOLD": hold})}
    return subprocess.Popen(
        [*command, "compare", f"{TINY}:clouds", "--out", str(out), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=environment,
        start_new_session=True,
    )


def results(folder):
    """What the records say but for times."""
    records = [json.loads(line) for line in (folder / RECORDS).read_text().splitlines()]
    times = ("started", "finished", "seconds")
    return sorted(json.dumps({k: v for k, v in record.items() if k not in times}) for record in records)


@pytest.mark.slow
def test_the_command_under_torchrun(tmp_path):
    """A method that fails on all ranks at once is a failed run, and the others go on."""
    out = tmp_path / "study"
    methods = f"csgd+ssgd+sngm,{TINY}:raising"
    process = torchrun(out, "--methods", methods, "--trials", "2", "--seeds", "1", "--strategy", "fsdp2")
    said, _ = process.communicate(timeout=300)
    assert process.returncode == 0, said
    assert said.count("Report: ") == 1
    assert "2 of 2 runs failed, first with: ValueError: planted in step" in said
    assert "2 ranks by fsdp2" in (out / "report.html").read_text()
    assert len(results(out)) == 5
    spec = load_spec(out)
    assert (spec.shared.strategy, spec.shared.ranks) == ("fsdp2", 2)
    assert "torchrun --nproc-per-node 2 -m steepest compare" in (out / "report.md").read_text()
    assert not list(out.glob("checkpoints/*"))


@pytest.mark.slow
def test_killed_and_interrupted_it_ends_in_the_same_table(tmp_path):
    arguments = ("--methods", f"{TINY}:held,csgd-learned+sngm", "--trials", "2", "--seeds", "2", "--strategy", "ddp")
    arguments += ("--checkpoint-seconds", "0", "--sharpness")
    undisturbed = torchrun(tmp_path / "undisturbed", *arguments)
    said, _ = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, said
    out = tmp_path / "study"
    for count, disturb in ((1, kill_rank_1), (2, interrupt), (5, kill_torchrun)):
        process = torchrun(out, *arguments, hold=f"{out / RECORDS}:{count}")
        wait_for(lambda count=count: Held.finished(f"{out / RECORDS}:") >= count)
        time.sleep(0.5)
        disturb(process)
        said, _ = process.communicate(timeout=300)
        assert process.returncode != 0, said
    for more in ((), (), ("--plan",)):  # where nothing is left to run, the other rank does not wait for it
        process = torchrun(out, *arguments, *more)
        said, _ = process.communicate(timeout=300)
        assert process.returncode == 0, said
    assert results(out) == results(tmp_path / "undisturbed")


def kill_rank_1(process):
    ranks = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    os.kill(int(ranks[1]), signal.SIGKILL)


def interrupt(process):
    """As Ctrl-C does."""
    os.killpg(process.pid, signal.SIGINT)


def kill_torchrun(process):
    os.killpg(process.pid, signal.SIGKILL)


def wait_for(condition):
    deadline = time.monotonic() + 300
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--strategy", "dp"], "--strategy must be one of ddp, fsdp2, got 'dp'"),
        (["--strategy", "ddp", "--jobs", "2"], "--strategy takes one run at a time"),
        (["--strategy", "ddp", "--engine", "ray"], "--strategy takes one run at a time"),
        (["--strategy", "ddp", "--batch-size", "33"], "must divide by them, got 33"),
        (["--strategy", "ddp", "--batch-size", "2", "--methods", "ssgd"], "over 2 ranks and needs at least 4 samples"),
        (["--strategy", "fsdp2", "--sharpness"], "--measure sharpness is unavailable with --strategy fsdp2"),
        (["--strategy", "ddp", "--device", "cpu:0"], "--device must be cpu or cuda with --strategy"),
    ],
)
def test_what_cannot_be_is_one_sentence(arguments, sentence, monkeypatch, capsys):
    for name, value in (("RANK", "0"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "0"), ("MASTER_ADDR", "localhost")):
        monkeypatch.setenv(name, value)
    assert run_command(["compare", "digits-mlp", *arguments]) == 2
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_without_torchrun_the_sentence_says_what_to_type(monkeypatch, capsys):
    monkeypatch.delenv("RANK", raising=False)
    assert run_command(["compare", "digits-mlp", "--strategy", "ddp"]) == 2
    assert "torchrun --nproc-per-node 2 -m steepest compare WORKLOAD --strategy ddp" in capsys.readouterr().err
