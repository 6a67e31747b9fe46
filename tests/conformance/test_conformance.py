"""The public suite on every optimizer of ours, on torch's SGD, and on optimizers that are broken on purpose."""

import re

import pytest
import torch

from steepest import INSGD, LARS, SNGM, SSGD, BlockNormalizedSGD
from steepest.optim import ScaledSGD
from steepest.optim.tracked import Record, keep, records_of
from steepest.testing import CHECKS, ConformanceError, check_optimizer

SGD_LIKE = ("scaled", "insgd", "ssgd", "ssgd-one-sided")  # they measure no norm of the gradient
DTYPES = [torch.float64, torch.float32]
DECAY = {"weight_decay": 0.1}
COMMON = [
    {},
    {"momentum": 0.0},
    DECAY,
    {"nesterov": True, **DECAY},
    {"decoupled_weight_decay": True, **DECAY},
    {"maximize": True, **DECAY},
    {"kahan_sum": True, **DECAY},
    {"kahan_sum": True, "decoupled_weight_decay": True, **DECAY},
]


class FedINSGD(INSGD):
    """INSGD without a model: before every step the layers of all matrices have seen inputs of power 5."""

    def step(self, closure=None):
        for p in (p for group in self.param_groups for p in group["params"] if p.dim() > 1):
            if not records_of(p):
                layer = self.__dict__.setdefault("layers", []).append(torch.nn.Module()) or self.layers[-1]
                layer.weight = p
                keep(layer, Record(p, 1, 1, False, None))
            records_of(p)[0].add(torch.tensor([5.0]), 1)
        return super().step(closure)


OURS = {
    "scaled": (ScaledSGD, {"lr": 0.1}, COMMON),
    "sngm": (SNGM, {"lr": 0.5}, COMMON),
    "sngm-decay": (SNGM, {"lr": 0.5, "normalize_decay": True}, [DECAY, {"maximize": True, **DECAY}]),
    "bng": (BlockNormalizedSGD, {"lr": 0.5}, COMMON),
    "bng-ratio": (BlockNormalizedSGD, {"lr": 0.5, "ratio": 0.2}, COMMON),
    "insgd": (FedINSGD, {"lr": 0.3}, COMMON),
    "lars": (LARS, {"lr": 1.0, "trust": 0.1}, COMMON),
    "ssgd": (SSGD, {"lr": 0.1}, [{}, {"nesterov": True, **DECAY}, {"kahan_sum": True, **DECAY}]),
    "ssgd-one-sided": (SSGD, {"lr": 0.1, "sides": 1}, [{"noise": "gaussian", "per": "filter"}]),
}
EXCLUDED = {
    "insgd": ["complex is two reals"],  # its twin of pairs would count the vectors as matrices, and feed them
    "ssgd": ["closure"],  # which it evaluates at two points; at one if one-sided
}


@pytest.mark.parametrize("name", OURS)
def test_ours(name):
    optimizer, base, variants = OURS[name]
    options = [{**base, **variant} for variant in variants]
    exclude = EXCLUDED.get(name, [])
    given = {"skips_nonfinite": name not in SGD_LIKE, "exclude": exclude}
    passed = check_optimizer(optimizer, options=options, layouts=["names"], **given)
    # How parameters are given and what is done with them are matters apart: one set of options meets all layouts.
    assert set(check_optimizer(optimizer, options=options[-1:], **given)) <= set(passed)
    expected = set(CHECKS) - ({"a NaN does not reach the weights"} if name in SGD_LIKE else set())
    if name == "sngm-decay":
        expected -= {"zero gradients do not move"}  # there is no case without decay
    assert set(passed) == expected - set(exclude)


SGD = [
    {"lr": 0.1},
    {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1},
    {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    {"lr": 0.1, "maximize": True},
]


PLAIN = {"foreach": False, "fused": False}
AT_MOST_2_13 = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split("+")[0].split(".")[:2])) > (2, 13), reason="may be mended after torch 2.13"
)


