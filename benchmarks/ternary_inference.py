"""How fast a linear layer of ternary weights is on a CPU, beside torch's dense one: also where it is slower.

    OMP_NUM_THREADS=1 python benchmarks/ternary_inference.py linear [--seconds 0.5]
    OMP_NUM_THREADS=1 python benchmarks/ternary_inference.py convolutions [--seconds 0.5]

Weights -sigma, 0 and sigma at random places, float32, one thread. All ways take turns in each round, who begins
changes, and a turn is five calls of which the first does not count, so that caches are warm; median milliseconds of
dense, and the ratios of the others' medians to it: below 1 is faster, above 1 slower. Only the time counts in which the
thread computes, not that in which other programs do.

`linear`: csr, csc and bag are TernaryLinear's forms; reduced is ReducedLinear, with the last quarter of the rows and of
the columns set to zero for it (the others keep them); int8 is torch's dynamic quantisation, whose error is printed as
a share of the outputs' deviation; two bits is torch's table of 2-bit embeddings with the weight's codes, for one input
alone. KB held: of dense, csr (csc and bag hold the same), and two bits. The last column is the fastest of those that
are exact. `convolutions`: torch's own; the unfolded image times the dense weight; the same by csr and by bag, which is
SparsePointwise. A kernel of 1 needs no unfolding, and there the last two are what for_inference puts in its place.
Prints figures, asserts nothing.
"""

import argparse
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from steepest._machine import machine
from steepest.compression import sparse_pointwise
from steepest.compression.inference import ReducedLinear, SparsePointwise, TernaryLinear, count_bytes, medians
from steepest.compression.ternary_linear import FORMS

LAYERS = ((800, 500), (500, 10), (3136, 64), (4096, 4096))
SPARSITIES = (0.8, 0.9, 0.95, 0.99)
SIGMA = 0.05
IMAGES = ((1, 20, 5, 28), (20, 50, 5, 12), (64, 64, 3, 16), (256, 256, 1, 14), (1024, 256, 1, 14))
Call = Callable[[], Tensor]


def ternary(*shape: int, sparsity: float) -> Tensor:
    return torch.where(torch.rand(shape) < 0.5, SIGMA, -SIGMA) * (torch.rand(shape) >= sparsity)


def two_bits(weight: Tensor) -> tuple[Tensor, Callable[[Tensor], Tensor]]:
    """A table of the codes 0, 1, 2 for -sigma, 0, sigma, one row for each input, and the layer of one input by it."""
    outputs, inputs = weight.shape
    codes = (weight.sign().t() + 1).to(torch.uint8)
    codes = functional.pad(codes, (0, -outputs % 4), value=1).reshape(inputs, -1, 4)
    packed = (codes << torch.tensor([0, 2, 4, 6], dtype=torch.uint8)).sum(dim=2).to(torch.uint8)
    ends = torch.tensor([[1.0, -1.0]], dtype=torch.float16).view(torch.uint8).expand(inputs, 4)  # scale and bias
    table = torch.cat([packed, ends], dim=1)
    every, bounds = torch.arange(inputs, dtype=torch.int32), torch.tensor([0, inputs], dtype=torch.int32)
    multiply = torch.ops.quantized.embedding_bag_2bit_rowwise_offsets

    def forward(x: Tensor) -> Tensor:
        found: Tensor = multiply(table, every, bounds, False, 0, False, x[0], None, True)
        return found[:, :outputs] * SIGMA

    return table, forward


