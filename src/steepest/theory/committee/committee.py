"""A two-layer student and its teacher: what theory says of its error under SGD, and SGD itself."""

from collections.abc import Sequence
from typing import Literal

import torch
from numpy.typing import ArrayLike
from torch import Tensor, nn

from steepest.diagnostics.subject import one_of, whole
from steepest.theory.committee import arguments
from steepest.theory.committee.examples import Examples
from steepest.theory.committee.final import final_error
from steepest.theory.committee.integrals import Array
from steepest.theory.committee.layers import beside
from steepest.theory.committee.ode import METHODS, FixedPoint, Method, Prediction, fixed_point, integrate
from steepest.theory.committee.order_parameters import OrderParameters, error_of
from steepest.theory.committee.rule import Activation, Start
from steepest.theory.committee.simulation import Runs, Simulation

TIMES = (0.0, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
ASYMMETRY = 1e-6


class Committee:
    r"""A student network that learns by SGD, an example a step, what a teacher of the same kind says of normal inputs.

    .. code-block:: text

        x ~ N(0, I_N)
        y    = sum_m A_m g(B_m.x / sqrt N) + noise * zeta,  zeta ~ N(0, 1)
        err  = y - sum_k v_k g(lam_k),  lam_k = w_k.x / sqrt N                             loss = err^2 / 2
        w_k <- (1 - weight_decay / N) w_k + (lr / sqrt N) err v_k g'(lam_k) x
        v_k <- (1 - weight_decay / N) v_k + (lr_output / N) err g(lam_k)                   only with train="both"

    For large N the overlaps of weight vectors obey ordinary differential equations in the time ``steps / N``, from
    which the error follows: :meth:`predict`. :meth:`simulate` takes the steps. Conventions differ between papers: some
    have outputs over ``sqrt K``, no 1/2 in the loss, or another time.

    Args:
        teacher: M units: their number, or weights B (M, N). Of a number, the prediction's T is the identity, and a run
            draws ``B ~ N(0, 1)``.
        student: K units: their number, or the weights w (K, N) with which it starts.
        activation: g: ``"erf"``, which is ``erf(x / sqrt 2)``, ``"relu"``, or ``"linear"``.
        lr: of the first layer, above 0.
        lr_output: of the second; as ``lr`` by default. Only with ``train="both"``.
        noise: standard deviation of the labels' noise.
        weight_decay: what is taken off a weight in N steps, as a part of it; not times ``lr``.
        train: ``"first"`` layer only, or ``"both"``.
        start: of a student given as a number; ``"random"`` by default. See
            :func:`~steepest.theory.committee.starts.mixture`: ``"random"``, ``"small"``, ``"informed"`` (at the
            teacher), ``"denoiser"`` (copies of the teacher's units, which share its output weights). The last two take
            at least M units.
        teacher_output: A (M,), 1 by default.
        student_output: v (K,) at the start. By default 1, but: where both layers are trained, random numbers with the
            starts that are random; A for ``"informed"``; A over the number of copies for ``"denoiser"``.

    Attributes:
        K, M: the numbers of units.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind or out of range.

    Source: Saad, Solla, Phys. Rev. E 52, 4225 (1995); Goldt, Advani, Saxe, Krzakala, Zdeborova, "Dynamics of stochastic
    gradient descent for two-layer neural networks in the teacher-student setup", arXiv 1906.08632 (2019).

    Example:
        >>> theory = Committee(teacher=2, student=2, lr=0.1, noise=0.1, start="informed")
        >>> found = theory.predict([0, 1000])
        >>> [f"{error:.2e}" for error in found.generalization_error], f"{theory.final_error():.2e}"
        (['4.58e-13', '1.92e-04'], '1.84e-04')
        >>> run = theory.simulate(N=50, seeds=3, times=[0, 2])
        >>> run.generalization_error.shape, run.Q.shape
        ((3, 2), (3, 2, 2, 2))
    """

    def __init__(
        self,
        teacher: int | ArrayLike | Tensor,
        student: int | ArrayLike | Tensor,
        activation: Activation = "erf",
        *,
        lr: float,
        lr_output: float | None = None,
        noise: float = 0.0,
        weight_decay: float = 0.0,
        train: Literal["first", "both"] = "first",
        start: Start | None = None,
        teacher_output: ArrayLike | Tensor | None = None,
        student_output: ArrayLike | Tensor | None = None,
    ) -> None:
        self.rule = arguments.rule_of(activation, lr, lr_output, noise, weight_decay, train)
        outputs = teacher_output, student_output
        self._beginning = arguments.beginning_of(teacher, student, start, *outputs, both=train == "both")
        self.K, self.M = self._beginning.mixture.mix.shape

    def predict(
        self,
        times: ArrayLike | Tensor,
        *,
        start: OrderParameters | None = None,
        asymmetry: float = ASYMMETRY,
        seed: int = 0,
        rtol: float = 1e-9,
        atol: float = 1e-12,
        method: Method = "LSODA",
    ) -> Prediction:
        """Follow the order parameters to ``times``, for N to infinity, in float64 by SciPy's ``solve_ivp``.

        Differences between units grow from what the start has of them, so that a plateau lasts as long as their
        logarithm says: with the default of ``asymmetry`` longer than in any simulation. To compare with runs, start
        from a run's own order parameters, :meth:`Simulation.start_of`, or give ``asymmetry=N**-0.5``. **Memory**: some
        arrays of K (K + 1) / 2 (K + M)^2 numbers of 8 bytes.

        Args:
            times: steps over N (P,), ascending from at least 0; the start is at 0.
            start: order parameters to start from; by default those of :meth:`start`.
            asymmetry, seed: as of :meth:`start`; unused when ``start`` is given.
            rtol, atol: relative error, at most 1e-8, and absolute error that a step of the solver may make.
            method: ``"LSODA"``, or ``"DOP853"``, which takes more evaluations over long times.

        Raises:
            TypeError, ValueError: an argument is of the wrong kind or out of range, or the activation is ReLU, whose
                I4 has no closed form.
            RuntimeError: the equations cannot be followed to the end, as where ``lr`` is too large.
        """
        found = arguments.ascending(times)
        if arguments.positive("rtol", rtol) > 1e-8:
            raise ValueError(f"rtol must be at most 1e-8, or a plateau's length is the solver's, got {rtol}")
        one_of("method", method, METHODS)
        begin = self.start(asymmetry, seed) if start is None else arguments.checked_start(start, self.K, self.M)
        return integrate(self.rule, begin, found, rtol, arguments.positive("atol", atol), method)

    def start(self, asymmetry: float = ASYMMETRY, seed: int = 0) -> OrderParameters:
        """The order parameters at time 0, for N to infinity.

        Args:
            asymmetry: what breaks the symmetry of units, where not all are given as weights: the standard deviation of
                normal numbers that are added to their overlaps with the teacher's. At 0 units that are alike stay so.
                Its square should not be below the solver's ``atol``.
            seed: of these numbers, and of random output weights.
        """
        arguments.not_negative("asymmetry", asymmetry)
        whole("seed", seed, 0)
        return self._beginning.limit(asymmetry, seed)

    def fixed_point(self, near: OrderParameters | None = None) -> FixedPoint:
        """Where the order parameters stay, found as a root of the equations' right side.

        Args:
            near: where to search from: by default :meth:`start` without asymmetry.

        Raises:
            TypeError, ValueError: ``near`` has other shapes, or is no covariance; the activation is ReLU.
            RuntimeError: none was found, as from a start far from one.
        """
        begin = self.start(asymmetry=0.0) if near is None else arguments.checked_start(near, self.K, self.M)
        return fixed_point(self.rule, begin)

    def simulate(
        self,
        N: int | None = None,  # noqa: N803 - as in every paper
        seeds: int | Sequence[int] = 5,
        *,
        times: ArrayLike | Tensor = TIMES,
        samples: int | None = None,
        inputs: Tensor | ArrayLike | None = None,
    ) -> Simulation:
        """Run SGD for ``times[-1] * N`` steps, all runs at once in float64, each with random numbers of its own.

        **Cost**: some 0.2 ms a step for 5 runs with N = 784. **Memory**, in numbers of 8 bytes, for S runs: some
        S (3 K + M) N of weights and gradients, 200 S N of examples, S * samples * N of finite training sets.

        Args:
            N: dimension of inputs, at least 1; may be left out where arrays give it.
            seeds: one for each run, or how many runs, which have the seeds 0, 1, ...
            times: when to measure, in steps over N, ascending from at least 0.
            samples: how many examples a run's training set has, each with its label's noise, from which every step
                draws one with replacement. ``None``: a new example at every step.
            inputs: numbers (rows, ...) from whose rows x is drawn instead of N(0, I), such as images. The theory's
                inputs have mean 0 and unit variance in every direction.

        Raises:
            TypeError, ValueError: an argument is of the wrong kind or out of range.
            RuntimeError: a run diverged.
        """
        found, rows = arguments.ascending(times), arguments.rows_of(inputs)
        n = arguments.dimension_of(N, teacher=self._beginning.teacher, student=self._beginning.student, inputs=rows)
        most = None if rows is None else len(rows)
        if samples is not None and whole("samples", samples, 1) > (most or samples):
            raise ValueError(f"samples must be at most the {most} rows of inputs, got {samples}")
        all_seeds = arguments.seeds_of(seeds)
        generators = [torch.Generator("cpu").manual_seed(seed) for seed in all_seeds]
        networks = self._beginning.draw(n, generators)
        return Runs(self.rule, *networks, Examples(n, generators, rows, samples)).learn(found, all_seeds)

    def order_parameters(
        self, model: nn.Module, teacher: nn.Module | ArrayLike | Tensor | None = None
    ) -> OrderParameters:
        """Those of a two-layer module beside its teacher.

        The module computes ``sum_k v_k g(w_k.x)``, with or without ``1 / sqrt N`` in it, and no biases; this is checked
        on random inputs.

        Args:
            model: the student: of any number of units.
            teacher: another such module, or weights B (M, N) of units with this committee's A; by default this
                committee's teacher, if that was given as weights.

        Raises:
            TypeError, ValueError: a module computes something else, or the dimensions of the two differ.
        """
        found = self._beginning.teacher if teacher is None else teacher
        if found is None:
            raise ValueError("teacher must be a module or weights (M, N), since this committee has a number, got None")
        if not isinstance(found, nn.Module):
            found = arguments.finite_array("teacher", found, 2)
        return beside(model, found, self._beginning.teacher_output, self.rule.activation)

    def generalization_error(self, of: OrderParameters | nn.Module) -> Array:
        """Half the mean squared error on normal inputs, without the label's noise, of all leading dimensions.

        Args:
            of: order parameters, or a module as of :meth:`order_parameters`, beside this committee's teacher.
        """
        if isinstance(of, nn.Module):
            of = self.order_parameters(of)
        if not isinstance(of, OrderParameters):
            raise TypeError(f"of must be OrderParameters or a module, got {type(of).__name__}")
        return error_of(of, self.rule.activation)

    def final_error(self) -> float:
        """The error at which a student ends that has come to its teacher, in closed form where that is known.

        .. code-block:: text

            linear, first layer         s noise^2 / (4 - 2 s),  s = lr sum_k v_k^2                         exact
            first layer, K = M + L      lr noise^2 / 4 (sum_m A_m^2 E[g'(nu_m)^2] + L E[g'(0)^2])          to first
            both, K = M or denoiser     lr noise^2 / 4  sum_m A_m^2 E[g'(nu_m)^2] / copies_m               order in lr

        For erf, ``E[g'(nu)^2] = (2/pi) / sqrt(1 + 2 T_mm)`` and ``E[g'(0)^2] = 2/pi``. In the second line the student
        has the teacher's units and outputs, and L units near 0. Of these a pair may also have large opposite weights:
        there the error is lower, and SGD drifts there, in a time that grows as ``1 / lr^2`` (measured).

        Raises:
            ValueError: with weight decay, or for a student of which nothing is known.
        """
        return final_error(self.rule, self._beginning)
