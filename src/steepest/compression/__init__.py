"""Networks made small: pruned, held to three values layer by layer, and written to a file that is small."""

from steepest._errors import check_extra

check_extra("compression", "numpy", "safetensors")

from steepest.compression.compress import compress  # noqa: E402
from steepest.compression.constraint import SigmaConstraint  # noqa: E402
from steepest.compression.steps import Compressed, Tried  # noqa: E402

__all__ = ["Compressed", "SigmaConstraint", "Tried", "compress"]