def linear(seconds: float) -> None:
    quantize: Any = torch.ao.quantization.quantize_dynamic
    names = [*FORMS, "reduced", "int8", "two bits"]
    print(f"{'layer':>11}{'batch':>6}{'zeros':>6}{'KB':>8}{'csr':>7}{'2 bit':>7}{'dense ms':>10}", end="")
    print("".join(f"{name:>9}" for name in names), f"{'int8 error':>11}  fastest")
    for inputs, outputs in LAYERS:
        for batch in (1, 128):
            for sparsity in SPARSITIES:
                weight, bias = ternary(outputs, inputs, sparsity=sparsity), torch.randn(outputs)
                x = torch.randn(batch, inputs)
                cut = weight.clone()
                cut[-(outputs // 4) :], cut[:, -(inputs // 4) :] = 0, 0
                whole = nn.Linear(inputs, outputs)
                whole.load_state_dict({"weight": weight, "bias": bias})
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    int8 = quantize(nn.Sequential(whole), {nn.Linear}, torch.qint8)
                sparse = {form: TernaryLinear(weight, bias, form) for form in FORMS}
                table, by_table = two_bits(weight)
                calls: dict[str, Call] = {form: partial(layer, x) for form, layer in sparse.items()}
                calls |= {"reduced": partial(ReducedLinear(cut, bias), x), "int8": partial(int8, x)}
                if batch == 1:
                    calls["two bits"] = lambda by_table=by_table, x=x, bias=bias: by_table(x) + bias  # type: ignore[misc]
                with torch.no_grad():
                    right = whole(x)
                    error = float((int8(x) - right).std() / right.std())
                    for name in (*FORMS, "two bits"):
                        if name in calls and not torch.allclose(calls[name](), right, rtol=1e-3, atol=1e-4):
                            raise RuntimeError(f"{name} multiplies wrongly")
                    dense, ratios = timed(partial(whole, x), calls, seconds)
                exact = {"dense": 1.0} | {name: ratio for name, ratio in ratios.items() if name in (*FORMS, "two bits")}
                fastest = min(exact, key=lambda name: exact[name])
                held = (count_bytes(whole), count_bytes(sparse["csr"]), table.nbytes + bias.nbytes)
                print(f"{f'{inputs}->{outputs}':>11}{batch:6}{sparsity:6}{held[0] / 1000:8.0f}", end="")
                print(f"{held[1] / 1000:7.0f}{held[2] / 1000:7.0f}{dense:10.4f}", end="")
                print("".join(f"{ratios[name]:9.2f}" if name in ratios else f"{'':9}" for name in names), end="")
                print(f"{error:11.2%}   {fastest}", flush=True)


def convolutions(seconds: float) -> None:
    names = ["dense", *sparse_pointwise.FORMS]
    print(f"{'in, out, kernel, image':24}{'batch':>6}{'zeros':>6}{'dense ms':>10}", end="")
    print("".join(f"{f'unfold {name}':>14}" for name in names))
    for inputs, outputs, kernel, image in IMAGES:
        for batch in (1, 8):
            for sparsity in (0.9, 0.99):
                weight = ternary(outputs, inputs, kernel, kernel, sparsity=sparsity)
                x = torch.randn(batch, inputs, image, image)
                flat, side = weight.flatten(1), image - kernel + 1
                layers = {form: SparsePointwise(flat[:, :, None], form=form) for form in sparse_pointwise.FORMS}

                def unfolded(multiply: Callable[[Tensor], Tensor], x: Tensor = x, kernel: int = kernel) -> Tensor:
                    return multiply(functional.unfold(x, kernel) if kernel > 1 else x.flatten(2))

                calls: dict[str, Call] = {"dense": partial(unfolded, partial(torch.matmul, flat))}
                calls |= {form: partial(unfolded, layer) for form, layer in layers.items()}
                with torch.no_grad():
                    right = functional.conv2d(x, weight)
                    for name, call in calls.items():
                        if not torch.allclose(call().reshape(batch, outputs, side, side), right, rtol=1e-3, atol=1e-4):
                            raise RuntimeError(f"{name} multiplies wrongly")
                    dense, ratios = timed(partial(functional.conv2d, x, weight), calls, seconds)
                shape = f"{inputs}, {outputs}, {kernel}, {image}"
                print(f"{shape:24}{batch:6}{sparsity:6}{dense:10.4f}", end="")
                print("".join(f"{ratios[name]:14.2f}" for name in names), flush=True)


def timed(base: Call, others: dict[str, Call], seconds: float) -> tuple[float, dict[str, float]]:
    """Median milliseconds of ``base``, and the ratios of the others' to it."""
    found = medians({"": base, **others}, seconds)
    dense = found.pop("")
    return dense, {name: value / dense for name, value in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("what", choices=["linear", "convolutions"])
    parser.add_argument("--seconds", type=float, default=0.5, help="of computing for each line")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(machine())
    if arguments.what == "linear":
        linear(arguments.seconds)
    else:
        convolutions(arguments.seconds)


if __name__ == "__main__":
    main()
