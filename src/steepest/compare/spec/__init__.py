"""What a study is, frozen before its first run."""

from steepest.compare.spec.comparison import (
    PHASES,
    QUASI_RANDOM,
    SCREEN,
    SEEDS_OF_ONE,
    Phase,
    Shared,
    Spec,
    number_of_finalists,
)
from steepest.compare.spec.formats import FORMAT
from steepest.compare.spec.parts import GIVEN_PART, InstrumentSpec, MethodSpec, WorkloadSpec, code_differences
from steepest.compare.spec.stopping import Stopping
from steepest.compare.spec.study import Part, StudySpec

FILE = "spec.json"
TUNING_SEED = 0

__all__ = [
    "FILE",
    "FORMAT",
    "GIVEN_PART",
    "PHASES",
    "QUASI_RANDOM",
    "SCREEN",
    "SEEDS_OF_ONE",
    "TUNING_SEED",
    "InstrumentSpec",
    "MethodSpec",
    "Part",
    "Phase",
    "Shared",
    "Spec",
    "Stopping",
    "StudySpec",
    "WorkloadSpec",
    "code_differences",
    "number_of_finalists",
]
