"""On two gloo ranks: each adds its part of one noise, to shards of every kind, and takes it off again bit for bit."""

import itertools

import pytest
import torch
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import MixedPrecisionPolicy, fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

from steepest import SNGM, SSGD, SymmetricNoise, calibrate
from tests.ranks import RANKS, on_ranks

LAWS = list(itertools.product(("sign", "gaussian"), ("tensor", "filter"), ("copy", "regenerate")))
HALF = [LAWS[i] for i in (0, 3, 5, 6)]  # every pair of options is among them


def network(dtype: torch.dtype = torch.float64) -> nn.Sequential:
    """First dimensions of 5, 3 and 1: uneven shards, and one that is empty on the second rank."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).to(dtype)


def even_network() -> nn.Sequential:
    """What tensor parallelism can cut."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def shard(model: nn.Sequential, mesh, **options) -> nn.Sequential:
    for layer in (model[0], model[2], model):
        fully_shard(layer, mesh=mesh, **options)
    return model


def options_of(law) -> dict:
    return {"alpha": 0.3, "seed": 5, **dict(zip(("noise", "per", "memory"), law, strict=True))}


def full(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def local(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def bits(tensor: torch.Tensor) -> torch.Tensor:
    return local(tensor.detach()).clone().view({2: torch.int16, 4: torch.int32, 8: torch.int64}[tensor.element_size()])


def distance(sharded, alone) -> float:
    """Largest relative distance of two lists of tensors."""
    pairs = [(full(p.detach()), q.detach()) for p, q in zip(sharded, alone, strict=True)]
    return max(((p - q).norm() / q.norm()).item() for p, q in pairs)


def batch(step: int, part: slice) -> torch.Tensor:
    return torch.randn(8, 6, generator=torch.Generator().manual_seed(step), dtype=torch.float64)[part]


def train_in_contexts(model: nn.Module, law, part: slice, make=torch.optim.SGD, steps: int = 10) -> bool:
    """Whether the weights were back bit for bit after each context."""
    noise = SymmetricNoise(model.named_parameters(), **options_of(law))
    optimizer = make(model.parameters(), lr=0.05, momentum=0.9)
    same = []
    for step in range(steps):
        optimizer.zero_grad()
        before = [bits(p) for p in model.parameters()]
        for context in (noise.plus, noise.minus):
            with context():
                (model(batch(step, part)).square().mean() / 2).backward()
            same += [torch.equal(bits(p), b) for p, b in zip(model.parameters(), before, strict=True)]
        optimizer.step()
    return all(same)


def train_with_closure(model: nn.Module, law, part: slice, set_to_none: bool) -> None:
    optimizer = SSGD(model.named_parameters(), lr=0.05, **options_of(law))
    for step in range(4):

        def closure(step=step):
            optimizer.zero_grad(set_to_none=set_to_none)
            loss = model(batch(step, part)).square().mean()
            loss.backward()
            return loss

        optimizer.step(closure)


def own_part(rank: int) -> slice:
    return slice(4 * rank, 4 * rank + 4)


# ---- what each rank runs; every function returns a dict that the test looks at


def in_contexts(rank: int, mesh) -> dict:
    seen = {}
    for law in LAWS:
        alone, sharded = network(), shard(network(), mesh)
        empty = sum(p.to_local().numel() == 0 for p in sharded.parameters())
        train_in_contexts(alone, law, slice(None))
        same = train_in_contexts(sharded, law, own_part(rank))
        plain = distance(network().parameters(), alone.parameters())
        seen[law] = (distance(sharded.parameters(), alone.parameters()), same, empty, plain)
    return seen


def with_our_optimizer(rank: int, mesh) -> dict:
    alone, sharded = network(), shard(network(), mesh)
    train_in_contexts(alone, LAWS[0], slice(None), SNGM)
    train_in_contexts(sharded, LAWS[0], own_part(rank), SNGM)
    return {"sngm": distance(sharded.parameters(), alone.parameters())}


def with_closure(rank: int, mesh) -> dict:
    seen = {}
    for law, set_to_none in itertools.product(HALF, (True, False)):
        alone, sharded = network(), shard(network(), mesh)
        train_with_closure(alone, law, slice(None), set_to_none)
        train_with_closure(sharded, law, own_part(rank), set_to_none)
        seen[law, set_to_none] = distance(sharded.parameters(), alone.parameters())
    return seen


def two_dimensional(rank: int, mesh) -> dict:
    """Replicas of shards; and shards over one axis of a layer that is cut by tensor parallelism over the other."""
    seen = {}
    for sizes, law in itertools.product(((1, RANKS), (RANKS, 1)), HALF):
        square = init_device_mesh("cpu", sizes, mesh_dim_names=("a", "b"))
        alone, hybrid = network(), shard(network(), square)
        train_in_contexts(alone, law, slice(None), steps=3)
        same = train_in_contexts(hybrid, law, own_part(rank), steps=3)
        seen["hybrid", sizes, law] = (distance(hybrid.parameters(), alone.parameters()), same)

        alone, parallel = even_network(), even_network()
        parallelize_module(parallel, square["b"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
        fully_shard(parallel, mesh=square["a"])
        train_in_contexts(alone, law, slice(None), steps=3)
        same = train_in_contexts(parallel, law, own_part(rank) if sizes[0] == RANKS else slice(None), steps=3)
        seen["tensor parallel", sizes, law] = (distance(parallel.parameters(), alone.parameters()), same)
    return seen


def layouts(rank: int, mesh) -> dict:
    """Weights at w + n and w - n, of tensors cut in every way, with one that is not cut among them."""
    wide = init_device_mesh("cpu", (1, RANKS), mesh_dim_names=("a", "b"))
    high = init_device_mesh("cpu", (RANKS, 1), mesh_dim_names=("a", "b"))
    cut = {
        "rows": (mesh, [Shard(0)], (5, 4)),
        "columns": (mesh, [Shard(1)], (5, 4)),
        "one row": (mesh, [Shard(0)], (1, 4)),
        "three columns": (mesh, [Shard(1)], (2, 3, 3)),
        "last": (mesh, [Shard(2)], (2, 3, 3)),
        "replicated": (mesh, [Replicate()], (3, 4)),
        "wide": (wide, [Replicate(), Shard(1)], (3, 5)),
        "wide both": (wide, [Shard(0), Shard(1)], (3, 5)),
        "high": (high, [Shard(0), Replicate()], (3, 5)),
        "high both": (high, [Shard(1), Shard(0)], (3, 5)),
        "whole": (None, None, (3, 4)),
    }
    seen = {}
    for law, dtype in itertools.product(LAWS, (torch.float64, torch.float32, torch.bfloat16)):
        generator = torch.Generator().manual_seed(0)
        whole = [torch.randn(shape, generator=generator, dtype=torch.float64).to(dtype) for *_, shape in cut.values()]
        alone = [nn.Parameter(w.clone()) for w in whole]
        parts = [
            nn.Parameter(w.clone() if target is None else distribute_tensor(w.clone(), target, placements))
            for w, (target, placements, _) in zip(whole, cut.values(), strict=True)
        ]
        before = [bits(p) for p in parts]
        noises = [SymmetricNoise(params, **options_of(law)) for params in (alone, parts)]
        for name in ("plus", "minus"):
            with getattr(noises[0], name)(), getattr(noises[1], name)():
                moved = min(
                    ((p.detach() - w).double().norm() / w.double().norm()).item()
                    for p, w in zip(alone, whole, strict=True)
                )
                apart = max(
                    ((full(p.detach()) - q.detach()).double().norm() / q.detach().double().norm()).item()
                    for p, q in zip(parts, alone, strict=True)
                )
            same = all(torch.equal(bits(p), b) for p, b in zip(parts, before, strict=True))
            seen[law, dtype, name] = (apart, moved, same)
    return seen


def mixed_precision(rank: int, mesh) -> dict:
    """Weights cast to bfloat16 by FSDP2 are those of this point, not of the one before."""
    seen = {}
    for law in LAWS:
        alone = network(torch.float32)
        sharded = shard(network(torch.float32), mesh, mp_policy=MixedPrecisionPolicy(param_dtype=torch.bfloat16))
        x = batch(0, slice(None)).float()
        outputs = []
        for model in (alone, sharded):
            noise = SymmetricNoise(model.named_parameters(), **options_of(law))
            for context in (noise.plus, noise.minus):
                with context():
                    out = model(x)
                    out.float().sum().backward()
                    outputs.append(out.detach().float())
        apart = max((outputs[2] - outputs[0]).abs().max().item(), (outputs[3] - outputs[1]).abs().max().item())
        seen[law] = (apart, (outputs[0] - outputs[1]).abs().max().item())
    return seen


CALIBRATORS = {
    "bernoulli": {"keep": 0.5},
    "bernoulli-filter": {"keep": 0.5, "per": "filter"},
    "lipschitz": {},
    "lipschitz-clip": {"clip": 1.0},
    "learned": {"rate": 0.3},
}


def calibrated(rank: int, mesh) -> dict:
    """Calibrated gradients; the network of two axes has biases and weights of every cut."""
    seen = {}
    wide = init_device_mesh("cpu", (1, RANKS), mesh_dim_names=("a", "b"))
    for name, options in CALIBRATORS.items():
        for cut in ("rows", "tensor parallel", "none"):
            alone, sharded = (network(), network()) if cut == "rows" else (even_network(), even_network())
            if cut == "rows":
                shard(sharded, mesh)
            elif cut == "tensor parallel":
                parallelize_module(sharded, wide["b"], {"0": ColwiseParallel(), "2": RowwiseParallel()})
            handles = []
            for model, part in ((alone, slice(None)), (sharded, own_part(rank) if cut == "rows" else slice(None))):
                handles.append(calibrate(model, name.partition("-")[0], **options, seed=3))
                optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
                for step in range(6):
                    optimizer.zero_grad()
                    model(batch(step, part)).square().mean().backward()
                    optimizer.step()
            scales = [handle.scales for handle in handles]
            apart = max(distance(scales[1].values(), scales[0].values()), 0) if name == "learned" else 0.0
            for handle in handles:
                handle.remove()
            bare = network() if cut == "rows" else even_network()
            optimizer = torch.optim.SGD(bare.parameters(), lr=0.05, momentum=0.9)
            for step in range(6):
                optimizer.zero_grad()
                bare(batch(step, slice(None))).square().mean().backward()
                optimizer.step()
            seen[name, cut] = (
                distance(sharded.parameters(), alone.parameters()),
                apart,
                distance(alone.parameters(), bare.parameters()),
            )
    return seen


EVERYTHING = (in_contexts, with_our_optimizer, with_closure, two_dimensional, layouts, mixed_precision, calibrated)


def everything(rank: int) -> dict:
    mesh = init_device_mesh("cpu", (RANKS,))
    return {function.__name__: function(rank, mesh) for function in EVERYTHING}


@pytest.mark.slow
def test_two_ranks_are_one_process():
    """One test, since starting the ranks takes longer than all they do."""
    ranks = on_ranks(everything)
    for seen in ranks:
        assert list(seen["in_contexts"]) == LAWS
        for law, (apart, same, _, plain) in seen["in_contexts"].items():
            assert apart == pytest.approx(0, abs=1e-12), law
            assert same, law
            assert plain > 1e-2, law
        assert seen["with_our_optimizer"]["sngm"] == pytest.approx(0, abs=1e-10)
        assert len(seen["with_closure"]) == 2 * len(HALF)
        for case, apart in seen["with_closure"].items():
            assert apart == pytest.approx(0, abs=1e-12), case
        assert len(seen["two_dimensional"]) == 4 * len(HALF)
        for case, (apart, same) in seen["two_dimensional"].items():
            assert apart == pytest.approx(0, abs=1e-12), case
            assert same, case
        assert len(seen["layouts"]) == 6 * len(LAWS)
        for case, (apart, moved, same) in seen["layouts"].items():
            # The norm's last bit depends on the order of its sum, which the cut changes.
            assert apart <= 4 * torch.finfo(case[1]).eps, case
            assert moved > 0.29, case
            assert same, case
        assert len(seen["calibrated"]) == 3 * len(CALIBRATORS)
        for case, (apart, scales_apart, from_bare) in seen["calibrated"].items():
            assert apart == pytest.approx(0, abs=1e-9), case
            assert scales_apart == pytest.approx(0, abs=1e-9), case
            assert from_bare > 1e-3, case
        for law, (apart, between) in seen["mixed_precision"].items():
            assert between > 0.1, law
            assert apart < 0.03, law
    # One rank owns no element of the last layer.
    assert sorted(seen["in_contexts"][LAWS[0]][2] for seen in ranks) == [0, 2]
