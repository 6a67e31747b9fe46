"""Streaming PCA, a loss that is not convex and has saddles, by momentum SGD: Oja's rule with momentum."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from steepest.diagnostics.subject import between, whole
from steepest.optim.arguments import check_flag
from steepest.theory.momentum import sphere as on_sphere
from steepest.theory.momentum.annealing import Annealing, pieces_of
from steepest.theory.momentum.arguments import Array, Numbers, Steps, check_settings, numbered, step_counts, vector
from steepest.theory.momentum.quadratic import Quadratic
from steepest.theory.momentum.simulation import Simulation, run


class StreamingPCA:
    r"""The largest eigenvector of a covariance, sought from one Gaussian sample a step.

    .. code-block:: text

        v(k+1) = v(k) + lr (I - v v') X X' v + momentum (v(k) - v(k-1))        X ~ N(0, diag(eigenvalues))      (known)

    Without momentum it is Oja's rule. The eigenvectors are the coordinate axes: the first is the optimum, the others
    are strict saddles. With ``t = lr k`` and small steps (derived, of Liu and others' diffusion approximation):

    .. code-block:: text

        mean            dV/dt = (Sigma V - (V' Sigma V) V) / (1 - momentum)
        near number i   dv_j = (lam_j - lam_i) v_j e dk + e sqrt(lam_i lam_j) dB            e = lr / (1 - momentum)

    so that near an eigenvector it is a :class:`Quadratic`, which :meth:`near` gives, with curvatures
    ``lam_i - lam_j``, and ``2 lam_i`` without noise along the eigenvector itself; noise of variance ``lam_i lam_j``.
    Momentum enters by ``effective_lr = lr / (1 - momentum)`` alone: it leaves a saddle sooner, and stays further from
    the optimum, **at equal lr**; :meth:`plain` does the same without momentum.

    **Where it ends**: all is of first order in ``effective_lr``. With eigenvalues 4, 3, 2, 1 the variance of v_2 at the
    optimum is larger by 12 % at an ``effective_lr`` of 0.01, with momentum or without (measured). And momentum takes
    about 1 / (1 - momentum) steps to set in, which the equation does not know: where a saddle is left within some
    times as many, ``near(2)`` with ``exact=True`` does.

    All variances are of v, not of ``v / sqrt(lr)``; times are steps; eigenvectors are counted from 1 in arguments, as
    in formulas.

    Args:
        eigenvalues: (d,), at least two, none below 0, in descending order, the first above the second.
        lr: above 0.
        momentum: in [0, 1).

    Raises:
        TypeError: an argument is of the wrong kind.
        ValueError: an argument is out of range; the settings are unstable even in the mean, which is
            ``lr 2 lam_1 >= 2 (1 + momentum)``: the sentence holds the bound.

    Source: Liu, Chen, Zhou, Zhao, "Toward deeper understanding of nonconvex stochastic optimization with momentum using
    diffusion approximations", arXiv 1802.05155, whose versions before the last treat streaming PCA; a reconstruction.

    Example:
        >>> theory = StreamingPCA([4, 3, 2, 1], lr=1e-4, momentum=0.9)
        >>> theory.stationary_covariance().diagonal().round(5)
        array([0.     , 0.006  , 0.002  , 0.00067])
        >>> round(theory.exit_time(0.3)), round(StreamingPCA([4, 3, 2, 1], lr=1e-4, momentum=0.0).exit_time(0.3))
        (1763, 29006)
        >>> found = theory.plain().simulate(replicas=1000, steps=2500, seed=0, start=2, exits=(1, 0.3))
        >>> round(found.exit_time() / theory.exit_time(0.3, sphere=True), 1)
        1.0
    """

    def __init__(self, eigenvalues: Numbers, lr: float, momentum: float) -> None:
        self.eigenvalues: Array = vector("eigenvalues", eigenvalues)
        lam = self.eigenvalues
        if len(lam) < 2 or lam.min() < 0 or lam[0] == lam[1] or (np.diff(lam) > 0).any():
            raise ValueError(
                "eigenvalues must be two or more of at least 0, in descending order, the first above the second, got "
                f"{lam.tolist()}"
            )
        check_settings(lr, momentum)
        self.lr, self.momentum = lr, momentum
        self.near(1)

    @property
    def effective_lr(self) -> float:
        """``lr / (1 - momentum)``, of which alone the theory depends."""
        return self.lr / (1 - self.momentum)

    def plain(self) -> "StreamingPCA":
        """Oja's rule at the effective learning rate: to first order the same.

        Raises:
            ValueError: it is unstable.
        """
        return StreamingPCA(self.eigenvalues, self.effective_lr, 0.0)

    def near(self, eigenvector: int) -> Quadratic:
        """What the rule is to first order near an eigenvector, counted from 1, in all d coordinates."""
        i = numbered("eigenvector", eigenvector, len(self.eigenvalues))
        lam = self.eigenvalues
        curvatures, noise = lam[i] - lam, lam[i] * lam
        curvatures[i], noise[i] = 2 * lam[i], 0.0
        return Quadratic(curvatures, noise, self.lr, self.momentum)

    def mean_path(
        self, steps: Steps, *, start: int | Numbers | None = None, annealing: Annealing | None = None
    ) -> Array:
        """The path (\\*steps, d) of the differential equation of the mean, on the unit sphere.

        .. code-block:: text

            v_i = h_i / ||h||,    h_i = v_i(0) exp(lam_i sum of lr / (1 - momentum))

        Args:
            steps: a number of steps or an array of them.
            start: the number of an eigenvector, or a vector (d,), which is scaled to length 1; by default all
                components are equal.
            annealing: of lr and momentum in the run.
        """
        begin = self._start(start)
        counts = step_counts(steps)
        pieces = pieces_of(annealing, self.lr, self.momentum, int(counts.max(initial=0)), self._steepest)
        ends = np.cumsum([0, *(piece.steps for piece in pieces)])
        times = np.cumsum([0, *(piece.steps * piece.lr / (1 - piece.momentum) for piece in pieces)])
        ahead = self.eigenvalues - self.eigenvalues[begin != 0].max()
        h = begin * np.exp(np.minimum(np.interp(counts, ends, times)[..., None] * ahead, 0))
        return np.asarray(h / np.linalg.norm(h, axis=-1, keepdims=True))

    def stationary_covariance(self) -> Array:
        """Covariance (d, d) at the optimum in the end: ``e lam_1 lam_j / (2 (lam_1 - lam_j))`` for j > 1, else 0."""
        return self.near(1).stationary_covariance()

    def variance(self, steps: Steps, *, around: int = 1, annealing: Annealing | None = None) -> Array:
        """Variances (\\*steps, d) after each of ``steps`` steps from an eigenvector, near to it.

        At the optimum, 1, they grow to the stationary ones; at a saddle those before it grow beyond all bounds.
        """
        return self.near(around).variance(steps, annealing=annealing)

    def escape_variance(
        self,
        steps: Steps,
        *,
        saddle: int = 2,
        direction: int = 1,
        sphere: bool = False,
        annealing: Annealing | None = None,
    ) -> Array:
        """Variance, of the shape of ``steps``, of ``v_direction`` after so many steps from a saddle.

        .. code-block:: text

            s^2 = e lam_i lam_j / (2 gap) (exp(2 gap e k) - 1)      saddle i, direction j < i, gap = lam_j - lam_i

        It is good while it is far below 1, which v never leaves; ``sphere`` is that of :meth:`exit_time`.

        Raises:
            ValueError: an argument is out of range, or ``direction`` does not lead away from ``saddle``.
        """
        check_flag("sphere", sphere)
        found = self.near(saddle).escape_variance(steps, direction=direction, annealing=annealing)
        return on_sphere.variance(found) if sphere else found

    def exit_probability(
        self,
        delta: float,
        steps: Steps,
        *,
        saddle: int = 2,
        direction: int = 1,
        sphere: bool = False,
        annealing: Annealing | None = None,
    ) -> Array:
        """Probability, of the shape of ``steps``, of ``|v_direction| > delta`` after so many steps from the saddle; the
        arguments are those of :meth:`exit_time`."""
        distance = _linear(delta, sphere)
        return self.near(saddle).exit_probability(distance, steps, direction=direction, annealing=annealing)

    def exit_time(
        self, delta: float, probability: float = 0.5, *, saddle: int = 2, direction: int = 1, sphere: bool = False
    ) -> float:
        """The steps after which ``|v_direction| > delta`` has the probability, of runs from the saddle.

        .. code-block:: text

            log(1 + 2 gap delta^2 / (e lam_i lam_j z^2)) / (2 gap e)        z = Phi^-1(1 - probability / 2)

        The law of v at a time, a marginal law, and not that of the first passage: that comes earlier, since a path may
        return.

        Args:
            delta: in (0, 1).
            probability: in (0, 1); 1/2 for the median.
            saddle: the number of its eigenvector.
            direction: the number of an eigenvector before it.
            sphere: take in that v stays on the sphere, as :mod:`steepest.theory.momentum.sphere` says (ours).

        Raises:
            ValueError: an argument is out of range, or ``direction`` does not lead away from ``saddle``.
        """
        return self.near(saddle).exit_time(_linear(delta, sphere), probability, direction=direction)

    def simulate(
        self,
        replicas: int,
        steps: int,
        seed: int = 0,
        *,
        start: int | Numbers | None = None,
        at: int | Sequence[int] = 101,
        snapshots: Sequence[int] = (),
        exits: tuple[int, float] | None = None,
        annealing: Annealing | None = None,
    ) -> Simulation:
        """Runs of the rule itself, by :func:`steepest.optim.step.scaled_step` in float64 with the gradient
        ``-(I - v v') X X' v``; every run draws its own X, and diverges where ``effective_lr`` is not small. Arguments,
        memory and errors are those of :meth:`Quadratic.simulate`, with ``start`` as of :meth:`mean_path`.
        """
        begin = self._start(start)
        whole("steps", steps, 0)
        pieces = pieces_of(annealing, self.lr, self.momentum, steps, self._steepest)
        root = torch.from_numpy(np.sqrt(self.eigenvalues))[:, None]
        return run(_gradient, lambda normal: normal.mul_(root), begin, pieces, replicas, seed, at, snapshots, exits)

    @property
    def _steepest(self) -> float:
        return 2 * float(self.eigenvalues[0])

    def _start(self, start: object) -> Array:
        d = len(self.eigenvalues)
        if start is None:
            return np.full(d, d**-0.5)
        if np.ndim(start) == 0:  # type: ignore[arg-type]
            return np.asarray(np.eye(d)[numbered("start", start, d)])
        found = vector("start", start, d)
        if not found.any():
            raise ValueError(f"start must have a component that is not 0, got {found.tolist()}")
        return np.asarray(found / np.linalg.norm(found))


def _linear(delta: float, sphere: bool) -> float:
    """Give the distance of the linear prediction that stands for delta."""
    between("delta", delta, 0, 1)
    check_flag("sphere", sphere)
    return on_sphere.linear_distance(delta) if sphere else delta


def _gradient(v: Tensor, x: Tensor) -> Tensor:
    """Compute -(I - v v') x x' v = (v (x'v) - x) (x'v)."""
    product = (x * v).sum(dim=0)
    return (v * product).sub_(x).mul_(product)
