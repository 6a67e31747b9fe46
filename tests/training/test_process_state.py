"""A run never depends on the process that it happens in, nor on what was imported or ran there before it."""

import dataclasses
import gc
import logging
import logging.config
import os
import random
import signal
import sys
import warnings
from operator import attrgetter

import cloudpickle
import numpy as np
import pytest
import torch
from torch import nn

from steepest.compare import Method
from steepest.compare.records.record import Job
from steepest.compare.running.processes import ProcessPool
from steepest.compare.running.setting import Setting
from steepest.compare.running.spares import Spares
from steepest.compare.running.worker import Pipe, serve
from steepest.compare.study.freeze import freeze_study
from steepest.compare.study.request import Request
from steepest.training.code.lookup import reference_of
from steepest.training.process.state import ProcessState, users_code
from tests.compare import tiny
from tests.training.runs import train


def draw():
    return torch.rand(1).item(), np.random.rand(), random.random()


def backends():
    return [torch.backends.cudnn.benchmark, torch.backends.cuda.math_sdp_enabled()]


CHANGES = {
    "threads": (lambda: torch.set_num_threads(torch.get_num_threads() + 2), torch.get_num_threads),
    "dtype": (lambda: torch.set_default_dtype(torch.float64), torch.get_default_dtype),
    "device": (lambda: torch.set_default_device("meta"), torch.get_default_device),
    "grad mode": (lambda: torch.set_grad_enabled(False), torch.is_grad_enabled),
    "autocast": (lambda: torch.set_autocast_enabled("cpu", True), lambda: torch.is_autocast_enabled("cpu")),
    "matmul": (lambda: torch.set_float32_matmul_precision("medium"), torch.get_float32_matmul_precision),
    "deterministic": (lambda: torch.use_deterministic_algorithms(True), torch.are_deterministic_algorithms_enabled),
    "anomaly": (lambda: torch.autograd.set_detect_anomaly(True), torch.is_anomaly_enabled),
    "denormals": (lambda: torch.set_flush_denormal(True), lambda: 5e-324 * float(len("x")) == 0),
    "cudnn": (lambda: setattr(torch.backends.cudnn, "benchmark", True), backends),
    "mkldnn": (
        lambda: setattr(torch.backends.mkldnn, "deterministic", True),
        lambda: torch.backends.mkldnn.deterministic,
    ),
    "uninitialized": (
        lambda: setattr(torch.utils.deterministic, "fill_uninitialized_memory", False),
        lambda: torch.utils.deterministic.fill_uninitialized_memory,
    ),
    "conversion": (
        lambda: torch.__future__.set_swap_module_params_on_conversion(True),
        torch.__future__.get_swap_module_params_on_conversion,
    ),
    "fast path": (lambda: torch.backends.mha.set_fastpath_enabled(False), torch.backends.mha.get_fastpath_enabled),
    "cache": (lambda: torch.set_autocast_cache_enabled(False), torch.is_autocast_cache_enabled),
    "collection": (gc.disable, gc.isenabled),
    "attention": (lambda: torch.backends.cuda.enable_math_sdp(False), backends),
    "hooks": (
        lambda: nn.modules.module.register_module_forward_hook(lambda *_: None),
        lambda: len(nn.modules.module._global_forward_hooks),
    ),
    "numpy": (lambda: np.seterr(all="raise"), np.geterr),
    "folder": (lambda: os.chdir("/"), os.getcwd),
    "random": (draw, lambda: (random.getstate(), torch.get_rng_state().tolist(), np.random.get_state()[1].tolist())),
    "warnings": (lambda: warnings.simplefilter("error"), lambda: list(warnings.filters)),
    "signals": (lambda: signal.signal(signal.SIGINT, signal.SIG_IGN), lambda: signal.getsignal(signal.SIGINT)),
    "modules": (lambda: sys.path.clear(), lambda: sorted(set(sys.path))),
    "streams": (lambda: setattr(sys, "stdout", None), lambda: sys.stdout),
    "recursion": (lambda: sys.setrecursionlimit(5000), sys.getrecursionlimit),
}
QUIET = {"random", "warnings", "signals", "modules", "streams", "recursion", "collection"}


@pytest.mark.parametrize("name", CHANGES)
def test_what_users_code_changes_is_put_back_and_told(name, caplog):
    change, read = CHANGES[name]
    before = read()
    with caplog.at_level(logging.WARNING, "steepest"), users_code("net.py"):
        change()
        changed = read() != before
    assert changed
    assert read() == before
    told = [record.getMessage() for record in caplog.records]
    if name in QUIET:
        assert told == []
    else:
        [sentence] = told
        assert sentence.startswith("net.py changes ")
        assert sentence.endswith("; every run has what was there before")


@pytest.mark.skipif(not hasattr(torch.backends, "fp32_precision"), reason="torch cannot say it by backend yet")
@pytest.mark.parametrize("path", ["", "cuda.matmul", "mkldnn.matmul", "cudnn", "cudnn.conv"])
def test_a_precision_that_is_set_by_backend_is_put_back(path):
    """The older way to say it cannot even be read then."""
    owner = attrgetter(f"backends.{path}".rstrip("."))(torch)
    before = ProcessState()
    owner.fp32_precision = "tf32" if path != "cudnn.conv" else "ieee"
    changed = before.restore()
    assert len(changed) == 1
    assert "fp32_precision of " in changed[0]
    assert before.restore() == []
    assert torch.get_float32_matmul_precision() == "highest"


