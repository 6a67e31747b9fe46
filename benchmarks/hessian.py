"""What the largest eigenvalues of a network's Hessian cost: `hessian_eigenvalues` against curvlinops with eigsh.

    python benchmarks/hessian.py [--threads 2] [--rounds 1] [--samples 256] [-k 5] [--tolerance 1e-2]

ResNet-20 and images of CIFAR-10's shape, made up: noise around ten smooth means, after a short training, so that the
Hessian has outliers as real ones have. Both search the same eigenvalues from the same weights with the same tolerance,
in turn; the residuals of both are computed anew, by our product, and not counted. Prints each run and a table, asserts
nothing. curvlinops is of the tests' requirements.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from curvlinops import HessianLinearOperator
from scipy.sparse.linalg import LinearOperator, eigsh
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from steepest.diagnostics import hessian_eigenvalues
from steepest.diagnostics.products import product_of
from steepest.diagnostics.subject import Subject
from steepest.training.builtin.resnet import resnet20

Batches = list[tuple[Tensor, Tensor]]
Found = tuple[int, float, list[float], list[float]]  # products, seconds, eigenvalues, residuals over the largest


def make_images(count: int) -> tuple[Tensor, Tensor]:
    """Images of ten classes with a mean each, smooth and noisy, and their classes."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.randint(0, 10, (count,), generator=generator)
    means = F.interpolate(torch.randn(10, 3, 4, 4, generator=generator), size=32, mode="bilinear")
    return means[targets] + torch.randn(count, 3, 32, 32, generator=generator), targets


def train(model: nn.Module, images: Tensor, targets: Tensor, steps: int) -> None:
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    generator = torch.Generator().manual_seed(1)
    for _ in range(steps):
        some = torch.randint(0, len(images), (64,), generator=generator)
        optimizer.zero_grad()
        F.cross_entropy(model(images[some]), targets[some]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    model.eval()


def find_with_ours(model: nn.Module, data: Batches, k: int, tolerance: float) -> Found:
    began = time.perf_counter()
    found = hessian_eigenvalues(model, nn.CrossEntropyLoss(), data, k, tolerance=tolerance)
    seconds = time.perf_counter() - began
    return found.passes, seconds, found.eigenvalues.tolist(), _residuals(model, data, found.vectors)


def find_with_eigsh(model: nn.Module, data: Batches, k: int, tolerance: float) -> Found:
    began = time.perf_counter()
    params = [p for p in model.parameters() if p.requires_grad]
    inner = HessianLinearOperator(model, nn.CrossEntropyLoss(), params, data, check_deterministic=False).to_scipy()
    products = 0

    def multiply(vector: Any) -> Any:
        nonlocal products
        products += 1
        return inner @ vector

    counted = LinearOperator(inner.shape, matvec=multiply, dtype=inner.dtype)
    values, vectors = eigsh(counted, k=k, which="LA", tol=tolerance)
    seconds = time.perf_counter() - began
    rows = torch.from_numpy(vectors.T.copy()).flip(0).float()
    return products, seconds, values[::-1].tolist(), _residuals(model, data, rows)


def _residuals(model: nn.Module, data: Batches, vectors: Tensor) -> list[float]:
    """Compute ||Hv - value v|| of unit vectors, as parts of the largest value."""
    subject = Subject(model, nn.CrossEntropyLoss(), data)
    residuals, values = [], []
    with subject.looked_at():
        product = product_of(subject, "hessian")
        for v in vectors:
            image = product(v)
            values.append(float(v.dot(image)))
            residuals.append(float((image - values[-1] * v).norm()))
    return [residual / max(map(abs, values)) for residual in residuals]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else None)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--samples", type=int, default=256)
    parser.add_argument("--steps", type=int, default=40, help="of training before")
    parser.add_argument("-k", type=int, default=5)
    parser.add_argument("--tolerance", type=float, default=1e-2)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(0)
    images, targets = make_images(arguments.samples)
    model = resnet20()
    train(model, images, targets, arguments.steps)
    data = [*DataLoader(TensorDataset(images, targets), batch_size=128)]
    ways: dict[str, Callable[[nn.Module, Batches, int, float], Found]] = {
        "steepest": find_with_ours,
        "curvlinops + eigsh": find_with_eigsh,
    }
    runs: dict[str, list[Found]] = {name: [] for name in ways}
    for _ in range(arguments.rounds):
        for name, find in ways.items():
            runs[name].append(find(model, data, arguments.k, arguments.tolerance))
            print(name, *runs[name][-1][:2], flush=True)
    print(f"{'':20}{'products':>10}{'seconds':>10}{'largest residual':>18}  eigenvalues")
    for name, found in runs.items():
        seconds = statistics.median(run[1] for run in found)
        products, _, values, residuals = found[0]
        print(f"{name:20}{products:10}{seconds:10.1f}{max(residuals):18.1e}  {' '.join(f'{v:.4g}' for v in values)}")


if __name__ == "__main__":
    main()
