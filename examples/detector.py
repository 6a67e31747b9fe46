"""Handwritten digits on canvases of 96x96, one to four of them: a small detector. Needs MNIST in --data-dir.

steepest compare examples/detector.py:canvases --methods sgd,adamw,sngm,csgd+sgd --data-dir DATA
"""

import torch
from average_precision import Found, mean_average_precision  # beside this file, as are the canvases
from canvases import Sample, data
from torch import Tensor, nn
from torch.nn import functional as F

from steepest.compare import Workload


def net() -> nn.Module:
    """For each of 12x12 cells: whether a digit has its centre there, its box, and 10 classes."""
    layers = [(1, 16), (16, 32), (32, 64)]
    blocks = [nn.Sequential(nn.Conv2d(a, b, 3, 2, 1), nn.BatchNorm2d(b), nn.ReLU()) for a, b in layers]
    return nn.Sequential(*blocks, nn.Conv2d(64, 64, 5, padding=2), nn.ReLU(), nn.Conv2d(64, 15, 1))


def loss(model: nn.Module, batch: list[Sample]) -> Tensor:
    seen = model(torch.stack([image for image, _, _ in batch]))
    boxes, labels = torch.cat([b for _, b, _ in batch]), torch.cat([y for _, _, y in batch])
    of = torch.cat([torch.full((len(b),), k) for k, (_, b, _) in enumerate(batch)])
    middle = (boxes[:, :2] + boxes[:, 2:] / 2) / 8
    column, row = middle.long().T
    there = torch.zeros_like(seen[:, 0])
    there[of, row, column] = 1.0
    own = seen[of, :, row, column]
    wanted = torch.cat([middle - middle.floor(), boxes[:, 2:] / 36], dim=1)
    found = F.binary_cross_entropy_with_logits(seen[:, 0], there, pos_weight=torch.tensor(20.0))
    return found + F.l1_loss(own[:, 1:5], wanted) + F.cross_entropy(own[:, 5:], labels)


def detect(seen: Tensor) -> Found:
    """The cells that are surer than all their neighbours, at most 10."""
    sure = seen[0].sigmoid() * (seen[0] == F.max_pool2d(seen[:1], 3, 1, 1)[0])
    scores, cells = sure.flatten().topk(10)
    own, centre = seen.flatten(1)[:, cells], torch.stack([cells % 12, cells // 12])
    size = own[3:5] * 36
    return torch.cat([(own[1:3] + centre) * 8 - size / 2, size]).T, own[5:].argmax(0), scores


def evaluate(model: nn.Module, batch: list[Sample]) -> dict[str, object]:
    outputs = [detect(seen) for seen in model(torch.stack([image for image, _, _ in batch])).cpu()]
    return {"loss": loss(model, batch), "outputs": outputs, "targets": [(b, y, y) for _, b, y in batch]}


canvases = Workload(
    "canvases", data, net, batch_size=20, epochs=6, target=0.5, collate=list, training_step=loss,
    evaluation_step=evaluate, metric_name="mAP", metrics={"mAP": mean_average_precision}, evaluation_batch=100,
    description="MNIST digits on 96x96, ragged boxes",
)  # fmt: skip
