"""Images a second of a spiking convolution that learns by STDP, beside bindsnet and spikingjelly.

    python benchmarks/spiking_speed.py IMAGES [--images 64] [--batch 64] [--rounds 9] [--device cuda]

IMAGES is MNIST's `train-images-idx3-ubyte.gz`, or another IDX file of images. The peers are in the table where they are
installed:

    pip install --no-deps bindsnet==0.3.4 spikingjelly==2.0.0
    pip install scipy tqdm loguru tensorboard matplotlib

bindsnet's network alone is imported, without the package's datasets and environments, which ask for torchvision, OpenCV
and gymnasium.

The same spikes for all, encoded before: 12 time steps of 2x27x27, of which the last 2 are empty, to 30 maps of 5x5;
weights of .8, a threshold of 15. Training is one image after another, reset before each, and goes on from round to
round; inference is batches of images, to the spikes of all steps, without what only learning needs. All take turns
in one process with one thread, and what counts is that thread's time, on a GPU the time until it is done. The whole way
of an image, encoding, convolution, inhibition and pooling, is timed for ours alone. Prints medians over the rounds,
the ratio to ours round by round (median, and the lowest and highest), whether training changed the weights, and the
share of neurons whose first spike is when our layer without inhibition has it. Asserts nothing.

What is compared, as near as each library's own parts come to ours:

- ours: lateral inhibition, one winner a map, dw of w (1 - w).
- bindsnet: `IFNodes` that stay silent after a spike, traces that do not decay, no inhibition; `PostPre` (dw whatever w)
  and `WeightDependentPostPre` (dw by the distance from 0 and 1), whose every spike learns at once.
- spikingjelly: `IFNode` and `STDPLearner` in multi-step mode, dw of w (1 - w), traces that do not decay, no inhibition;
  neurons may spike again, and every spike learns, at the image's end.
"""

import argparse
import importlib
import importlib.util
import statistics
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from steepest.data.idx import read_idx
from steepest.spiking import STDP, SpikingConv2d, encode, extract_features

IN, OUT, KERNEL, SIDE, THRESHOLD = 2, 30, 5, 27, 15.0
FAR = 1e9  # steps: a time constant or a pause that no image outlasts
RATE, RATIO = 0.002, 0.75
WHOLE = 2048  # images from grey levels to features


class Contestant(NamedTuple):
    """What one library does, on spikes (T, N, 2, 27, 27) of the dtype that is best for it."""

    train: Callable[[list[Tensor]], None]
    infer: Callable[[Tensor], Tensor]
    weight: Callable[[], Tensor]
    dtype: torch.dtype


def ours(start: Tensor) -> Contestant:
    layer = SpikingConv2d(IN, OUT, KERNEL, THRESHOLD, device=start.device)
    layer.weight.copy_(start)
    stdp = STDP(layer, rate=RATE, ratio=RATIO)
    optimizer = torch.optim.SGD(layer.parameters(), lr=1.0)

    def train(images: list[Tensor]) -> None:
        stdp.learn(torch.cat(images, dim=1), optimizer)

    return Contestant(train, layer, lambda: layer.weight, torch.bool)


def bindsnet(rule: str) -> Callable[[Tensor], Contestant]:
    if "bindsnet" not in sys.modules:
        found = importlib.util.find_spec("bindsnet")
        package = types.ModuleType("bindsnet")
        package.__path__ = list((found.submodule_search_locations if found else None) or [])
        sys.modules["bindsnet"] = package
    parts: Any = importlib.import_module("bindsnet.network")
    rules: Any = importlib.import_module("bindsnet.learning")

    def network(weight: Tensor, learning: bool) -> Any:
        found = parts.Network(dt=1.0, learning=learning)
        side = SIDE - KERNEL + 1
        options = {"traces": learning, "tc_trace": FAR}
        pixels = parts.nodes.Input(shape=(IN, SIDE, SIDE), **options)
        maps = parts.nodes.IFNodes(shape=(OUT, side, side), thresh=THRESHOLD, reset=0.0, refrac=int(FAR), **options)
        learnt = {"update_rule": getattr(rules, rule), "nu": (RATE * RATIO, RATE)} if learning else {}
        connection = parts.topology.Conv2dConnection(pixels, maps, KERNEL, w=weight, wmin=0.0, wmax=1.0, **learnt)
        found.add_layer(pixels, "pixels")
        found.add_layer(maps, "maps")
        found.add_connection(connection, "pixels", "maps")
        return found.to(weight.device)

    def contestant(start: Tensor) -> Contestant:
        learner = network(start.clone(), learning=True)
        reader = network(start.clone(), learning=False)

        def train(images: list[Tensor]) -> None:
            for image in images:
                learner.run({"pixels": image}, time=len(image), one_step=True)
                learner.reset_state_variables()

        def infer(spikes: Tensor) -> Tensor:
            if "spikes" not in reader.monitors:
                monitor = parts.monitors.Monitor(reader.layers["maps"], ["s"], time=len(spikes))
                reader.add_monitor(monitor, "spikes")
            reader.run({"pixels": spikes}, time=len(spikes), one_step=True)
            found: Tensor = reader.monitors["spikes"].get("s")
            reader.reset_state_variables()
            return found

        return Contestant(train, infer, lambda: learner.connections["pixels", "maps"].w, torch.float32)

    return contestant


