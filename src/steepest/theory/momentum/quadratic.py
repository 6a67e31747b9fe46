"""Momentum SGD in a quadratic loss with noise that does not depend on the weights: everything is known exactly."""

from collections.abc import Sequence

import numpy as np
import torch
from scipy.special import ndtr
from torch import Tensor

from steepest.diagnostics.subject import whole
from steepest.optim.arguments import check_flag
from steepest.theory.momentum import recursion
from steepest.theory.momentum.annealing import Annealing, pieces_of, plan
from steepest.theory.momentum.arguments import (
    Array,
    Numbers,
    Steps,
    check_exit,
    check_settings,
    check_stable,
    covariance,
    numbered,
    vector,
)
from steepest.theory.momentum.simulation import Simulation, run


class Quadratic:
    r"""The loss ``sum of h_i v_i^2 / 2``, whose gradient comes with noise, and momentum SGD in it.

    .. code-block:: text

        m <- momentum m + h v + xi,    v <- v - lr m        xi: independent from step to step, of covariance S

    stable if and only if ``lr h < 2 (1 + momentum)`` for all h. What is predicted is, by default, the stochastic
    differential equation that stands for small steps; with ``exact=True`` it is the rule itself. The SDE knows of lr
    and momentum only ``effective_lr = lr / (1 - momentum)``: :meth:`plain` has the same. The formulas stand in
    :mod:`steepest.theory.momentum.recursion`.

    All variances are of v, not of ``v / sqrt(lr)``; times are steps; directions are counted from 1 in arguments,
    as in formulas.

    Args:
        curvatures: h, (d,); below 0 where the loss curves downwards.
        noise: S: a number or (d,) for variances of independent noise, or (d, d).
        lr: above 0.
        momentum: in [0, 1).

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range, or the settings are unstable; the sentence holds the bound.

    Source: the SDE as in Liu, Chen, Zhou, Zhao (2021), arXiv 1802.05155, reconstructed; what is exact is derived.

    Example:
        >>> theory = Quadratic([1.0, 4.0], noise=1.0, lr=0.1, momentum=0.5)
        >>> theory.stationary_covariance().round(4).tolist()
        [[0.1, 0.0], [0.0, 0.025]]
        >>> theory.stationary_covariance(exact=True).round(4).tolist()
        [[0.1034, 0.0], [0.0, 0.0288]]
        >>> found = theory.simulate(replicas=10_000, steps=100, seed=0)
        >>> found.variance[-1].round(2)
        array([0.1 , 0.03])
    """

    def __init__(self, curvatures: Numbers, noise: Numbers, lr: float, momentum: float) -> None:
        self.curvatures: Array = vector("curvatures", curvatures)
        self.noise: Array = covariance("noise", noise, len(self.curvatures))
        check_settings(lr, momentum)
        check_stable(float(self.curvatures.max()), lr, momentum)
        self.lr, self.momentum = lr, momentum

    @property
    def effective_lr(self) -> float:
        """``lr / (1 - momentum)``, of which alone the SDE depends."""
        return self.lr / (1 - self.momentum)

    def plain(self) -> "Quadratic":
        """Plain SGD at the effective learning rate: to first order the same.

        Raises:
            ValueError: it is unstable.
        """
        return Quadratic(self.curvatures, self.noise, self.effective_lr, 0.0)

    def mean_path(
        self, steps: Steps, *, start: Numbers = 1.0, annealing: Annealing | None = None, exact: bool = False
    ) -> Array:
        """Mean (\\*steps, d) after each of ``steps`` steps from ``start``, a number for all directions or (d,)."""
        check_flag("exact", exact)
        begin = vector("start", start, len(self.curvatures))
        run = plan(steps, annealing, self.lr, self.momentum, float(self.curvatures.max()))
        return recursion.means(self.curvatures, begin, run.pieces, run.marks, exact)[run.back]

    def stationary_covariance(self, *, exact: bool = False) -> Array:
        """Covariance (d, d) in the end.

        Raises:
            ValueError: a curvature is not above 0.
        """
        check_flag("exact", exact)
        if self.curvatures.min() <= 0:
            raise ValueError(
                f"curvatures must be above 0, as at a strict minimum, got {self.curvatures.min():g}: nothing is "
                "stationary there"
            )
        return recursion.stationary(self.curvatures, self.noise, self.lr, self.momentum, exact)

    def variance(self, steps: Steps, *, annealing: Annealing | None = None, exact: bool = False) -> Array:
        """Variances (\\*steps, d) after each of ``steps`` steps, wherever all runs began.

        What exceeds 1e100 is said to be that.
        """
        check_flag("exact", exact)
        run = plan(steps, annealing, self.lr, self.momentum, float(self.curvatures.max()))
        found = recursion.covariances(self.curvatures, self.noise, run.pieces, run.marks, exact)
        return np.asarray(np.diagonal(found, axis1=1, axis2=2)[run.back])

    def escape_variance(
        self, steps: Steps, *, direction: int | None = None, annealing: Annealing | None = None, exact: bool = False
    ) -> Array:
        """Variance, of the shape of ``steps``, along a direction of negative curvature, by default the steepest.

        Raises:
            ValueError: the direction's curvature is not below 0.
        """
        return np.asarray(self.variance(steps, annealing=annealing, exact=exact)[..., self._down(direction)])

    def exit_probability(
        self,
        delta: float,
        steps: Steps,
        *,
        direction: int | None = None,
        annealing: Annealing | None = None,
        exact: bool = False,
    ) -> Array:
        """Probability, of the shape of ``steps``, that ``|v_direction| > delta`` after so many steps from 0.

        The law of v at a time, as of :meth:`exit_time`, with the same ``direction``.
        """
        check_exit(delta, 0.5)
        variance = self.escape_variance(steps, direction=direction, annealing=annealing, exact=exact)
        with np.errstate(divide="ignore"):  # nothing is outside before the first step
            return np.asarray(2 * ndtr(-delta / np.sqrt(variance)))

    def exit_time(
        self, delta: float, probability: float = 0.5, *, direction: int | None = None, exact: bool = False
    ) -> float:
        """The steps after which ``|v_direction| > delta`` has the probability, of runs from 0.

        .. code-block:: text

            log(1 + 2 gap delta^2 / (e s^2 z^2)) / (2 gap e)
            gap = -h,    e = effective_lr,    s^2 = S_ii,    z = Phi^-1(1 - probability / 2)

        The law of v at a time, a marginal law, and not that of the first passage: that comes earlier, since a path may
        return. Infinite where there is no noise. ``exact``: the first whole step at which the rule's variance is
        enough, if the noise is Gaussian.

        Args:
            delta: above 0.
            probability: in (0, 1); 1/2 for the median.
            direction: of negative curvature, counted from 1; by default the steepest.

        Raises:
            ValueError: an argument is out of range, or the direction's curvature is not below 0.

        Example:
            >>> saddle = Quadratic([-1.0, 1.0], noise=1.0, lr=0.001, momentum=0.9)
            >>> round(saddle.exit_time(0.3), 1), saddle.exit_time(0.3, exact=True)
            (185.1, 214.0)
        """
        check_exit(delta, probability)
        check_flag("exact", exact)
        index = self._down(direction)
        h, noise = self.curvatures[index], self.noise[index, index]
        if exact:
            return recursion.exact_exit_steps(h, noise, self.lr, self.momentum, delta, probability)
        return float(recursion.exit_steps(h, noise, self.lr, self.momentum, delta, probability))

    def simulate(
        self,
        replicas: int,
        steps: int,
        seed: int = 0,
        *,
        start: Numbers = 1.0,
        at: int | Sequence[int] = 101,
        snapshots: Sequence[int] = (),
        exits: tuple[int, float] | None = None,
        annealing: Annealing | None = None,
    ) -> Simulation:
        """Runs of the rule itself with Gaussian noise, by :func:`steepest.optim.step.scaled_step` in float64.

        **Memory**: at most a dozen arrays of 8 bytes x replicas x d, and the snapshots; whatever ``steps`` is.

        Args:
            replicas: how many runs.
            steps: of each.
            seed: of the random numbers, at least 0; neither torch's nor NumPy's global ones are touched.
            start: a number for all directions, or (d,).
            at: at how many moments, evenly from 0 to ``steps``, moments are computed; or the steps themselves.
            snapshots: steps after which all positions are kept, 8 bytes x replicas x d each.
            exits: ``(direction, delta)``: note when ``|v_direction| > delta``.
            annealing: of lr and momentum in the run.

        Raises:
            TypeError, ValueError: an argument is of the wrong kind or out of range, or the settings are unstable.
            RuntimeError: a run diverged, as at a saddle after too many steps.
        """
        begin = vector("start", start, len(self.curvatures))
        whole("steps", steps, 0)
        pieces = pieces_of(annealing, self.lr, self.momentum, steps, float(self.curvatures.max()))
        h, root = torch.from_numpy(self.curvatures)[:, None], _root(self.noise)

        def gradient(v: Tensor, noise: Tensor) -> Tensor:
            return (h * v).add_(noise)

        def color(normal: Tensor) -> Tensor:
            return normal.mul_(root) if root.shape[1] == 1 else root @ normal

        return run(gradient, color, begin, pieces, replicas, seed, at, snapshots, exits)

    def _down(self, direction: int | None) -> int:
        """Find the index of a direction, which must be one of negative curvature."""
        index = int(self.curvatures.argmin())
        if direction is not None:
            index = numbered("direction", direction, len(self.curvatures))
        if self.curvatures[index] >= 0:
            raise ValueError(
                f"direction must be one of negative curvature, as at a strict saddle, got direction {index + 1} of "
                f"curvature {self.curvatures[index]:g}"
            )
        return index


def _root(noise: Array) -> Tensor:
    """Give what makes the noise of independent normal numbers: (d, 1) to multiply by, or a matrix (d, d)."""
    if np.array_equal(noise, np.diag(noise.diagonal())):
        return torch.from_numpy(np.sqrt(np.maximum(noise.diagonal(), 0))[:, None])
    values, vectors = np.linalg.eigh(noise)
    return torch.from_numpy(vectors * np.sqrt(np.maximum(values, 0)))
