"""Workloads, methods and how they are found."""

import sys

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Method, Range, Workload, accuracy
from steepest.compare.builtin import METHODS, WORKLOADS
from steepest.compare.lookup import find_method, find_workload, source_digest
from steepest.data import digits


@pytest.mark.parametrize(
    ("low", "high", "log", "message"),
    [
        (1.0, 0.1, True, "a range needs low < high, both finite, got 1.0:0.1"),
        (1.0, 1.0, True, "a range needs low < high"),
        (0.0, 1.0, True, "a logarithmic range needs low > 0, got 0.0:1.0"),
        (-1.0, 1.0, True, "low > 0"),
        (1.0, float("inf"), True, "both finite"),
        (float("nan"), 1.0, False, "both finite"),
    ],
)
def test_bad_ranges(low, high, log, message):
    with pytest.raises(ValueError, match=message):
        Range(low, high, log)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"space": {}}, r"the space of method 'm' must hold 'lr'"),
        ({"fixed": {"lr": 1}}, r"has \['lr'\] both searched and fixed"),
        ({"name": ""}, "name must not be empty"),
        ({"evaluations_per_step": 0}, "evaluations_per_step must be at least 1, got 0"),
    ],
)
def test_bad_methods(options, message):
    with pytest.raises(ValueError, match=message):
        Method(**{"name": "m", "optimizer": torch.optim.SGD, "space": {"lr": Range(0.1, 1)}, **options})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"epochs": -1}, "epochs must be at least 1, got -1"),
        ({"name": ""}, "name must not be empty"),
    ],
)
def test_bad_workloads(options, message):
    given = {"name": "w", "data": lambda _: digits(), "model": nn.Identity, "batch_size": 1, "epochs": 1, "target": 1.0}
    with pytest.raises(ValueError, match=message):
        Workload(**{**given, **options})


def test_accuracy():
    outputs = torch.tensor([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 0.0]])
    assert accuracy(outputs, torch.tensor([0, 1, 1, 0])).item() == 0.75


@pytest.mark.parametrize("method", METHODS.values(), ids=lambda m: m.name)
def test_every_built_in_method_builds_and_steps(method):
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = method.build(model, {name: r.low for name, r in method.space.items()})
    model(torch.ones(2, 3)).square().sum().backward()
    optimizer.step()
    for name, value in method.fixed.items():
        assert all(group[name] == value for group in optimizer.param_groups if name != "weight_decay")
    assert all("param_names" in group for group in optimizer.param_groups)


def test_weight_decay_spares_biases_and_norm_layers():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = METHODS["adamw"].build(model, {"lr": 0.1})
    decay = {name: group["weight_decay"] for group in optimizer.param_groups for name in group["param_names"]}
    assert decay == {"0.weight": 0.01, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}


def test_every_built_in_workload_has_a_model_of_its_inputs():
    assert set(WORKLOADS) == {"digits-mlp", "mnist-mlp", "fashion-mlp", "fashion-cnn"}
    for name, workload in WORKLOADS.items():
        shape = (2, 64) if name == "digits-mlp" else (2, 1, 28, 28)
        assert workload.model()(torch.zeros(shape)).shape == (2, 10)


def test_a_file_of_the_users(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text(
        "import torch\nimport helper\nfrom steepest.compare import Method, Range\n"
        "m = Method('mine', torch.optim.SGD, space={'lr': Range(helper.LOW, 1)})\nnumber = 3\n"
    )
    (tmp_path / "helper.py").write_text("LOW = 0.125\n")  # beside it, as `python mine.py` would find it
    method = find_method(f"{path}:m")
    assert method.space["lr"].low == 0.125
    assert find_method(f"{path}:m") is method
    assert len(source_digest(f"{path}:m")) == 64
    with pytest.raises(InputError, match=r"has no 'nn'; methods in it: m$"):
        find_method(f"{path}:nn")
    with pytest.raises(InputError, match=r"must be a steepest.compare.Method, got int"):
        find_method(f"{path}:number")
    with pytest.raises(InputError, match=r"must be a steepest.compare.Workload, got Method"):
        find_workload(f"{path}:m")


def test_a_module_of_the_users(tmp_path, monkeypatch):
    package = tmp_path / "their_package"
    package.mkdir()
    (package / "zoo.py").write_text(
        "import torch\nfrom steepest.compare import Method, Range\n"
        "m = Method('theirs', torch.optim.SGD, space={'lr': Range(0.1, 1)})\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [p for p in sys.path if p])
    assert find_method("their_package.zoo:m").name == "theirs"


@pytest.mark.parametrize("content", ["import no_such_module", "1 / 0", "def broken(:", "raise SystemError('x')"])
def test_a_file_that_does_not_import(tmp_path, content):
    path = tmp_path / f"bad{abs(hash(content))}.py"
    path.write_text(content)
    with pytest.raises(InputError, match=r"could not be imported: \w+Error: "):
        find_workload(f"{path}:w")


@pytest.mark.parametrize(
    ("find", "reference", "message"),
    [
        (find_workload, "digit-mlp", "unknown workload 'digit-mlp'; did you mean 'digits-mlp'"),
        (find_workload, "xyz", "unknown workload 'xyz'; known are digits-mlp, mnist-mlp, fashion-mlp, fashion-cnn"),
        (find_method, "adam", "unknown method 'adam'; did you mean 'adamw'?"),
        (find_method, "some/file.py", "names a file but no method in it; write it as 'some/file.py:name'"),
        (find_method, "no/file.py:m", "there is no file 'no/file.py'"),
        (find_method, "no_module:m", "no_module could not be imported: ModuleNotFoundError"),
    ],
)
def test_not_found(find, reference, message):
    with pytest.raises(InputError, match=message):
        find(reference)
