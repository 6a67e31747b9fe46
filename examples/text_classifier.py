"""A tiny BERT on sentences of any length, padded batches, F1. From the repository's root:

steepest compare examples/text_classifier.py:reviews --methods sgd,adamw,sngm --clip 1 --warmup 0.1
"""

import random

import torch
from sklearn.metrics import f1_score
from transformers import BertConfig, BertForSequenceClassification

from steepest.compare import Workload

GOOD, BAD, OTHER = ("fine", "moving", "bright"), ("dull", "loud", "stale"), ("the", "film", "was", "and", "very", "not")
WORDS = {word: number for number, word in enumerate(("[pad]", *GOOD, *BAD, *OTHER))}


def review(rng: random.Random) -> dict[str, object]:
    """One that is good if it says so more often than not; "not" turns the next word over."""
    words = rng.choices((*GOOD, *BAD, *OTHER), k=rng.randrange(3, 16))
    turned = [before == "not" for before in ["", *words]]
    score = sum(((w in GOOD) - (w in BAD)) * (-1 if t else 1) for w, t in zip(words, turned, strict=False))
    return {"ids": torch.tensor([WORDS[word] for word in words]), "label": int(score > 0)}


def padded(samples: list[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    ids = torch.nn.utils.rnn.pad_sequence([s["ids"] for s in samples], batch_first=True)
    return {"input_ids": ids, "attention_mask": (ids > 0).long(), "labels": torch.tensor([s["label"] for s in samples])}


def bert() -> torch.nn.Module:
    config = BertConfig(vocab_size=len(WORDS), hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
                        intermediate_size=64, max_position_embeddings=16)  # fmt: skip
    return BertForSequenceClassification(config)


def evaluate(model: torch.nn.Module, batch: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    found = model(**batch)
    return {"loss": found.loss, "outputs": found.logits.argmax(dim=1), "targets": batch["labels"]}


def data(folder: object) -> list[list[dict[str, object]]]:
    return [[review(random.Random(f"{n} of {size}")) for n in range(size)] for size in (2000, 500, 501)]


reviews = Workload(
    "reviews", data, bert, batch_size=32, epochs=5, target=0.9, metric_name="F1", collate=padded, evaluation_batch=250,
    training_step=lambda model, batch: model(**batch).loss, evaluation_step=evaluate,
    metrics={"F1": lambda outputs, targets: f1_score(targets, outputs)}, description="made-up reviews, a tiny BERT",
)  # fmt: skip
