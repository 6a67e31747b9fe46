"""What a run computes in."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch

from steepest._errors import InputError
from steepest.training.definitions.method import Method
from steepest.training.definitions.recipe import Precision

_DTYPES = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """What a forward pass and its loss are computed in."""
    dtype = _DTYPES.get(precision)
    return nullcontext() if dtype is None else torch.autocast(device.type, dtype)


@contextmanager
def multiplied_by(precision: Precision) -> Iterator[None]:
    """While a run goes on, products of float32 are of TF32 if it asks for that."""
    before = torch.get_float32_matmul_precision()
    convolutions = torch.backends.cudnn.allow_tf32
    if precision == "tf32":
        torch.set_float32_matmul_precision("high")
        torch.backends.cudnn.allow_tf32 = True
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)
        torch.backends.cudnn.allow_tf32 = convolutions


def check_precision(precision: Precision, method: Method, device: torch.device) -> None:
    """Refuse what cannot be computed.

    Raises:
        InputError: TF32 without a GPU that has it, or a loss that is scaled for a method that calls a closure.
    """
    if precision == "tf32" and device.type != "cuda":
        raise InputError(f"precision tf32 is for CUDA alone, got device {device.type}; leave it out or take bfloat16")
    if precision == "float16" and method.closure:
        raise InputError(
            f"precision float16 scales the loss, and {method.name} takes its steps by a closure, which torch's "
            "GradScaler knows nothing of; take bfloat16"
        )
