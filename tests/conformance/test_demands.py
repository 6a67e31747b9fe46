"""The suite on optimizers with demands of their own: matrices, closures, sparse gradients, a mode, other refusals."""

import subprocess
import sys

import pytest
import torch

from steepest.testing import CHECKS, ConformanceError, check_optimizer

LOOP = {"loop": {}}
FLOAT32 = {"dtypes": [torch.float32], "paths": LOOP}
MATRICES = {"a.weight": (5, 19), "b.weight": (6, 4)}


class Plain(torch.optim.Optimizer):
    """Gradient descent, correct in everything that the suite asks."""

    def __init__(self, params, lr=0.1):
        if lr < 0:
            raise ValueError(f"lr must be at least 0, got {lr}")
        super().__init__(params, {"lr": lr})

    def direction(self, grad):
        return grad

    @torch.no_grad()
    def step(self, closure=None):
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * self.direction(p.grad))
        return loss


class MatricesOnly(Plain):
    """As Muon: the polar factor of a matrix."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.dim() != 2 or p.is_complex():
                raise ValueError(f"real matrices only, no complex ones, got one of shape {tuple(p.shape)}")

    def direction(self, grad):
        if grad.is_sparse:
            raise RuntimeError("no sparse gradients")
        u, s, v = torch.linalg.svd(grad, full_matrices=False)
        return u @ torch.diag(s.sign().to(grad.dtype)) @ v


class NeedsClosure(Plain):
    """As SAM: a step of two evaluations, the second at perturbed weights."""

    @torch.no_grad()
    def step(self, closure):
        with torch.enable_grad():
            loss = closure()
        moved = [p for group in self.param_groups for p in group["params"] if p.grad is not None]
        before = [p.clone() for p in moved]
        for p in moved:
            p.add_(0.05 * p.grad)
        with torch.enable_grad():
            closure()
        for p, weights in zip(moved, before, strict=True):
            p.copy_(weights)
        super().step()
        return loss


class OneGroup(NeedsClosure):
    """As LBFGS: a closure, and one group."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        if len(self.param_groups) > 1:
            raise ValueError("OneGroup doesn't support per-parameter options")


class SparseOnly(Plain):
    """As SparseAdam."""

    def direction(self, grad):
        if not grad.is_sparse:
            raise RuntimeError("SparseOnly does not support dense gradients")
        return grad.to_dense()


class NeedsMode(Plain):
    """As Schedule-Free: refuses to step in evaluation mode, in which it begins."""

    def __init__(self, params, lr=0.1):
        super().__init__(params, lr)
        for group in self.param_groups:
            group["mode"] = "eval"

    def train(self):
        for group in self.param_groups:
            group["mode"] = "train"

    def add_param_group(self, group):
        super().add_param_group({**group, "mode": "train"})

    def step(self, closure=None):
        if any(group["mode"] != "train" for group in self.param_groups):
            raise Exception("call optimizer.train() first")
        return super().step(closure)


class NeedsToBeTold(NeedsMode):
    """The same under another name."""

    train = None

    def begin(self):
        NeedsMode.train(self)


@pytest.mark.parametrize(
    ("make", "arguments", "left_out"),
    [
        (Plain, {}, {"a NaN does not reach the weights"}),
        (MatricesOnly, {"parameters": MATRICES, **FLOAT32}, {"complex is two reals"}),
        (NeedsClosure, {"closure": True}, {"a GradScaler drives it"}),
        (OneGroup, {"closure": True, "layouts": ["tensors", "names"], **FLOAT32}, {"groups may be added"}),
        (
            SparseOnly,
            {"parameters": {"a": (9, 4), "b": (5, 3)}, "sparse": True, **FLOAT32},
            {"sparse gradients are right or refused"},
        ),
        (NeedsMode, FLOAT32, set()),
        (NeedsToBeTold, {"prepare": NeedsToBeTold.begin, **FLOAT32}, set()),
    ],
)
def test_it_serves_an_optimizer_with_demands(make, arguments, left_out):
    exclude = {"groups may be added": "one group alone"} if make is OneGroup else {}
    passed = check_optimizer(make, exclude=exclude, **arguments)
    assert left_out <= set(passed.left_out)
    assert set(passed) | set(passed.left_out) == set(CHECKS)
    assert not set(passed) & set(passed.left_out)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (NeedsClosure, r"missing 1 required positional argument: 'closure'; it takes a step with closure=True$"),
        (SparseOnly, r"does not support dense gradients; it takes a step with parameters=\{.*\}, sparse=True"),
        (NeedsToBeTold, r"call optimizer.train\(\) first$"),
    ],
)
def test_where_the_first_plain_step_fails_there_is_one_fault(make, said):
    with pytest.raises(ConformanceError, match=said) as found:
        check_optimizer(make, layouts=["tensors"], dtypes=[torch.float32], paths=LOOP)
    assert list(found.value.faults) == ["takes a plain step"]
    assert len(found.value.faults["takes a plain step"]) == 1


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (MatricesOnly, r"must build an optimizer from tensors, got: real matrices only.*; it takes a step with param"),
        (OneGroup, r"from groups, got: .*; it takes a step with closure=True, layouts=\['tensors', 'names'\]$"),
    ],
)
def test_what_cannot_be_built_is_said_with_what_can(make, said):
    with pytest.raises(ValueError, match=said):
        check_optimizer(make, **FLOAT32)


