"""Convolutions of 1 by 1 of few non-zero weights, for inference on a CPU."""

from typing import Literal, Self, TypeGuard, get_args

import torch
from torch import Tensor, nn

from steepest.compression.sparse_linear import SparseLinear

Form = Literal["csr", "bag"]
FORMS: tuple[Form, ...] = get_args(Form)
SMALL = 32  # places; images of fewer are multiplied together, as that was measured to be faster


class SparsePointwise(nn.Module):
    """A convolution of 1 by 1 of which only the weights that are not zero are held, of any values: for inference.

    An image is the matrix (in, places), and W times it is the output: nothing is transposed. Images of 32 or more
    places are multiplied one by one, smaller ones together. Forms, bytes and rounding are those of
    :class:`SparseLinear`, which is what it holds.

    Args:
        weight: (out, in, 1), as torch.nn.Conv1d's, or (out, in, 1, 1), as torch.nn.Conv2d's; float32 or float64, on
            the CPU.
        bias: (out,), or None.
        form: how to multiply, csr or bag; the result is the same.

    Raises:
        TypeError, ValueError: an argument is of the wrong kind.

    Example:
        >>> layer = SparsePointwise(torch.tensor([[0.5, 0.0], [0.0, 0.0]])[:, :, None])
        >>> layer(torch.tensor([[[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]]))
        tensor([[[0.5000, 1.0000, 1.5000],
                 [0.0000, 0.0000, 0.0000]]])
        >>> layer.weight.shape
        torch.Size([2, 2, 1])
    """

    def __init__(self, weight: Tensor, bias: Tensor | None = None, form: Form = "csr") -> None:
        super().__init__()
        if not isinstance(weight, Tensor):
            raise TypeError(f"weight must be a tensor, got {type(weight).__name__}")
        if weight.dim() not in (3, 4) or set(weight.shape[2:]) != {1}:
            raise ValueError(f"weight must have the shape (out, in, 1) or (out, in, 1, 1), got {tuple(weight.shape)}")
        if form not in FORMS:
            raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
        self.linear = SparseLinear(weight.flatten(1), bias, form)
        self.out_channels, self.in_channels = weight.shape[:2]
        self.dimensions = weight.dim() - 2

    @classmethod
    def from_convolution(cls, convolution: nn.Conv1d | nn.Conv2d, form: Form = "csr") -> Self:
        """The same layer, of a torch.nn.Conv1d or Conv2d of kernel 1, stride 1, no padding and 1 group."""
        if not isinstance(convolution, nn.Conv1d | nn.Conv2d):
            raise TypeError(f"convolution must be a torch.nn.Conv1d or Conv2d, got {type(convolution).__name__}")
        if not is_pointwise(convolution):
            raise ValueError(f"convolution must have kernel 1, stride 1, no padding and 1 group, got {convolution}")
        return cls(convolution.weight, convolution.bias, form)

    @property
    def weight(self) -> Tensor:
        """The weight in the shape that was given, exactly."""
        return self.linear.weight.reshape(self.out_channels, self.in_channels, *(1,) * self.dimensions)

    def forward(self, x: Tensor) -> Tensor:
        """The convolution of x (n, in, length) or (n, in, height, width), or of one such without n.

        Raises:
            ValueError: x has another dtype than the weight, or another shape than these.
        """
        linear, single = self.linear, x.dim() == self.dimensions + 1
        images = x[None] if single else x
        wrong = images.dim() != self.dimensions + 2 or images.shape[1] != self.in_channels
        if wrong or x.dtype != linear.values.dtype:
            sides = ", length" if self.dimensions == 1 else ", height, width"
            wanted = f"the shape (n, {self.in_channels}{sides}) or that without n, of {linear.values.dtype}"
            raise ValueError(f"x must have {wanted}, got {tuple(x.shape)} of {x.dtype}")
        found = self._multiply(linear, images.flatten(2))
        if linear.bias is not None:
            found = found + linear.bias[:, None]
        found = found.reshape(len(images), self.out_channels, *images.shape[2:])
        return found[0] if single else found

    def _multiply(self, linear: SparseLinear, images: Tensor) -> Tensor:
        """Turn images (n, in, places) into outputs (n, out, places)."""
        count, _, places = images.shape
        if not len(linear.values) or images.numel() == 0:
            return images.new_zeros(count, self.out_channels, places)
        if count == 1:
            return linear.multiply_columns(images[0].contiguous())[None]
        if places < SMALL:
            columns = images.transpose(0, 1).reshape(self.in_channels, count * places)
            found = linear.multiply_columns(columns).reshape(self.out_channels, count, places)
            return found.transpose(0, 1).contiguous()
        return torch.stack([linear.multiply_columns(image) for image in images.contiguous()])


def is_pointwise(layer: nn.Module) -> TypeGuard[nn.Conv1d | nn.Conv2d]:
    """Whether a layer is torch's own convolution of kernel 1, stride 1, dilation 1, no padding and 1 group."""
    if not isinstance(layer, nn.Conv1d | nn.Conv2d) or layer.groups != 1:
        return False
    padded = not isinstance(layer.padding, str) and any(layer.padding)  # "same" and "valid" are none for a kernel of 1
    return not padded and {*layer.kernel_size, *layer.stride, *layer.dilation} == {1}
