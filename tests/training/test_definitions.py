"""Workloads, methods and how they are found."""

import re
import sys

import pytest
import torch
from torch import nn

from steepest._errors import InputError
from steepest.compare import Estimator, Method, Range, Workload, accuracy
from steepest.data import digits
from steepest.training.builtin import ESTIMATORS, METHODS, WORKLOADS
from steepest.training.code.lookup import find_method, find_workload, parts_of, source_digest
from steepest.training.loop.evaluate import set_mode


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
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))
    optimizer = method.build(model, {name: r.low for name, r in method.space.items()})
    before = [p.detach().clone() for p in model.parameters()]
    set_mode(optimizer, "train")

    def closure():
        optimizer.zero_grad()
        loss = model(torch.ones(2, 3)).square().sum()
        loss.backward()
        return loss

    if method.closure:
        optimizer.step(closure)
    else:
        closure()
        optimizer.step()
    assert not all(map(torch.equal, before, model.parameters()))
    for name, value in method.fixed.items():
        assert all(group[name] == value for group in optimizer.param_groups if name != "weight_decay")
    assert all("param_names" in group for group in optimizer.param_groups)


def test_weight_decay_spares_biases_and_norm_layers():
    model = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
    optimizer = METHODS["adamw"].build(model, {"lr": 0.1})
    decay = {name: group["weight_decay"] for group in optimizer.param_groups for name in group["param_names"]}
    assert decay == {"0.weight": 0.01, "0.bias": 0.0, "1.weight": 0.0, "1.bias": 0.0}


def test_every_built_in_workload_has_a_model_of_its_inputs():
    shapes = {"digits": (64,), "mnist": (1, 28, 28), "fashion": (1, 28, 28), "toy": (3, 32, 32), "cifar10": (3, 32, 32)}
    for name, workload in WORKLOADS.items():
        if name == "permutation-toy":  # whose inputs do not matter
            continue
        text = name.startswith("shakespeare")
        inputs = torch.zeros(2, 64, dtype=torch.int64) if text else torch.zeros(2, *shapes[name.partition("-")[0]])
        assert workload.model()(inputs).shape == ((2, 64, 66) if text else (2, 10))


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


@pytest.fixture
def own(tmp_path):
    """A user's file with a method, another that asks for its gradients, and an estimator."""
    path = tmp_path / "own.py"
    path.write_text(
        "import dataclasses\nimport torch\nfrom steepest.compare import Method, Range\n"
        "from steepest.training.builtin import ESTIMATORS\n"
        "m = Method('mine', torch.optim.Adam, space={'lr': Range(0.1, 1)}, description='an Adam')\n"
        "wide = dataclasses.replace(ESTIMATORS['ssgd'].with_options(alpha=0.2), name='wide')\n"
        "calibrated = dataclasses.replace(m, name='ours', estimators=(ESTIMATORS['csgd'],))\n"
    )
    return path


def estimators_of(reference):
    return [e.name for e in find_method(reference).estimators]


@pytest.mark.parametrize("name", ESTIMATORS)
def test_an_estimators_name_is_that_estimator_in_front_of_sgd(name):
    alone, sgd = METHODS[name], METHODS["sgd"]
    assert (alone.optimizer, alone.space, alone.fixed) == (sgd.optimizer, sgd.space, sgd.fixed)
    assert alone.estimators == find_method(f"{name}+sgd").estimators == (ESTIMATORS[name],)


def test_combinations_of_built_in_names():
    method, sngm = find_method("ssgd+sngm"), METHODS["sngm"]
    assert method.name == "ssgd+sngm"
    assert (method.optimizer, method.space, method.fixed) == (sngm.optimizer, sngm.space, sngm.fixed)
    assert estimators_of("ssgd+sngm") == ["ssgd"]
    assert estimators_of("csgd+ssgd+sngm") == ["csgd", "ssgd"]
    assert estimators_of("ssgd+csgd-learned+adamw") == ["ssgd", "csgd-learned"]
    assert estimators_of("csgd+ssgd") == ["csgd", "ssgd"]
    assert find_method("csgd + ssgd").name == "csgd+ssgd"
    assert [find_method(f"{name}+lars").cost for name in ("ssgd", "ssgd-full", "sam", "csgd")] == [1, 2, 2, 1]


