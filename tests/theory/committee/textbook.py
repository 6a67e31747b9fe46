"""The formulas as papers print them, index by index, and the averages by sampling."""

import math

import numpy as np

from steepest.theory.committee.integrals import INTEGRALS, Clips

ACTIVATIONS = {
    "erf": (
        lambda x: np.vectorize(math.erf, otypes=[float])(x / math.sqrt(2)),
        lambda x: math.sqrt(2 / math.pi) * np.exp(-x * x / 2),
    ),
    "linear": (lambda x: x, np.ones_like),
    "relu": (lambda x: np.maximum(x, 0), lambda x: (x > 0) * 1.0),
}


def i2(c, a, b):
    return 2 / math.pi * math.asin(c[a, b] / math.sqrt((1 + c[a, a]) * (1 + c[b, b])))


def j2(c, a, b):
    return 2 / math.pi / math.sqrt((1 + c[a, a]) * (1 + c[b, b]) - c[a, b] ** 2)


def i3(c, a, b, d):
    """E[g'(a) b g(d)]."""
    under = (1 + c[a, a]) * math.sqrt((1 + c[a, a]) * (1 + c[d, d]) - c[a, d] ** 2)
    return 2 / math.pi * (c[b, d] * (1 + c[a, a]) - c[a, b] * c[a, d]) / under


def i4(c, a, b, d, e):
    """E[g'(a) g'(b) g(d) g(e)]."""
    l4 = (1 + c[a, a]) * (1 + c[b, b]) - c[a, b] ** 2
    l0 = l4 * c[d, e] - c[b, d] * c[b, e] * (1 + c[a, a]) - c[a, d] * c[a, e] * (1 + c[b, b])
    l0 += c[a, b] * c[a, d] * c[b, e] + c[a, b] * c[a, e] * c[b, d]

    def under(d):
        both = c[b, d] ** 2 * (1 + c[a, a]) + c[a, d] ** 2 * (1 + c[b, b])
        return l4 * (1 + c[d, d]) - both + 2 * c[a, b] * c[a, d] * c[b, d]

    return 4 / math.pi**2 / math.sqrt(l4) * math.asin(l0 / math.sqrt(under(d) * under(e)))


def derivative(p, lr, lr_output, noise, weight_decay):
    """dQ, dR, dv of the erf network, in loops."""
    k, m = p.R.shape
    c, v, a = p.covariance(), p.v, p.A
    units, teachers = range(k), range(m)
    dr, dq, dv = np.zeros((k, m)), np.zeros((k, k)), np.zeros(k)

    def pull(i, n):
        found = sum(a[t] * i3(c, i, n, k + t) for t in teachers)
        return lr * v[i] * (found - sum(v[j] * i3(c, i, n, j) for j in units))

    for i in units:
        for n in teachers:
            dr[i, n] = pull(i, k + n) - weight_decay * p.R[i, n]
        for j in units:
            squared = sum(a[n] * a[t] * i4(c, i, j, k + n, k + t) for n in teachers for t in teachers)
            squared -= 2 * sum(v[n] * a[t] * i4(c, i, j, n, k + t) for n in units for t in teachers)
            squared += sum(v[n] * v[t] * i4(c, i, j, n, t) for n in units for t in units)
            squared += noise**2 * j2(c, i, j)
            dq[i, j] = pull(i, j) + pull(j, i) - 2 * weight_decay * p.Q[i, j] + lr**2 * v[i] * v[j] * squared
        found = sum(a[n] * i2(c, i, k + n) for n in teachers) - sum(v[j] * i2(c, i, j) for j in units)
        dv[i] = lr_output * found - weight_decay * v[i]
    return dq, dr, dv


def ours(name, covariance):
    """All averages of an activation over four fields: I2, J2, I3 and, but of ReLU, I4, at the indices of sampled()."""
    found, first, second, clips = INTEGRALS[name], np.array([0]), np.array([1]), Clips()
    values = [
        found.i2(covariance, clips)[0, 1],
        found.j2(covariance, first, second, clips)[0],
        found.i3(covariance, first, clips)[0, 1, 2],
    ]
    return values + ([found.i4(covariance, first, second, clips)[0, 2, 3]] if found.i4 else [])


def sampled(name, covariance, count, seed):
    """Monte Carlo's means of the same, and their standard errors."""
    g, slope = ACTIVATIONS[name]
    draw = np.random.default_rng(seed)
    values, vectors = np.linalg.eigh(covariance)
    a, b, c, d = (vectors * np.sqrt(np.maximum(values, 0))) @ draw.standard_normal((4, count))
    products = [g(a) * g(b), slope(a) * slope(b), slope(a) * b * g(c), slope(a) * slope(b) * g(c) * g(d)]
    return [p.mean() for p in products], [p.std() / math.sqrt(count) for p in products]
