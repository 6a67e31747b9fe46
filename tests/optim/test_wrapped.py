"""Checkpoints and wrappers of torch.distributed around the family: what one path saved every other loads."""

import itertools

import pytest
import torch
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.fsdp import FullyShardedDataParallel
from torch.distributed.optim import ZeroRedundancyOptimizer
from torch.distributed.optim.apply_optimizer_in_backward import _apply_optimizer_in_backward

from steepest import LARS, SNGM, BlockNormalizedSGD, normalize_gradients, param_groups
from tests.ranks import on_ranks

PATHS = {"default": {}, "foreach": {"foreach": True}, "loop": {"foreach": False}}


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.Linear(8, 2))


def step(model, optimizer, bad=False):
    optimizer.zero_grad()
    model(torch.ones(2, 4)).square().sum().backward()
    if bad:
        model[0].weight.grad[0, 0] = float("nan")
    optimizer.step()


@pytest.mark.parametrize("flat", [False, True])
@pytest.mark.parametrize("options", [{}, {"momentum": 0.0}, {"kahan_sum": True}], ids=str)
@pytest.mark.parametrize(("saved_by", "loaded_by"), [*itertools.product(PATHS, PATHS)])
@pytest.mark.filterwarnings("ignore")
@pytest.mark.slow
def test_a_distributed_checkpoint_goes_between_all_paths(tmp_path, saved_by, loaded_by, options, flat):
    form = StateDictOptions(flatten_optimizer_state_dict=flat)

    def made(path):
        model = network()
        return model, SNGM(param_groups(model, 0.1), lr=0.1, **options, **PATHS[path])

    model, optimizer = made(saved_by)
    step(model, optimizer)
    step(model, optimizer, bad=True)
    weights, state = get_state_dict(model, optimizer, options=form)
    dcp.save({"m": weights, "o": state}, checkpoint_id=tmp_path, no_dist=True)
    step(model, optimizer)
    other, resumed = made(loaded_by)
    weights, state = get_state_dict(other, resumed, options=form)
    loaded = {"m": weights, "o": state}
    dcp.load(loaded, checkpoint_id=tmp_path, no_dist=True)
    set_state_dict(other, resumed, model_state_dict=loaded["m"], optim_state_dict=loaded["o"], options=form)
    assert resumed.nonfinite_steps == 1
    step(other, resumed)
    for p, q in zip(model.parameters(), other.parameters(), strict=True):
        torch.testing.assert_close(p, q)


@pytest.mark.parametrize("path", PATHS)
def test_the_count_of_steps_passed_over_is_a_number_on_every_path(path):
    model = network()
    optimizer = SNGM(model.parameters(), lr=0.1, **PATHS[path])
    step(model, optimizer, bad=True)
    assert type(optimizer.state_dict()["param_groups"][0]["nonfinite_steps"]) is int
    optimizer.load_state_dict(optimizer.state_dict())
    step(model, optimizer, bad=True)
    assert optimizer.nonfinite_steps == 2


def moved(model, optimizer):
    torch.manual_seed(1)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.randn(8, 4)).square().sum().backward()
        optimizer.step()
    return torch.cat([p.detach().flatten() for p in model.parameters()])


ON_FSDP1 = {
    **{make.__name__: lambda m, make=make: make(m.parameters(), lr=0.1) for make in (SNGM, LARS, BlockNormalizedSGD)},
    "normalize_gradients": lambda m: normalize_gradients(torch.optim.SGD(m.parameters(), lr=0.1), over="tensor"),
}


def zero(rank):
    found = {}
    for make in (LARS, BlockNormalizedSGD, SNGM):
        alone = moved(model := network(), make(model.parameters(), lr=0.1))
        try:
            shared = moved(model := network(), ZeroRedundancyOptimizer(model.parameters(), make, lr=0.1))
        except ValueError as error:
            found[make.__name__] = str(error)
        else:
            found[make.__name__] = (alone - shared).norm().item()
    for given in (True, False):
        for name, use in ON_FSDP1.items():
            model = FullyShardedDataParallel(network(), use_orig_params=given, device_id=torch.device("cpu"))
            try:
                use(model)
            except ValueError as error:
                found[f"{name}, {given}"] = str(error)
    return found


@pytest.mark.filterwarnings("ignore")
def test_zero_redundancy_takes_the_step_of_one_process_or_is_refused():
    for found in on_ranks(zero):
        assert found["LARS"] == found["BlockNormalizedSGD"] == 0.0
        assert "SNGM divides by the norm of all parameters, and ZeroRedundancyOptimizer gives" in found["SNGM"]
        assert "fully_shard" in found["SNGM"]
        for name in ON_FSDP1:
            for given in (True, False):
                assert f"{name} needs whole tensors, and FullyShardedDataParallel leaves" in found[f"{name}, {given}"]


def test_a_step_in_the_backward_pass_is_refused_to_a_norm_over_all_parameters():
    with pytest.raises(ValueError, match="SNGM divides by the norm of all parameters, and _apply_optimizer_in_back"):
        _apply_optimizer_in_backward(SNGM, network().parameters(), {"lr": 0.1})
    _apply_optimizer_in_backward(BlockNormalizedSGD, network().parameters(), {"lr": 0.1})
    SNGM(network().parameters(), lr=0.1)  # as ever, though the wrappers' modules are imported


@pytest.mark.parametrize(
    "make", [lambda p: SNGM([p], lr=0.1), lambda p: torch.optim.SGD([p], lr=0.1)], ids=["SNGM", "normalize_gradients"]
)
def test_so_is_an_optimizer_for_each_parameter_that_steps_in_a_hook(make):
    model = network()
    for p in model.parameters():
        optimizer = make(p)
        if not isinstance(optimizer, SNGM):
            normalize_gradients(optimizer, over="all")
        p.register_post_accumulate_grad_hook(lambda _, optimizer=optimizer: optimizer.step())
    with pytest.raises(RuntimeError, match="by the norm of all gradients, which are not all there inside of a backw"):
        model(torch.ones(2, 4)).sum().backward()
    optimizer.step()


def test_a_distributed_optimizer_of_rpc_is_refused_to_a_norm_over_all_parameters():
    remote = {"__name__": "torch.distributed.optim.optimizer", "SNGM": SNGM, "params": list(network().parameters())}
    with pytest.raises(ValueError, match="DistributedOptimizer gives every worker a part"):
        exec("SNGM(params, lr=0.1)", remote)
