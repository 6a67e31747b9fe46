"""The diffusion metric: what the gradients of single samples, as they differ, make of distance in weight space."""

import copy
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from steepest.diagnostics.diffusion.losses import SampleLosses
from steepest.diagnostics.samples import LossFunction

Point = Tensor | Sequence[float] | Mapping[str, Tensor] | None


class DiffusionMetric:
    r"""Covariance of the gradient over samples, and the metric that it makes of weight space, of a small model.

    A reconstruction: the paper's own metric could not be had, and ``I + eps D`` is a reading of what it says.

    .. code-block:: text

        f(x) = mean of f_n(x)                                   f_n: the loss of sample n at weights x
        D(x) = mean of (g_n - g)(g_n - g)'                      g_n: its gradient, g: their mean
        metric(x) = I + eps D(x)                                (derived: the surface x -> (x, f_n(x) - f(x)), with
                                                                 heights times sqrt(eps / N), has this metric)

    All is computed in float64, whatever the model's precision is, of a copy of its weights, buffers and data as they
    are when this is made. The model runs in evaluation mode: no dropout, BatchNorm with its running statistics.
    Weights, modes, buffers, ``.grad`` and torch's random state are afterwards what they were, also after an error.

    Flat weights ``x`` hold the trainable parameters one after the other, a tied one once; where a method takes them,
    a dict of tensors by the parameters' names and ``None``, for the model's own, do too.

    **Units**: with w the unit of weights and l that of the loss, D has (l/w)^2, and eps (w/l)^2, so that the metric has
    none. **Cost**: D takes one gradient for each sample, its derivative one Hessian for each sample.

    Args:
        model: called as ``model(inputs)``; at most 500 trainable weights, which are float32 or float64.
        loss_fn: called as ``loss_fn(outputs, targets)``; the **mean** over the batch of its samples' losses.
        data: a list of batches ``(inputs, targets)`` or a ``DataLoader``; samples of one shape.
        eps: how much the noise counts, at least 0. At 0 distance is the usual one.

    Attributes:
        weights: the flat weights (d,) that the model had.
        samples: their number N.

    Raises:
        TypeError: an argument is of the wrong kind, or ``loss_fn`` cannot take what the model returns, such as a tuple.
        ValueError: an argument is out of range, there are too many weights, none that is trainable, or no samples; the
            loss is not one number, or not the mean of its samples'.
        RuntimeError: the loss is not finite, changes from one pass to the next, or cannot be differentiated twice.

    Source: a reconstruction of Fioresi, Chaudhari, Soatto, Entropy 22, 101 (2020), arXiv 1910.12194.

    Example:
        >>> line = nn.Linear(1, 1, bias=False)
        >>> _ = nn.init.constant_(line.weight, 3.0)
        >>> inputs, targets = torch.tensor([[1.0], [2.0]]), torch.tensor([[1.0], [4.0]])
        >>> metric = DiffusionMetric(line, nn.MSELoss(), [(inputs, targets)], eps=0.1)
        >>> metric.gradient(), metric.covariance()  # the samples' gradients are 4 and 8
        (tensor([6.], dtype=torch.float64), tensor([[4.]], dtype=torch.float64))
        >>> metric.metric()
        tensor([[1.4000]], dtype=torch.float64)
    """

    def __init__(self, model: nn.Module, loss_fn: LossFunction, data: Iterable[object], eps: float) -> None:
        self.eps = _check_eps(eps)
        self.sample_losses = SampleLosses(model, loss_fn, data)
        self.weights: Tensor = self.sample_losses.weights
        self.samples = self.sample_losses.count

    def with_eps(self, eps: float) -> "DiffusionMetric":
        """The same with another ``eps``, without looking at the model anew."""
        other = copy.copy(self)
        other.eps = _check_eps(eps)
        return other

    def named(self, x: Point = None) -> dict[str, Tensor]:
        """Flat weights as tensors by the parameters' names, in their shapes, in float64."""
        return {name: t.clone() for name, t in self.sample_losses.named(self.point(x)).items()}

    def point(self, x: Point = None) -> Tensor:
        """Weights in any of the forms that methods take, or a direction, as a flat vector (d,) in float64.

        Raises:
            ValueError: of another number of weights, or of names and shapes that are not the trainable parameters'.
        """
        if x is None:
            return self.weights.clone()
        if isinstance(x, Mapping):
            own = {name: tuple(t.shape) for name, t in self.sample_losses.named(self.weights).items()}
            given = {name: tuple(t.shape) for name, t in x.items()}
            if given != own:
                raise ValueError(f"weights by name must have the names and shapes {own}, got {given}")
            return torch.cat([x[name].detach().reshape(-1).to(self.weights) for name in own])
        flat = torch.as_tensor(x, dtype=self.weights.dtype, device=self.weights.device).detach().clone()
        if flat.shape != self.weights.shape:
            raise ValueError(f"flat weights must have shape {tuple(self.weights.shape)}, got {tuple(flat.shape)}")
        return flat

    def loss(self, x: Point = None) -> float:
        """Mean loss f at x."""
        return float(self.sample_losses.losses(self.point(x)).mean())

    def gradient(self, x: Point = None) -> Tensor:
        """Gradient g of the mean loss at x, of shape (d,)."""
        return self.sample_losses.gradients(self.point(x)).mean(dim=0)

    def sample_gradients(self, x: Point = None) -> Tensor:
        """Gradients of all samples' losses at x, of shape (N, d), in the order of the data."""
        return self.sample_losses.gradients(self.point(x))

    def covariance(self, x: Point = None) -> Tensor:
        """Covariance D of the samples' gradients at x, of shape (d, d); its rank is at most N - 1.

        A mini-batch of B samples has a gradient with covariance ``D / B`` if they are drawn with replacement,
        ``(D / B) (N - B) / (N - 1)`` if without.
        """
        apart = self._apart(self.point(x))
        return apart.T @ apart / self.samples

    def covariance_derivative(self, x: Point = None) -> Tensor:
        """Derivative of D at x, of shape (d, d, d): ``[k, i, j]`` is that of ``D[i, j]`` by weight k."""
        slopes = self._covary(self.point(x))
        return slopes + slopes.transpose(1, 2)

    def metric(self, x: Point = None) -> Tensor:
        """Metric ``I + eps D`` at x, of shape (d, d)."""
        return self.eps * self.covariance(x) + torch.eye(
            len(self.weights), dtype=self.weights.dtype, device=self.weights.device
        )

    def christoffel(self, x: Point = None, *, kind: int = 2) -> Tensor:
        """Christoffel symbols of the metric at x, of shape (d, d, d).

        .. code-block:: text

            kind 1: [z, u, v] = (eps/2) (d_u D_zv + d_v D_zu - d_z D_uv)
                              = eps times the covariance over samples of d_z f_n and d_u d_v f_n      (derived)
            kind 2: [w, u, v] = the inverse of the metric times kind 1; the same up to eps^2

        Raises:
            ValueError: ``kind`` is neither 1 nor 2.
        """
        if kind not in (1, 2):
            raise ValueError(f"kind must be 1 or 2, got {kind!r}")
        at = self.point(x)
        first = self.eps * self._covary(at).permute(2, 0, 1)
        if kind == 1:
            return first
        second: Tensor = torch.linalg.solve(self.metric(at), first.flatten(1))
        return second.view_as(first)

    def solve(self, apart: Tensor, vector: Tensor) -> Tensor:
        """Inverse of the metric times a vector, from the samples' gradients less their mean; NaN where these are."""
        metric = self.eps / self.samples * (apart.T @ apart)
        metric.diagonal().add_(1)
        factor, failed = torch.linalg.cholesky_ex(metric)
        if failed:  # it is positive definite wherever it is finite
            return torch.full_like(vector, math.nan)
        return torch.cholesky_solve(vector[:, None], factor)[:, 0]

    def _apart(self, x: Tensor) -> Tensor:
        """Compute the samples' gradients less their mean."""
        gradients = self.sample_losses.gradients(x)
        return gradients - gradients.mean(dim=0)

    def _covary(self, x: Tensor) -> Tensor:
        """Compute the covariance over samples of h_n[u, v], the second derivatives, and g_n[z], as [u, v, z]."""
        apart = self._apart(x)
        d = len(x)
        total = torch.zeros(d * d, d, dtype=x.dtype, device=x.device)
        for start, found in self.sample_losses.hessians(x):
            total.addmm_(found.flatten(1).T, apart[start : start + len(found)])
        return (total / self.samples).view(d, d, d)


def _check_eps(eps: object) -> float:
    if isinstance(eps, bool) or not isinstance(eps, int | float):
        raise TypeError(f"eps must be a float, got {eps!r}")
    if not 0 <= eps < math.inf:
        raise ValueError(f"eps must be finite and at least 0, got {eps}")
    return float(eps)
