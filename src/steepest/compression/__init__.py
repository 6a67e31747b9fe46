"""Networks made small: pruned, held to three values layer by layer, and written to a file that is small."""

from steepest._errors import check_extra

check_extra("compression", "numpy", "safetensors")

from steepest.compression.compress import compress  # noqa: E402
from steepest.compression.constraint import SigmaConstraint  # noqa: E402
from steepest.compression.format.file import inspect, load_compressed, save_compressed  # noqa: E402
from steepest.compression.format.plain import plain_state_dict  # noqa: E402
from steepest.compression.format.report import FileReport, bound_bits  # noqa: E402
from steepest.compression.inference import InferenceReport, LayerTimes, for_inference  # noqa: E402
from steepest.compression.sparse_linear import SparseLinear  # noqa: E402
from steepest.compression.sparse_pointwise import SparsePointwise  # noqa: E402
from steepest.compression.steps import Compressed, Tried  # noqa: E402
from steepest.compression.ternary_linear import ReducedLinear, TernaryLinear  # noqa: E402

__all__ = [
    "Compressed",
    "FileReport",
    "InferenceReport",
    "LayerTimes",
    "ReducedLinear",
    "SigmaConstraint",
    "SparseLinear",
    "SparsePointwise",
    "TernaryLinear",
    "Tried",
    "bound_bits",
    "compress",
    "for_inference",
    "inspect",
    "load_compressed",
    "plain_state_dict",
    "save_compressed",
]
