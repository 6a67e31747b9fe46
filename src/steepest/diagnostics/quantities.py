"""What can be watched while a model trains: names, and functions of model, loss and data that return numbers."""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from steepest._kept import random_numbers_kept
from steepest.diagnostics.batch_tests import inner_product_test, norm_test
from steepest.diagnostics.covariance import gradient_covariance
from steepest.diagnostics.density import hessian_density
from steepest.diagnostics.noise_scale import gradient_noise_scale
from steepest.diagnostics.samples import LossFunction, samples_of
from steepest.diagnostics.sharpness import largest_hessian_eigenvalue
from steepest.diagnostics.spectrum import hessian_eigenvalues
from steepest.diagnostics.subject import Filter, Subject
from steepest.diagnostics.trace import hessian_trace

Number = float | int | bool | str | None | list[float | None]
Numbers = dict[str, Number]
Quantity = Callable[[nn.Module, LossFunction, Iterable[Any]], Any]
_LONGEST = 100  # of a series that is written down


def quantities_of(params: Filter | None) -> dict[str, Quantity]:
    """The built-in quantities, of the chosen parameters."""
    return {
        "gradient_norm": lambda model, loss_fn, data: _measure_gradient(model, loss_fn, data, params),
        "noise_scale": lambda model, loss_fn, data: gradient_noise_scale(model, loss_fn, data, params=params),
        "norm_test": lambda model, loss_fn, data: norm_test(model, loss_fn, data, size_of(data), params=params),
        "inner_product_test": lambda model, loss_fn, data: inner_product_test(
            model, loss_fn, data, size_of(data), params=params
        ),
        "gradient_covariance": lambda model, loss_fn, data: gradient_covariance(model, loss_fn, data, params=params),
        "largest_hessian_eigenvalue": lambda model, loss_fn, data: largest_hessian_eigenvalue(
            model, loss_fn, data, params=params, tolerance=1e-2
        ),
        "hessian_eigenvalues": lambda model, loss_fn, data: hessian_eigenvalues(
            model, loss_fn, data, 5, which="both", params=params, tolerance=1e-2
        ),
        "hessian_trace": lambda model, loss_fn, data: hessian_trace(model, loss_fn, data, params=params, products=12),
        "hessian_density": lambda model, loss_fn, data: hessian_density(model, loss_fn, data, params=params).curve(),
    }


def _measure_gradient(
    model: nn.Module, loss_fn: LossFunction, data: Iterable[object], params: Filter | None
) -> Numbers:
    """Measure the loss and the norm of its gradient, over all of the data."""
    subject = Subject(model, loss_fn, data, params)
    with subject.looked_at():
        loss, gradient = subject.mean_gradient()
    return {
        "value": float(gradient.double().norm()),
        "loss": loss,
        "samples": subject.samples,
        "passes": subject.passes,
        "seconds": subject.seconds,
    }


def size_of(data: Iterable[Any]) -> int:
    """The samples of the first batch."""
    with random_numbers_kept((), data):
        first = next(iter(data), None)
    return 1 if first is None else samples_of(first, torch.device("cpu")).count


def numbers_of(found: Any) -> Numbers:
    """The numbers of what an instrument returns, as JSON can hold them: what is not finite is ``None``.

    Example:
        >>> numbers_of(3), numbers_of({"value": float("inf"), "of": torch.tensor([1.0, 2.0])})
        ({'value': 3.0}, {'value': None, 'of': [1.0, 2.0]})
    """
    if hasattr(found, "_asdict"):
        found = found._asdict()
    if not isinstance(found, Mapping):
        return {"value": _finite(float(found))}
    numbers: Numbers = {}
    for name, value in found.items():
        if hasattr(value, "_asdict"):  # a value with its error
            numbers |= {name if key == "value" else f"{name}_{key}": one for key, one in numbers_of(value).items()}
        elif isinstance(value, bool | int | str):
            numbers[name] = value
        elif isinstance(value, float):
            numbers[name] = _finite(value)
        elif isinstance(value, Tensor) and value.dim() == 0:
            numbers[name] = _finite(float(value))
        elif isinstance(value, Tensor) and value.dim() == 1 and len(value) <= 2 * _LONGEST:
            numbers[name] = [_finite(float(x)) for x in value.tolist()]
    return numbers


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
