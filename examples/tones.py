"""Sequences of any length, as speech has them: which of two tones came first. From the repository's root:

steepest compare examples/tones.py:tones --methods sgd,adamw,sngm
"""

import math

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_sequence

from steepest.compare import Workload
from steepest.training import accuracy


class Tones(torch.utils.data.Dataset[tuple[Tensor, int]]):
    """20 to 60 frames of 8 channels, made when they are asked for."""

    def __init__(self, count: int, seed: int) -> None:
        self.count, self.seed = count, seed

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, place: int) -> tuple[Tensor, int]:
        own = torch.Generator().manual_seed(1000 * self.seed + place)
        frames, label = int(torch.randint(20, 61, (), generator=own)), place % 2
        pitch = torch.where(torch.arange(frames) < frames // 2, 2 + 3 * label, 5 - 3 * label)
        wave = torch.sin(2 * math.pi * torch.arange(frames)[:, None] * torch.arange(1, 9) * pitch[:, None] / 61)
        return wave + 0.5 * torch.randn(wave.shape, generator=own), label


def packed(samples: list[tuple[Tensor, int]]) -> tuple[PackedSequence, Tensor]:
    return pack_sequence([x for x, _ in samples], enforce_sorted=False), torch.tensor([y for _, y in samples])


class Listener(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.hear, self.say = nn.GRU(8, 24), nn.Linear(24, 2)

    def forward(self, sounds: PackedSequence) -> Tensor:
        found: Tensor = self.say(self.hear(sounds)[1][-1])
        return found


def evaluate(model: nn.Module, batch: tuple[PackedSequence, Tensor]) -> dict[str, Tensor]:
    outputs = model(batch[0])
    return {"loss": nn.functional.cross_entropy(outputs, batch[1]), "accuracy": accuracy(outputs, batch[1])}


tones = Workload(
    "tones", lambda folder: [Tones(960, 0), Tones(240, 1), Tones(240, 2)], Listener, batch_size=32, epochs=4,
    target=0.95, training_step=lambda model, batch: nn.functional.cross_entropy(model(batch[0]), batch[1]),
    evaluation_step=evaluate, collate=packed, evaluation_batch=240, description="made-up sounds, a GRU",
)  # fmt: skip
