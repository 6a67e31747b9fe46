"""Matrices for the theory's tests, and the recursions written out."""

import numpy as np

ERRORS = 4  # standard errors


def spread(d, seed=0, least=0.2):
    """A symmetric matrix with eigenvalues from ``least`` to about 4."""
    a = np.random.default_rng(seed).normal(size=(d, d))
    return a @ a.T / d + least * np.eye(d)


def companion(hessian, noise, lr, momentum):
    """The matrix and the noise of (v(k), v(k-1)), as textbooks write them."""
    d = len(hessian)
    eye = np.eye(d)
    step = np.block([[(1 + momentum) * eye - lr * hessian, -momentum * eye], [eye, np.zeros((d, d))]])
    kick = np.zeros((2 * d, 2 * d))
    kick[:d, :d] = lr**2 * noise
    return step, kick


def slow_moments(hessian, noise, start, settings):
    """Mean and covariance of v after each step, of (v, m) step by step, from lr and momentum of each step."""
    d = len(hessian)
    eye = np.eye(d)
    mean, cov = np.concatenate([start, np.zeros(d)]), np.zeros((2 * d, 2 * d))
    means, covs = [start], [cov[:d, :d]]
    for lr, momentum in settings:
        step = np.block([[eye - lr * hessian, -lr * momentum * eye], [hessian, momentum * eye]])
        kick = np.vstack([-lr * eye, eye])
        mean, cov = step @ mean, step @ cov @ step.T + kick @ noise @ kick.T
        means.append(mean[:d])
        covs.append(cov[:d, :d])
    return np.array(means), np.array(covs)
