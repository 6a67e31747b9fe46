"""What is looked at in a run: after every validation, and once more at its end."""

import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from steepest._files import write_atomically
from steepest.diagnostics.batch_tests import inner_product_test
from steepest.diagnostics.covariance import gradient_covariance
from steepest.diagnostics.density import hessian_density
from steepest.diagnostics.noise_scale import gradient_noise_scale
from steepest.diagnostics.quantities import numbers_of
from steepest.diagnostics.spectrum import hessian_eigenvalues
from steepest.diagnostics.updates import Updates
from steepest.training.builtin.instruments.samples import batches_of
from steepest.training.definitions.instrument import Instrument, RunView
from steepest.training.definitions.method import Method

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
        self._updates: Updates | None = None
        folder.mkdir(parents=True, exist_ok=True)

    def watched(self, method: Method) -> Method:
        """The same method, whose optimizer tells how far its steps go."""

        def make(params: Any, **options: Any) -> Optimizer:
            optimizer = method.optimizer(params, **options)
            self._updates = Updates(_list_named(optimizer), optimizer, lambda: True)
            return optimizer

        return replace(method, optimizer=make)

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
            **({"update_ratio": updates.measure} if (updates := self._updates) is not None and view.step else {}),
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


def _list_named(optimizer: Optimizer) -> dict[str, nn.Parameter]:
    """List an optimizer's parameters by their names, or by their places where it was given none."""
    found: dict[str, nn.Parameter] = {}
    for group in optimizer.param_groups:
        names = group.get("param_names") or [str(len(found) + place) for place in range(len(group["params"]))]
        found |= dict(zip(names, group["params"], strict=True))
    return found


def _try(look: Callable[[], Any]) -> Seen:
    """Look; what cannot be seen says why, and costs no run."""
    try:
        return dict(numbers_of(look()))
    except Exception as error:  # whatever a user's model cannot do
        return {"error": f"{type(error).__name__}: {error}"}


def parameters_of(model: nn.Module) -> int:
    """The number of trainable weights."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
