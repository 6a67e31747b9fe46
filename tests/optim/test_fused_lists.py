"""The eager step on CUDA, forced on the CPU: how many calls of torch it makes, none of which reads a number."""

from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from steepest import LARS, SNGM, BlockNormalizedSGD
from steepest.optim import ScaledSGD
from steepest.optim.fused_lists import lists_step

READ = torch.ops.aten._local_scalar_dense.default
KERNEL = torch.ops.aten._fused_sgd_.default


class Calls(TorchDispatchMode):
    """Counts what torch is asked to compute."""

    def __init__(self):
        super().__init__()
        self.counts = Counter()

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if not func.is_view:
            self.counts[func] += 1
        return func(*args, **(kwargs or {}))


def calls_of_a_step(make, layers, signals=None, **options):
    params = []
    for i in range(layers):
        shapes = {"conv.weight": (4, 3, 2, 2), "norm.weight": (5,), "norm.bias": (5,)}
        params += [(f"{i}.{name}", torch.ones(shape).requires_grad_()) for name, shape in shapes.items()]
        params[-3] = (
            params[-3][0],
            params[-3][1].detach().contiguous(memory_format=torch.channels_last).requires_grad_(),
        )
    optimizer = make(params, **{"lr": 0.1, "momentum": 0.9, **options})
    optimizer._choose_path = lambda: lists_step
    for name, value in (signals or {}).items():
        setattr(optimizer, name, torch.tensor(value))
    for _ in range(2):  # the first one makes the state
        for _, p in params:
            p.grad = torch.ones_like(p)
        with Calls() as calls:
            optimizer.step()
    assert calls.counts[READ] == 0
    return calls.counts


SIGNALS = {"grad_scale": 4.0, "found_inf": 0.0}


@pytest.mark.parametrize("signals", [None, SIGNALS], ids=["", "under a GradScaler"])
@pytest.mark.parametrize(
    "options", [{}, {"nesterov": True}, {"weight_decay": 0.1}, {"weight_decay": 0.1, "normalize_decay": True}], ids=str
)
def test_sngm_makes_as_many_calls_for_many_tensors_as_for_few(options, signals):
    few, many = (calls_of_a_step(SNGM, layers, signals, **options) for layers in (2, 20))
    if "normalize_decay" not in options:  # its norm takes one sum after the other, lest it needs memory
        assert few == many
        assert many.total() <= 30
    assert many[KERNEL] == 1


@pytest.mark.parametrize("signals", [None, SIGNALS], ids=["", "under a GradScaler"])
@pytest.mark.parametrize(
    ("make", "options"),
    [(BlockNormalizedSGD, {}), (BlockNormalizedSGD, {"ratio": 0.02}), (LARS, {}), (LARS, {"weight_decay": 0.1})],
    ids=["unit", "ratio", "lars", "lars-decay"],
)
def test_a_block_more_is_one_call_more(make, options, signals):
    few, many = (calls_of_a_step(make, layers, signals, **options) for layers in (2, 20))
    assert (few[KERNEL], many[KERNEL]) == (4, 40)
    assert many.total() - few.total() == 36
    assert few.total() <= 48


def test_a_decoupled_decay_is_one_call_more_for_each_block():
    few, many = (calls_of_a_step(LARS, n, weight_decay=0.1, decoupled_weight_decay=True) for n in (2, 20))
    assert many.total() - few.total() == 2 * 36


def test_without_a_scale_it_is_a_few_calls():
    assert calls_of_a_step(ScaledSGD, 20).total() <= 6
    assert calls_of_a_step(ScaledSGD, 20, SIGNALS)[KERNEL] == 1


def test_tensors_are_moved_together_as_far_as_they_have_room():
    """16 MB, or the largest tensor."""
    params = [torch.ones(3 << 20).requires_grad_() for _ in range(3)]
    optimizer = SNGM(params, lr=0.1)
    optimizer._choose_path = lambda: lists_step
    for p in params:
        p.grad = torch.ones_like(p)
    with Calls() as calls:
        optimizer.step()
    assert calls.counts[KERNEL] == 3


def test_it_takes_over_where_other_paths_have_left_off():
    """A path may be chosen anew at each step; a plan made by the one serves the other."""
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(4, 3, generator=generator)
    twins = [torch.nn.Parameter(start.clone()) for _ in range(2)]
    optimizers = [SNGM([p], lr=0.1) for p in twins]
    for i in range(4):
        if i % 2:
            optimizers[0]._choose_path = lambda: lists_step
        else:
            vars(optimizers[0]).pop("_choose_path", None)
        for p, optimizer in zip(twins, optimizers, strict=True):
            p.grad = start + i
            optimizer.step()
    torch.testing.assert_close(*twins)
