"""The hyperparameters that every method tries: quasi-random, fixed before the first run and frozen in the spec."""

from typing import Any

from steepest.training.definitions.space import Space, active


def quasi_random_points(space: Space, count: int, seed: int = 0) -> list[dict[str, Any]]:
    """The first ``count`` points of a scrambled Halton sequence over ``space``.

    They depend on the space, the order of its names, the seed and nothing else: not on results, nor on the order in
    which runs finish. Methods with equal spaces try equal points, and a longer list begins with the shorter. A study
    computes them once: its spec holds them, so that another release of SciPy changes no study that has begun.

    Every name has a dimension of the sequence, of which a choice and a range of integers take equal parts. One that
    depends on others has it too, and is left out of the points in which it is not searched.

    Source: J. H. Halton (1960); scrambled as in A. B. Owen, "A randomized Halton algorithm in R" (2017), which is
    ``scipy.stats.qmc.Halton``.

    Example:
        >>> from steepest.training import Choice, Range
        >>> [f"{p['lr']:.3g}" for p in quasi_random_points({"lr": Range(0.01, 1.0)}, 4)]
        ['0.0158', '0.158', '0.0499', '0.499']
        >>> quasi_random_points({"nesterov": Choice(True, False), "layers": Range(1, 9, integer=True)}, 2)
        [{'nesterov': True, 'layers': 1}, {'nesterov': False, 'layers': 4}]
    """
    from scipy.stats import qmc  # a third of a second, which a worker can do without

    # Not `rng=seed`, which would draw from a child of that generator: other points than all studies until now.
    sequence = qmc.Halton(len(space), scramble=True, seed=seed).random(count).tolist()
    return [
        active(space, {name: domain.place(u) for (name, domain), u in zip(space.items(), row, strict=True)})
        for row in sequence
    ]


def before_asking(space: Space, trials: int) -> int:
    """How many points of a search by TPE are quasi-random before the first is asked for: two for each hyperparameter,
    and four at least.

    Example:
        >>> from steepest.training import Range
        >>> before_asking({"lr": Range(0.1, 1.0)}, 16)
        4
    """
    return min(trials, max(4, 2 * len(space)))
