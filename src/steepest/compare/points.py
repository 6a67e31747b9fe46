"""The hyperparameters that every method tries: quasi-random, fixed before the first run."""

import functools
import warnings
from collections.abc import Mapping

import optuna

from steepest.compare.method import Range


def distributions(space: Mapping[str, Range]) -> dict[str, optuna.distributions.BaseDistribution]:
    """The search space in Optuna's terms."""
    return {name: optuna.distributions.FloatDistribution(r.low, r.high, log=r.log) for name, r in space.items()}


@functools.cache
def _halton(space: tuple[tuple[str, Range], ...], count: int, seed: int) -> tuple[dict[str, float], ...]:
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    spaces = distributions(dict(space))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        sampler = optuna.samplers.QMCSampler(qmc_type="halton", scramble=True, seed=seed)
    study = optuna.create_study(sampler=sampler)
    # Optuna draws the first trial of a study independently; with one trial behind it, all points are of the sequence.
    lowest = {name: r.low for name, r in space}
    study.add_trial(optuna.trial.create_trial(params=lowest, distributions=spaces, value=0.0))
    return tuple(dict(study.ask(fixed_distributions=spaces).params) for _ in range(count))


def quasi_random_points(space: Mapping[str, Range], count: int, seed: int = 0) -> list[dict[str, float]]:
    """The first ``count`` points of a scrambled Halton sequence over ``space``.

    They depend on the space, the seed and nothing else: not on results, nor on the order in which runs finish. Methods
    with equal spaces try equal points, and a longer list begins with the shorter.

    Source: J. H. Halton (1960); scrambling and the sampler are Optuna's ``QMCSampler``.

    Example:
        >>> [f"{p['lr']:.3g}" for p in quasi_random_points({"lr": Range(0.01, 1.0)}, 4)]
        ['0.0158', '0.158', '0.0499', '0.499']
    """
    return [dict(point) for point in _halton(tuple(space.items()), count, seed)]
