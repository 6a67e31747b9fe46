"""What is looked at in a run: after every validation, and once more at its end."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from steepest._files import write_atomically
from steepest._kept import all_kept
from steepest.diagnostics.batch_tests import inner_product_test
from steepest.diagnostics.covariance import gradient_covariance
from steepest.diagnostics.density import hessian_density
from steepest.diagnostics.noise_scale import gradient_noise_scale
from steepest.diagnostics.quantities import numbers_of
from steepest.diagnostics.spectrum import hessian_eigenvalues
from steepest.training.builtin.instruments.samples import batches_of
from steepest.training.definitions.instrument import Instrument, RunView

Seen = dict[str, Any]
NOISE_SAMPLES, CURVATURE_SAMPLES, GRADIENT_SAMPLES = 4096, 250, 500
EIGENVALUES = 3
SPECTRUM = 20


class Observer:
    """Looks at a run after every validation, and keeps what it sees in a folder, a file each.

    A run that is interrupted and goes on from a checkpoint writes the same files again.
    """

    def __init__(self, folder: Path, batch_size: int) -> None:
        self._folder = folder
        self._batch_size = batch_size
        folder.mkdir(parents=True, exist_ok=True)

    @property
    def instrument(self) -> Instrument:
        """The observer as a run asks it."""
        return Instrument("observed", self._observe, when="validation")

    def _observe(self, view: RunView) -> None:
        self.observe(view)

    def observe(self, view: RunView) -> None:
        """Look now."""
        seen: Seen = {"gradient_evaluations": view.gradient_evaluations, "step": view.step}
        for name, look in self._looks(view).items():
            seen[name] = _try(look)
        stem = f"{view.step:08d}"
        torch.save(
            {name: p.detach().to("cpu", torch.float32) for name, p in view.model.named_parameters()},
            self._folder / f"{stem}.pt",
        )
        write_atomically(self._folder / f"{stem}.json", json.dumps(seen))

    def _looks(self, view: RunView) -> dict[str, Callable[[], Any]]:
        model, loss, train = view.model, view.workload.loss, view.splits.train
        return {
            "noise_scale": lambda: gradient_noise_scale(model, loss, batches_of(train, NOISE_SAMPLES, 128)),
            "inner_product_test": lambda: inner_product_test(
                model, loss, batches_of(train, GRADIENT_SAMPLES), self._batch_size
            ),
            "hessian_eigenvalues": lambda: hessian_eigenvalues(
                model, loss, batches_of(train, CURVATURE_SAMPLES), EIGENVALUES, tolerance=1e-2, iterations=60
            ),
            "update_ratio": lambda: update_ratios(view, self._batch_size),
        }

    def seen(self, steps: int) -> list[Seen]:
        """All that has been seen up to a step, in order."""
        paths = sorted(self._folder.glob("*.json"))
        return [json.loads(path.read_text("utf-8")) for path in paths if int(path.stem) <= steps]

    def path(self, steps: int) -> list[dict[str, Tensor]]:
        """The weights at those moments."""
        paths = sorted(self._folder.glob("*.pt"))
        return [torch.load(path, weights_only=True) for path in paths if int(path.stem) <= steps]


def observe_end(view: RunView) -> Seen:
    """What is looked at once, at the end of a run: whole spectra."""
    model, loss, train = view.model, view.workload.loss, view.splits.train
    gradients, curvature = batches_of(train, GRADIENT_SAMPLES), batches_of(train, CURVATURE_SAMPLES)
    looks: Mapping[str, Callable[[], Any]] = {
        "gradient_covariance": lambda: gradient_covariance(model, loss, gradients, SPECTRUM, hessian_products=8),
        "hessian_density": lambda: hessian_density(model, loss, curvature, probes=3, iterations=30).curve(),
        "smallest_eigenvalues": lambda: hessian_eigenvalues(
            model, loss, curvature, EIGENVALUES, which="smallest", tolerance=1e-2, iterations=60
        ),
    }
    return {name: _try(look) for name, look in looks.items()}


def update_ratios(view: RunView, batch_size: int) -> dict[str, float]:
    """What a step of the optimizer would be now, layer by layer: the norm of the change over that of the weights.

    The step is taken with the plain gradient of one batch, and taken back.
    """
    train, model, optimizer = view.splits.train, view.model, view.optimizer
    inputs, targets = train.inputs[:batch_size].clone(), train.targets[:batch_size].clone()
    before = {name: p.detach().clone() for name, p in model.named_parameters()}

    def closure() -> Tensor:
        with torch.enable_grad():
            optimizer.zero_grad()
            loss = view.workload.loss(model(inputs), targets)
            loss.backward()  # type: ignore[no-untyped-call]
        return loss.detach()

    with all_kept(model, optimizer):
        closure()  # for those that take no gradient themselves
        optimizer.step(closure)  # type: ignore[arg-type]
        layers: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for name, p in model.named_parameters():
            if p.requires_grad:
                layers.setdefault(name.rpartition(".")[0] or name, []).append((p.detach(), before[name]))
        return {layer: _ratio(pairs) for layer, pairs in layers.items()}


def _ratio(pairs: Sequence[tuple[Tensor, Tensor]]) -> float:
    moved = math.hypot(*(float((now - old).norm()) for now, old in pairs))
    weights = math.hypot(*(float(old.norm()) for _, old in pairs))
    return moved / weights if weights else math.nan


def _try(look: Callable[[], Any]) -> Seen:
    """Look; what cannot be seen says why, and costs no run."""
    try:
        return dict(numbers_of(look()))
    except Exception as error:  # whatever a user's model cannot do
        return {"error": f"{type(error).__name__}: {error}"}


def parameters_of(model: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