def test_it_is_put_back_when_the_code_raises():
    def module():
        torch.set_default_dtype(torch.float64)
        raise ValueError("planted")

    with pytest.raises(ValueError, match="planted"), users_code("net.py"):
        module()
    assert torch.get_default_dtype() is torch.float32


@pytest.mark.parametrize(
    "silence",
    [
        logging.disable,
        lambda: logging.config.dictConfig({"version": 1}),  # which disables the loggers that it does not name
        lambda: logging.getLogger("steepest").setLevel("ERROR"),
    ],
    ids=["disable", "dictConfig", "setLevel"],
)
def test_what_users_code_silences_is_said_all_the_same(silence):
    log, before = logging.getLogger("steepest"), ProcessState()
    silence()
    assert not log.isEnabledFor(logging.WARNING) or log.disabled
    before.restore()
    assert log.isEnabledFor(logging.WARNING)
    assert not log.disabled


def test_what_users_code_prints_is_no_part_of_the_table(capsys):
    with users_code("net.py"):
        print("hello")
    assert capsys.readouterr() == ("", "hello\n")


def test_inference_mode_that_was_left_on_is_said():
    before = ProcessState()
    mode = torch.inference_mode()
    mode.__enter__()
    try:
        with pytest.raises(RuntimeError, match="entered and not left"):
            before.restore()
    finally:
        mode.__exit__(None, None, None)


def spoiling():
    """A model that leaves the process changed in every way that can be put back."""
    model = nn.Linear(4, 2)
    for name in ("dtype", "matmul", "deterministic", "hooks", "numpy", "random", "denormals"):
        CHANGES[name][0]()
    os.environ["LEFT_BEHIND"] = "1"
    return model.float()


def serve_all(jobs, workloads, methods):
    """What a worker of this process answers, and whether it was left as it was."""
    study = freeze_study(Request(workloads, methods, trials=1, seeds=1, device="cpu"))
    parts = {reference_of(part): part for part in [*workloads, *methods]}
    left, said = list(jobs), []

    def receive():
        if not left:
            raise EOFError
        return left.pop(0)

    serve(Pipe(receive, said.append), Setting(study, None, cloudpickle.dumps(parts)))
    return [message for message in said if hasattr(message, "status")]


def test_a_run_is_the_same_after_one_that_changed_the_process():
    messy = dataclasses.replace(tiny.clouds, name="messy", model=spoiling)
    jobs = [Job(name, "good", "final", 0, 1, {"lr": 0.1}) for name in ("messy", "clouds")]
    state, environment = ProcessState(), dict(os.environ)
    try:
        [alone] = serve_all(jobs[1:], [messy, tiny.clouds], [tiny.good])
        _, after = serve_all(jobs, [messy, tiny.clouds], [tiny.good])
    finally:
        state.restore()
        os.environ.clear()
        os.environ.update(environment)
    assert alone.status == "finished", alone.error
    assert (after.curve, after.test_loss) == (alone.curve, alone.test_loss)


def test_what_a_model_changes_of_its_data_changes_no_later_run():
    """As one that scales, in place, what its file holds."""
    splits = tiny.two_clouds(None)

    def model():
        splits.train.inputs.mul_(2)
        return nn.Linear(4, 2)

    spoiling = dataclasses.replace(tiny.clouds, data=lambda _: splits, model=model)
    jobs = [Job("clouds", "good", "tune", i, 0, {"lr": 0.1}) for i in range(2)]
    first, second = serve_all(jobs, [spoiling], [tiny.good])
    assert first.status == "finished", first.error
    assert second.curve == first.curve


def test_a_model_cannot_choose_its_threads():
    seen = []

    def model():
        torch.set_num_threads(3)
        linear = nn.Linear(4, 2)
        linear.register_forward_pre_hook(lambda *_: seen.append(torch.get_num_threads()))
        return linear

    threads = ProcessState()
    try:
        torch.set_num_threads(1)
        workload = dataclasses.replace(tiny.clouds, model=model)
        train(workload, tiny.good, tiny.two_clouds(None), {"lr": 0.1}, seed=1, epochs=1, batch_size=20, with_test=False)
    finally:
        threads.restore()
    assert set(seen) == {1}


class Saying(torch.optim.SGD):
    """Prints, then fails with what its process is."""

    def step(self, closure=None):
        print("hello from a worker")
        raise KeyboardInterrupt(f"{os.getpid()} {os.environ.get('SET_LATER')} {os.environ['PYTHONHASHSEED']}")


def test_a_process_in_which_a_run_failed_is_not_used_again(capfd, monkeypatch):
    """The one in its place is born in the same environment, whatever has been set in between."""
    monkeypatch.delenv("SET_LATER", raising=False)
    saying = Method("saying", Saying, tiny.LR)
    study = freeze_study(Request([tiny.clouds], [saying], trials=2, seeds=1, device="cpu"))
    given = cloudpickle.dumps({reference_of(part): part for part in (tiny.clouds, saying)})
    records = []
    with Spares(1) as spares, ProcessPool(1, Setting(study, None, given), spares) as pool:
        for index in range(2):
            pool.submit(Job("clouds", "saying", "tune", index, 0, {"lr": 0.1}))
            while pool.running:
                records += [event.record for event in pool.events(1.0)]
            monkeypatch.setenv("SET_LATER", "1")
    said = [record.error.strip().splitlines()[-1].split() for record in records]
    assert [words[0] for words in said] == ["KeyboardInterrupt:"] * 2
    assert said[0][1] != said[1][1]
    assert [words[2:] for words in said] == [["None", "0"]] * 2
    out, err = capfd.readouterr()
    assert out == ""
    assert err.count("hello from a worker") == 2