def test_parameters_may_come_from_a_function_and_a_closure_may_be_the_callers():
    calls = []

    def weights(dtype):
        torch.manual_seed(0)
        return {"only.weight": torch.nn.Parameter(torch.randn(2, 3, dtype=torch.float64).bfloat16().to(dtype))}

    def evaluate(params, grads):
        calls.append(set(params))
        loss = sum((p.double() * g.double()).sum() for p, g in zip(params.values(), grads.values(), strict=True))
        if params:
            loss.backward()
        return loss

    exclude = {"complex is two reals": "the closure's loss would be complex"}
    assert check_optimizer(NeedsClosure, parameters=weights, closure=evaluate, exclude=exclude, **FLOAT32)
    assert {"only.weight"} in calls


def test_bad_arguments_are_refused():
    shared = {"weight": torch.nn.Parameter(torch.ones(2))}
    for arguments, said in (
        ({"parameters": {}}, "parameters must name at least one shape"),
        ({"parameters": lambda dtype: {}}, "parameters must make at least one parameter"),
        ({"parameters": lambda dtype: shared}, "new ones of the same values each time, got another weight"),
        ({"parameters": lambda dtype: {"w": torch.randn(2, dtype=dtype)}}, "of the same values each time"),
        ({"parameters": lambda dtype: {"w": torch.ones(2).double()}}, "of the dtype it is given, got torch.float64"),
        ({"layouts": ["pairs"]}, "layouts must be some of 'tensors', .* got 'pairs'"),
        ({"exclude": {"speed": "slow here"}}, "exclude must hold names of CHECKS, got 'speed'"),
        ({"exclude": "closure "}, "exclude must hold names of CHECKS, got 'closure '"),
    ):
        with pytest.raises(ValueError, match=said):
            check_optimizer(Plain, **arguments)


def test_what_is_left_out_is_listed_with_its_reason():
    passed = check_optimizer(
        torch.optim.SGD,
        options=[{"lr": 0.1}],
        paths={"loop": {"foreach": False}, "both": {"foreach": True, "fused": True}},
        dtypes=[torch.float32],
        exclude={"closure": "another suite's"},
    )
    assert passed.left_out["closure"] == "another suite's"
    assert "together" in passed.left_out["both, {'lr': 0.1}"]
    assert "closure" not in passed


BROKEN = """
import torch
from steepest.testing import ConformanceError, check_optimizer


class Eats(torch.optim.SGD):
    def step(self, closure=None):
        if closure is not None:
            closure()
        for group in self.param_groups:
            for p in group["params"]:
                self.state[p]["junk"] = torch.tensor(float("nan"))
                if p.grad is not None:
                    p.data.sub_(p.grad, alpha=group["lr"] + 0.01)


try:
    check_optimizer(Eats, options=[{"lr": 0.1}], dtypes=[torch.float32], paths={"loop": {}}, skips_nonfinite=True)
except ConformanceError as error:
    print(*error.faults, sep="\\n")
"""


@pytest.mark.slow
def test_faults_are_found_where_asserts_are_stripped():
    done = subprocess.run([sys.executable, "-O", "-c", BROKEN], capture_output=True, text=True, check=True)
    assert set(done.stdout.splitlines()) >= {
        "zero gradients do not move",
        "lr 0 does not move",
        "lr may change",
        "closure",
        "a NaN does not reach the weights",
    }
