"""On two gloo ranks: norms are of the full tensors, an empty shard is no special case, checkpoints change hands."""

import functools
import itertools

import pytest
import torch
import torch.distributed as dist
import torch.distributed.checkpoint as dcp
from torch import nn
from torch.distributed.checkpoint.state_dict import get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor
from torch.nn.parallel import DistributedDataParallel

from steepest import LARS, SNGM, BlockNormalizedSGD, normalize_gradients
from tests.ranks import RANKS, on_ranks

PATHS = {"loop": {"fused": False}, "foreach": {"foreach": True}, "fused": {"fused": True}}
OPTIMIZERS = {
    "sngm": (SNGM, {"lr": 0.05, "weight_decay": 0.01}),
    "sngm-decay": (SNGM, {"lr": 0.05, "weight_decay": 0.01, "normalize_decay": True}),
    "bng": (BlockNormalizedSGD, {"lr": 0.05}),
    "bng-ratio": (BlockNormalizedSGD, {"lr": 0.5, "ratio": 0.02}),
    "lars": (LARS, {"lr": 1.0, "weight_decay": 0.01}),
}
CASES = [*itertools.product(OPTIMIZERS, PATHS), ("wrapped-sgd", "loop")]


def build(name: str, path: str, params, **overrides) -> torch.optim.Optimizer:
    if name == "wrapped-sgd":
        optimizer = torch.optim.SGD(params, lr=0.05, momentum=0.9, foreach=False)
        normalize_gradients(optimizer)
        return optimizer
    optimizer_class, options = OPTIMIZERS[name]
    return optimizer_class(params, **{**options, **PATHS[path], **overrides})


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """The last layer has one row: the second rank owns an empty shard of it."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).to(dtype)


def shard(model: nn.Sequential, mesh) -> nn.Sequential:
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh)
    return model


def train(model: nn.Module, optimizer: torch.optim.Optimizer, part: slice, steps=range(20)) -> None:
    dtype = next(model.parameters()).dtype
    for seed in steps:
        optimizer.zero_grad()
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)
        model(x[part]).square().mean().backward()
        optimizer.step()


def distance(sharded, alone) -> float:
    """Largest relative distance of two lists of tensors."""
    pairs = zip(sharded, alone, strict=True)
    return max(((full(p) - q).norm() / q.norm()).item() for p, q in pairs)


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def own_part(rank: int) -> slice:
    return slice(4 * rank, 4 * rank + 4)


# ---- what each rank runs; every function returns a dict that the tests look at


def fsdp2(rank: int, mesh) -> dict:
    seen = {}
    for name, path in CASES:
        alone, sharded = network(), shard(network(), mesh)
        train(alone, build(name, path, alone.named_parameters()), slice(None))
        optimizer = build(name, path, sharded.named_parameters())
        train(sharded, optimizer, own_part(rank))
        apart = distance(sharded.parameters(), alone.parameters())
        empty = sum(p.to_local().numel() == 0 for p in sharded.parameters())

        # A NaN in one rank's shard alone: no rank moves that block.
        before = [p.to_local().detach().clone() for p in sharded.parameters()]
        for p in sharded.parameters():
            p.grad = torch.ones_like(p)
        if rank == 0:
            sharded[0].weight.grad.to_local()[0, 0] = float("nan")
        still, missed = True, 1
        if name != "wrapped-sgd":
            optimizer.step()
            missed = optimizer.nonfinite_steps
            hit = len(before) if isinstance(optimizer, SNGM) else 2  # its block: everything, or the first layer
            pairs = list(zip(sharded.parameters(), before, strict=True))[:hit]
            still = all(torch.equal(p.to_local(), b) for p, b in pairs)
        seen[name, path] = (apart, empty, still, missed)
    return seen


def fsdp2_float32(rank: int, mesh) -> dict:
    """With steps that shrink, as they should: a step of fixed length around a minimum makes rounding grow."""
    seen = {}
    for name in OPTIMIZERS:
        alone, sharded = network(torch.float32), shard(network(torch.float32), mesh)
        for model, part in ((alone, slice(None)), (sharded, own_part(rank))):
            lr = OPTIMIZERS[name][1]["lr"] / 10
            optimizer = build(name, "fused", model.named_parameters(), lr=lr)
            train(model, optimizer, part)
        seen[name] = distance(sharded.parameters(), alone.parameters())
    return seen


def ddp(rank: int, mesh) -> dict:
    seen = {}
    for name in OPTIMIZERS:
        alone, replica = network(), DistributedDataParallel(network())
        train(alone, build(name, "fused", alone.named_parameters()), slice(None))
        train(replica, build(name, "fused", replica.named_parameters()), own_part(rank))
        seen[name] = distance(replica.parameters(), alone.parameters())
    return seen


def mixed(rank: int, mesh) -> dict:
    """Ordinary tensors beside DTensors on two meshes, sharded in every way, in two groups, gradients not yet summed."""
    square = init_device_mesh("cpu", (1, RANKS), mesh_dim_names=("replicate", "shard"))
    layouts = {
        "a.weight": (mesh, [Shard(0)], [Shard(0)]),
        "a.bias": (mesh, [Replicate()], [Partial()]),
        "b.weight": (square, [Replicate(), Shard(1)], [Replicate(), Shard(1)]),
        "b.bias": (square, [Replicate(), Shard(0)], [Replicate(), Partial()]),
        "c.weight": None,
    }
    shapes = {"a.weight": (5, 4), "a.bias": (5,), "b.weight": (3, 5), "b.bias": (1,), "c.weight": (2, 3)}
    seen = {}
    for name, path in itertools.product(OPTIMIZERS, PATHS):
        generator = torch.Generator().manual_seed(0)
        whole = {n: torch.randn(s, generator=generator, dtype=torch.float64) for n, s in shapes.items()}
        alone = {n: nn.Parameter(w.clone()) for n, w in whole.items()}
        parts = {
            n: nn.Parameter(w.clone() if layouts[n] is None else distribute_tensor(w, *layouts[n][:2]))
            for n, w in whole.items()
        }
        steps = []
        for params in (alone, parts):
            named = list(params.items())
            steps.append(build(name, path, [{"params": named[::2]}, {"params": named[1::2], "weight_decay": 0.02}]))
        for _ in range(10):
            for n, shape in shapes.items():
                g = torch.randn(shape, generator=generator, dtype=torch.float64)
                alone[n].grad = g
                parts[n].grad = g
                if layouts[n] is not None:
                    target, _, placements = layouts[n]
                    if any(p.is_partial() for p in placements):
                        parts[n].grad = DTensor.from_local(g * (0.25 + 0.5 * rank), target, placements)
                    else:
                        parts[n].grad = distribute_tensor(g, target, placements)
            for optimizer in steps:
                optimizer.step()
        seen[name, path] = distance(parts.values(), alone.values())
    return seen


def checkpoints(rank: int, mesh, folder: str) -> dict:
    """Three steps on two ranks, three on one, three on two, through files."""
    seen = {}
    for name in OPTIMIZERS:
        model = shard(network(), mesh)
        optimizer = build(name, "fused", model.named_parameters())
        train(model, optimizer, own_part(rank), range(3))
        _save(model, optimizer, f"{folder}/{name}-2")
        if rank == 0:
            model = network()
            optimizer = build(name, "fused", model.named_parameters())
            _load(model, optimizer, f"{folder}/{name}-2", no_dist=True)
            train(model, optimizer, slice(None), range(3, 6))
            _save(model, optimizer, f"{folder}/{name}-1", no_dist=True)
            torch.save(_tensors(model, optimizer), f"{folder}/{name}.pt")
        dist.barrier()
        model = shard(network(), mesh)
        optimizer = build(name, "fused", model.named_parameters())
        _load(model, optimizer, f"{folder}/{name}-1")
        expected = torch.load(f"{folder}/{name}.pt", weights_only=True)
        exact = all(torch.equal(full(a), b) for a, b in zip(_tensors(model, optimizer), expected, strict=True))
        train(model, optimizer, own_part(rank), range(6, 9))
        alone = network()
        train(alone, build(name, "fused", alone.named_parameters()), slice(None), range(9))
        seen[name] = (exact, distance(model.parameters(), alone.parameters()))
    return seen


def _save(model, optimizer, folder: str, no_dist: bool = False) -> None:
    weights, state = get_state_dict(model, optimizer)
    dcp.save({"model": weights, "optimizer": state}, checkpoint_id=folder, no_dist=no_dist)


def _load(model, optimizer, folder: str, no_dist: bool = False) -> None:
    before = [full(p).detach().clone() for p in model.parameters()]
    weights, state = get_state_dict(model, optimizer)  # builds the state by a step with zero gradients
    assert all(torch.equal(full(p), b) for p, b in zip(model.parameters(), before, strict=True))
    saved = {"model": weights, "optimizer": state}
    dcp.load(saved, checkpoint_id=folder, no_dist=no_dist)
    set_state_dict(model, optimizer, model_state_dict=saved["model"], optim_state_dict=saved["optimizer"])


def _tensors(model, optimizer) -> list[torch.Tensor]:
    params = list(model.parameters())
    return [*(p.detach() for p in params), *(optimizer.state[p]["momentum_buffer"] for p in params)]


def everything(rank: int, folder: str) -> dict:
    mesh = init_device_mesh("cpu", (RANKS,))
    seen = {function.__name__: function(rank, mesh) for function in (fsdp2, fsdp2_float32, ddp, mixed)}
    return {**seen, "checkpoints": checkpoints(rank, mesh, folder)}


@pytest.mark.slow
def test_two_ranks_are_one_process(tmp_path):
    """One test, since starting the ranks takes longer than all they do."""
    seen = on_ranks(functools.partial(everything, folder=str(tmp_path)))
    for rank in seen:
        assert list(rank["fsdp2"]) == CASES
        for case, (apart, _, still, missed) in rank["fsdp2"].items():
            assert apart == pytest.approx(0, abs=1e-9), case
            assert still, case
            assert missed == 1, case
        for function, allowed in (("fsdp2_float32", 1e-6), ("ddp", 1e-9), ("mixed", 1e-12)):
            assert len(rank[function]) == len(OPTIMIZERS) * (len(PATHS) if function == "mixed" else 1)
            for case, apart in rank[function].items():
                assert apart == pytest.approx(0, abs=allowed), (function, case)
        for name, (exact, apart) in rank["checkpoints"].items():
            assert exact, name
            assert apart == pytest.approx(0, abs=1e-9), name
    # One rank owns no element of the last layer.
    assert sorted(rank["fsdp2"]["sngm", "fused"][1] for rank in seen) == [0, 2]
