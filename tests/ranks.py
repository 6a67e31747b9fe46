"""Two gloo ranks on this machine, for the tests of what is sharded or replicated."""

import pickle
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from tests import warm

RANKS = 2


def on_ranks(function: Callable[[int], Any]) -> list[Any]:
    """What ``function(rank)``, of a module's top level, returned on each rank. One call for many cases: it is slow."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "function").write_bytes(pickle.dumps(function))
        commands = [[sys.executable, "-m", "tests.ranks", folder, str(rank)] for rank in range(RANKS)]
        ranks = [warm.Popen(command, cwd=warm.ROOT, stderr=subprocess.PIPE, text=True) for command in commands]
        _wait_for(ranks)
        return [torch.load(f"{folder}/{rank}", weights_only=False) for rank in range(RANKS)]


def _wait_for(ranks: list[warm.Popen]) -> None:
    """Until all have ended; one that fails says why, and the others, which would wait for it, are ended."""
    with ThreadPoolExecutor(len(ranks)) as executor:
        said = {executor.submit(rank.communicate): rank for rank in ranks}
        for future in as_completed(said):
            if said[future].returncode:
                for rank in ranks:
                    rank.kill()
                raise AssertionError(f"a rank failed:\n{future.result()[1]}")


def _run(folder: str, rank: int) -> None:
    torch.set_num_threads(1)
    # They meet in a file: a free port may be somebody else's by the time the first rank has imported torch.
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=RANKS)
    torch.save(pickle.loads(Path(folder, "function").read_bytes())(rank), f"{folder}/{rank}")
    dist.barrier()
    dist.destroy_process_group()


if __name__ == "__main__":
    _run(sys.argv[1], int(sys.argv[2]))
