"""INSGD against SGD on a small vision transformer with LayerNorm (Atici et al., arXiv 2212.09921).

steepest compare studies/insgd-vit.toml --data-dir DIR

The data are those of `toy_cnn.py`, 10,000 images of CIFAR-10. Patches of 8x8 pixels, width 64, four blocks of four
heads. The paper's own transformer could not be had.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from toy_cnn import cifar10  # beside this file

from steepest import track_input_power
from steepest.compare import Workload

PATCH, WIDTH, HEADS, BLOCKS = 8, 64, 4, 4


class Block(nn.Module):
    """Attention, whose projections are layers of their own, so that each has the power of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.norm_mlp = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.query_key_value, self.project = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.mlp = nn.Sequential(nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH))

    def forward(self, x: Tensor) -> Tensor:
        heads = self.query_key_value(self.norm(x)).unflatten(2, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(*heads).transpose(1, 2).flatten(2)
        x = x + self.project(attended)
        mixed: Tensor = x + self.mlp(self.norm_mlp(x))
        return mixed


class ViT(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.positions = nn.Parameter(0.02 * torch.randn((32 // PATCH) ** 2, WIDTH))
        self.blocks = nn.Sequential(*(Block() for _ in range(BLOCKS)))
        self.head = nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 10))
        track_input_power(self)

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.embed(images).flatten(2).transpose(1, 2) + self.positions
        logits: Tensor = self.head(self.blocks(tokens).mean(dim=1))
        return logits


cifar10_vit = Workload(
    name="cifar10-vit",
    data=cifar10,
    model=ViT,
    batch_size=128,
    epochs=5,
    target=0.35,
    description="10,000 images of CIFAR-10, a transformer of four blocks on patches of 8x8",
)