def test_torch_sgd():
    assert set(check_optimizer(torch.optim.SGD, options=SGD, paths={"loop": PLAIN, "default": {}})) == set(CHECKS[:-1])
    no_nesterov = [options for options in SGD if "nesterov" not in options]
    foreach = check_optimizer(torch.optim.SGD, options=no_nesterov, paths={"foreach": {**PLAIN, "foreach": True}})
    assert set(foreach) == set(CHECKS[:-1])
    assert check_optimizer(
        torch.optim.SGD,
        options=SGD,
        paths={"fused": {"fused": True}},
        dtypes=[torch.float64, torch.float32],
        exclude=["memory layout does not matter"],
    )


@AT_MOST_2_13
def test_it_finds_what_is_wrong_with_the_fused_cpu_kernel_of_torch():
    """Half precision (pytorch issue 191763), and gradients whose memory is in another order than the weights'."""
    with pytest.raises(ConformanceError) as found:
        check_optimizer(torch.optim.SGD, options=SGD, paths={"fused": {"fused": True}})
    assert set(found.value.faults) == {"agrees with the float64 loop", "memory layout does not matter"}
    assert all("float16" in case for case in found.value.faults["agrees with the float64 loop"])


@AT_MOST_2_13
def test_it_finds_that_foreach_nesterov_of_torch_overwrites_the_gradient():
    nesterov = [options for options in SGD if "nesterov" in options]
    with pytest.raises(ConformanceError) as found:
        check_optimizer(torch.optim.SGD, options=nesterov, paths={"foreach": {"foreach": True}})
    assert set(found.value.faults) == {"leaves .grad alone", "sparse gradients are right or refused"}


def test_other_optimizers_of_torch():
    """It knows nothing of SGD: any optimizer can be given."""
    assert check_optimizer(torch.optim.Adagrad, options=[{"lr": 0.1}], dtypes=DTYPES, paths={"loop": PLAIN})
    assert check_optimizer(torch.optim.RMSprop, options=[{"lr": 0.1, "momentum": 0.9}], dtypes=DTYPES)


class ForgetsMomentum(torch.optim.SGD):
    """The fast path of pytorch_optimizer 3.10's SGDW did this."""

    def step(self, closure=None):
        if self.param_groups[0]["foreach"]:
            self.state.clear()
        return super().step(closure)


class KeepsStateOutsideTheState(torch.optim.Optimizer):
    """Its average is lost with the object."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})
        self.average = {}

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    self.average[p] = 0.9 * self.average.get(p, 0.0) + p.grad
                    p.sub_(group["lr"] * self.average[p])


class DividesByTheNorm(torch.optim.Optimizer):
    """As it is often written: 0 / 0 at a zero gradient."""

    def __init__(self, params, lr):
        super().__init__(params, {"lr": lr})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is not None:
                    p.sub_(group["lr"] * p.grad / p.grad.norm())


BROKEN = {
    # The class, its options and paths, the check that must fail, what it must say, what else may follow from the fault.
    "path": (
        ForgetsMomentum,
        {"lr": 0.1, "momentum": 0.9},
        {"loop": {"foreach": False}, "foreach": {"foreach": True}},
        "agrees with the float64 loop",
        r"\[foreach, .* is off by",
        set(),
    ),
    "state": (KeepsStateOutsideTheState, {"lr": 0.1}, None, "resumes bit for bit", "after a resume", set()),
    "norm": (
        DividesByTheNorm,
        {"lr": 0.1},
        None,
        "zero gradients do not move",
        "changed by nan",
        {"an empty tensor changes nothing"},
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_it_names_a_planted_fault(name):
    broken, options, paths, fault, said, follows = BROKEN[name]
    # The two written for this test do not care for these.
    not_meant = ["closure", "bad arguments are named", "sparse gradients are right or refused", "pickle and deepcopy"]
    with pytest.raises(ConformanceError, match=fault) as found:
        check_optimizer(
            broken, options=[options], paths=paths, exclude=[*not_meant, "a GradScaler drives it"], dtypes=DTYPES
        )
    assert re.search(said, found.value.faults[fault][0])
    assert set(found.value.faults) <= {fault} | follows


def test_an_unknown_exclusion_is_refused():
    with pytest.raises(ValueError, match="exclude must hold names of CHECKS, got 'speed'"):
        check_optimizer(torch.optim.SGD, exclude=["speed"])
