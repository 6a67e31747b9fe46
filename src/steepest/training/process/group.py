"""One run on several processes: what ``train`` asks of them, and what it asks of a process alone."""

import datetime
import os
from collections import Counter
from collections.abc import Iterable
from functools import cached_property
from typing import Any, Literal

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.distributed_c10d import Store

from steepest._errors import InputError, argument
from steepest.training.definitions.ranks import Ranks
from steepest.training.process.randomness import derived_seed, seed_generators

Strategy = Literal["ddp", "fsdp2"]
STRATEGIES: dict[str, str] = {
    "ddp": "every rank holds the model, gradients are averaged (DistributedDataParallel)",
    "fsdp2": "every rank holds a part of the weights, gradients and optimizer state (fully_shard)",
}
_PATIENCE = datetime.timedelta(minutes=30)  # with a rank that is behind in a step


class ProcessGroup(Ranks):
    """The ranks of torch's default process group, with gloo on the CPU and NCCL on GPUs.

    BatchNorm normalises each rank's part of a batch by itself, and the running statistics that are evaluated are those
    of rank 0, as is usual with DDP.

    Args:
        strategy: ``"ddp"`` or ``"fsdp2"``.
        device: this rank's.
    """

    def __init__(self, strategy: Strategy, device: torch.device) -> None:
        self.strategy = strategy
        self.device: torch.device = device
        self.rank = dist.get_rank()
        self.size = dist.get_world_size()

    @staticmethod
    def begin(device: torch.device, store: Store) -> None:
        """Connect the ranks."""
        rank, size = (int(os.environ[name]) for name in ("RANK", "WORLD_SIZE"))
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        if device.type == "cuda":
            torch.cuda.set_device(device)
        dist.init_process_group(backend, store=store, rank=rank, world_size=size, timeout=_PATIENCE)

    @property
    def name(self) -> str:
        return f"{self.strategy}, rank {self.rank} of {self.size}"

    def wrap(self, model: nn.Module) -> nn.Module:
        if self.strategy == "ddp":
            return nn.parallel.DistributedDataParallel(model, [self.device] if self.device.type == "cuda" else None)
        from torch.distributed.fsdp import fully_shard

        for module in [*_list_units(model), model]:
            fully_shard(module, mesh=self._mesh)
        return model

    @cached_property
    def _mesh(self) -> Any:
        return dist.device_mesh.init_device_mesh(self.device.type, (self.size,))

    def draw_apart(self, seed: int) -> None:
        if self.rank:
            seed_generators(derived_seed(f"rank {self.rank}", seed))

    def share(self, count: int) -> slice:
        return slice(count * self.rank // self.size, count * (self.rank + 1) // self.size)

    def mean(self, value: Tensor) -> Tensor:
        return self.total(value) / self.size

    def total(self, values: Tensor) -> Tensor:
        values = values.clone()
        dist.all_reduce(values)
        return values

    def agree(self, value: Any) -> Any:
        said = [value]
        dist.broadcast_object_list(said, src=0, device=torch.device("cpu"))
        return said[0]

    def gathered(self, value: Any) -> list[Any]:
        said = [None] * self.size
        dist.all_gather_object(said, value)
        return said

    def settle(self, model: nn.Module) -> None:
        for buffer in model.buffers():
            dist.broadcast(buffer, src=0)

    def release(self, model: nn.Module) -> None:
        if self.strategy == "fsdp2":
            for module in _sharded(model):
                module.reshard()


def own_rank() -> int:
    """This process's place among those that torchrun started."""
    return int(os.environ["RANK"])


def number_of_ranks(strategy: str) -> int:
    """How many processes torchrun started.

    Raises:
        InputError: there is no such strategy, or nothing has started the ranks.
    """
    if strategy not in STRATEGIES:
        raise InputError(f"{argument('strategy')} must be one of {', '.join(STRATEGIES)}, got {strategy!r}")
    if missing := [name for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK", "MASTER_ADDR") if name not in os.environ]:
        raise InputError(
            f"{argument('strategy')} {strategy} runs on processes that torchrun starts, and {missing[0]} is not set; "
            f"type: torchrun --nproc-per-node 2 -m steepest compare WORKLOAD --strategy {strategy}"
        )
    return int(os.environ["WORLD_SIZE"])


def own_device(device: str) -> torch.device:
    """This rank's device of that type."""
    kind = torch.device(device)
    return torch.device(kind.type, int(os.environ["LOCAL_RANK"])) if kind.type == "cuda" else kind


def _list_units(model: nn.Module) -> list[nn.Module]:
    """List the children that are gathered one at a time: those that hold parameters, and none that another holds as
    well."""
    children: list[nn.Module] = []
    for child in model.children():
        children += child.children() if isinstance(child, nn.ModuleList) else [child]
    holders = Counter(p for child in children for p in set(child.parameters()))
    own = [[holders[p] == 1 for p in child.parameters()] for child in children]
    return [child for child, alone in zip(children, own, strict=True) if alone and all(alone)]


def _sharded(model: nn.Module) -> Iterable[Any]:
    from torch.distributed.fsdp import FSDPModule

    return [module for module in model.modules() if isinstance(module, FSDPModule)]
