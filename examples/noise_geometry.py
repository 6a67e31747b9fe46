"""SGD's cloud, a geodesic of the diffusion metric and the gradient flow, of a model with two weights.

python examples/noise_geometry.py --out FOLDER
"""

import argparse
from pathlib import Path

import torch
from torch import Tensor, nn

from steepest.diagnose.diffusion_picture import picture
from steepest.diagnostics.diffusion import DiffusionMetric


class Bent(nn.Module):
    """b tanh(a x)."""

    def __init__(self, a: float, b: float) -> None:
        super().__init__()
        self.a, self.b = nn.Parameter(torch.tensor(a)), nn.Parameter(torch.tensor(b))

    def forward(self, x: Tensor) -> Tensor:
        return self.b * torch.tanh(self.a * x)


def make_metric(eps: float) -> DiffusionMetric:
    """Of 40 noisy samples of tanh(x), away from the minimum."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(40, generator=generator)
    y = torch.tanh(x) + 0.5 * torch.randn(40, generator=generator)
    return DiffusionMetric(Bent(-0.4, 0.9), nn.MSELoss(), [(x, y)], eps)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("noise_geometry"))
    out = parser.parse_args().out
    out.mkdir(parents=True, exist_ok=True)
    figure = picture(make_metric(eps=1.0), time=1.2, lr=0.05, batch_size=1)
    figure.write_html(out / "report.html", config={"displayModeBar": False}, default_width=880, default_height=620)
    print(out / "report.html")


if __name__ == "__main__":
    main()
