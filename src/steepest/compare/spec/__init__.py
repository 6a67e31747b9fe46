"""What a study is, frozen before its first run."""

from steepest.compare.spec.comparison import Shared, Spec
from steepest.compare.spec.formats import FORMAT
from steepest.compare.spec.parts import GIVEN_PART, InstrumentSpec, MethodSpec, WorkloadSpec, code_differences
from steepest.compare.spec.study import Part, StudySpec

FILE = "spec.json"
TUNING_SEED = 0

__all__ = [
    "FILE",
    "FORMAT",
    "GIVEN_PART",
    "TUNING_SEED",
    "InstrumentSpec",
    "MethodSpec",
    "Part",
    "Shared",
    "Spec",
    "StudySpec",
    "WorkloadSpec",
    "code_differences",
]