def test_combinations_with_a_file_of_the_users(own, monkeypatch):
    method = find_method(f"ssgd+{own}:m")
    assert (method.name, method.optimizer) == ("ssgd+mine", torch.optim.Adam)
    assert method.description == "an Adam; gradient by ssgd"
    assert estimators_of(f"ssgd+{own}:calibrated") == ["ssgd", "csgd"]
    theirs = find_method(f"csgd+{own}:wide+{own}:m")
    assert theirs.name == "csgd+wide+mine"
    assert theirs.estimators[1].options["alpha"] == 0.2
    assert source_digest(f"ssgd+{own}:m") == source_digest(f"{own}:wide+{own}:m") == source_digest(f"{own}:m")
    assert source_digest("ssgd+sngm") is None
    monkeypatch.chdir(own.parent)
    assert find_method("ssgd+own.py:m").name == "ssgd+mine"
    before_built_in = find_method("own.py:wide+sngm")
    assert (before_built_in.name, before_built_in.optimizer) == ("wide+sngm", METHODS["sngm"].optimizer)
    assert find_method("own.py:wide + csgd+own.py:m").name == "wide+csgd+mine"


@pytest.mark.parametrize(
    "reference", ["a+b/c+d.py:m", "ssgd+a+b/c+d.py:m", "a+b/c+d.py:wide+a+b/c+d.py:m", "a+b/c+d.py:wide+sngm"]
)
def test_a_plus_in_the_path_of_a_file_parts_nothing(own, reference, monkeypatch):
    (own.parent / "a+b").mkdir()
    own.rename(own.parent / "a+b" / "c+d.py")
    monkeypatch.chdir(own.parent)
    assert find_method(reference).name in ("mine", "ssgd+mine", "wide+mine", "wide+sngm")


def test_two_files_of_the_users_have_one_digest(own):
    other = own.with_name("other.py")
    other.write_text(own.read_text() + "# another\n")
    digests = {source_digest(f"{a}:wide+{b}:m") for a in (own, other) for b in (own, other)}
    assert len(digests) == 4


def test_a_plus_in_a_path_parts_nothing(own):
    folder = own.parent / "a+b"
    folder.mkdir()
    path = folder / "own.py"
    own.rename(path)
    assert find_method(f"{path}:m").name == "mine"
    assert parts_of(f"ssgd+{path}:m") == ["ssgd", f"{path}:m"]


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
        (find_method, "adan", "unknown method 'adan'; did you mean 'adam'"),
        (find_method, "some/file.py", "names a file but no method in it; write it as 'some/file.py:name'"),
        (find_method, "no/file.py:m", "there is no file 'no/file.py'"),
        (find_method, "sgsd+sngm", "unknown estimator 'sgsd' in 'sgsd\\+sngm'; did you mean 'ssgd' or 'csgd'"),
        (find_method, "ssgd+sgnm", "unknown method 'sgnm' in 'ssgd\\+sgnm'; did you mean 'sngm'"),
        (find_method, "sngm+ssgd", "is a method and no gradient estimator; the method comes last: ssgd\\+sngm$"),
        (find_method, "sgd+sngm", "'sgd' in 'sgd\\+sngm' is a method and no gradient estimator$"),
        (find_method, "ssgd+", "'ssgd\\+' lacks a name before or after a"),
        (find_method, "+sngm", "lacks a name before or after a"),
        (find_method, "ssgd+sam+sgd", "^ssgd and sam both choose the points of evaluation; method 'ssgd\\+sam\\+sgd'"),
        (find_method, "csgd+csgd-learned", "^csgd and csgd-learned both calibrate the gradient"),
        (find_method, "ssgd+ssgd", "^ssgd and ssgd both choose"),
        (find_method, "ssgd+no/file.py:m", "there is no file 'no/file.py'"),
        (find_method, "ssgd+some/file.py", "names a file but no method in it"),
        (find_method, "no_module:m", "no_module could not be imported: ModuleNotFoundError"),
    ],
)
def test_not_found(find, reference, message):
    with pytest.raises(InputError, match=message):
        find(reference)


