"""Linear layers of few non-zero weights, for inference on a CPU: what they hold, and how they multiply."""

import warnings
from typing import Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

Form = Literal["csr", "csc", "bag"]
FORMS: tuple[Form, ...] = get_args(Form)


class SparseLinear(nn.Module):
    r"""``x W' + b`` of which only the weights that are not zero are held, of any values: for inference.

    .. code-block:: text

        csr    W x'                 torch's sparse matrix, by rows
        csc    x W'                 the same matrix, transposed
        bag    sum of rows of x'    torch's embedding_bag, one bag for each output

    All hold the same: 8 bytes for each non-zero weight of float32, 12 of float64, and 4 for each output. An output with
    k non-zero weights differs from torch's by at most (k + 2) eps (sum |x w| + |b|), in the dtype's eps; where x is not
    finite, torch's is NaN by 0 times infinity and this one is not.

    Args:
        weight: (out, in), float32 or float64, on the CPU.
        bias: (out,), or None.
        form: how to multiply; the result is the same. Which is fastest depends on the machine and on the number of
            inputs: :func:`steepest.compression.inference.for_inference` measures it.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind.

    Example:
        >>> layer = SparseLinear(torch.tensor([[0.5, 0.0, -2.0], [0.0, 0.0, 0.0]]))
        >>> layer(torch.tensor([1.0, 2.0, 3.0]))
        tensor([-5.5000,  0.0000])
        >>> layer
        SparseLinear(in_features=3, out_features=2, bias=False, sparsity=0.6667, form='csr')
    """

    crow: Tensor
    col: Tensor
    values: Tensor
    bias: Tensor | None

    def __init__(self, weight: Tensor, bias: Tensor | None = None, form: Form = "csr") -> None:
        super().__init__()
        check_linear(weight, bias)
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
        weight = weight.detach()
        self.form = form
        self.out_features, self.in_features = weight.shape
        rows, columns = weight.nonzero(as_tuple=True)
        crow = functional.pad((weight != 0).sum(dim=1).cumsum(dim=0), (1, 0))
        self.register_buffer("crow", crow.to(torch.int32))
        self.register_buffer("col", columns.to(torch.int32))
        self.register_buffer("values", weight[rows, columns])
        self.register_buffer("bias", None if bias is None else bias.detach().clone())
        with warnings.catch_warnings():  # torch tells once for each process that CSR may change
            warnings.simplefilter("ignore", UserWarning)
            self._matrix()

    @classmethod
    def from_linear(cls, linear: nn.Linear, form: Form = "csr") -> Self:
        """The same layer, of a torch.nn.Linear."""
        if not isinstance(linear, nn.Linear):
            raise TypeError(f"linear must be a torch.nn.Linear, got {type(linear).__name__}")
        return cls(linear.weight, linear.bias, form)

    @property
    def weight(self) -> Tensor:
        """:meth:`dense_weight`, for code that asks a linear layer for it."""
        return self.dense_weight()

    def dense_weight(self) -> Tensor:
        """The weight (out, in) itself, exactly."""
        found = self.values.new_zeros((self.out_features, self.in_features))
        rows = torch.arange(self.out_features, dtype=torch.int64, device=self.col.device)
        found[rows.repeat_interleave(self.crow.diff()), self.col.long()] = self.values
        return found

    def forward(self, x: Tensor) -> Tensor:
        """``torch.nn.functional.linear`` of x (..., in): (..., out).

        Raises:
            ValueError: x has another dtype than the weight, or another number of values in its last dimension.
        """
        if x.dim() == 0 or x.shape[-1] != self.in_features or x.dtype != self.values.dtype:
            wanted = f"{self.in_features} values of {self.values.dtype} in its last dimension"
            raise ValueError(f"x must have {wanted}, got shape {tuple(x.shape)} of {x.dtype}")
        flat = x.reshape(-1, self.in_features)
        found = self._multiply(flat) if len(self.values) and len(flat) else flat.new_zeros(len(flat), self.out_features)
        if self.bias is not None:
            found = found + self.bias
        return found.reshape(*x.shape[:-1], self.out_features)

    def multiply_columns(self, columns: Tensor) -> Tensor:
        """``W columns`` (out, n) of columns (in, n) that lie in rows in memory, without the bias, by csr or bag."""
        if self.form != "bag":
            return self._matrix() @ columns
        return functional.embedding_bag(
            self.col, columns, self.crow, mode="sum", per_sample_weights=self.values, include_last_offset=True
        )

    def extra_repr(self) -> str:
        zeros = 1 - len(self.values) / max(self.in_features * self.out_features, 1)
        return (
            f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}, "
            f"sparsity={zeros:.4f}, form={self.form!r}"
        )

    def _matrix(self) -> Tensor:
        size = (self.out_features, self.in_features)
        kind: dict[str, Any] = {"dtype": self.values.dtype, "device": self.values.device}
        return torch.sparse_csr_tensor(self.crow, self.col, self.values, size, check_invariants=False, **kind)

    def _multiply(self, x: Tensor) -> Tensor:
        if self.form != "bag" and len(x) == 1:
            return self._matrix().mv(x[0])[None]
        if self.form == "csc":
            return x @ self._matrix().t()
        return self.multiply_columns(x.t().contiguous()).t().contiguous()

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        """Take as many non-zero weights as the state has."""
        for name in ("col", "values"):
            if isinstance(given := state_dict.get(prefix + name), Tensor) and given.dim() == 1:
                setattr(self, name, getattr(self, name).new_empty(len(given)))
        super()._load_from_state_dict(state_dict, prefix, *args)


def check_linear(weight: Tensor, bias: Tensor | None) -> None:
    """Raise unless they are a linear layer's weight and bias, on the CPU."""
    for name, value in (("weight", weight), ("bias", bias)):
        if not isinstance(value, Tensor) and not (name == "bias" and value is None):
            raise TypeError(f"{name} must be a tensor, got {type(value).__name__}")
    if weight.dim() != 2:
        raise ValueError(f"weight must have the shape (out, in), got {tuple(weight.shape)}")
    if weight.dtype not in (torch.float32, torch.float64) or weight.device.type != "cpu":
        raise ValueError(f"weight must be float32 or float64 on the CPU, got {weight.dtype} on {weight.device}")
    if bias is not None and (bias.shape != weight.shape[:1] or bias.dtype != weight.dtype):
        wanted = f"shape ({len(weight)},) of {weight.dtype}"
        raise ValueError(f"bias must have the {wanted}, got {tuple(bias.shape)} of {bias.dtype}")
