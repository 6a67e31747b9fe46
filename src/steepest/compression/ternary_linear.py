"""Linear layers of three values, or of empty rows and columns, for inference on a CPU."""

from torch import Tensor, nn
from torch.nn import functional

from steepest.compression.sparse_linear import FORMS, Form, SparseLinear, check_linear

__all__ = ["FORMS", "Form", "ReducedLinear", "TernaryLinear", "check_linear", "find_fault"]


class TernaryLinear(SparseLinear):
    """A :class:`SparseLinear` of the values -sigma, 0 and sigma alone.

    Args:
        weight: (out, in), float32 or float64, on the CPU.
        bias: (out,), or None.
        form: how to multiply, as there.

    Raises:
        TypeError, ValueError: the weight has other values, or an argument is of the wrong kind.

    Example:
        >>> import torch
        >>> layer = TernaryLinear(torch.tensor([[0.5, 0.0, -0.5], [0.0, 0.0, 0.5]]))
        >>> layer(torch.tensor([1.0, 2.0, 3.0]))
        tensor([-1.0000,  1.5000])
        >>> layer
        TernaryLinear(in_features=3, out_features=2, bias=False, sigma=0.5, sparsity=0.5000, form='csr')
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, form: Form = "csr") -> None:
        super().__init__(weight, bias, form)
        if (fault := find_fault(weight)) is not None:
            raise ValueError(fault)

    @property
    def sigma(self) -> float:
        """The absolute value of the weights that are not zero; 0 where all are."""
        return float(self.values[0].abs()) if len(self.values) else 0.0

    def extra_repr(self) -> str:
        return super().extra_repr().replace("sparsity=", f"sigma={self.sigma:.6g}, sparsity=")


class ReducedLinear(nn.Module):
    """A linear layer without the outputs and inputs whose weights are all zero: exact, for weights of any values.

    Args:
        weight: (out, in), float32 or float64, on the CPU.
        bias: (out,), or None.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind.

    Example:
        >>> import torch
        >>> layer = ReducedLinear(torch.tensor([[0.5, 0.0, -0.5], [0.0, 0.0, 0.0]]), torch.tensor([1.0, 2.0]))
        >>> layer(torch.tensor([1.0, 2.0, 3.0])), layer.kept.shape
        (tensor([0., 2.]), torch.Size([1, 2]))
    """

    kept: Tensor
    rows: Tensor
    columns: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None) -> None:
        super().__init__()
        check_linear(weight, bias)
        weight = weight.detach()
        self.out_features, self.in_features = weight.shape
        rows, columns = ((weight != 0).any(dim=dim).nonzero()[:, 0] for dim in (1, 0))
        self.register_buffer("kept", weight[rows][:, columns].contiguous())
        self.register_buffer("rows", rows)
        self.register_buffer("columns", columns)
        self.register_buffer("bias", None if bias is None else bias.detach().clone())

    @property
    def weight(self) -> Tensor:
        """The weight (out, in), exactly."""
        found = self.kept.new_zeros((self.out_features, self.in_features))
        found[self.rows[:, None], self.columns] = self.kept
        return found

    def forward(self, x: Tensor) -> Tensor:
        """``torch.nn.functional.linear`` of x (..., in): (..., out)."""
        if x.dim() == 0 or x.shape[-1] != self.in_features:
            raise ValueError(f"x must have {self.in_features} values in its last dimension, got shape {tuple(x.shape)}")
        if len(self.columns) < self.in_features:
            x = x.index_select(-1, self.columns)
        if len(self.rows) == self.out_features:
            return functional.linear(x, self.kept, self.bias)
        found = x.new_zeros((*x.shape[:-1], self.out_features)).index_copy(
            -1, self.rows, functional.linear(x, self.kept)
        )
        return found if self.bias is None else found + self.bias

    def extra_repr(self) -> str:
        kept = f"kept={tuple(self.kept.shape)}"
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, {kept}"


def find_fault(weight: Tensor) -> str | None:
    """Why a weight is not ternary, in one sentence; None where it is."""
    sizes = weight.detach()[weight.detach() != 0].abs()
    if len(sizes) == 0:
        return None
    other = sizes[(sizes != sizes[0]) | ~sizes.isfinite()]
    if len(other) == 0:
        return None
    return f"weight must have no values but -sigma, 0 and sigma, got sizes {sizes[0].item():g} and {other[0].item():g}"
