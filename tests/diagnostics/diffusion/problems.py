"""Small models with data, and the textbook's least squares."""

from functools import cache, cached_property

import numpy as np
import torch
from torch import nn

from steepest.diagnostics.diffusion import DiffusionMetric


def numbers(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def half_square(outputs, targets):
    return (outputs - targets).square().mean() / 2


class Line(nn.Module):
    """a.x, as a batch of numbers."""

    def __init__(self, weights):
        super().__init__()
        self.x = nn.Parameter(weights.clone())

    def forward(self, a):
        return a @ self.x


class LeastSquares:
    """f_k = (a_k.x - y_k)^2 / 2 in NumPy: g_k = r_k a_k, H_k = a_k a_k'."""

    def __init__(self, n, d, seed=0):
        self.a, self.y = numbers(n, d, seed=seed), numbers(n, seed=seed + 1)
        self.x = numbers(d, seed=seed + 2)

    @cached_property
    def made(self):
        return DiffusionMetric(Line(self.x), half_square, [(self.a, self.y)], 1.0)

    def metric(self, eps):
        return self.made.with_eps(eps)

    def covariance(self, x):
        a, r = self.a.numpy(), (self.a @ x - self.y).numpy()
        n = len(a)
        mean = a.T @ r / n
        return sum(r[k] ** 2 * np.outer(a[k], a[k]) for k in range(n)) / n - np.outer(mean, mean)

    def covariance_derivative(self, x):
        a, r = self.a.numpy(), (self.a @ x - self.y).numpy()
        n, d = a.shape
        g, h = a * r[:, None], np.einsum("ni,nj->nij", a, a)
        mean, curvature = g.mean(0), h.mean(0)
        found = np.zeros((d, d, d))
        for k in range(d):
            for s in range(n):
                found[k] += (np.outer(h[s, k], g[s]) + np.outer(g[s], h[s, k])) / n
            found[k] -= np.outer(curvature[k], mean) + np.outer(mean, curvature[k])
        return found


def network(d=4, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(3, d), nn.Tanh(), nn.Linear(d, 2))


def labelled(n=20, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=generator), torch.randint(0, 2, (n,), generator=generator)


@cache
def of_network(d=4, n=20, eps=0.5):
    """A metric of a network, whose functions are traced once for all tests."""
    return DiffusionMetric(network(d), nn.CrossEntropyLoss(), [labelled(n)], eps)
