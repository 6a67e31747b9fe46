"""Networks that predict the next character: inputs (N, T) integers, outputs (N, T, vocabulary) logits."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def character_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    """Mean cross-entropy per character, in nats: ``outputs`` (N, T, vocabulary), ``targets`` (N, T) integers."""
    return F.cross_entropy(outputs.flatten(0, 1), targets.flatten())


def bits_per_character(outputs: Tensor, targets: Tensor) -> Tensor:
    """The same in bits.

    Example:
        >>> bits_per_character(torch.zeros(1, 3, 4), torch.tensor([[0, 1, 2]]))  # four characters, equally likely
        tensor(2.)
    """
    return character_loss(outputs, targets) / math.log(2)


class CharLSTM(nn.Module):
    """Embedding, :class:`torch.nn.LSTM` and a linear layer, in torch's default initialisation.

    Every sequence begins with a state of zeros.

    Source: Hochreiter and Schmidhuber, "Long short-term memory", Neural Computation 9 (1997).

    Example:
        >>> CharLSTM(vocabulary=66)(torch.zeros(2, 5, dtype=torch.int64)).shape
        torch.Size([2, 5, 66])
    """

    def __init__(self, vocabulary: int, *, width: int = 128, layers: int = 1) -> None:
        super().__init__()
        self.embedding = nn.Embedding(vocabulary, width)
        self.lstm = nn.LSTM(width, width, layers, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        states, _ = self.lstm(self.embedding(x))
        logits: Tensor = self.head(states)
        return logits


class AttentionBlock(nn.Module):
    """Causal self-attention, then two linear layers with GELU; each behind a LayerNorm and beside a shortcut."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.attended = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.expand, self.contract = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        split = self.qkv(self.norm1(x)).unflatten(-1, (3, self.heads, -1))  # (N, T, 3, heads, width of a head)
        q, k, v = split.permute(2, 0, 3, 1, 4)
        attention = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.attended(attention.transpose(1, 2).flatten(2))
        changed: Tensor = x + self.contract(F.gelu(self.expand(self.norm2(x)), approximate="tanh"))
        return changed


class CharGPT(nn.Module):
    """GPT-2's architecture and initialisation, small: no dropout, and the output layer has weights of its own.

    Weights and embeddings begin normal with standard deviation 0.02, divided by ``sqrt(2 * layers)`` where a layer
    writes to the shortcut; biases begin at 0.

    Args:
        vocabulary: number of different characters.
        length: the longest sequence.

    Source: Radford, Wu, Child, Luan, Amodei, Sutskever, "Language models are unsupervised multitask learners" (2019),
    section 2.3; standard deviation and GELU are those of the released code.

    Example:
        >>> CharGPT(vocabulary=66, length=64)(torch.zeros(2, 5, dtype=torch.int64)).shape
        torch.Size([2, 5, 66])
    """

    def __init__(self, vocabulary: int, length: int, *, width: int = 64, layers: int = 4, heads: int = 4) -> None:
        super().__init__()
        self.characters, self.positions = nn.Embedding(vocabulary, width), nn.Embedding(length, width)
        self.blocks = nn.Sequential(*(AttentionBlock(width, heads) for _ in range(layers)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, vocabulary, bias=False)
        for name, p in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(p)
            elif "norm" not in name:
                writes_to_shortcut = name.endswith(("attended.weight", "contract.weight"))
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers) if writes_to_shortcut else 0.02)

    def forward(self, x: Tensor) -> Tensor:
        embedded = self.characters(x) + self.positions(torch.arange(x.shape[1], device=x.device))
        logits: Tensor = self.head(self.norm(self.blocks(embedded)))
        return logits
