"""What goes into a Trainer, compared. From the repository's root:

steepest compare examples/hugging_face_trainer.py:parity --methods sgd,adamw,sngm --warmup 0.1 --clip 1
"""

import datasets
import numpy as np
from transformers import DistilBertConfig, DistilBertForSequenceClassification, EvalPrediction, TrainingArguments

from steepest.compare import Workload


def part(count: int, seed: int) -> datasets.Dataset:
    """Rows of numbers; the label is whether the largest comes before the smallest."""
    rows = np.random.default_rng(seed).integers(1, 30, size=(count, 8))
    return datasets.Dataset.from_dict({
        "input_ids": rows, "label": (rows.argmax(1) < rows.argmin(1)).astype(int), "text": [str(row) for row in rows],
    })  # fmt: skip


def model_init() -> DistilBertForSequenceClassification:
    return DistilBertForSequenceClassification(
        DistilBertConfig(vocab_size=30, dim=32, n_layers=2, n_heads=4, hidden_dim=64, max_position_embeddings=8)
    )


def compute_metrics(seen: EvalPrediction) -> dict[str, float]:
    said = np.asarray(seen.predictions).argmax(axis=1)
    precision = (said & seen.label_ids).sum() / max(said.sum(), 1)
    return {"accuracy": float((said == seen.label_ids).mean()), "precision": float(precision)}


parity = Workload.from_hugging_face(
    model_init,
    lambda: datasets.DatasetDict(train=part(2000, 0), validation=part(500, 1), test=part(500, 2)),
    TrainingArguments(output_dir="unused", per_device_train_batch_size=32, num_train_epochs=4, report_to="none"),
    compute_metrics,
    name="parity",
    target=0.9,
)
