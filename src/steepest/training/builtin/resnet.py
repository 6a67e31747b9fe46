"""ResNet-20 for small images, with and without BatchNorm."""

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_WIDTHS = [16, 16, 16, 16, 32, 32, 32, 64, 64, 64]


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut without parameters: every other pixel, zeros for the new channels (option A).

    Without ``norm`` the convolutions have biases.
    """

    def __init__(self, inputs: int, outputs: int, norm: bool = True) -> None:
        super().__init__()
        self.stride, self.extra = (1, 0) if inputs == outputs else (2, outputs - inputs)
        self.conv1 = nn.Conv2d(inputs, outputs, 3, self.stride, padding=1, bias=not norm)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=not norm)
        self.bn1, self.bn2 = (nn.BatchNorm2d(outputs) if norm else nn.Identity() for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        inner: Tensor = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        shortcut = F.pad(x[..., :: self.stride, :: self.stride], (0, 0, 0, 0, self.extra // 2, self.extra // 2))
        return F.relu(inner + shortcut)


def resnet20(classes: int = 10, *, channels: int = 3, norm: bool = True) -> nn.Sequential:
    """ResNet-20 for images of shape (channels, H, W) of any size, with global pooling at the end.

    Convolutions begin with Kaiming's normal initialisation. Without BatchNorm the mean square of the signal could then
    triple in each of the nine blocks; the last convolution of a block is therefore divided by three, the square root of
    their number, so that it grows about (1 + 2/9)-fold in a block, less than sevenfold in all.

    Args:
        norm: with BatchNorm; without it, convolutions have biases.

    Source: He, Zhang, Ren, Sun, "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2 and table 6:
    0.27 million parameters. Without BatchNorm: De and Smith, "Batch Normalization Biases Residual Blocks Towards the
    Identity Function in Deep Networks", NeurIPS 2020, arXiv 2002.10444, whose multiplier of one over the root of the
    depth stands here in the initial weights.

    Example:
        >>> sum(p.numel() for p in resnet20().parameters())
        269722
    """
    blocks = [Block(i, o, norm) for i, o in itertools.pairwise(_WIDTHS)]
    stem = [nn.Conv2d(channels, 16, 3, padding=1, bias=not norm), nn.BatchNorm2d(16) if norm else nn.Identity()]
    model = nn.Sequential(*stem, nn.ReLU(), *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, classes))
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    if not norm:
        with torch.no_grad():
            for block in blocks:
                block.conv2.weight.div_(len(blocks) ** 0.5)
    return model