def spikingjelly(start: Tensor) -> Contestant:
    layer, neuron, learning, functional = (
        importlib.import_module(f"spikingjelly.activation_based.{name}")
        for name in ("layer", "neuron", "learning", "functional")
    )

    def network() -> Any:
        convolution = layer.Conv2d(IN, OUT, KERNEL, bias=False, step_mode="m")
        convolution.weight.data.copy_(start)
        neurons = neuron.IFNode(v_threshold=THRESHOLD, v_reset=0.0, step_mode="m")
        return torch.nn.Sequential(convolution, neurons).eval().to(start.device)

    net, reader = network(), network()
    stdp = learning.STDPLearner(
        step_mode="m",
        synapse=net[0],
        sn=net[1],
        tau_pre=FAR,
        tau_post=FAR,
        f_pre=lambda w: RATIO * w * (1 - w),
        f_post=lambda w: w * (1 - w),
    )
    optimizer = torch.optim.SGD(net.parameters(), lr=RATE)

    @torch.no_grad()
    def train(images: list[Tensor]) -> None:
        for image in images:
            optimizer.zero_grad()
            net(image)
            stdp.step(on_grad=True)
            optimizer.step()
            net[0].weight.clamp_(0.0, 1.0)
            functional.reset_net(net)
            stdp.reset()

    @torch.no_grad()
    def infer(spikes: Tensor) -> Tensor:
        found: Tensor = reader(spikes)
        functional.reset_net(reader)
        return found

    return Contestant(train, infer, lambda: net[0].weight, torch.float32)


def seconds(call: Callable[[], object], device: torch.device) -> float:
    """Seconds of this thread, on a GPU by the clock until it is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        started = time.perf_counter()
        call()
        torch.cuda.synchronize()
        return time.perf_counter() - started
    started = time.thread_time()
    call()
    return time.thread_time() - started


def cut(spikes: Tensor, size: int) -> list[Tensor]:
    """Batches of some images, each contiguous in memory."""
    return [spikes[:, at : at + size].contiguous() for at in range(0, spikes.shape[1], size)]


def first_steps(spikes: Tensor) -> Tensor:
    """The time step of each neuron's first spike, T where there is none."""
    fired = spikes.flatten(2).bool()
    return torch.where(fired.any(dim=0), fired.to(torch.uint8).argmax(dim=0), len(fired))


def take_turns(calls: dict[str, Callable[[], object]], rounds: int, device: torch.device) -> dict[str, list[float]]:
    """Seconds of each, round by round; the first two rounds warm up, and who begins a round changes."""
    names = list(calls)
    took: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(rounds + 2):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            elapsed = seconds(calls[name], device)
            if turn >= 2:
                took[name].append(elapsed)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("file", type=Path, metavar="IMAGES")
    parser.add_argument("--images", type=int, default=64)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--device", type=torch.device, default=torch.device("cpu"))
    asked = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)

    builders: dict[str, Callable[[Tensor], Contestant]] = {"ours": ours}
    if importlib.util.find_spec("bindsnet"):
        builders["bindsnet PostPre"] = bindsnet("PostPre")
        builders["bindsnet WeightDependentPostPre"] = bindsnet("WeightDependentPostPre")
    if importlib.util.find_spec("spikingjelly"):
        builders["spikingjelly STDPLearner"] = spikingjelly

    images = read_idx(asked.file)
    spikes = encode(images[: asked.images].to(asked.device))
    plain = SpikingConv2d(IN, OUT, KERNEL, THRESHOLD, inhibition=False, device=asked.device)
    start = plain.weight.detach().clone()
    contestants = {name: build(start) for name, build in builders.items()}
    batches = {name: spikes.to(one.dtype) for name, one in contestants.items()}
    singles = {name: cut(batch, 1) for name, batch in batches.items()}
    several = {name: cut(batch, asked.batch) for name, batch in batches.items()}
    expected, count = first_steps(plain(spikes)), spikes.shape[1]
    same = {
        name: float((first_steps(one.infer(batches[name])).to(expected.device) == expected).double().mean())
        for name, one in contestants.items()
    }

    def training(name: str) -> Callable[[], object]:
        return lambda: contestants[name].train(singles[name])

    def inference(name: str) -> Callable[[], object]:
        return lambda: [contestants[name].infer(batch) for batch in several[name]]

    took = {
        "training": take_turns({name: training(name) for name in contestants}, asked.rounds, asked.device),
        "inference": take_turns({name: inference(name) for name in contestants}, asked.rounds, asked.device),
    }
    many, layer = images[:WHOLE], SpikingConv2d(IN, OUT, KERNEL, THRESHOLD)
    layer.weight.copy_(start)
    whole = take_turns(
        {"whole": lambda: extract_features(layer, many, device=asked.device)}, asked.rounds, asked.device
    )
    where = torch.cuda.get_device_name() if asked.device.type == "cuda" else "1 thread"
    print(f"torch {torch.__version__}, {where}, {count} images, inference by {asked.batch}, {asked.rounds} rounds")
    print(f"from images to features, ours: {len(many) / statistics.median(whole['whole']):,.0f} images per second")
    print("images per second, and the ratio to ours:")
    print(f"{'':34}{'training':>10}{'ratio':>22}{'inference':>12}{'ratio':>22}{'weights':>10}{'spikes':>8}")
    for name, one in contestants.items():
        line = f"{name:34}"
        for kind, width in (("training", 10), ("inference", 12)):
            rates = [count / s for s in took[kind][name]]
            ratios = [base / s for base, s in zip(took[kind]["ours"], took[kind][name], strict=True)]
            line += f"{statistics.median(rates):{width}.0f}"
            line += f"{f'{statistics.median(ratios):.3f} ({min(ratios):.3f}-{max(ratios):.3f})':>22}"
        changed = not torch.equal(one.weight(), start)
        print(line + f"{'changed' if changed else 'THE SAME':>10}{same[name]:8.1%}")


if __name__ == "__main__":
    main()
