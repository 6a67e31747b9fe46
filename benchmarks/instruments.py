"""What an instrument costs: a call over the time of one gradient of the same samples, and its peak memory on a GPU.

    python benchmarks/instruments.py [--rounds 5] [--threads 1] [--device cuda] [--samples 250] [--data-dir DIR]

The small network for Fashion-MNIST at its initial weights: costs do not depend
on them but for the number of Lanczos steps. All take turns in one process; printed are the medians of the ratios of
neighbours, and the passes over the data that each took. Asserts nothing; run it on a quiet machine.
"""

import argparse
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from timing import machine, ratios_to

from steepest.diagnostics import (
    gradient_covariance,
    gradient_noise_scale,
    hessian_density,
    hessian_eigenvalues,
    hessian_trace,
    inner_product_test,
    largest_hessian_eigenvalue,
)
from steepest.diagnostics.subject import Subject
from steepest.training.builtin import WORKLOADS
from steepest.training.builtin.instruments.samples import batches_of
from steepest.training.code.lookup import load_data


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--samples", type=int, default=250)
    parser.add_argument("--data-dir", type=Path, help="folder with fashion-mnist/; default: STEEPEST_DATA, or the hub")
    arguments = parser.parse_args()

    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    workload = WORKLOADS["fashion-cnn"]
    train = load_data(workload, arguments.data_dir).train.to(arguments.device)
    data = batches_of(train, arguments.samples, 125)
    model = workload.model().to(arguments.device)

    def gradient() -> None:
        subject = Subject(model, F.cross_entropy, data)
        with subject.looked_at():
            subject.mean_gradient()

    shared = (model, F.cross_entropy, data)
    calls: dict[str, Callable[[], Any]] = {
        "gradient_noise_scale": lambda: gradient_noise_scale(*shared),
        "inner_product_test": lambda: inner_product_test(*shared, 128),
        "gradient_covariance, top 10": lambda: gradient_covariance(*shared),
        "largest_hessian_eigenvalue, 1e-2": lambda: largest_hessian_eigenvalue(*shared, tolerance=1e-2),
        "hessian_eigenvalues, 5, 1e-2": lambda: hessian_eigenvalues(*shared, 5, tolerance=1e-2),
        "the same of ggn": lambda: hessian_eigenvalues(*shared, 5, tolerance=1e-2, matrix="ggn"),
        "the same of fisher": lambda: hessian_eigenvalues(*shared, 5, tolerance=1e-2, matrix="fisher"),
        "hessian_trace, 12 products": lambda: hessian_trace(*shared, products=12),
        "hessian_density, 3 x 30": lambda: hessian_density(*shared, probes=3, iterations=30),
    }
    passes = {name: getattr(call(), "passes", None) for name, call in calls.items() if "largest" not in name}
    base, ratios = ratios_to(gradient, calls, arguments.rounds, arguments.device)
    weights = sum(p.numel() for p in model.parameters())
    print(f"{machine(arguments.device)}, {arguments.threads} threads, {weights:,} weights, {arguments.samples} samples")
    print(f"one gradient: {base:.3f} s\n\n| instrument | gradients | passes |\n|---|---|---|")
    for name, values in ratios.items():
        print(f"| {name} | {statistics.median(values):.1f} | {passes.get(name, '')} |")
    if arguments.device == "cuda":
        for name, call in {"one gradient": gradient, **calls}.items():
            torch.cuda.reset_peak_memory_stats()
            call()
            print(f"peak memory, {name}: {torch.cuda.max_memory_allocated() / 2**20:.0f} MiB")


if __name__ == "__main__":
    main()
