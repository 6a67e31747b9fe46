"""Mean average precision at an overlap of one half, for examples/detector.py."""

import torch
from torch import Tensor

Found = tuple[Tensor, Tensor, Tensor]  # boxes (K, 4) as x, y, width and height; labels (K,); scores (K,)


def overlaps(some: Tensor, others: Tensor) -> Tensor:
    """Intersection over union of boxes (K, 4) and (M, 4): (K, M)."""
    low = torch.maximum(some[:, None, :2], others[None, :, :2])
    high = torch.minimum(some[:, None, :2] + some[:, None, 2:], others[None, :, :2] + others[None, :, 2:])
    shared = (high - low).clamp(min=0).prod(dim=2)
    return shared / (some[:, 2:].prod(dim=1)[:, None] + others[:, 2:].prod(dim=1) - shared)


def mean_average_precision(outputs: list[Found], targets: list[Found]) -> float:
    """The mean over classes of the mean precision at every box that is found; the surest finds it first."""
    precisions = []
    for label in torch.unique(torch.cat([labels for _, labels, _ in targets])):
        hits: list[tuple[float, bool]] = []
        wanted = 0
        for (boxes, labels, scores), (true_boxes, true_labels, _) in zip(outputs, targets, strict=True):
            own, true = labels == label, true_boxes[true_labels == label]
            order = scores[own].argsort(descending=True)
            free = torch.ones(len(true), dtype=torch.bool)
            wanted += len(true)
            for score, overlap in zip(scores[own][order], overlaps(boxes[own][order], true), strict=True):
                best = (overlap * free).argmax() if len(true) else None
                hit = best is not None and bool(free[best] & (overlap[best] >= 0.5))
                if hit and best is not None:
                    free[best] = False
                hits.append((float(score), hit))
        right = torch.tensor([hit for _, hit in sorted(hits, key=lambda pair: -pair[0])], dtype=torch.float32)
        precision = right.cumsum(0) / torch.arange(1, len(right) + 1)
        precisions.append(float((precision * right).sum()) / wanted)
    return sum(precisions) / len(precisions)
