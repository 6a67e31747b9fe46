"""The networks that tell symbols apart: inputs float (N, 28, 28) from 0 to 1, outputs (N, classes) logits."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from steepest.formulas.image.symbols import SIDE

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}
WIDEST = 4096


class DenseNet(nn.Module):
    """One hidden layer on all pixels, in torch's default initialisation.

    Args:
        classes: of symbols.
        hidden: units.
        activation: ``"relu"`` or ``"sigmoid"``.

    Source: Ampelakiotis, Perikos, Hatzilygeroudis, Tsihrintzis, "Optical recognition of handwritten logic formulas
    using neural networks", Electronics 10 (2021) 2761; its sizes are not known.

    Example:
        >>> DenseNet()(torch.zeros(2, 28, 28)).shape
        torch.Size([2, 67])
    """

    def __init__(self, classes: int = 67, hidden: int = 500, activation: str = "relu") -> None:
        super().__init__()
        self.settings = {"network": "dense", "classes": classes, "hidden": hidden, "activation": activation}
        self.hidden, self.activation = nn.Linear(SIDE * SIDE, hidden), ACTIVATIONS[activation]()
        self.head = nn.Linear(hidden, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.activation(self.hidden(x.flatten(1))))
        return logits


class ConvNet(nn.Module):
    """Three convolutions with BatchNorm, each before a pooling by 2, and a hidden layer: 85,299 weights of 67 classes.

    Args:
        classes: of symbols.

    Example:
        >>> net = ConvNet()
        >>> net(torch.zeros(2, 28, 28)).shape, sum(p.numel() for p in net.parameters())
        (torch.Size([2, 67]), 85299)
    """

    def __init__(self, classes: int = 67) -> None:
        super().__init__()
        self.settings = {"network": "cnn", "classes": classes}
        self.features = nn.Sequential(*_convolution(1, 16), *_convolution(16, 32), *_convolution(32, 64))
        self.hidden = nn.Sequential(nn.Linear(64 * 9, 96), nn.ReLU())
        self.head = nn.Linear(96, classes)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.hidden(self.features(x[:, None]).flatten(1)))
        return logits


def max_pool(x: Tensor) -> Tensor:
    """The largest of each 2x2 (..., H // 2, W // 2); without gradients several times sooner than by torch's on a CPU.

    Example:
        >>> with torch.no_grad():
        ...     max_pool(torch.arange(15.0).reshape(1, 1, 3, 5)).tolist()
        [[[[6.0, 8.0]]]]
    """
    if torch.is_grad_enabled():
        return F.max_pool2d(x, 2)
    height, width = (side // 2 * 2 for side in x.shape[-2:])
    rows = torch.maximum(x[..., 0:height:2, :width], x[..., 1:height:2, :width])
    return torch.maximum(rows[..., 0::2], rows[..., 1::2])


class _Pool(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return max_pool(x)


def _convolution(taken: int, given: int) -> list[nn.Module]:
    return [
        nn.Conv2d(taken, given, 3, padding=1, bias=False), nn.BatchNorm2d(given), nn.ReLU(), _Pool(),
    ]  # fmt: skip


NETWORKS: Mapping[str, type[DenseNet] | type[ConvNet]] = {"dense": DenseNet, "cnn": ConvNet}


def make_network(settings: Mapping[str, Any]) -> DenseNet | ConvNet:
    """A network of the settings that one has as its ``settings``.

    Raises:
        ValueError: there is no such network.

    Example:
        >>> make_network({"network": "dense", "classes": 3, "hidden": 10}).settings["activation"]
        'relu'
    """
    options = dict(settings)
    name = options.pop("network", None)
    if name not in NETWORKS:
        raise ValueError(f"network must be one of {', '.join(NETWORKS)}, got {name!r}")
    allowed = {"dense": {"classes", "hidden", "activation"}, "cnn": {"classes"}}[name]
    if other := sorted(set(options) - allowed):
        raise ValueError(f"network {name} takes {', '.join(sorted(allowed))}, got {other[0]!r}")
    for key in ("classes", "hidden"):
        value = options.get(key, 1)
        if type(value) is not int or not 1 <= value <= WIDEST:
            raise ValueError(f"{key} must be an integer from 1 to {WIDEST}, got {value!r}")
    if options.get("activation", "relu") not in ACTIVATIONS:
        raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}, got {options['activation']!r}")
    return NETWORKS[name](**options)


def as_inputs(bitmaps: Any) -> Tensor:
    """Bitmaps ``uint8`` (N, 28, 28) as a network takes them: float32 on the CPU."""
    return torch.as_tensor(bitmaps, dtype=torch.float32, device="cpu")
