"""LightningModules and what goes into a Trainer train here as they do there, to the last bit."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from steepest._errors import InputError
from steepest.compare import Method, Range, Workload
from steepest.training import train as module
from steepest.training.code.lookup import load_data
from steepest.training.definitions.assignment import Assignment
from steepest.training.loop.batches import Batches
from steepest.training.process.randomness import seed_generators

lightning = pytest.importorskip("lightning")
transformers = pytest.importorskip("transformers")
SGD = Method("sgd", torch.optim.SGD, {"lr": Range(0.01, 1.0)})
GENERATOR = torch.Generator().manual_seed(0)
POINTS = [torch.randn(n, 4, generator=GENERATOR) for n in (40, 20, 20)]
PARTS = [[(x, (x[0] > 0).long()) for x in points] for points in POINTS]


class Points(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        self.net = nn.Linear(4, 2)

    def training_step(self, batch, batch_idx):
        loss = nn.functional.cross_entropy(self.net(batch[0]), batch[1])
        self.log("train_loss", loss)
        return {"loss": loss}

    def validation_step(self, batch, batch_idx):
        outputs = self.net(batch[0])
        right = (outputs.argmax(1) == batch[1]).float().mean()
        self.log_dict({"val_loss": nn.functional.cross_entropy(outputs, batch[1]), "val_acc": right, "half": right / 2})


class Data(lightning.LightningDataModule):
    def train_dataloader(self):
        return DataLoader(PARTS[0], batch_size=8)

    def val_dataloader(self):
        return DataLoader(PARTS[1], batch_size=8)

    def test_dataloader(self):
        return DataLoader(PARTS[2], batch_size=8)


def run(workload, lr=0.3, epochs=2):
    kept = []
    assignment = Assignment(workload, SGD, load_data(workload, None), {"lr": lr}, 3, epochs, workload.batch_size)
    outcome = module.train(
        assignment, with_test=True, trained=lambda model: kept.extend(p.detach().clone() for p in model.parameters())
    )
    return kept, outcome


def looped(model, loss_of, count, size, epochs=2, lr=0.3):
    """The weights by a plain loop; ``loss_of`` is of the model and the places of a batch."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    batches, steps = Batches(load_data_of(count), size, 3), count // size * epochs
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = lr * (1 - step / steps)
        optimizer.zero_grad()
        loss_of(model, next(batches)[0].tolist()).backward()
        optimizer.step()
    return list(model.parameters())


def load_data_of(count):
    from steepest.data import Split

    return Split(torch.arange(count), torch.arange(count))


def test_a_lightning_module_learns_as_by_a_plain_loop():
    workload = Workload.from_lightning(Points, Data, name="points", epochs=2, target=0.9)
    assert workload.batch_size == 8
    found, outcome = run(workload)
    seed_generators(3)
    model = Points()

    def loss_of(model, places):
        inputs, targets = (torch.stack([PARTS[0][place][k] for place in places]) for k in (0, 1))
        return nn.functional.cross_entropy(model.net(inputs), targets)

    expected = looped(model, loss_of, 40, 8)
    assert all(map(torch.equal, found, expected))
    outputs = model.net(POINTS[2])
    right = (outputs.argmax(1) == (POINTS[2][:, 0] > 0)).float().mean().item()
    assert outcome.test_metric == pytest.approx(right)
    assert outcome.other_metrics == {"half": pytest.approx(right / 2)}


class Manual(Points):
    def __init__(self):
        super().__init__()
        self.automatic_optimization = False


class Counted(Points):
    def validation_step(self, batch, batch_idx):
        import torchmetrics

        self.log("val_acc", torchmetrics.MeanMetric())


@pytest.mark.parametrize(
    ("module", "sentence"),
    [
        (Manual, "Manual steps its optimizers itself, and a study brings its own"),
        (Counted, "'val_acc' is logged as a metric object, whose value over a split is no mean over batches"),
        (lambda: nn.Linear(4, 2), "Linear must have a training_step, as Lightning's modules have"),
    ],
)
def test_a_module_that_cannot_be_had_is_refused(module, sentence):
    with pytest.raises(InputError, match=sentence):
        run(Workload.from_lightning(module, Data, name="points", epochs=1, target=0.9))


CONFIG = {"vocab_size": 12, "dim": 8, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 6}
CONFIG |= {"dropout": 0.0, "attention_dropout": 0.0, "seq_classif_dropout": 0.0}


def model_init():
    return transformers.DistilBertForSequenceClassification(transformers.DistilBertConfig(**CONFIG))


def rows(count, seed):
    ids = torch.randint(1, 12, (count, 6), generator=torch.Generator().manual_seed(seed))
    return [{"input_ids": row.tolist(), "label": int(row[0] > 5), "text": str(row)} for row in ids]


DATASET = {"train": rows(32, 0), "validation": rows(12, 1), "test": rows(13, 2)}


def arguments(tmp_path, **more):
    return transformers.TrainingArguments(
        output_dir=str(tmp_path),
        per_device_train_batch_size=4,
        num_train_epochs=2,
        report_to="none",
        use_cpu=True,
        **more,
    )


def test_what_goes_into_a_trainer_learns_as_by_a_plain_loop(tmp_path):
    seen = []

    def compute_metrics(found):
        seen.append((type(found.predictions).__name__, found.predictions.shape, found.label_ids.shape))
        right = float((found.predictions.argmax(1) == found.label_ids).mean())
        return {"accuracy": right, "twice": 2 * right}

    args = arguments(tmp_path, gradient_accumulation_steps=2)
    workload = Workload.from_hugging_face(model_init, DATASET, args, compute_metrics, name="rows", target=0.9)
    assert (workload.batch_size, workload.epochs, workload.evaluation_batch) == (8, 2, 8)
    found, outcome = run(workload)
    seed_generators(3)

    def loss_of(model, places):
        some = [DATASET["train"][place] for place in places]
        ids, labels = (torch.tensor([row[name] for row in some]) for name in ("input_ids", "label"))
        return model(input_ids=ids, labels=labels).loss

    assert all(map(torch.equal, found, looped(model_init(), loss_of, 32, 8)))
    assert seen[-1] == ("ndarray", (13, 2), (13,))
    assert outcome.other_metrics == {"twice": pytest.approx(2 * outcome.test_metric)}


def test_its_arguments_say_how_a_study_is_to_train(tmp_path):
    from steepest.training.adapters.hugging_face import recipe_of

    args = arguments(tmp_path, gradient_accumulation_steps=2, warmup_steps=2, max_grad_norm=0.5, bf16=True)
    assert recipe_of(args, samples=32) == {
        "schedule": "linear", "warmup": 0.25, "clip": 0.5, "accumulate": 2, "precision": "bfloat16",
    }  # fmt: skip
    with pytest.raises(InputError, match=r"lr_scheduler_type must be one of linear, cosine, .*, got 'polynomial'"):
        recipe_of(arguments(tmp_path, lr_scheduler_type="polynomial"), samples=32)


def test_a_part_that_is_missing_is_named():
    few = {name: DATASET[name] for name in ("train", "test")}
    workload = Workload.from_hugging_face(model_init, few, name="rows", target=0.9, batch_size=4, epochs=1)
    with pytest.raises(InputError, match="'validation' is missing; it has 'train', 'test'"):
        run(workload)
