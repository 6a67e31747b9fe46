"""Two gloo ranks on this machine, for the tests of what is sharded or replicated."""

import contextlib
import os
import socket
import tempfile
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

RANKS = 2


def on_ranks(function: Callable[[int], Any]) -> list[Any]:
    """What ``function(rank)``, of a module's top level, returned on each rank. One call for many cases: it is slow."""
    with contextlib.closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        torch.multiprocessing.spawn(_rank, (port, folder, function), nprocs=RANKS)
        return [torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(RANKS)]


def _rank(rank: int, port: int, folder: str, function: Callable[[int], Any]) -> None:
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    torch.set_num_threads(1)
    dist.init_process_group("gloo", rank=rank, world_size=RANKS)
    torch.save(function(rank), f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()
