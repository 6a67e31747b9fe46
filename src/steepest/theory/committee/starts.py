"""Where a teacher and its student are before the first step: as order parameters for large N, and as weights."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from steepest.theory.committee.integrals import Array
from steepest.theory.committee.order_parameters import OrderParameters, overlaps
from steepest.theory.committee.simulation import Networks

SMALL = 1e-3  # the standard deviation of small weights
NEAR = 1e-9  # that of the noise on a student that begins at its teacher


class Mixture(NamedTuple):
    """Weights ``w = mix B + spread Z`` of the first layer, with independent standard normal Z, and ``v`` of the second.

    ``mix`` (K, M); ``v`` (K,), which is times independent standard normal numbers where ``random_v``.
    """

    mix: Array
    spread: float
    v: Array
    random_v: bool


def mixture(start: str, units: int, teacher_output: Array, both: bool, v: Array | None = None) -> Mixture:
    """The start of a name, of a student of so many units.

    .. code-block:: text

        random      w ~ N(0, 1)                                          v = 1, or ~ N(0, 1) where it is trained
        small       w ~ N(0, 1e-6)                                       v = 1, or ~ N(0, 1e-6) where it is trained
        informed    w = B + N(0, 1e-18), units beyond the teacher's 0    v = A, beyond the teacher's 1
        denoiser    w = B_(k mod M) + N(0, 1e-18)                        v = A_(k mod M) / number of copies

    Args:
        both: whether both layers are trained.
        v: output weights instead of those.
    """
    m = len(teacher_output)
    if start in ("random", "small"):
        scale = SMALL if start == "small" else 1.0
        made, drawn = np.full(units, scale if both else 1.0), both and v is None
        return Mixture(np.zeros((units, m)), scale, made if v is None else v, drawn)
    if start == "informed":
        made = np.concatenate([teacher_output, np.ones(units - m)])
        return Mixture(np.eye(units, m), NEAR, made if v is None else v, False)
    copied = np.arange(units) % m
    made = teacher_output[copied] / np.bincount(copied)[copied]
    return Mixture(np.eye(m)[copied], NEAR, made if v is None else v, False)


class Beginning(NamedTuple):
    """A teacher and a student: weights B (M, N) and w (K, N) where they were given, and a mixture for what was not.

    ``name``: of the start, ``"random"`` also where the student was given as weights.
    """

    teacher: Array | None
    student: Array | None
    teacher_output: Array
    name: str
    mixture: Mixture

    def overlap(self) -> Array:
        """The teacher's T (M, M)."""
        if self.teacher is None:
            return np.eye(len(self.teacher_output))
        found: Array = self.teacher @ self.teacher.T / self.teacher.shape[1]
        return found

    def limit(self, asymmetry: float, seed: int) -> OrderParameters:
        """Order parameters for N to infinity, where what is random overlaps with nothing.

        What is symmetric then stays so for ever, so normal numbers of standard deviation ``asymmetry`` are added to
        ``mix``, and ``spread`` is at least that. Nothing is added where all weights are given.

        Args:
            seed: of these numbers, and of random output weights.
        """
        (mix, spread, v, random_v), t, draw = self.mixture, self.overlap(), np.random.default_rng(seed)
        if self.student is not None and self.teacher is not None:
            return overlaps(self.student, self.teacher, v, self.teacher_output)
        mix = mix + asymmetry * draw.standard_normal(mix.shape)
        own = np.eye(len(mix)) * max(spread, asymmetry) ** 2
        if self.student is not None:
            own = self.student @ self.student.T / self.student.shape[1]
        v = v * draw.standard_normal(len(v)) if random_v else v
        return OrderParameters(mix @ t @ mix.T + own, mix @ t, t, v, self.teacher_output)

    def draw(self, n: int, generators: list[torch.Generator]) -> tuple[Networks, Networks]:
        """Teachers and students with inputs of dimension ``n``, one for each generator."""
        drawn = [self._draw(n, generator) for generator in generators]
        teacher, a, student, v = (torch.stack(part) for part in zip(*drawn, strict=True))
        return Networks(teacher, a), Networks(student, v)

    def _draw(self, n: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=generator, dtype=torch.float64, device="cpu")

        mix, spread, v, random_v = self.mixture
        units, m = mix.shape
        teacher = normal(m, n) if self.teacher is None else torch.from_numpy(self.teacher)
        student = torch.from_numpy(mix) @ teacher + spread * normal(units, n)
        if self.student is not None:
            student = torch.from_numpy(self.student)
        outputs = torch.from_numpy(v) * normal(units) if random_v else torch.from_numpy(v)
        return teacher, torch.from_numpy(self.teacher_output), student, outputs
