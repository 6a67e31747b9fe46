"""Handwritten digits on canvases of 96x96, one to four of them: the data of examples/detector.py. Needs MNIST."""

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F

from steepest.data.images import grey_images

Sample = tuple[Tensor, Tensor, Tensor]  # image (1, 96, 96), boxes (K, 4), labels (K,)


def canvas(digits: Tensor, labels: Tensor, place: int) -> Sample:
    """Digits of 20 to 36 pixels, one in each chosen quarter at most."""
    own = torch.Generator().manual_seed(place)
    image, boxes, chosen = torch.zeros(96, 96), [], torch.randint(len(digits), (4,), generator=own)
    for quarter in torch.randperm(4, generator=own)[: int(torch.randint(1, 5, (), generator=own))].tolist():
        size = int(torch.randint(20, 37, (), generator=own))
        x, y = (torch.randint(48 - size, (2,), generator=own) + torch.tensor([quarter % 2, quarter // 2]) * 48).tolist()
        small = F.interpolate(
            digits[chosen[quarter]][None, None].float() / 255, (size, size), mode="bilinear", antialias=True
        )
        image[y : y + size, x : x + size] = small[0, 0]
        boxes.append((quarter, torch.tensor([x, y, size, size], dtype=torch.float32)))
    return image[None], torch.stack([box for _, box in boxes]), labels[chosen[[quarter for quarter, _ in boxes]]]


def data(folder: Path | None) -> list[list[Sample]]:
    parts = zip(grey_images("mnist", folder), (2000, 300, 300), strict=True)
    return [[canvas(part.inputs, part.targets, n) for n in range(count)] for part, count in parts]
