"""What a step costs: time of `optimizer.step()` over that of `torch.optim.SGD(fused=True, momentum=0.9)`.

    python benchmarks/step.py [--networks resnet50 gpt2] [--threads 1] [--rounds 21] [--device cuda]

The parameters have the shapes of well-known networks. The contenders take turns in one process, and the medians of the
rounds are compared. Peers take part if they are installed (`pip install --no-deps pytorch_optimizer`). Prints figures,
asserts nothing; run it on a quiet machine, once with --threads 1 and once with --threads 2.
"""

import argparse
import importlib.util
import math
import os
import statistics
from collections.abc import Callable, Iterable
from typing import Any

import torch
from shapes import NETWORKS, Shapes
from timing import machine, seconds
from torch import Tensor

from steepest import LARS, SNGM, BlockNormalizedSGD

Make = Callable[[list[tuple[str, Tensor]]], Callable[[], Any]]
BASE = "torch SGD fused"
# Bytes that a step must move for each float32 parameter, at least: read g, m, p and write m, p; norms read once more.
TRAFFIC = {"SGD": 20, "SNGM": 24, "BNG unit": 24, "BNG ratio": 28, "LARS": 28}


def optimizer(build: Callable[..., torch.optim.Optimizer], *, named: bool = True, **options: Any) -> Make:
    def make(params: list[tuple[str, Tensor]]) -> Callable[[], Any]:
        given: Iterable[Any] = params if named else [p for _, p in params]
        step: Callable[[], Any] = build(given, lr=1e-9, momentum=0.9, **options).step
        return step

    return make


def written_by_hand(foreach: bool) -> Make:
    """Normalise all gradients together, as users write it, then torch's SGD."""

    def make(params: list[tuple[str, Tensor]]) -> Callable[[], Any]:
        tensors = [p for _, p in params]
        sgd = torch.optim.SGD(tensors, lr=1e-9, momentum=0.9, foreach=foreach)

        def step() -> None:
            grads = [p.grad for p in tensors if p.grad is not None]
            saved = grads  # a training loop would compute new ones
            norm = torch.linalg.vector_norm(torch.stack([torch.linalg.vector_norm(g) for g in grads]))
            normalized = list(torch._foreach_div(grads, norm)) if foreach else [g / norm for g in grads]
            for p, g in zip(tensors, normalized, strict=True):
                p.grad = g
            sgd.step()
            for p, g in zip(tensors, saved, strict=True):
                p.grad = g

        return step

    return make


def graphed(make: Make) -> Make:
    """The step as a CUDA graph that is replayed."""

    def made(params: list[tuple[str, Tensor]]) -> Callable[[], Any]:
        step = make(params)
        side = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()

        def replay() -> None:
            assert step is not None  # the optimizer holds the momentum that the graph writes to
            graph.replay()

        return replay

    return made


def contenders(device: str) -> dict[str, Make]:
    made = {
        BASE: optimizer(torch.optim.SGD, fused=True),
        "torch SGD loop": optimizer(torch.optim.SGD, foreach=False),
        "torch SGD foreach": optimizer(torch.optim.SGD, foreach=True),
        "normalised by hand, loop": written_by_hand(foreach=False),
        "normalised by hand, foreach": written_by_hand(foreach=True),
        "SNGM": optimizer(SNGM),
        "BNG unit": optimizer(BlockNormalizedSGD),
        "BNG ratio": optimizer(BlockNormalizedSGD, ratio=0.02),
        "LARS": optimizer(LARS, weight_decay=1e-4),
        "SNGM foreach": optimizer(SNGM, foreach=True),
        "BNG unit foreach": optimizer(BlockNormalizedSGD, foreach=True),
        "LARS foreach": optimizer(LARS, weight_decay=1e-4, foreach=True),
        "SNGM loop": optimizer(SNGM, foreach=False, fused=False),
    }
    if device == "cuda":
        made |= {
            "SNGM fused": optimizer(SNGM, fused=True),
            "BNG unit fused": optimizer(BlockNormalizedSGD, fused=True),
            "LARS fused": optimizer(LARS, weight_decay=1e-4, fused=True),
            "torch SGD fused, graph": graphed(optimizer(torch.optim.SGD, fused=True)),
            "SNGM foreach, graph": graphed(optimizer(SNGM)),
            "LARS foreach, graph": graphed(optimizer(LARS, weight_decay=1e-4)),
        }
    if importlib.util.find_spec("pytorch_optimizer"):
        import pytorch_optimizer

        for path, foreach in (("loop", False), ("foreach", True)):
            theirs = optimizer(pytorch_optimizer.LARS, named=False, weight_decay=1e-4, foreach=foreach)
            made[f"pytorch_optimizer LARS {path}"] = theirs
    if importlib.util.find_spec("timm") and importlib.util.find_spec("torchvision"):
        import timm.optim

        made["timm LARS"] = optimizer(timm.optim.Lars, named=False, weight_decay=1e-4)
    return made


def copy_bandwidth(device: str) -> float:
    """Bytes per second, read and written, of copying 256 MB."""
    source, target = (torch.zeros(1 << 26, device=device) for _ in range(2))
    return 2 * source.nbytes / statistics.median(seconds(lambda: target.copy_(source), device) for _ in range(9))


def measure(shapes: Shapes, rounds: int, device: str, wanted: list[str] | None) -> dict[str, list[float]]:
    generator = torch.Generator(device).manual_seed(0)
    params = [(name, torch.randn(shape, device=device, generator=generator).requires_grad_()) for name, shape in shapes]
    for _, p in params:
        p.grad = 1e-3 * torch.randn(p.shape, device=device, generator=generator)
    steps = {
        name: make(params)
        for name, make in contenders(device).items()
        if wanted is None or name == BASE or any(w in name for w in wanted)
    }
    times: dict[str, list[float]] = {name: [] for name in steps}
    for turn in range(rounds + 2):
        for name, step in steps.items():
            took = seconds(step, device)
            if turn >= 2:  # the first ones build the state
                times[name].append(took)
    return times


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--networks", nargs="+", choices=NETWORKS, default=list(NETWORKS))
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="contenders whose name contains one of these")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=21)
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    bandwidth = copy_bandwidth(arguments.device)
    print(
        f"torch {torch.__version__}, {machine(arguments.device)}, {arguments.threads} of {os.cpu_count()} threads, "
        f"copy {bandwidth / 1e9:.1f} GB/s, median of {arguments.rounds} interleaved rounds"
    )
    for network in arguments.networks:
        shapes = NETWORKS[network]()
        count = sum(math.prod(shape) for _, shape in shapes)
        times = measure(shapes, arguments.rounds, arguments.device, arguments.only)
        base = statistics.median(times[BASE])
        print(f"\n{network}: {len(shapes)} tensors, {count / 1e6:.2f} M parameters, {BASE} {base * 1e3:.2f} ms")
        print(f"{'':34}{'ratio':>7}{'(quartiles)':>15}{'bytes/param':>13}{'share of copy':>15}")
        for name, values in times.items():
            low, _, high = statistics.quantiles(values, n=4)
            median = statistics.median(values)
            traffic = next((b for prefix, b in TRAFFIC.items() if prefix in name and "hand" not in name), None)
            share = "" if traffic is None else f"{traffic * count / median / bandwidth:.0%}"
            spread = f"({low / base:.2f}-{high / base:.2f})"
            print(f"{name:34}{median / base:7.2f}{spread:>15}{'' if traffic is None else traffic:>13}{share:>15}")


if __name__ == "__main__":
    main()
