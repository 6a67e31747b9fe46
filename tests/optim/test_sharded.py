"""On two gloo ranks with FSDP2: norms are of the full tensors, and an empty shard is no special case."""

import os
import socket

import pytest
import torch
import torch.distributed as dist
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard

from steepest import LARS, SNGM, BlockNormalizedSGD, normalize_gradients

RANKS = 2


def wrapped_sgd(params):
    optimizer = torch.optim.SGD(params, lr=0.05, momentum=0.9, foreach=False)
    normalize_gradients(optimizer)
    return optimizer


OPTIMIZERS = {
    "sngm": lambda params: SNGM(params, lr=0.05, weight_decay=0.01),
    "sngm-decay": lambda params: SNGM(params, lr=0.05, weight_decay=0.01, normalize_decay=True),
    "bng": lambda params: BlockNormalizedSGD(params, lr=0.05),
    "bng-ratio": lambda params: BlockNormalizedSGD(params, lr=0.5, ratio=0.02),
    "lars": lambda params: LARS(params, lr=1.0, weight_decay=0.01),
    "wrapped-sgd": wrapped_sgd,
}


def network() -> nn.Sequential:
    """The last layer has one row: the second rank owns an empty shard of it."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 3), nn.Tanh(), nn.Linear(3, 1)).double()


def train(model: nn.Module, optimizer: torch.optim.Optimizer, part: slice) -> None:
    for seed in range(20):
        optimizer.zero_grad()
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        model(x[part]).square().mean().backward()
        optimizer.step()


def compare_on_this_rank(rank: int, port: int, results) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    mesh = init_device_mesh("cpu", (RANKS,))
    for name, make in OPTIMIZERS.items():
        alone, sharded = network(), network()
        train(alone, make(alone.named_parameters()), slice(None))
        for layer in (sharded[0], sharded[2], sharded):
            fully_shard(layer, mesh=mesh)
        optimizer = make(sharded.named_parameters())
        train(sharded, optimizer, slice(4 * rank, 4 * rank + 4))
        pairs = list(zip(sharded.parameters(), alone.parameters(), strict=True))
        distance = max(((p.full_tensor() - q).norm() / q.norm()).item() for p, q in pairs)
        empty = sum(p.to_local().numel() == 0 for p in sharded.parameters())

        # A NaN in one rank's shard alone: no rank moves that block.
        before = [p.to_local().detach().clone() for p in sharded.parameters()]
        for p in sharded.parameters():
            p.grad = torch.ones_like(p)
        if rank == 0:
            sharded[0].weight.grad.to_local()[0, 0] = float("nan")
        missed = 0
        if isinstance(optimizer, (SNGM, BlockNormalizedSGD, LARS)):
            optimizer.step()
            missed = optimizer.nonfinite_steps
        hit = len(before) if isinstance(optimizer, SNGM) else 2  # its block: everything, or the first layer
        still = all(torch.equal(p.to_local(), b) for p, b in list(zip(sharded.parameters(), before, strict=True))[:hit])
        results.put((rank, name, distance, empty, missed, still))
    dist.destroy_process_group()


def test_two_ranks_are_one_process():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    results = context.SimpleQueue()
    torch.multiprocessing.spawn(compare_on_this_rank, (port, results), nprocs=RANKS)
    seen = [results.get() for _ in range(RANKS * len(OPTIMIZERS))]
    assert {(rank, name) for rank, name, *_ in seen} == {(r, name) for r in range(RANKS) for name in OPTIMIZERS}
    for rank, name, distance, empty, missed, still in seen:
        assert distance == pytest.approx(0, abs=1e-9), name
        assert still, name
        assert missed == (name != "wrapped-sgd"), name
        assert (empty > 0) == (rank == 1)
