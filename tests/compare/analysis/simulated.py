"""Whole studies whose truth is known: made-up metrics in records, as `summarize` reads them."""

import dataclasses

import numpy as np

from steepest.compare.records.record import Record

TEST_SAMPLES = 359


def normal(rng, shape):
    return rng.normal(size=shape)


def skewed(rng, shape):
    """Exponential: most runs a little better than the mean, some far worse."""
    return 1 - rng.exponential(size=shape)


def heavy_tailed(rng, shape):
    """Student's with 3 degrees of freedom, of standard deviation 1."""
    return rng.standard_t(3, size=shape) / np.sqrt(3)


def sharing_seeds(rng, shape):
    """Seeds that are good or bad for all methods alike, three times as much as they differ between methods."""
    return rng.normal(size=shape) + 3 * rng.normal(size=(1, shape[1]))


def unequal(rng, shape):
    """Each method with a spread of its own, from 0.2 to 3."""
    return rng.normal(size=shape) * np.geomspace(0.2, 3, shape[0])[:, None]


LAWS = {law.__name__: law for law in (normal, skewed, heavy_tailed, sharing_seeds, unequal)}


def spec_of(spec, methods, seeds):
    """A spec with so many methods, `m0` the baseline, and so many seeds."""
    copies = tuple(dataclasses.replace(spec.methods[0], name=f"m{i}") for i in range(methods))
    return dataclasses.replace(spec, name="w", methods=copies, baseline="m0", seeds=tuple(range(1, seeds + 1)))


def records_of(metrics):
    """A final run for each of the metrics, by method and seed."""
    return [
        Record("w", f"m{i}", "final", j, j + 1, {"lr": 0.1}, "finished", 0.0, 1.0, test_metric=float(x))
        for i, row in enumerate(metrics)
        for j, x in enumerate(row)
    ]


def counted(metrics):
    """Accuracies as they are measured: so many of the test samples, in single precision."""
    return np.float32(np.round(metrics * TEST_SAMPLES) / TEST_SAMPLES)