def fields_of_workload(**changed):
    given = {"name": "w", "data": lambda _: digits(), "model": nn.Identity, "batch_size": 1, "epochs": 1, "target": 1.0}
    return Workload(**{**given, **changed})


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", 3, "a workload's name must be a text, got 3"),
        ("data", (1, 2, 3), "workload 'w': data must be a function of the data folder that returns three parts, got"),
        (
            "model",
            nn.Linear(2, 1),
            "workload 'w': model must be a function that builds a fresh torch.nn.Module, such as",
        ),
        ("model", nn.Sequential(nn.Linear(2, 1)), "got a Sequential object"),
        ("model", "net", "got 'net'"),
        ("batch_size", "16", "batch_size must be a whole number of at least 1, got '16'"),
        ("batch_size", 16.0, "batch_size must be a whole number of at least 1, got 16.0"),
        ("epochs", True, "epochs must be a whole number of at least 1, got True"),
        ("evaluation_batch", None, "evaluation_batch must be a whole number of at least 1, got None"),
        ("target", "0.9", "target must be a number, got '0.9'"),
        ("target", True, "target must be a number, got True"),
        ("loss", None, "loss must be a function of outputs and targets, got None"),
        ("metric", "accuracy", "metric must be a function of outputs and targets, got 'accuracy'"),
        ("metric_name", None, "metric_name must be a text, got None"),
        ("higher_is_better", "no", "higher_is_better must be True or False, got 'no'"),
        ("percent", 1, "percent must be True or False, got 1"),
        ("description", 1, "description must be a text, got 1"),
        ("augment", 4, "augment must be a function of inputs and a generator, got 4"),
    ],
)
def test_every_field_of_a_workload_says_what_it_must_be(field, value, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        fields_of_workload(**{field: value})


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", None, "a method's name must be a text, got None"),
        ("optimizer", "sgd", "method 'm': optimizer must be a function of parameters and hyperparameters"),
        (
            "optimizer",
            torch.optim.SGD(nn.Linear(1, 1).parameters(), lr=1.0),
            "method 'm': optimizer must be a function",
        ),
        ("space", {"lr": (1e-3, 1.0)}, "the space of 'lr' must be a steepest.compare.Range, such as Range(0.001, 1.0)"),
        ("space", [("lr", Range(0.1, 1))], "space must map names to values"),
        ("space", {1: Range(0.1, 1), "lr": Range(0.1, 1)}, "space must map names to values"),
        ("fixed", ["momentum"], "fixed must map names to values"),
        ("evaluations_per_step", 1.5, "evaluations_per_step must be a whole number of at least 1, got 1.5"),
        ("closure", 1, "closure must be True or False, got 1"),
        ("description", None, "description must be a text, got None"),
        ("estimators", (METHODS["sgd"],), "estimators must be a tuple of steepest.compare.Estimator objects"),
        ("estimators", ESTIMATORS["sam"], "estimators must be a tuple of steepest.compare.Estimator objects"),
        ("prepare", "hooks", "prepare must be a function of the model, got 'hooks'"),
    ],
)
def test_every_field_of_a_method_says_what_it_must_be(field, value, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Method(**{"name": "m", "optimizer": torch.optim.SGD, "space": {"lr": Range(0.1, 1)}, field: value})


@pytest.mark.parametrize(
    ("low", "high", "log", "sentence"),
    [
        ("0.1", 1, True, "low of a range must be a number, got '0.1'"),
        (0.1, None, True, "high of a range must be a number, got None"),
        (0.1, [1], True, r"high of a range must be a number, got [1]"),
        (False, True, False, "low of a range must be a number, got False"),
        (0.1, 1, "yes", "log of a range must be True or False, got 'yes'"),
    ],
)
def test_the_ends_of_a_range_are_numbers(low, high, log, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Range(low, high, log)


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("name", 1, "an estimator's name must be a text, got 1"),
        ("kind", torch.ones(2), "the kind of estimator 'e' must be 'points' or 'calibration', got tensor"),
        ("attach", None, "estimator 'e': attach must be a function that returns a context manager, got None"),
        ("options", ["rho"], "estimator 'e': options must map names to values"),
        ("evaluations_per_step", "2", "estimator 'e': evaluations_per_step must be a whole number"),
        ("smallest_batch", 0, "estimator 'e': smallest_batch must be at least 1, got 0"),
    ],
)
def test_every_field_of_an_estimator_says_what_it_must_be(field, value, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Estimator(**{"name": "e", "attach": print, "kind": "points", field: value})


def test_numbers_may_be_numpys():
    import numpy

    workload = fields_of_workload(batch_size=numpy.int64(4), target=numpy.float32(0.5))
    assert (type(workload.batch_size), type(workload.target)) == (int, float)
    assert Range(numpy.float64(0.1), 1) == Range(0.1, 1.0)
