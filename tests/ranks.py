"""Two gloo ranks on this machine, for the tests of what is sharded or replicated."""

import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

RANKS = 2


def on_ranks(function: Callable[[int], Any]) -> list[Any]:
    """What ``function(rank)``, of a module's top level, returned on each rank. One call for many cases: it is slow."""
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_rank, (folder, function), nprocs=RANKS)
        return [torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(RANKS)]


def _rank(rank: int, folder: str, function: Callable[[int], Any]) -> None:
    torch.set_num_threads(1)
    # They meet in a file: a free port may be somebody else's by the time the first rank has imported torch.
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    torch.save(function(rank), f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()
